//! REST: what operators, the CLI and access nodes ask of the gateway.
//!
//! ```text
//!  control.sock (0660) ──────────────────────────┐
//!                                                ├─► router ─► handlers ─► EngineHandle, Bus, Tables
//!  TCP, loopback ─► Host check ─► bearer token ──┘     │
//!                                                      └ deadline · metrics · problem+json
//! ```
//!
//! One noun a file. A handler translates: JSON to a [`Command`], a [`Reply`] to JSON, an
//! error to a [`Problem`](problem::Problem) that names the field. What only shared memory knows (counters, latency, ports) is read there and does not
//! ask the engine. The description at `/openapi.json` is made from the same types.

pub mod activation;
pub mod auth;
mod body;
pub mod drops;
pub mod events;
pub mod health;
mod idempotency;
pub mod latency;
pub mod lcores;
mod load;
mod metrics;
pub mod olt;
pub mod openapi;
mod params;
pub mod pools;
pub mod ports;
pub mod problem;
pub mod serve;
pub mod sessions;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use shm_bridge::sides::{Presence, Tables};
use sluice_config::Config;
use tokio::sync::Semaphore;

use crate::engine::{Command, Reply};
use crate::events::Bus;
use crate::handle::EngineHandle;
use crate::metrics::Metrics;

pub use serve::{Listeners, ServeError, serve};

/// How long a request may take before it is answered with 503. An activation waits for a commit and for the OLT.
pub const DEADLINE: Duration = Duration::from_secs(30);
/// Followers of the event stream at a time.
pub const FOLLOWERS_MAX: usize = 64;

/// What the handlers work with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    pub handle: EngineHandle,
    pub bus: Bus,
    pub tables: Tables,
    pub presence: Presence,
    pub config: Arc<Config>,
    pub metrics: Arc<Metrics>,
    idempotency: idempotency::Idempotency,
    followers: Arc<Semaphore>,
    recent: load::Recent,
}

impl AppState {
    pub fn new(
        handle: EngineHandle,
        bus: Bus,
        tables: Tables,
        presence: Presence,
        config: Arc<Config>,
        metrics: Arc<Metrics>,
    ) -> AppState {
        AppState {
            handle,
            bus,
            tables,
            presence,
            config,
            metrics,
            idempotency: idempotency::Idempotency::default(),
            followers: Arc::new(Semaphore::new(FOLLOWERS_MAX)),
            recent: load::Recent::default(),
        }
    }

    async fn ask(&self, command: Command) -> Result<Reply, problem::Problem> {
        Ok(self.handle.command(command).await?)
    }
}

/// All routes, as the Unix socket serves them: whoever may open the socket may use them.
pub fn router(state: AppState) -> Router {
    let api = Router::new()
        .route("/activate", post(activation::activate))
        .route("/suspend", post(activation::suspend))
        .route("/resume", post(activation::resume))
        .route("/terminate", post(activation::terminate))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::one))
        .route("/pools", get(pools::list))
        .route("/ports", get(ports::list))
        .route("/drops", get(drops::drops))
        .route("/punts", get(drops::punts))
        .route("/latency", get(latency::latency))
        .route("/lcores", get(lcores::list))
        .route("/events", get(events::follow))
        .route("/olt/events", post(olt::event));
    Router::new()
        .nest("/api/v1", api)
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/metrics", get(metrics::metrics))
        .merge(openapi::routes())
        .fallback(no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(middleware::from_fn_with_state(state.clone(), observe))
        .with_state(state)
}

async fn no_such_path(uri: Uri) -> problem::Problem {
    problem::Problem::not_found(format!("nothing is at {}", uri.path()))
}

async fn no_such_method(request: Request) -> problem::Problem {
    problem::Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "urn:sluice:problem:method-not-allowed",
        "The method is not possible here",
        format!("{} has no {}", request.uri().path(), request.method()),
    )
}

/// Holds every request to its deadline, and counts and times it by route.
async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched".to_owned(), |path| path.as_str().to_owned());
    let started = Instant::now();
    let response = match tokio::time::timeout(DEADLINE, next.run(request)).await {
        Ok(response) => response,
        Err(_) => problem::Problem::unavailable(format!("no answer within {} s", DEADLINE.as_secs()))
            .into_response(),
    };
    let took = started.elapsed();
    tracing::debug!(%method, route, status = response.status().as_u16(), ?took, "request");
    state.metrics.request(&method, &route, response.status(), took);
    response
}

/// CLOCK_MONOTONIC, nanoseconds: the clock of the segment's heartbeats.
fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    u64::try_from(now.tv_sec)
        .unwrap_or(0)
        .saturating_mul(1_000_000_000)
        + u64::try_from(now.tv_nsec).unwrap_or(0)
}
