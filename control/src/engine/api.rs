//! What the engine hears and what it asks for.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};
use shm_bridge::SessionIndex;

use crate::session::{
    Access, Identity, Line, Mac, Qos, Service, Session, SessionId, Standing, State, Totals,
};

/// The two clocks. Running leases follow the first; the second is stored for reboots and shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// CLOCK_MONOTONIC, nanoseconds.
    pub mono_ns: u64,
    /// Unix time, milliseconds.
    pub wall_ms: u64,
}

/// Names an answer that is still to come (AAA, store, OLT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// Names a caller who waits for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyTo(pub u64);

/// Everything that can happen.
#[derive(Debug)]
pub enum Event {
    Dhcp(DhcpIn),
    Aaa {
        ticket: Ticket,
        answer: AaaAnswer,
    },
    /// The batch is durable, or it is not and will not be.
    Committed {
        ticket: Ticket,
        result: Result<(), String>,
    },
    /// A row was unlinked and no worker reads it any more; `traffic` is what it counted since the session had it. It is
    /// given back by [`World::release_row`] once that is durable.
    RowRetired {
        session: SessionId,
        row: SessionIndex,
        traffic: [Totals; 2],
    },
    Olt(OltEvent),
    OltAnswered {
        ticket: Ticket,
        result: Result<OltLine, String>,
    },
    Command {
        command: Command,
        reply_to: ReplyTo,
    },
    /// Time has passed: at least every 100 ms.
    Tick,
}

/// A DHCP message, as far as Ethernet, IP and UDP were looked at: lengths and checksums are right, the payload is not looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpIn {
    pub from: Ingress,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// UDP payload.
    pub payload: Vec<u8>,
}

/// Where a DHCP message came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ingress {
    /// An access line, with the Ethernet source address.
    Line { line: Line, mac: Mac },
    /// A core port: a relay.
    Core { port: u16 },
}

/// A DHCP message to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DhcpOut {
    pub to: Egress,
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    /// UDP destination port: 68 to clients, 67 to relays. The source port is 67.
    pub destination_port: u16,
    pub payload: Vec<u8>,
}

/// Where a DHCP message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress {
    /// To a host on a line; the broadcast MAC address where it cannot be addressed yet.
    Line { line: Line, mac: Mac },
    /// To a relay, by the core side's routes.
    Relay,
}

/// Who is asking for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AaaRequest {
    pub ticket: Ticket,
    pub identity: Identity,
    pub access: Access,
    /// `None` behind a relay.
    pub line: Option<Line>,
    pub mac: Mac,
}

/// What AAA says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AaaAnswer {
    /// Known, with what it is entitled to and how it stands.
    Accept(Service, Standing),
    /// Not known: the walled garden.
    Unknown,
    /// No answer could be had.
    Failed(String),
}

/// What an access node reports. The wire form is the REST body of `/api/v1/olt/events`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OltEvent {
    #[serde(rename = "type")]
    pub kind: OltEventKind,
    #[serde(default)]
    pub access_node: Option<String>,
    #[serde(default)]
    pub port: Option<String>,
    pub ont_serial: String,
    #[serde(default)]
    pub circuit_id: Option<String>,
    /// Name of the BNG's access port.
    #[serde(default)]
    pub bng_port: Option<String>,
    #[serde(default)]
    pub s_vlan: Option<u16>,
    #[serde(default)]
    pub c_vlan: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, utoipa::ToSchema)]
pub enum OltEventKind {
    NewONTDetected,
    ONTProvisioned,
    ONTReconfigured,
    ONTDisconnected,
}

/// What is asked of the OLT: `POST /v1/onts/{serial}/reconfigure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OltRequest {
    #[serde(skip)]
    pub ont_serial: String,
    pub pool: String,
    pub qos_download_bps: u64,
    pub qos_upload_bps: u64,
    /// `None` leaves the tag as it is.
    pub s_vlan: Option<u16>,
    pub c_vlan: Option<u16>,
    /// Whether the line is taken down and up, so that the client asks again.
    pub bounce: bool,
}

/// What the OLT answers: the tags the ONT has now.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OltLine {
    pub ont_serial: String,
    pub s_vlan: Option<u16>,
    pub c_vlan: Option<u16>,
}

/// What an operator asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    Activate(Activate),
    Suspend(Selector),
    Resume(Selector),
    Terminate(Selector),
    GetSession(SessionId),
    ListSessions(ListSessions),
    Pools,
    /// Counts that metrics want, without listing sessions.
    Statistics,
}

/// Body of `POST /api/v1/activate`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Activate {
    #[schema(example = "ADTN12345678")]
    pub ont_serial: String,
    #[schema(example = "SVC-001")]
    pub service_id: String,
    #[schema(example = "isp-residential")]
    pub pool: String,
    #[schema(example = 100_000_000)]
    pub qos_download_bps: u64,
    #[schema(example = 20_000_000)]
    pub qos_upload_bps: u64,
    /// The tags of the line after activation, where it moves.
    #[serde(default)]
    pub s_vlan: Option<u16>,
    #[serde(default)]
    pub c_vlan: Option<u16>,
    /// Whether the OLT takes the line down and up so that the client asks at once.
    #[serde(default = "yes")]
    pub bounce: bool,
}

fn yes() -> bool {
    true
}

/// Which session: exactly one field is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ont_serial: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub session_id: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub circuit_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub ip: Option<Ipv4Addr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mac: Option<Mac>,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Filters of `GET /api/v1/sessions`; all given must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListSessions {
    pub state: Option<State>,
    pub pool: Option<String>,
    pub circuit_id: Option<String>,
    pub ont_serial: Option<String>,
    pub ip: Option<Ipv4Addr>,
    pub mac: Option<Mac>,
    /// Sessions after this id, in the order of ids.
    pub after: Option<SessionId>,
    pub limit: usize,
}

/// What a command yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// Activate, suspend, resume, terminate.
    Changed(Changed),
    Session(Box<SessionView>),
    Sessions {
        sessions: Vec<SessionView>,
        more: bool,
    },
    Pools(Vec<PoolView>),
    Statistics(Box<Statistics>),
}

/// How a session was changed; the `session` member of the REST answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Changed {
    #[schema(value_type = String)]
    pub id: SessionId,
    pub ont_serial: Option<String>,
    #[schema(value_type = String)]
    pub old_state: State,
    #[schema(value_type = String)]
    pub new_state: State,
    #[schema(value_type = Option<String>)]
    pub old_ip: Option<Ipv4Addr>,
    pub message: String,
}

/// A session with its live totals (upstream, downstream).
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    pub session: Session,
    pub totals: [Totals; 2],
}

/// A pool's use.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PoolView {
    pub name: String,
    pub network: String,
    pub gateway: String,
    /// Addresses that can be given at all.
    pub size: u64,
    /// Bound to a session now.
    pub bound: u64,
    /// Reserved by an offer.
    pub offered: u64,
    /// Kept for who had it last, free for others under pressure.
    pub sticky: u64,
    /// Declined by a client, quarantined.
    pub quarantined: u64,
    pub available: u64,
    /// bound / size.
    pub utilization: f64,
}

/// What metrics show of the engine.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Statistics {
    pub sessions: Vec<(State, u64)>,
    /// Summed age in the present state, seconds, by state.
    pub session_seconds: Vec<(State, f64)>,
    pub pools: Vec<PoolView>,
    /// DHCP messages taken in, by pool of the session ("" before it has one) and message type.
    pub dhcp_requests: Vec<(String, &'static str, u64)>,
    /// DHCP messages sent, by type.
    pub dhcp_replies: Vec<(&'static str, u64)>,
    /// DHCP messages refused, by reason.
    pub dhcp_refused: Vec<(&'static str, u64)>,
    /// What was noticed about DHCP messages that were answered nevertheless, by kind.
    pub dhcp_noted: Vec<(&'static str, u64)>,
    /// Traffic by pool: upstream, downstream.
    pub traffic: Vec<(String, [Totals; 2])>,
    /// Activations by result.
    pub activations: Vec<(&'static str, u64)>,
    /// Seconds from the command to `active`, one per activation completed since the last call.
    pub activation_seconds: Vec<f64>,
    /// Events of the outbox not yet taken by anyone beyond this machine.
    pub outbox: u64,
}

/// Why a command was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// 404
    #[error("no session with {what}")]
    NotFound { what: String },
    /// 409
    #[error("the session is {state} and cannot become {wanted}")]
    WrongState { state: State, wanted: State },
    /// 409: several sessions fit a selector.
    #[error("{count} sessions fit {what}: name one by session_id")]
    Ambiguous { what: String, count: usize },
    /// 422
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    /// 503
    #[error("{0}")]
    Unavailable(String),
}

/// What is written to the store; a batch is durable as a whole or not at all.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Record {
    PutSession(Box<Session>),
    /// The session is gone; `at` (Unix ms) keeps it from coming back by stale state.
    EndSession {
        id: SessionId,
        at: u64,
    },
    PutBinding(Binding),
    DeleteBinding(Ipv4Addr),
    /// What an identity was activated to, for its next session.
    PutActivation(Activation),
    DeleteActivation(Identity),
    PutEvent(BusEvent),
}

/// An address and whose it is; outlives the session so that it stays sticky.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    pub ipv4: Ipv4Addr,
    pub pool: String,
    pub identity: Identity,
    pub mac: Mac,
    pub client_id: Option<Vec<u8>>,
    pub session: Option<SessionId>,
    pub state: BindingState,
    /// Unix seconds: when a bound address runs out, a released one was released, a declined one is free again.
    pub until: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingState {
    Bound,
    /// Released or expired; kept for its owner until somebody needs it.
    Sticky,
    Declined,
}

/// The service of an identity, as an operator set it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    pub identity: Identity,
    pub ont_serial: Option<String>,
    pub service: Service,
    pub status: ActivationStatus,
    /// Who granted the service, so that a resumed subscriber gets back what he had.
    #[serde(default)]
    pub origin: ServiceOrigin,
    /// The line the activation moved the subscriber to, where it did.
    #[serde(default)]
    pub line: Option<Line>,
    /// Unix ms.
    pub at: u64,
}

/// Who granted the service that an [`Activation`] holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServiceOrigin {
    /// An activation.
    #[default]
    Operator,
    /// AAA; the record exists because he was suspended or terminated.
    Aaa,
    /// Nobody: he was in the walled garden when he was suspended or terminated.
    Nobody,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationStatus {
    Active,
    Suspended,
    Terminated,
}

/// Something that happened, for those who follow: `GET /api/v1/events`, the outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct BusEvent {
    /// Rises by one; the SSE id.
    pub sequence: u64,
    /// Unix ms.
    pub at_ms: u64,
    /// `NewONTDetected`, `ONTProvisioned`, `ONTReconfigured`, `ONTDisconnected`, `SessionDiscovered`, `SessionStateChanged`,
    /// `AddressBound`, `AddressReleased`, `SessionEnded`, `PoolExhausted`.
    pub kind: String,
    #[schema(value_type = Option<String>)]
    pub session: Option<SessionId>,
    pub ont_serial: Option<String>,
    pub circuit_id: Option<String>,
    #[schema(value_type = Option<String>)]
    pub old_state: Option<State>,
    #[schema(value_type = Option<String>)]
    pub new_state: Option<State>,
    #[schema(value_type = Option<String>)]
    pub ipv4: Option<Ipv4Addr>,
    pub pool: Option<String>,
    pub detail: Option<String>,
}

/// A row as the engine wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionImage {
    pub session: SessionId,
    pub row: SessionIndex,
    pub line: Line,
    pub mac: Mac,
    pub ipv4: Ipv4Addr,
    pub prefix_len: u8,
    pub policy: PolicyImage,
}

/// What workers do with a session's packets, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyImage {
    pub state: State,
    /// Garden profile; `None`: everything is permitted.
    pub garden: Option<String>,
    pub qos: Qos,
    pub isolated: bool,
}

/// A row that is kept for a session: its number, its generation and what its counters say now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReservedRow {
    pub row: SessionIndex,
    pub generation: u32,
    pub baseline: [Totals; 2],
}

/// Why the tables cannot take a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("all {0} session rows are in use: raise limits.sessions")]
    NoRow(usize),
    #[error("all {0} policer profiles are in use: raise limits.policer_profiles")]
    NoPolicer(usize),
    #[error("no garden {0:?} is configured")]
    NoGarden(String),
    #[error("row {0} was not set aside for this session")]
    NotReserved(u32),
    #[error("row {0} is not published")]
    NotPublished(u32),
    #[error("{0}")]
    Access(String),
    #[error("{0}")]
    Fib(String),
}

/// What the engine can have done. Calls that end in an [`Event`] say so; all others are done when they return.
pub trait World {
    /// Sets a free row aside. It is given back by [`World::release_row`].
    fn reserve_row(&mut self) -> Result<ReservedRow, TableError>;
    /// Makes workers see the session: fills its reserved row and leads the address and the line to it. A row the session had
    /// before (`previous`) is unlinked in the same sequence and ends in [`Event::RowRetired`].
    fn publish(&mut self, image: &SessionImage, previous: Option<&SessionImage>) -> Result<(), TableError>;
    /// Changes the policy word of a published row: one store.
    fn set_policy(&mut self, row: SessionIndex, policy: &PolicyImage) -> Result<(), TableError>;
    /// Takes a session from the workers' sight; ends in [`Event::RowRetired`].
    fn withdraw(&mut self, image: &SessionImage);
    /// The row's last counters are durable, or it was never published: it may be used again.
    fn release_row(&mut self, row: SessionIndex);
    /// What a row has counted, in its life.
    fn traffic(&self, row: SessionIndex) -> [Totals; 2];
    /// Sends a DHCP message.
    fn send(&mut self, message: DhcpOut);
    /// Asks AAA; ends in [`Event::Aaa`].
    fn authorize(&mut self, request: AaaRequest);
    /// Writes a batch; ends in [`Event::Committed`]. Batches are durable in the order of the calls.
    fn commit(&mut self, ticket: Ticket, batch: Vec<Record>);
    /// Asks the OLT; ends in [`Event::OltAnswered`].
    fn reconfigure(&mut self, ticket: Ticket, request: OltRequest);
    /// Answers a caller.
    fn reply(&mut self, to: ReplyTo, result: Result<Reply, CommandError>);
    /// Tells those who follow. Durable events are in a batch too.
    fn emit(&mut self, event: BusEvent);
}

/// What the store held when control started.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Restored {
    pub sessions: Vec<Session>,
    pub bindings: Vec<Binding>,
    pub activations: Vec<Activation>,
    pub next_session: u64,
    pub next_event: u64,
    /// Ids that ended, with Unix ms.
    pub tombstones: Vec<(SessionId, u64)>,
}
