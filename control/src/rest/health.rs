//! Is the process alive (`/health`), and does the gateway work (`/ready`)?

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shm_bridge::segment::Role;
use utoipa::ToSchema;

use super::lcores::heartbeat_age_seconds;
use super::{AppState, monotonic_ns};

/// An lcore that did not turn for this long is stalled; even a sleeping one turns every few milliseconds.
const STALLED_SECONDS: f64 = 5.0;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Health {
    #[schema(example = "ok")]
    pub status: String,
    pub version: String,
    /// This gateway's name.
    pub node: String,
}

/// What has to be right for the gateway to work.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Readiness {
    /// `ready` or `not ready`.
    #[schema(example = "ready")]
    pub status: String,
    pub checks: Vec<Check>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Check {
    #[schema(example = "worker")]
    pub name: String,
    pub ok: bool,
    pub detail: String,
}

/// The process answers.
#[utoipa::path(
    get, path = "/health", tag = "health", security(()),
    responses((status = 200, description = "Alive", body = Health))
)]
pub async fn health(State(state): State<AppState>) -> Json<Health> {
    Json(Health {
        status: "ok".into(),
        version: env!("CARGO_PKG_VERSION").into(),
        node: state.config.node.id.to_string(),
    })
}

/// Subscribers are served: the engine takes commands, a worker runs, and none of its lcores is stalled.
#[utoipa::path(
    get, path = "/ready", tag = "health", security(()),
    responses(
        (status = 200, description = "Ready", body = Readiness),
        (status = 503, description = "Not ready, and why", body = Readiness),
    )
)]
pub async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Readiness>) {
    let checks = vec![engine(&state), worker(&state), lcores(&state)];
    let ready = checks.iter().all(|check| check.ok);
    let (code, status) = if ready {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    let status = status.to_owned();
    (code, Json(Readiness { status, checks }))
}

fn engine(state: &AppState) -> Check {
    let ok = state.handle.is_open();
    let detail = if ok { "takes commands" } else { "is not running" };
    check("engine", ok, detail)
}

fn worker(state: &AppState) -> Check {
    let generation = state.tables.worker_generation();
    let ok = generation != 0 && state.presence.is_alive(Role::Worker);
    let detail = if ok {
        format!("generation {generation} is attached")
    } else {
        "no worker is attached to the segment".to_owned()
    };
    check("worker", ok, detail)
}

fn lcores(state: &AppState) -> Check {
    let now = monotonic_ns();
    let generation = state.tables.worker_generation();
    let mut running = 0;
    let mut stalled = Vec::new();
    for (slot, cells) in state.tables.lcores.used() {
        // Slots that only an earlier worker used say nothing about this one.
        if cells.generation.get() == generation {
            running += 1;
            let age = heartbeat_age_seconds(cells, now);
            if age > STALLED_SECONDS {
                stalled.push(format!("lcore {slot} did not turn for {age:.1} s"));
            }
        }
    }
    match (running, stalled.is_empty()) {
        (0, _) => check("lcores", false, "none is running"),
        (_, true) => check("lcores", true, format!("{running} running")),
        (_, false) => check("lcores", false, stalled.join(", ")),
    }
}

fn check(name: &str, ok: bool, detail: impl Into<String>) -> Check {
    Check {
        name: name.to_owned(),
        ok,
        detail: detail.into(),
    }
}
