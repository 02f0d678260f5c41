//! What access nodes report: `POST /api/v1/olt/events`.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use sluice_config::{CircuitId, OntSerial, PortName};
use utoipa::ToSchema;

use super::AppState;
use super::activation::{check, check_vlan};
use super::body::JsonBody;
use super::problem::Problem;
use crate::engine::{OltEvent, OltEventKind};

/// The event was taken and will be acted on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct OltAnswer {
    #[schema(example = "accepted")]
    pub status: String,
}

/// Takes an access node's event. 503 means that it was not taken: the node repeats it.
#[utoipa::path(
    post, path = "/api/v1/olt/events", tag = "events", request_body = OltEvent,
    responses(
        (status = 202, description = "Taken", body = OltAnswer),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A member is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Not taken", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn event(
    State(state): State<AppState>,
    JsonBody(event, _): JsonBody<OltEvent>,
) -> Result<(StatusCode, Json<OltAnswer>), Problem> {
    check_event(&event, &state)?;
    state.handle.olt_event(event)?;
    let answer = OltAnswer {
        status: "accepted".into(),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

fn check_event(event: &OltEvent, state: &AppState) -> Result<(), Problem> {
    check::<OntSerial>("ont_serial", &event.ont_serial)?;
    let texts = [
        ("circuit_id", &event.circuit_id),
        ("access_node", &event.access_node),
        ("port", &event.port),
    ];
    for (field, value) in texts {
        if let Some(value) = value {
            // All three are bounded as the circuit-id that is made of the other two.
            check::<CircuitId>(field, value)?;
        }
    }
    check_vlan("s_vlan", event.s_vlan)?;
    check_vlan("c_vlan", event.c_vlan)?;
    match &event.bng_port {
        Some(name) => check_port(name, state),
        // An ONT that left has no place; for all others it must be known where frames come from.
        None if event.kind == OltEventKind::ONTDisconnected => Ok(()),
        None => Err(Problem::invalid(
            "bng_port",
            "bng_port is missing: the name of the access port that the ONT is behind",
        )),
    }
}

fn check_port(name: &str, state: &AppState) -> Result<(), Problem> {
    check::<PortName>("bng_port", name)?;
    let ports = &state.config.ports;
    if ports
        .iter()
        .any(|port| port.name == *name && port.access().is_some())
    {
        return Ok(());
    }
    let access: Vec<&str> = ports
        .iter()
        .filter(|port| port.access().is_some())
        .map(|port| port.name.as_str())
        .collect();
    let detail = format!(
        "no access port {name:?} is configured, there are: {}",
        access.join(", ")
    );
    Err(Problem::invalid("bng_port", detail))
}
