//! How much the access node carries: 100 MB of 1,400 byte packets each way, as fast as they come.
//!
//! The figure is printed (`cargo test -p olt-sim --release --test access_node throughput -- --nocapture`); the test asks
//! only for what the laboratory needs on a busy two-core machine.

use std::net::{Ipv4Addr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::bng::{BNG, GATEWAY, Trunk, push};
use etherparse::PacketBuilder;
use olt_sim::lab::Lab;
use olt_sim::lab::namespace::can_run;
use olt_sim::wire::{Frame, MacAddr, VlanId};
use olt_sim::{Olt, OltConfig, OntConfig, Tagging, TrunkConfig};

const TOTAL_BYTES: u64 = 100_000_000;
const PACKET_BYTES: usize = 1400;
const PACKETS: u64 = TOTAL_BYTES / PACKET_BYTES as u64;
const PAYLOAD_BYTES: usize = PACKET_BYTES - 28;
const HOME: Ipv4Addr = Ipv4Addr::new(10, 255, 1, 7);
const HOME_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 7]);
/// A hundred megabytes within this time, each way.
const ACCEPTABLE: Duration = Duration::from_secs(10);

#[test]
fn a_hundred_megabytes_pass_in_each_direction() {
    if !can_run("a_hundred_megabytes_pass_in_each_direction") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let trunk = Trunk::make(&bng);
    let mut config = OltConfig::new(
        "agg-01",
        TrunkConfig::new("trunk0", Some(bng.name()), Tagging::Qinq),
    );
    config.policy.filter = false;
    let olt = Olt::start(config).unwrap();
    olt.wait_for_trunk(ACCEPTABLE).unwrap();
    let (s_vlan, c_vlan) = (VlanId::new(100).unwrap(), VlanId::new(7).unwrap());
    let mut ont = OntConfig::qinq("ADTN00000001", "1/1/1", s_vlan, c_vlan, home.name());
    ont.mac = Some(HOME_MAC);
    olt.connect(ont).unwrap();
    home.ip(&["addr", "add", "10.255.1.7/16", "dev", "eth0"]).unwrap();
    home.ip(&[
        "neigh",
        "add",
        "10.255.0.1",
        "lladdr",
        "02:00:5e:00:01:01",
        "dev",
        "eth0",
    ])
    .unwrap();
    let socket = home.run(|| UdpSocket::bind((HOME, 5000))).unwrap().unwrap();
    rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, 32 << 20).unwrap();

    let busy = forwarder_seconds();
    let (received, elapsed) = upstream(&trunk, &socket);
    report("upstream", received, elapsed, forwarder_seconds() - busy);
    let busy = forwarder_seconds();
    let (received, elapsed) = downstream(&trunk, &socket);
    report("downstream", received, elapsed, forwarder_seconds() - busy);
    let counters = olt.stats().counters;
    assert!(
        counters.upstream.frames >= PACKETS && counters.downstream.frames >= PACKETS,
        "{counters:?}"
    );
}

/// The subscriber sends without pause; what a full queue refuses he sends again.
fn upstream(trunk: &Trunk, socket: &UdpSocket) -> (u64, Duration) {
    let stop = Arc::new(AtomicBool::new(false));
    let (stopped, sender) = (stop.clone(), socket.try_clone().unwrap());
    let sending = std::thread::spawn(move || {
        let payload = [7u8; PAYLOAD_BYTES];
        while !stopped.load(Ordering::Relaxed) {
            let _ = sender.send_to(&payload, (GATEWAY, 9));
        }
    });
    let started = Instant::now();
    let (mut received, mut frame) = (0, Frame::new());
    while received < PACKETS && started.elapsed() < ACCEPTABLE * 2 {
        if trunk.tap.read(&mut frame).is_ok() {
            assert_eq!(frame.outer_tag(), Some((0x88a8, 100)));
            received += 1;
        } else {
            std::thread::sleep(Duration::from_micros(50));
        }
    }
    let elapsed = started.elapsed();
    stop.store(true, Ordering::Relaxed);
    sending.join().unwrap();
    (received, elapsed)
}

/// The stand-in for the BNG writes without pause until the subscriber has got enough.
fn downstream(trunk: &Trunk, socket: &UdpSocket) -> (u64, Duration) {
    let received = Arc::new(AtomicU64::new(0));
    let (counter, receiver) = (received.clone(), socket.try_clone().unwrap());
    receiver
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let receiving = std::thread::spawn(move || {
        let mut buffer = [0u8; 2048];
        while !stopped.load(Ordering::Relaxed) {
            if receiver.recv(&mut buffer).is_ok() {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let mut bytes = Vec::new();
    PacketBuilder::ethernet2(BNG, HOME_MAC.0)
        .ipv4(GATEWAY.octets(), HOME.octets(), 64)
        .udp(9, 5000)
        .write(&mut bytes, &[7; PAYLOAD_BYTES])
        .unwrap();
    let mut frame = Frame::from_bytes(&bytes).unwrap();
    push(&mut frame, &[(0x88a8, 100), (0x8100, 7)]);
    let started = Instant::now();
    while received.load(Ordering::Relaxed) < PACKETS && started.elapsed() < ACCEPTABLE * 2 {
        for _ in 0..64 {
            let _ = trunk.tap.write(frame.bytes());
        }
    }
    let elapsed = started.elapsed();
    stop.store(true, Ordering::Relaxed);
    receiving.join().unwrap();
    (received.load(Ordering::Relaxed), elapsed)
}

/// Processor time of the busiest access node thread of this process: what it takes, whoever else is running.
fn forwarder_seconds() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let forwarders = tasks.map(|task| task.path()).filter(|task| {
        std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "olt-forward")
    });
    let nanoseconds = forwarders.filter_map(|task| {
        std::fs::read_to_string(task.join("schedstat"))
            .ok()?
            .split(' ')
            .next()?
            .parse::<u64>()
            .ok()
    });
    nanoseconds.max().unwrap_or(0) as f64 / 1e9
}

fn report(direction: &str, received: u64, elapsed: Duration, busy_seconds: f64) {
    let rate = received as f64 / elapsed.as_secs_f64();
    println!(
        "{direction}: {received} packets of {PACKET_BYTES} bytes in {elapsed:.2?}: {:.0} kpps, {:.2} Gbit/s; \
         the node's thread was busy for {busy_seconds:.2} s: {:.0} kpps a core",
        rate / 1e3,
        rate * PACKET_BYTES as f64 * 8.0 / 1e9,
        received as f64 / busy_seconds / 1e3
    );
    assert!(
        received >= PACKETS && elapsed < ACCEPTABLE,
        "{direction} is too slow"
    );
}
