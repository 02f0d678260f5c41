//! What the pipeline costs, without a NIC: 64-byte frames of many subscribers in shuffled order through both directions, in
//! memory.
//!
//! ```text
//! cargo run --release -p sluice-worker --features testkit --example pipeline_tsc [SUBSCRIBERS]
//! ```
//!
//! Each burst of 32 is written anew into its buffers (which stands for the receive), then timed alone. A figure is the median of
//! rounds, in nanoseconds and TSC ticks a packet; the smallest round follows. Absolute figures are this machine's; compare
//! runs of one machine, in turn.

use std::hint::black_box;
use std::time::Instant;

use shm_bridge::layout::Geometry;
use shm_bridge::session::{Policy, RowState};
use sluice_worker::burst::{Burst, LANES};
use sluice_worker::simd::tsc;
use sluice_worker::testkit::world::{ACCESS, CORE, GARDEN, INTERNET, PORTAL, from_core};
use sluice_worker::testkit::{Subscriber, World, packet};
use sluice_worker::{Frame, StrippedTags, Verdict, Way, pipeline};

const ROUNDS: usize = 41;
/// Payload that makes a QinQ frame 60 bytes (64 with its FCS), and a plain one with the same packet less.
const UDP_PAYLOAD: usize = 10;
const HEADROOM: usize = 128;
const BUFFER: usize = 2304;

fn main() {
    let subscribers: u32 = std::env::args()
        .nth(1)
        .map_or(4096, |count| count.parse().expect("a count of subscribers"));
    println!("{subscribers} subscribers, bursts of {LANES}, {ROUNDS} rounds");
    for (name, policy) in [
        ("active, no policer", Policy::new(RowState::Active)),
        (
            "active, policed both ways",
            Policy::new(RowState::Active).with_policers(1, 2),
        ),
        (
            "garden of 4 rules, policed",
            Policy::new(RowState::Wgar)
                .with_garden(GARDEN)
                .with_policers(1, 2),
        ),
    ] {
        let mut bench = Bench::new(subscribers, policy);
        bench.report(name, "upstream", ACCESS);
        bench.report(name, "downstream", CORE);
    }
}

struct Bench {
    world: World,
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
}

impl Bench {
    fn new(subscribers: u32, policy: Policy) -> Bench {
        let mut world = World::sized(&Geometry {
            sessions: (2 * subscribers).next_power_of_two(),
            tbl8_groups: 8192,
            ..Geometry::default()
        });
        world.policer(1, 1_000_000_000_000, 1_000_000);
        world.policer(2, 1_000_000_000_000, 1_000_000);
        let far = if policy.garden() == 0 { INTERNET } else { PORTAL };
        let (mut up, mut down) = (Vec::new(), Vec::new());
        for place in shuffled(subscribers) {
            let line = Subscriber::on_line(100 + (place / 4094) as u16, 1 + (place % 4094) as u16);
            let subscriber = world.subscribe(line.policy(policy));
            let sent = padded(packet::tcp(subscriber.ipv4, far, 4000, 80), UDP_PAYLOAD);
            up.push(subscriber.frame(sent));
            down.push(from_core(padded(
                packet::tcp(far, subscriber.ipv4, 80, 4000),
                UDP_PAYLOAD,
            )));
        }
        Bench {
            world,
            up,
            down,
            buffers: (0..LANES).map(|_| vec![0; BUFFER]).collect(),
        }
    }

    fn report(&mut self, name: &str, direction: &str, port: u8) {
        let mut rounds: Vec<(u64, f64)> = (0..ROUNDS).map(|_| self.round(port)).collect();
        rounds.sort_by_key(|(ticks, _)| *ticks);
        let packets = (self.up.len() / LANES * LANES) as f64;
        let tsc = |round: usize| rounds[round].0 as f64 / packets;
        let ns_per_tick = rounds[ROUNDS / 2].1;
        println!(
            "{name:28} {direction:10}  {:6.1} tsc  {:6.1} ns   (least {:.1} tsc)",
            tsc(ROUNDS / 2),
            tsc(ROUNDS / 2) * ns_per_tick,
            tsc(0),
        );
    }

    /// All frames once: ticks spent in the pipeline, and nanoseconds a tick.
    fn round(&mut self, port: u8) -> (u64, f64) {
        let frames = if port == ACCESS { &self.up } else { &self.down };
        let port = *self.world.context.ports.get(port).expect("a port");
        let (began, began_ticks) = (Instant::now(), tsc::ticks());
        let mut spent = 0;
        for chunk in frames.chunks_exact(LANES) {
            for (buffer, frame) in self.buffers.iter_mut().zip(chunk) {
                buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
            }
            self.world.now_ns += 1000;
            let start = tsc::ticks();
            let mut burst = Burst::new(&port, Way::Whole, self.world.now_ns);
            for (buffer, frame) in self.buffers.iter_mut().zip(chunk) {
                let pushed = burst.push(Frame::new(buffer, HEADROOM, frame.len()), StrippedTags::None);
                debug_assert!(pushed);
            }
            pipeline::run(&mut burst, &mut self.world.context);
            spent += tsc::ticks() - start;
            assert!(
                black_box(&burst)
                    .lanes()
                    .iter()
                    .all(|lane| matches!(lane.verdict(), Some(Verdict::Forward { .. })))
            );
        }
        let ns_per_tick = began.elapsed().as_nanos() as f64 / (tsc::ticks() - began_ticks) as f64;
        (spent, ns_per_tick)
    }
}

/// The packet with its payload cut or filled to a UDP datagram's length.
fn padded(mut packet: packet::Ip, payload: usize) -> packet::Ip {
    packet.payload.resize(8 + payload, 0);
    packet
}

/// 0..count in an order that no prefetcher guesses (a linear congruential walk over the next power of two).
fn shuffled(count: u32) -> impl Iterator<Item = u32> {
    let size = count.next_power_of_two();
    let mut place = 0u32;
    (0..size)
        .map(move |_| {
            place = place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & (size - 1);
            place
        })
        .filter(move |place| *place < count)
}
