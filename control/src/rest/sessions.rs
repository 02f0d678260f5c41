//! Sessions: listed with filters and a cursor, and one by its id with its live counters.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use sluice_config::Config;
use utoipa::ToSchema;

use super::AppState;
use super::params::Params;
use super::problem::Problem;
use crate::engine::{Command, ListSessions, Reply, SessionView};
use crate::session::{SessionId, State as SessionState, Totals};

/// Sessions of a page, where the caller does not say.
const PAGE: usize = 100;
/// Sessions of a page at most: some 600 kB of JSON.
const PAGE_MAX: usize = 1000;

const PARAMETERS: &[&str] = &[
    "state",
    "pool",
    "circuit_id",
    "ont_serial",
    "ip",
    "mac",
    "limit",
    "cursor",
];

/// A page of sessions, in the order of their ids.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionPage {
    pub sessions: Vec<SessionJson>,
    /// To be given as `cursor` for the next page; null on the last.
    #[schema(example = "0000000000000064")]
    pub next_cursor: Option<String>,
}

/// A session: one IPoE attachment of a subscriber.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct SessionJson {
    /// 16 hex digits.
    #[schema(example = "0000000000000001")]
    pub id: String,
    pub identity: String,
    #[schema(example = "wgar")]
    pub state: String,
    /// Unix seconds.
    pub state_since: u64,
    /// Unix seconds.
    pub created_at: u64,
    #[schema(example = "ADTN12345678")]
    pub ont_serial: Option<String>,
    #[schema(example = "agg-01|1/1/1")]
    pub circuit_id: Option<String>,
    pub remote_id: Option<String>,
    pub access_node: Option<String>,
    /// Name of the access port; null for a binding behind a relay.
    #[schema(example = "access0")]
    pub port: Option<String>,
    /// Null where frames carry no such tag.
    pub s_vlan: Option<u16>,
    pub c_vlan: Option<u16>,
    #[schema(example = "02:00:00:00:00:01")]
    pub mac: String,
    /// DHCP option 61, hex.
    pub client_id: Option<String>,
    #[schema(example = "10.255.1.100")]
    pub ip: Option<String>,
    /// Pool of the present address.
    #[schema(example = "wgar")]
    pub pool: Option<String>,
    /// Unix seconds: when the binding of the address runs out.
    pub expires_at: Option<u64>,
    pub service: ServiceJson,
    pub traffic: TrafficJson,
    /// The row that workers see; null when none is published.
    pub row: Option<u32>,
}

/// What the subscriber is entitled to.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ServiceJson {
    #[schema(example = "isp-residential")]
    pub pool: String,
    #[schema(example = "SVC-001")]
    pub service_id: Option<String>,
    /// Bit/s of IP packets; 0 is unlimited.
    pub qos_download_bps: u64,
    pub qos_upload_bps: u64,
}

/// What the session carried since it began, live.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TrafficJson {
    pub upstream: TotalsJson,
    pub downstream: TotalsJson,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TotalsJson {
    pub packets: u64,
    /// Of IP packets.
    pub bytes: u64,
    /// Packets over the rate, dropped.
    pub policed: u64,
}

/// Lists sessions; all filters given must fit.
#[utoipa::path(
    get, path = "/api/v1/sessions", tag = "sessions",
    params(
        ("state" = Option<String>, Query, description = "discovered, wgar, activating, active, suspended or terminated"),
        ("pool" = Option<String>, Query, description = "Pool of the present address"),
        ("circuit_id" = Option<String>, Query),
        ("ont_serial" = Option<String>, Query),
        ("ip" = Option<String>, Query),
        ("mac" = Option<String>, Query),
        ("limit" = Option<usize>, Query, description = "Sessions of a page, 1 to 1000; 100 if not given"),
        ("cursor" = Option<String>, Query, description = "next_cursor of the page before"),
    ),
    responses(
        (status = 200, description = "A page; the Link header leads to the next", body = SessionPage),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn list(State(state): State<AppState>, params: Params) -> Result<Response, Problem> {
    let params = params.only(PARAMETERS)?;
    let filter = filter(&params)?;
    let (views, more) = match state.ask(Command::ListSessions(filter)).await? {
        Reply::Sessions { sessions, more } => (sessions, more),
        other => return Err(Problem::internal(format!("a list was answered with {other:?}"))),
    };
    let next_cursor = match views.last() {
        Some(last) if more => Some(last.session.id.to_string()),
        _ => None,
    };
    let link = next_cursor.as_deref().map(|cursor| next_link(&params, cursor));
    let page = SessionPage {
        sessions: views.iter().map(|view| session(view, &state.config)).collect(),
        next_cursor,
    };
    let mut response = Json(page).into_response();
    if let Some(Ok(link)) = link.map(HeaderValue::try_from) {
        response.headers_mut().insert(header::LINK, link);
    }
    Ok(response)
}

/// One session with its live counters.
#[utoipa::path(
    get, path = "/api/v1/sessions/{id}", tag = "sessions",
    params(("id" = String, Path, description = "16 hex digits")),
    responses(
        (status = 200, description = "The session", body = SessionJson),
        (status = 400, description = "No session id", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn one(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<SessionJson>, Problem> {
    let id: SessionId = id
        .parse()
        .map_err(|why: String| Problem::malformed(why).at("id"))?;
    match state.ask(Command::GetSession(id)).await? {
        Reply::Session(view) => Ok(Json(session(&view, &state.config))),
        other => Err(Problem::internal(format!(
            "a session was asked for, {other:?} came"
        ))),
    }
}

fn filter(params: &Params) -> Result<ListSessions, Problem> {
    let text = |name| params.text(name).map(str::to_owned);
    let limit = params.read("limit", |text| match text.parse::<usize>() {
        Ok(limit) if (1..=PAGE_MAX).contains(&limit) => Ok(limit),
        _ => Err(format!("want a number from 1 to {PAGE_MAX}")),
    })?;
    Ok(ListSessions {
        state: params.read("state", read_state)?,
        pool: text("pool"),
        circuit_id: text("circuit_id"),
        ont_serial: text("ont_serial"),
        ip: params.get("ip")?,
        mac: params.get("mac")?,
        after: params.get("cursor")?,
        limit: limit.unwrap_or(PAGE),
    })
}

fn read_state(text: &str) -> Result<SessionState, String> {
    let known = SessionState::ALL.into_iter().find(|state| state.label() == text);
    known.ok_or_else(|| {
        let labels: Vec<&str> = SessionState::ALL.iter().map(|state| state.label()).collect();
        format!("want one of {}", labels.join(", "))
    })
}

/// The same list from the cursor on (RFC 8288).
fn next_link(params: &Params, cursor: &str) -> String {
    let mut query = String::new();
    for name in PARAMETERS.iter().filter(|name| **name != "cursor") {
        if let Some(value) = params.text(name) {
            query.push_str(&format!("{name}={}&", percent(value)));
        }
    }
    format!("</api/v1/sessions?{query}cursor={cursor}>; rel=\"next\"")
}

/// Everything but RFC 3986's unreserved characters as `%XX`.
fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}

fn session(view: &SessionView, config: &Config) -> SessionJson {
    let session = &view.session;
    let access = &session.access;
    let binding = session.binding.as_ref();
    let tag = |tag: Option<u16>| tag.filter(|tag| *tag != 0);
    SessionJson {
        id: session.id.to_string(),
        identity: session.identity.0.clone(),
        state: session.state.to_string(),
        state_since: session.state_since,
        created_at: session.created_at,
        ont_serial: access.ont_serial.clone(),
        circuit_id: access.circuit_id.clone(),
        remote_id: access.remote_id.clone(),
        access_node: access.access_node.clone(),
        port: session
            .line
            .and_then(|line| config.ports.get(usize::from(line.port)))
            .map(|port| port.name.to_string()),
        s_vlan: tag(session.line.map(|line| line.s_vlan)),
        c_vlan: tag(session.line.map(|line| line.c_vlan)),
        mac: session.mac.to_string(),
        client_id: session.client_id.as_deref().map(hex),
        ip: binding.map(|binding| binding.ipv4.to_string()),
        pool: binding.map(|binding| binding.pool.clone()),
        expires_at: binding.map(|binding| binding.expires_at),
        service: ServiceJson {
            pool: session.service.pool.clone(),
            service_id: session.service.service_id.clone(),
            qos_download_bps: session.service.qos.download_bps,
            qos_upload_bps: session.service.qos.upload_bps,
        },
        traffic: TrafficJson {
            upstream: totals(view.totals[0]),
            downstream: totals(view.totals[1]),
        },
        row: Some(session.row).filter(|row| *row != 0),
    }
}

fn totals(totals: Totals) -> TotalsJson {
    TotalsJson {
        packets: totals.packets,
        bytes: totals.bytes,
        policed: totals.policed,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
