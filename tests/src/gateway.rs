//! What the BNG says of itself over REST, in the words of the stories.

use std::time::Duration;

use olt_sim::lab::namespace::wait_until;
use olt_sim::lab::world::{ControlApi, World};
use serde_json::Value;

use crate::PATIENCE;
use crate::world::sessions;

/// Port figures are refreshed once a second.
const PORTS_PATIENCE: Duration = Duration::from_secs(5);
/// Nothing is under way any more when the counters have not moved for this long.
const REST: Duration = Duration::from_millis(300);

/// Law 2, over all lcores: what came in and what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conservation {
    pub rx: u64,
    pub injected: u64,
    pub originated: u64,
    pub tx: u64,
    pub drops: u64,
    pub punts: u64,
    pub lost_in_flight: u64,
}

impl Conservation {
    pub fn read(api: &ControlApi) -> Self {
        Self::of(&api.get("/api/v1/lcores").expect("the lcores are there")["total"])
    }

    /// Of the total, or of one lcore.
    pub fn of(counts: &Value) -> Self {
        let count = |name: &str| {
            counts[name]
                .as_u64()
                .unwrap_or_else(|| panic!("no count `{name}` in {counts}"))
        };
        Self {
            rx: count("rx"),
            injected: count("injected"),
            originated: count("originated"),
            tx: count("tx"),
            drops: count("drops"),
            punts: count("punts"),
            lost_in_flight: count("lost_in_flight"),
        }
    }

    /// Read when nothing is under way.
    #[track_caller]
    pub fn at_rest(api: &ControlApi) -> Self {
        let mut last = Self::read(api);
        let settled = wait_until(PATIENCE, || {
            std::thread::sleep(REST);
            let now = Self::read(api);
            let rests = now == last;
            last = now;
            rests.then_some(now)
        });
        settled.unwrap_or_else(|| panic!("packets keep coming: {last:?}"))
    }

    pub fn came(&self) -> u64 {
        self.rx + self.injected + self.originated
    }

    pub fn went(&self) -> u64 {
        self.tx + self.drops + self.punts + self.lost_in_flight
    }

    #[track_caller]
    pub fn assert_exact(&self) {
        assert_eq!(self.came(), self.went(), "law 2 is broken: {self:?}");
    }
}

/// Mbufs in use, by port, as of the worker's last look.
pub fn mbufs_in_use(api: &ControlApi) -> Vec<u64> {
    let ports = api.get("/api/v1/ports").expect("the ports are there");
    let ports = ports["ports"].as_array().expect("`ports` is a list").clone();
    let number = |value: &Value| value.as_u64().expect("a count of mbufs");
    ports
        .iter()
        .map(|port| number(&port["mbufs"]) - number(&port["mbufs_free"]))
        .collect()
}

/// Waits until as many mbufs are in use as `wanted` says; the worker refreshes the figure once a second.
#[track_caller]
pub fn expect_mbufs_in_use(api: &ControlApi, wanted: &[u64]) {
    let back = wait_until(PORTS_PATIENCE, || (mbufs_in_use(api) == wanted).then_some(()));
    assert!(
        back.is_some(),
        "mbufs in use by port: {:?}, at first {wanted:?}",
        mbufs_in_use(api)
    );
}

/// The one session of this ONT.
#[track_caller]
pub fn session_of(world: &World, serial: &str) -> Value {
    let mut found = sessions(world, &format!("ont_serial={serial}"));
    assert_eq!(found.len(), 1, "sessions of {serial}: {found:#?}");
    found.remove(0)
}

/// Its state; empty when the ONT has no session.
pub fn state_of(world: &World, serial: &str) -> String {
    let path = format!("/api/v1/sessions?ont_serial={serial}");
    let list = world.api().get(&path).unwrap_or_default();
    list["sessions"][0]["state"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// Packets and bytes that a session sent and received.
pub fn traffic(session: &Value) -> [(u64, u64); 2] {
    ["upstream", "downstream"].map(|direction| {
        let counts = &session["traffic"][direction];
        (
            counts["packets"].as_u64().expect("packets are counted"),
            counts["bytes"].as_u64().expect("bytes are counted"),
        )
    })
}

/// Every event that control still has, oldest first; without the notes about what it has no longer.
pub fn events(api: &ControlApi) -> Vec<Value> {
    let text = api
        .text("/api/v1/events?after=0&follow=false")
        .expect("the events are there");
    text.lines()
        .filter_map(|line| line.strip_prefix("data:"))
        .map(|data| serde_json::from_str::<Value>(data.trim()).expect("an event is JSON"))
        .filter(|event| event["sequence"].is_u64())
        .collect()
}

/// The value of a series of `/metrics`, such as `bng_sessions_total{state="active"}`.
pub fn metric(api: &ControlApi, series: &str) -> Option<f64> {
    let text = api.text("/metrics").expect("the metrics are there");
    text.lines().find_map(|line| {
        let value = line.strip_prefix(series)?.strip_prefix(' ')?;
        value.split(' ').next()?.parse().ok()
    })
}
