//! What it costs to spread subscribers over lcores: to find a packet's owner, and to hand it over.
//!
//! ```text
//! cargo run --release -p sluice-worker --features dpdk,testkit --example spread_tsc -- -l 0,1 --no-pci --no-shconf --no-huge -m 256
//! ```
//!
//! Judging is the pipeline in memory, with packets of which each belongs to the other lcore, up to the verdict that says so. The hand-over
//! runs as in the worker: bursts of 32 from lcore to lcore over a ring of 1,024 slots, and back over another, so that each mbuf
//! was last written by the other core. Timed are the call that hands over, the call that takes over, and the first look at what came (mbuf
//! and header, which the other core's cache has); beside it the same look at packets that stayed. Medians over bursts, TSC ticks a packet.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use sluice_worker::dpdk::{
    BURST_MAX, Eal, HandoffReceiver, HandoffSender, Lcore, MbufBurst, Mempool, MempoolConfig, handoff,
};
use sluice_worker::simd::tsc;
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, from_core};
use sluice_worker::testkit::{Subscriber, World, packet};
use sluice_worker::{Burst, Frame, Lane, Owners, Spread, StrippedTags, Verdict, Way, pipeline};

const ADDRESSES: u32 = 4064;
const ROUNDS: usize = 201;
const BURST: usize = 32;
const BURSTS: usize = 200_000;
/// Bursts under way at once: the owner is never far behind.
const IN_FLIGHT: usize = 8;
const RING_SLOTS: u32 = 1024;
const FRAME: [u8; 60] = [0x42; 60];
const HEADROOM: usize = 128;
const BUFFER: usize = 2304;

fn main() -> anyhow::Result<()> {
    for (name, spread) in [("software mix", Spread::Software), ("Toeplitz", Spread::by_nic())] {
        println!("owner by {name:<14} {:5.1}", owner_ticks(spread));
    }
    for (name, port) in [("upstream", ACCESS), ("downstream", CORE)] {
        println!("judge another's, {name:<11}  {:5.1}", judge_ticks(port));
    }
    let (eal, _) = Eal::init(std::env::args())?;
    let Some(other) = eal.worker_lcores().first().copied() else {
        bail!("two lcores are needed: -l 0,1");
    };
    let pool = Mempool::create(
        &eal,
        &MempoolConfig {
            name: "spread_tsc",
            mbufs: 4095,
            frame_bytes_max: 2048,
            socket: None,
        },
    )?;
    let (there, taken) = handoff(&eal, "there", RING_SLOTS, None)?;
    let (back, returned) = handoff(&eal, "back", RING_SLOTS, None)?;
    let stop = Arc::new(AtomicBool::new(false));
    let owner = {
        let stop = Arc::clone(&stop);
        eal.launch(other, move |lcore| own(lcore, taken, back, &stop))?
    };
    let sender = send(&eal.main_lcore(), &pool, there, returned)?;
    stop.store(true, Ordering::Relaxed);
    let owner = owner.join()?;
    println!("hand over (receiving lcore)    {:5.1}", median(sender.calls));
    println!("take over (owner)              {:5.1}", median(owner.calls));
    println!("first look, handed over        {:5.1}", median(owner.looks));
    println!("first look, stayed             {:5.1}", median(sender.looks));
    Ok(())
}

/// Ticks to find the owner of an address.
fn owner_ticks(spread: Spread) -> f64 {
    let owners = Owners::new(0, &[0, 1, 2, 3], spread);
    let addresses: Vec<u32> = (0..ADDRESSES)
        .map(|n| 0x6440_0000 + n.wrapping_mul(0x9e37_79b1) % ADDRESSES)
        .collect();
    let rounds = (0..ROUNDS)
        .map(|_| {
            let start = tsc::ticks();
            let mine = addresses
                .iter()
                .filter(|address| owners.is_mine(**address))
                .count();
            black_box(mine);
            (tsc::ticks() - start) as f64 / f64::from(ADDRESSES)
        })
        .collect();
    median(rounds)
}

/// Ticks to find that a packet is another lcore's.
fn judge_ticks(port: u8) -> f64 {
    let mut world = World::new();
    world.own(Owners::new(0, &[1], Spread::Software));
    let frames: Vec<Vec<u8>> = (1..=ADDRESSES as u16)
        .map(|host| {
            let line = Subscriber::on_line(100, host);
            match port {
                ACCESS => line.frame(packet::udp_with(line.ipv4, INTERNET, 1, 2, 10)),
                _ => from_core(packet::udp_with(INTERNET, line.ipv4, 1, 2, 10)),
            }
        })
        .collect();
    let port = *world.context.ports.get(port).expect("a port");
    let mut buffers = vec![vec![0; BUFFER]; BURST];
    let mut ticks = Vec::new();
    for chunk in frames.chunks_exact(BURST).cycle().take(ROUNDS * 128) {
        for (buffer, frame) in buffers.iter_mut().zip(chunk) {
            buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
        }
        let start = tsc::ticks();
        let mut burst = Burst::new(&port, Way::Whole, world.now_ns);
        for (buffer, frame) in buffers.iter_mut().zip(chunk) {
            let fits = burst.push(Frame::new(buffer, HEADROOM, frame.len()), StrippedTags::None);
            debug_assert!(fits);
        }
        pipeline::run(&mut burst, &mut world.context);
        ticks.push(Ticks::of(tsc::ticks() - start));
        let all = |lane: &Lane<'_>| matches!(lane.verdict(), Some(Verdict::HandOver { .. }));
        assert!(black_box(&burst).lanes().iter().all(all));
    }
    median(ticks)
}

/// Ticks a packet, one value a burst.
#[derive(Default)]
struct Ticks {
    calls: Vec<f64>,
    looks: Vec<f64>,
}

impl Ticks {
    fn of(ticks: u64) -> f64 {
        ticks as f64 / BURST as f64
    }
}

/// The receiving lcore: writes what its driver would write, and hands everything over.
fn send(
    lcore: &Lcore,
    pool: &Mempool,
    mut there: HandoffSender,
    mut returned: HandoffReceiver,
) -> anyhow::Result<Ticks> {
    let mut ticks = Ticks::default();
    let mut under_way = 0;
    let mut burst = MbufBurst::with_limit(lcore, BURST);
    while ticks.calls.len() < BURSTS {
        if under_way < IN_FLIGHT {
            let fits = BURST <= BURST_MAX && pool.allocate(&mut burst, BURST);
            fits.then_some(()).context("no mbufs")?;
        } else {
            while burst.len() < BURST {
                returned.receive(&mut burst);
            }
            under_way -= 1;
        }
        for mbuf in burst.iter_mut() {
            let fits = mbuf.fill(&FRAME);
            debug_assert!(fits);
        }
        // Once for the stores to be done with.
        black_box(look(&mut burst));
        let start = tsc::ticks();
        black_box(look(&mut burst));
        ticks.looks.push(Ticks::of(tsc::ticks() - start));
        let start = tsc::ticks();
        let sent = there.send(&mut burst);
        ticks.calls.push(Ticks::of(tsc::ticks() - start));
        if sent < BURST {
            bail!("the ring is full");
        }
        under_way += 1;
    }
    Ok(ticks)
}

/// The owner: takes whole bursts, looks at them, and gives them back.
fn own(lcore: &Lcore, mut taken: HandoffReceiver, mut back: HandoffSender, stop: &AtomicBool) -> Ticks {
    let mut ticks = Ticks::default();
    let mut burst = MbufBurst::with_limit(lcore, BURST);
    while !stop.load(Ordering::Relaxed) {
        let start = tsc::ticks();
        let count = taken.receive(&mut burst);
        let call = tsc::ticks() - start;
        if count == 0 {
            continue;
        }
        let start = tsc::ticks();
        black_box(look(&mut burst));
        let look = tsc::ticks() - start;
        if count == BURST {
            ticks.calls.push(Ticks::of(call));
            ticks.looks.push(Ticks::of(look));
        }
        while !burst.is_empty() && !stop.load(Ordering::Relaxed) {
            back.send(&mut burst);
        }
    }
    ticks
}

/// What parsing begins with: where the frame is, how long, and its header.
fn look(burst: &mut MbufBurst) -> u64 {
    burst.iter_mut().fold(0, |sum, mbuf| {
        let frame = mbuf.frame();
        let header = frame
            .first_chunk::<8>()
            .map_or(0, |word| u64::from_ne_bytes(*word));
        sum.wrapping_add(header).wrapping_add(frame.len() as u64)
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
