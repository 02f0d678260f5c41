//! The world of a story: started, its subscribers connected and activated, or the story ends and says why.

use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use olt_sim::lab::Lease;
use olt_sim::lab::core_side::Seen;
use olt_sim::lab::namespace::wait_until;
use olt_sim::lab::world::{Subscriber, World, WorldSpec};
use serde_json::Value;

/// Networks of the lab's pools.
pub const WGAR: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 255, 0, 0), 16);
pub const RESIDENTIAL: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 0, 0, 0), 12);
pub const BUSINESS: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 16, 0, 0), 12);

/// A rate that no story reaches.
pub const FAST_BPS: u64 = 1_000_000_000;

/// The core side's watcher looks every 50 ms; a busy machine lets it wait.
const QUIET: Duration = Duration::from_millis(300);
/// From the activation to the lease of the new pool: a bounce, and a client that asks again.
const MOVE_PATIENCE: Duration = Duration::from_secs(15);

/// Starts the BNG and all around it.
#[track_caller]
pub fn start(spec: WorldSpec) -> World {
    assert_root();
    World::start(spec).unwrap_or_else(|error| panic!("the world does not start: {error}"))
}

/// The stories cannot be told without root, and do not pretend.
#[track_caller]
pub fn assert_root() {
    let root = std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
    assert!(
        root,
        "end-to-end stories make network namespaces and TAP devices: run them as root"
    );
}

/// Connects the ONT with this index; its first lease.
#[track_caller]
pub fn connect(world: &mut World, index: usize) -> Lease {
    world.connect(index).unwrap_or_else(|error| {
        let worker = world.worker().map(|worker| worker.log_tail()).unwrap_or_default();
        let control = world
            .control()
            .map(|control| control.log_tail())
            .unwrap_or_default();
        panic!("no lease: {error}\n--- worker\n{worker}\n--- control\n{control}")
    })
}

/// Activates the subscriber for isp-residential, with a bounce; his lease there.
#[track_caller]
pub fn activate(world: &World, index: usize) -> Lease {
    let [lease] = activate_all(world, [index]);
    lease
}

/// Activates these subscribers, all before the first has moved: udhcpc waits three seconds after a NAK.
#[track_caller]
pub fn activate_all<const N: usize>(world: &World, indices: [usize; N]) -> [Lease; N] {
    let subscribers = indices.map(|index| world.subscriber(index));
    for subscriber in subscribers {
        let serial = subscriber.serial();
        let answer = world
            .api()
            .activate(serial, "isp-residential", FAST_BPS, FAST_BPS);
        answer.unwrap_or_else(|error| panic!("{serial} is not activated: {error}"));
    }
    subscribers.map(|subscriber| {
        let lease = subscriber.wait_for_address_in(RESIDENTIAL, MOVE_PATIENCE);
        lease.unwrap_or_else(|error| panic!("{} does not move: {error}", subscriber.serial()))
    })
}

/// The sessions that REST lists for this filter, such as `circuit_id=agg-01|1/1/1`.
#[track_caller]
pub fn sessions(world: &World, filter: &str) -> Vec<Value> {
    let path = format!("/api/v1/sessions?{filter}");
    let mut list = world.api().get(&path).unwrap_or_else(|error| panic!("{error}"));
    match list["sessions"].take() {
        Value::Array(sessions) => sessions,
        other => panic!("{path}: no list of sessions: {other}"),
    }
}

/// All that arrived at the core side, once nothing more comes: its watcher is a thread that may lag.
pub fn settled_arrivals(world: &World) -> Vec<Seen> {
    let watch = world.ground().core.watch();
    let mut seen = watch.all();
    loop {
        std::thread::sleep(QUIET);
        let now = watch.all();
        if now == seen {
            return seen;
        }
        seen = now;
    }
}

/// Forgets what arrived at the core side so far, also what its watcher has not looked at yet.
pub fn forget_arrivals(world: &World) {
    settled_arrivals(world);
    world.ground().core.clear();
}

/// Waits until `question` is answered with yes.
#[track_caller]
pub fn eventually(what: &str, patience: Duration, mut question: impl FnMut() -> bool) {
    let answer = wait_until(patience, || question().then_some(()));
    assert!(
        answer.is_some(),
        "{what}: not within {:.1} s",
        patience.as_secs_f32()
    );
}

/// MAC address of the subscriber's interface.
#[track_caller]
pub fn mac_of(subscriber: &Subscriber) -> String {
    let shown = subscriber
        .namespace
        .ip(&["-j", "link", "show", &subscriber.ont.interface]);
    let links: Value = serde_json::from_str(&shown.expect("the ONT is connected")).expect("ip prints JSON");
    links[0]["address"]
        .as_str()
        .expect("a link has an address")
        .to_owned()
}

/// Is the address within the network?
pub fn is_in(address: Ipv4Addr, (network, prefix): (Ipv4Addr, u8)) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
    u32::from(address) & mask == u32::from(network)
}

/// Settings of a BNG that has no access node to ask: nobody takes a line down, so that only the BNG acts.
pub fn without_access_node(settings: &str) -> String {
    let lines = settings.lines().map(|line| match line.strip_prefix("socket = ") {
        Some(path) if path.contains("olt.sock") => "socket = \"\"",
        _ => line,
    });
    lines.collect::<Vec<_>>().join("\n")
}
