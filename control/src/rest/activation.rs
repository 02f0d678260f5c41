//! Commands on a subscriber: activate, suspend, resume, terminate.
//!
//! A grant is on disk before it is answered, a restriction acts before it is answered; that is the engine's work. Here the body is
//! checked for what can be wrong without knowing any session.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_config::{CircuitId, OntSerial, PoolName, ServiceId, VlanId};
use utoipa::ToSchema;

use super::AppState;
use super::body::JsonBody;
use super::problem::Problem;
use crate::engine::{Activate, Changed, Command, Reply, Selector};

/// What a command did.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct CommandAnswer {
    #[schema(example = "success")]
    pub status: String,
    pub session: SessionChange,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionChange {
    #[schema(example = "ADTN12345678")]
    pub ont_serial: Option<String>,
    #[schema(example = "wgar")]
    pub old_state: String,
    #[schema(example = "activating")]
    pub new_state: String,
    #[schema(example = "10.255.1.100")]
    pub old_ip: Option<String>,
    #[schema(example = "Waiting for DHCP renewal")]
    pub message: String,
}

/// Gives a subscriber his service. In the service's pool already: `active` at once. Else `activating`, until the client has its new
/// address. The same request again changes nothing and is answered alike.
#[utoipa::path(
    post, path = "/api/v1/activate", tag = "subscribers", request_body = Activate,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat under the same key is answered, not carried out")),
    responses(
        (status = 200, description = "Activated, or activating", body = CommandAnswer),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such ONT", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The state does not allow it", body = Problem, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large", body = Problem, content_type = "application/problem+json"),
        (status = 415, description = "The body is not application/json", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Unknown pool, impossible rate, or a member that is missing or wrong", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Store or engine cannot do it now", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn activate(
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(body, digest): JsonBody<Activate>,
) -> Result<Response, Problem> {
    check_activate(&body)?;
    let work = carry_out(&state, Command::Activate(body));
    state.idempotency.once("activate", &headers, digest, work).await
}

/// Takes the service away for now: only the suspended garden is left, established flows included.
#[utoipa::path(
    post, path = "/api/v1/suspend", tag = "subscribers", request_body = Selector,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat under the same key is answered, not carried out")),
    responses(
        (status = 200, description = "Suspended", body = CommandAnswer),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The state does not allow it, or several sessions fit", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A member is missing or wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn suspend(
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(body, digest): JsonBody<Selector>,
) -> Result<Response, Problem> {
    check_selector(&body)?;
    let work = carry_out(&state, Command::Suspend(body));
    state.idempotency.once("suspend", &headers, digest, work).await
}

/// Gives a suspended subscriber his service back.
#[utoipa::path(
    post, path = "/api/v1/resume", tag = "subscribers", request_body = Selector,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat under the same key is answered, not carried out")),
    responses(
        (status = 200, description = "Active, or activating", body = CommandAnswer),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The state does not allow it, or several sessions fit", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A member is missing or wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn resume(
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(body, digest): JsonBody<Selector>,
) -> Result<Response, Problem> {
    check_selector(&body)?;
    let work = carry_out(&state, Command::Resume(body));
    state.idempotency.once("resume", &headers, digest, work).await
}

/// Ends a subscriber's service for good: nothing passes any more, both directions, at once.
#[utoipa::path(
    post, path = "/api/v1/terminate", tag = "subscribers", request_body = Selector,
    params(("Idempotency-Key" = Option<String>, Header, description = "A repeat under the same key is answered, not carried out")),
    responses(
        (status = 200, description = "Terminated", body = CommandAnswer),
        (status = 400, description = "Not JSON", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Problem, content_type = "application/problem+json"),
        (status = 409, description = "The state does not allow it, or several sessions fit", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A member is missing or wrong", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn terminate(
    State(state): State<AppState>,
    headers: HeaderMap,
    JsonBody(body, digest): JsonBody<Selector>,
) -> Result<Response, Problem> {
    check_selector(&body)?;
    let work = carry_out(&state, Command::Terminate(body));
    state.idempotency.once("terminate", &headers, digest, work).await
}

async fn carry_out(state: &AppState, command: Command) -> Result<Response, Problem> {
    match state.ask(command).await? {
        Reply::Changed(changed) => Ok(answer(changed)),
        other => Err(Problem::internal(format!(
            "a command was answered with {other:?}"
        ))),
    }
}

/// The answer of the shape; where the session is to be found is in the `Link` header (RFC 8288).
fn answer(changed: Changed) -> Response {
    let link = format!("</api/v1/sessions/{}>; rel=\"item\"", changed.id);
    let body = CommandAnswer {
        status: "success".into(),
        session: SessionChange {
            ont_serial: changed.ont_serial,
            old_state: changed.old_state.to_string(),
            new_state: changed.new_state.to_string(),
            old_ip: changed.old_ip.map(|ip| ip.to_string()),
            message: changed.message,
        },
    };
    let mut response = Json(body).into_response();
    if let Ok(link) = HeaderValue::try_from(link) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

fn check_activate(body: &Activate) -> Result<(), Problem> {
    check::<OntSerial>("ont_serial", &body.ont_serial)?;
    check::<ServiceId>("service_id", &body.service_id)?;
    check::<PoolName>("pool", &body.pool)?;
    check_vlan("s_vlan", body.s_vlan)?;
    check_vlan("c_vlan", body.c_vlan)
}

/// Exactly one way to name the session.
fn check_selector(body: &Selector) -> Result<(), Problem> {
    let ways = [
        ("ont_serial", body.ont_serial.is_some()),
        ("session_id", body.session_id.is_some()),
        ("circuit_id", body.circuit_id.is_some()),
        ("ip", body.ip.is_some()),
        ("mac", body.mac.is_some()),
    ];
    let mut given = ways.iter().filter(|(_, given)| *given).map(|(name, _)| *name);
    match (given.next(), given.next()) {
        (Some(_), None) => {}
        (Some(first), Some(second)) => {
            let detail = format!("{first} and {second} are given: name the session by one of them");
            return Err(Problem::invalid(second, detail));
        }
        (None, _) => {
            let names: Vec<&str> = ways.iter().map(|(name, _)| *name).collect();
            let detail = format!("name the session by one of {}", names.join(", "));
            return Err(Problem::invalid("ont_serial", detail));
        }
    }
    if let Some(serial) = &body.ont_serial {
        check::<OntSerial>("ont_serial", serial)?;
    }
    if let Some(circuit_id) = &body.circuit_id {
        check::<CircuitId>("circuit_id", circuit_id)?;
    }
    match &body.reason {
        Some(reason) if reason.len() > REASON_MAX => {
            let detail = format!("reason is {} bytes long, at most {REASON_MAX}", reason.len());
            Err(Problem::invalid("reason", detail))
        }
        _ => Ok(()),
    }
}

/// A sentence for the record, not a document.
const REASON_MAX: usize = 1024;

/// Whether `value` is a name of kind `T`.
pub(super) fn check<T>(field: &str, value: &str) -> Result<(), Problem>
where
    T: std::str::FromStr<Err = sluice_config::names::NameError>,
{
    match value.parse::<T>() {
        Ok(_) => Ok(()),
        Err(why) => Err(Problem::invalid(field, format!("{field} {why}"))),
    }
}

pub(super) fn check_vlan(field: &str, value: Option<u16>) -> Result<(), Problem> {
    match value.map(VlanId::new) {
        Some(Err(why)) => Err(Problem::invalid(field, format!("{field}: {why}"))),
        _ => Ok(()),
    }
}
