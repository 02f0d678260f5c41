//! The access node's API: HTTP with JSON on a Unix socket.
//!
//! ```text
//! GET    /v1/onts                         every ONT
//! POST   /v1/onts                         connect one (an [[onts]] table of the configuration, as JSON)
//! GET    /v1/onts/{serial}
//! DELETE /v1/onts/{serial}                disconnect
//! POST   /v1/onts/{serial}/reconfigure    {"pool","qos_download_bps","qos_upload_bps","s_vlan","c_vlan","bounce"}
//! POST   /v1/onts/{serial}/bounce
//! GET    /v1/filter    PUT /v1/filter     {"enabled": false}
//! GET    /v1/option82  PUT /v1/option82   {"enabled": false}
//! GET    /v1/stats
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::UnixListener;
use tokio::runtime::Handle;

use crate::config::{OntConfig, ServiceProfile};
use crate::node::{LineError, OntView};
use crate::operations::{After, OltError, OltStats, Reconfiguration, Shared};
use crate::wire::VlanId;

/// Owner and group: the BNG's control process.
const SOCKET_MODE: u32 = 0o660;

/// Binds the socket, in place of one that a dead process left.
pub(crate) fn listen(path: &FilePath, runtime: &Handle) -> io::Result<UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another access node answers there",
        ));
    }
    if path.exists() {
        fs::remove_file(path)?;
    }
    let _guard = runtime.enter();
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(SOCKET_MODE))?;
    Ok(listener)
}

pub(crate) async fn serve(listener: UnixListener, shared: Arc<Shared>) {
    if let Err(error) = axum::serve(listener, router(shared)).await {
        tracing::warn!(%error, "the API ended");
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/onts", get(list).post(connect))
        .route("/v1/onts/{serial}", get(show).delete(disconnect))
        .route("/v1/onts/{serial}/reconfigure", post(reconfigure))
        .route("/v1/onts/{serial}/bounce", post(bounce))
        .route("/v1/filter", get(show_filter).put(set_filter))
        .route("/v1/option82", get(show_option82).put(set_option82))
        .route("/v1/stats", get(stats))
        .with_state(shared)
}

type Node = State<Arc<Shared>>;
type Body<T> = Result<Json<T>, JsonRejection>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reconfigure {
    pool: Option<String>,
    qos_download_bps: Option<u64>,
    qos_upload_bps: Option<u64>,
    s_vlan: Option<VlanId>,
    c_vlan: Option<VlanId>,
    bounce: bool,
}

impl Default for Reconfigure {
    fn default() -> Self {
        Self {
            pool: None,
            qos_download_bps: None,
            qos_upload_bps: None,
            s_vlan: None,
            c_vlan: None,
            bounce: true,
        }
    }
}

#[derive(Debug, Serialize)]
struct Reconfigured {
    ont_serial: String,
    s_vlan: Option<VlanId>,
    c_vlan: Option<VlanId>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: bool,
}

async fn list(State(node): Node) -> Json<Vec<OntView>> {
    Json(node.onts())
}

async fn show(State(node): Node, Path(serial): Path<String>) -> Result<Json<OntView>, Problem> {
    Ok(Json(node.ont(&serial)?))
}

async fn connect(State(node): Node, body: Body<OntConfig>) -> Result<(StatusCode, Json<OntView>), Problem> {
    let Json(ont) = body?;
    let connected = tokio::task::spawn_blocking(move || node.connect(ont))
        .await
        .map_err(Problem::internal)?;
    Ok((StatusCode::CREATED, Json(connected?)))
}

async fn disconnect(State(node): Node, Path(serial): Path<String>) -> Result<StatusCode, Problem> {
    node.disconnect(&serial)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn reconfigure(
    State(node): Node,
    Path(serial): Path<String>,
    body: Body<Reconfigure>,
) -> Result<Json<Reconfigured>, Problem> {
    let Json(wish) = body?;
    let change = Reconfiguration {
        s_vlan: wish.s_vlan,
        c_vlan: wish.c_vlan,
        profile: ServiceProfile {
            pool: wish.pool,
            qos_download_bps: wish.qos_download_bps,
            qos_upload_bps: wish.qos_upload_bps,
        },
        after: if wish.bounce {
            After::Bounce
        } else {
            After::LeaveLine
        },
    };
    let ont = node.reconfigure(&serial, change)?;
    Ok(Json(Reconfigured {
        ont_serial: ont.ont_serial,
        s_vlan: ont.s_vlan,
        c_vlan: ont.c_vlan,
    }))
}

async fn bounce(State(node): Node, Path(serial): Path<String>) -> Result<StatusCode, Problem> {
    node.bounce(&serial)?;
    Ok(StatusCode::ACCEPTED)
}

async fn show_filter(State(node): Node) -> Json<Switch> {
    Json(Switch {
        enabled: node.policy().filter,
    })
}

async fn set_filter(State(node): Node, body: Body<Switch>) -> Result<Json<Switch>, Problem> {
    let Json(switch) = body?;
    node.set_policy(|policy| policy.filter = switch.enabled);
    Ok(Json(switch))
}

async fn show_option82(State(node): Node) -> Json<Switch> {
    Json(Switch {
        enabled: node.policy().option82,
    })
}

async fn set_option82(State(node): Node, body: Body<Switch>) -> Result<Json<Switch>, Problem> {
    let Json(switch) = body?;
    node.set_policy(|policy| policy.option82 = switch.enabled);
    Ok(Json(switch))
}

async fn stats(State(node): Node) -> Json<OltStats> {
    Json(node.stats())
}

/// An error as RFC 9457 wants it.
#[derive(Debug)]
struct Problem {
    status: StatusCode,
    detail: String,
}

impl Problem {
    fn internal(error: impl std::fmt::Display) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            detail: error.to_string(),
        }
    }
}

impl From<OltError> for Problem {
    fn from(error: OltError) -> Self {
        let status = match &error {
            OltError::Line(LineError::UnknownOnt { .. }) => StatusCode::NOT_FOUND,
            OltError::Line(LineError::SerialInUse { .. } | LineError::TagsInUse { .. }) => {
                StatusCode::CONFLICT
            }
            OltError::Line(_) | OltError::FrameTooLong(_) => StatusCode::UNPROCESSABLE_ENTITY,
            OltError::TrunkDown => StatusCode::SERVICE_UNAVAILABLE,
            OltError::System { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self {
            status,
            detail: error.to_string(),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self {
            status: rejection.status(),
            detail: rejection.body_text(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let title = self.status.canonical_reason().unwrap_or("error");
        let body = json!({"type": "about:blank", "title": title, "status": self.status.as_u16(), "detail": self.detail});
        (
            self.status,
            [("content-type", "application/problem+json")],
            body.to_string(),
        )
            .into_response()
    }
}
