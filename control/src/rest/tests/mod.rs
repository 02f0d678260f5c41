//! The API as its callers see it, with an engine that answers by rote.

mod commands;
mod data_plane;
mod doors;
mod events;
mod sessions;

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use serde_json::Value;
use shm_bridge::layout::Geometry;
use shm_bridge::sides::{ControlSide, WorkerSide, in_memory};
use sluice_config::Config;
use tower::ServiceExt;

use super::{AppState, router};
use crate::engine::{
    Changed, Command, CommandError, ListSessions, OltEvent, PoolView, Reply, SessionView, Statistics,
};
use crate::events::Bus;
use crate::handle::{Inbound, channel};
use crate::metrics::Metrics;
use crate::session::{
    Access, Identity, Line, Mac, Qos, Service, Session, SessionBinding, SessionId, State, Totals,
};

const CONFIG: &str = r#"
    [[ports]]
    name = "access0"
    role = "access"
    device = "net_tap0"
    mac = "02:00:5e:00:01:01"
    lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }]

    [[ports]]
    name = "core0"
    role = "core"
    device = "net_tap1"
    mac = "02:00:5e:00:02:01"
    address = "192.0.2.2/24"
    gateway = "192.0.2.1"

    [pools.wgar]
    network = "10.255.0.0/16"
    [pools.isp-residential]
    network = "10.0.0.0/12"
"#;

/// A gateway with its API, its engine and its worker all in one process.
struct Gateway {
    state: AppState,
    router: Router,
    control: ControlSide,
    worker: WorkerSide,
    heard: Arc<Mutex<Heard>>,
}

/// What the engine was asked.
#[derive(Debug, Default)]
struct Heard {
    commands: Vec<Command>,
    olt: Vec<OltEvent>,
}

/// An answer as a caller sees it.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or("")
    }

    /// Checks that this is a problem document of `status`, and gives it.
    #[track_caller]
    fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(
            problem["type"]
                .as_str()
                .unwrap()
                .starts_with("urn:sluice:problem:")
        );
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        problem
    }
}

impl Gateway {
    fn new() -> Gateway {
        Gateway::with_config(Config::parse("sluice.toml", CONFIG).unwrap())
    }

    /// Within a tokio runtime.
    fn with_config(config: Config) -> Gateway {
        let (control, worker) = in_memory(&Geometry::default()).unwrap();
        let (handle, mut inbox) = channel();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let engine = heard.clone();
        tokio::spawn(async move {
            while let Some(inbound) = inbox.recv().await {
                match inbound {
                    Inbound::Command { command, reply } => {
                        engine.lock().unwrap().commands.push(command.clone());
                        if let Some(answer) = by_rote(command) {
                            reply.send(answer).ok();
                        }
                    }
                    Inbound::Olt(event) => engine.lock().unwrap().olt.push(event),
                }
            }
        });
        let state = AppState::new(
            handle,
            Bus::new(16),
            control.tables.clone(),
            control.presence(),
            Arc::new(config),
            Arc::new(Metrics::new(Arc::default(), Arc::default())),
        );
        Gateway {
            router: router(state.clone()),
            state,
            control,
            worker,
            heard,
        }
    }

    async fn get(&self, uri: &str) -> Answer {
        self.send(Request::get(uri).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, uri: &str, body: impl ToString) -> Answer {
        self.send(post(uri, body)).await
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        answer(&self.router, request).await
    }

    fn commands(&self) -> Vec<Command> {
        std::mem::take(&mut self.heard.lock().unwrap().commands)
    }
}

async fn answer(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = to_bytes(body, 8 << 20).await.unwrap();
    Answer {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(bytes.to_vec()).unwrap(),
    }
}

fn post(uri: &str, body: impl ToString) -> Request<Body> {
    Request::post(uri)
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap()
}

/// Sessions that the engine has: as many as a small town.
const SESSIONS: u64 = 10_000;

/// The engine's answers; `None` where it falls silent.
fn by_rote(command: Command) -> Option<Result<Reply, CommandError>> {
    Some(match command {
        Command::Activate(activate) => match activate.ont_serial.as_str() {
            "SILENT" => return None,
            serial if activate.pool == "isp-residential" => change(serial, State::Wgar, State::Activating),
            _ => Err(CommandError::Invalid {
                field: "pool",
                problem: format!("no pool {:?} is configured", activate.pool),
            }),
        },
        Command::Suspend(selector) if selector.circuit_id.is_some() => Err(CommandError::Ambiguous {
            what: "circuit-id \"agg-01|1/1/1\"".into(),
            count: 2,
        }),
        Command::Suspend(selector) => change(
            &selector.ont_serial.unwrap_or_default(),
            State::Active,
            State::Suspended,
        ),
        Command::Resume(selector) => change(
            &selector.ont_serial.unwrap_or_default(),
            State::Suspended,
            State::Active,
        ),
        Command::Terminate(selector) => change(
            &selector.ont_serial.unwrap_or_default(),
            State::Active,
            State::Terminated,
        ),
        Command::GetSession(id) if (1..=SESSIONS).contains(&id.0) => Ok(Reply::Session(Box::new(view(id.0)))),
        Command::GetSession(id) => Err(CommandError::NotFound {
            what: format!("id {id}"),
        }),
        Command::ListSessions(filter) => Ok(list(&filter)),
        Command::Pools => Ok(Reply::Pools(vec![pool()])),
        Command::Statistics => Ok(Reply::Statistics(Box::new(statistics()))),
    })
}

fn change(serial: &str, from: State, to: State) -> Result<Reply, CommandError> {
    match serial {
        "UNKNOWN" => Err(CommandError::NotFound {
            what: "ONT serial \"UNKNOWN\"".into(),
        }),
        "TERMINATED" => Err(CommandError::WrongState {
            state: State::Terminated,
            wanted: to,
        }),
        "DISKFULL" => Err(CommandError::Unavailable("the store takes nothing".into())),
        _ => Ok(Reply::Changed(Changed {
            id: SessionId(0x2a),
            ont_serial: Some(serial.to_owned()),
            old_state: from,
            new_state: to,
            old_ip: Some(Ipv4Addr::new(10, 255, 1, 100)),
            message: "Waiting for DHCP renewal".into(),
        })),
    }
}

fn list(filter: &ListSessions) -> Reply {
    let after = filter.after.map_or(0, |id| id.0);
    let mut fitting = (after + 1..=SESSIONS)
        .map(view)
        .filter(|view| filter.state.is_none_or(|state| view.session.state == state))
        .filter(|view| {
            filter
                .ont_serial
                .as_ref()
                .is_none_or(|serial| view.session.access.ont_serial.as_ref() == Some(serial))
        });
    let sessions: Vec<SessionView> = fitting.by_ref().take(filter.limit).collect();
    Reply::Sessions {
        more: fitting.next().is_some(),
        sessions,
    }
}

fn view(number: u64) -> SessionView {
    let low = number as u16;
    let totals = |direction: u64| Totals {
        packets: number * 10 + direction,
        bytes: number * 1000 + direction,
        policed: direction,
    };
    SessionView {
        session: Session {
            id: SessionId(number),
            identity: Identity(format!("agg-01|1/1/{number}")),
            line: Some(Line {
                port: 0,
                s_vlan: 100,
                c_vlan: low % 4094 + 1,
            }),
            access: Access {
                circuit_id: Some(format!("agg-01|1/1/{number}")),
                remote_id: None,
                ont_serial: Some(format!("ADTN{number:08}")),
                access_node: Some("agg-01".into()),
            },
            mac: Mac([2, 0, 0, 0, (low >> 8) as u8, low as u8]),
            client_id: Some(vec![1, 0xab]),
            state: if number.is_multiple_of(2) {
                State::Active
            } else {
                State::Wgar
            },
            service: Service {
                pool: "isp-residential".into(),
                service_id: Some("SVC-001".into()),
                qos: Qos {
                    download_bps: 100_000_000,
                    upload_bps: 20_000_000,
                },
            },
            binding: Some(SessionBinding {
                pool: "wgar".into(),
                ipv4: Ipv4Addr::from_bits(0x0aff_0000 + number as u32),
                expires_at: 1_700_000_600,
            }),
            row: number as u32,
            row_generation: 1,
            baseline: [Totals::default(); 2],
            carried: [Totals::default(); 2],
            created_at: 1_700_000_000,
            state_since: 1_700_000_100,
            activation_started_at: None,
        },
        totals: [totals(0), totals(1)],
    }
}

fn pool() -> PoolView {
    PoolView {
        name: "wgar".into(),
        network: "10.255.0.0/16".into(),
        gateway: "10.255.0.1".into(),
        size: 65_533,
        bound: 4,
        offered: 1,
        sticky: 2,
        quarantined: 0,
        available: 65_528,
        utilization: 4.0 / 65_533.0,
    }
}

fn statistics() -> Statistics {
    Statistics {
        sessions: vec![(State::Wgar, 3), (State::Active, 6), (State::Suspended, 1)],
        session_seconds: vec![(State::Wgar, 30.5), (State::Active, 600.0)],
        pools: vec![pool()],
        dhcp_requests: vec![
            (String::new(), "discover", 10),
            ("wgar".into(), "request", 4),
            ("wgar".into(), "discover", 1),
        ],
        dhcp_replies: vec![("offer", 11), ("ack", 4)],
        dhcp_refused: vec![("option82_untrusted", 2)],
        dhcp_noted: Vec::new(),
        traffic: vec![(
            "wgar".into(),
            [
                Totals {
                    packets: 7,
                    bytes: 700,
                    policed: 1,
                },
                Totals {
                    packets: 9,
                    bytes: 9000,
                    policed: 0,
                },
            ],
        )],
        activations: vec![("success", 7), ("not_found", 1)],
        activation_seconds: vec![0.002, 3.5],
        outbox: 5,
    }
}
