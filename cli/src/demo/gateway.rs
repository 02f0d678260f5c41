//! What the gateway says of itself: its REST answers, as far as the demo reads them, with types.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use olt_sim::lab::world::ControlApi;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Sessions of a page, the most the gateway gives.
const PAGE: usize = 1000;

#[derive(Clone, Debug)]
pub struct Gateway {
    api: ControlApi,
}

#[derive(Clone, Debug, Deserialize)]
pub struct Session {
    pub state: String,
    pub ont_serial: Option<String>,
    pub circuit_id: Option<String>,
    pub ip: Option<String>,
    pub pool: Option<String>,
    pub traffic: Traffic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub upstream: Totals,
    pub downstream: Totals,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub packets: u64,
    pub bytes: u64,
    pub policed: u64,
}

impl Totals {
    /// What was counted since `before`.
    pub fn since(self, before: Totals) -> Totals {
        Totals {
            packets: self.packets.wrapping_sub(before.packets),
            bytes: self.bytes.wrapping_sub(before.bytes),
            policed: self.policed.wrapping_sub(before.policed),
        }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Pool {
    pub name: String,
    pub network: String,
    pub size: u64,
    pub bound: u64,
    pub offered: u64,
    pub sticky: u64,
    pub available: u64,
    pub utilization: f64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reason {
    pub reason: String,
    pub packets: u64,
    pub meaning: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub direction: String,
    pub count: u64,
    pub p50_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub p99_9_ns: Option<u64>,
    pub max_ns: Option<u64>,
}

/// The terms of law 2, over all lcores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conservation {
    pub rx: u64,
    pub injected: u64,
    pub originated: u64,
    pub tx: u64,
    pub drops: u64,
    pub punts: u64,
    pub lost_in_flight: u64,
    pub in_hand: i64,
}

impl Conservation {
    pub fn came(&self) -> u64 {
        self.rx.wrapping_add(self.injected).wrapping_add(self.originated)
    }

    pub fn went(&self) -> u64 {
        self.tx.wrapping_add(self.drops).wrapping_add(self.punts)
    }
}

/// An answer to a command, and how long it took.
#[derive(Clone, Debug)]
pub struct Change {
    pub status: String,
    pub old_state: String,
    pub new_state: String,
    pub old_ip: Option<String>,
    pub message: String,
    pub took: Duration,
}

/// What an activation asks for.
#[derive(Clone, Copy, Debug)]
pub struct Service {
    pub pool: &'static str,
    pub download_bps: u64,
    pub upload_bps: u64,
}

#[derive(Deserialize)]
struct SessionPage {
    sessions: Vec<Session>,
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
struct PoolList {
    pools: Vec<Pool>,
}

#[derive(Deserialize)]
struct DropList {
    drops: Vec<Reason>,
}

#[derive(Deserialize)]
struct LatencyReport {
    total: Vec<Latency>,
}

#[derive(Deserialize)]
struct LcoreList {
    total: Conservation,
}

#[derive(Deserialize)]
struct CommandAnswer {
    status: String,
    session: SessionChange,
}

#[derive(Deserialize)]
struct SessionChange {
    old_state: String,
    new_state: String,
    old_ip: Option<String>,
    message: String,
}

impl Gateway {
    pub fn new(api: ControlApi) -> Gateway {
        Gateway { api }
    }

    pub fn socket(&self) -> &Path {
        self.api.socket()
    }

    pub fn sessions(&self) -> io::Result<Vec<Session>> {
        let mut all = Vec::new();
        let mut path = format!("/api/v1/sessions?limit={PAGE}");
        loop {
            let page: SessionPage = self.get(&path)?;
            all.extend(page.sessions);
            match page.next_cursor {
                Some(cursor) => path = format!("/api/v1/sessions?limit={PAGE}&cursor={cursor}"),
                None => return Ok(all),
            }
        }
    }

    /// The session of an ONT; an error if it has none or several.
    pub fn session(&self, serial: &str) -> io::Result<Session> {
        let page: SessionPage = self.get(&format!("/api/v1/sessions?ont_serial={serial}"))?;
        let count = page.sessions.len();
        match page.sessions.into_iter().next() {
            Some(session) if count == 1 => Ok(session),
            _ => Err(io::Error::other(format!("ONT {serial} has {count} sessions"))),
        }
    }

    pub fn pools(&self) -> io::Result<Vec<Pool>> {
        self.get::<PoolList>("/api/v1/pools").map(|list| list.pools)
    }

    /// All reasons, also those that never occurred.
    pub fn drops(&self) -> io::Result<Vec<Reason>> {
        self.get::<DropList>("/api/v1/drops").map(|list| list.drops)
    }

    /// Packets dropped for `reason`.
    pub fn dropped(&self, reason: &str) -> io::Result<u64> {
        let drops = self.drops()?;
        let found = drops.iter().find(|drop| drop.reason == reason);
        found
            .map(|drop| drop.packets)
            .ok_or_else(|| io::Error::other(format!("no drop reason is called {reason}")))
    }

    /// Over all lcores, by direction.
    pub fn latency(&self) -> io::Result<Vec<Latency>> {
        self.get::<LatencyReport>("/api/v1/latency")
            .map(|report| report.total)
    }

    pub fn conservation(&self) -> io::Result<Conservation> {
        self.get::<LcoreList>("/api/v1/lcores").map(|list| list.total)
    }

    pub fn activate(&self, serial: &str, service: Service, bounce: Bounce) -> io::Result<Change> {
        let body = json!({
            "ont_serial": serial,
            "service_id": format!("SVC-{serial}"),
            "pool": service.pool,
            "qos_download_bps": service.download_bps,
            "qos_upload_bps": service.upload_bps,
            "bounce": bounce == Bounce::Yes,
        });
        self.change("/api/v1/activate", &body)
    }

    pub fn suspend(&self, serial: &str, reason: &str) -> io::Result<Change> {
        self.change(
            "/api/v1/suspend",
            &json!({"ont_serial": serial, "reason": reason}),
        )
    }

    fn change(&self, path: &str, body: &Value) -> io::Result<Change> {
        let asked = Instant::now();
        let answer = self.api.post(path, body)?;
        let took = asked.elapsed();
        let CommandAnswer { status, session } = typed(path, answer)?;
        Ok(Change {
            status,
            old_state: session.old_state,
            new_state: session.new_state,
            old_ip: session.old_ip,
            message: session.message,
            took,
        })
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> io::Result<T> {
        typed(path, self.api.get(path)?)
    }
}

/// Whether the access node takes the line down and up after an activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounce {
    Yes,
    No,
}

fn typed<T: DeserializeOwned>(path: &str, answer: Value) -> io::Result<T> {
    serde_json::from_value(answer)
        .map_err(|error| io::Error::other(format!("{path}: the answer is not as described: {error}")))
}
