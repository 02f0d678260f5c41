//! What measuring costs a packet: the clock's readings, the latency histogram, and the stages' laps of one burst in 1024.
//!
//! ```text
//! cargo run --release -p sluice-worker --features dpdk --example latency_cost
//! ```
//!
//! Each loop does what an lcore does once a burst, many million times; a figure is the median of rounds, in ticks a burst and a packet of
//! a burst of 32. EAL is not started.

use std::hint::black_box;

use shm_bridge::Direction;
use shm_bridge::cost::Stage;
use shm_bridge::latency::HistogramCells;
use shm_bridge::layout::Geometry;
use shm_bridge::sides::in_memory;
use sluice_worker::dpdk::{Clock, Timebase};
use sluice_worker::laps::{self, Clocked, Laps, Sampler};

const ROUNDS: usize = 21;
const BURSTS: u64 = 1 << 20;
const PACKETS: u64 = 32;

fn main() {
    let (_control, worker) = in_memory(&Geometry::default()).expect("memory for the segment");
    let histogram = worker
        .tables
        .latencies
        .get(0, Direction::Upstream)
        .expect("lcore 0");
    let costs = worker.tables.costs.get(0).expect("lcore 0");
    let mut clock = Timebase::calibrate().clock();

    report("the loop alone", || each(|_| {}));
    report("one reading of the clock, as nanoseconds", || {
        let mut clock = clock.clone();
        each(|_| {
            black_box(stamp(&mut clock));
        })
    });
    report("two readings", || {
        let mut clock = clock.clone();
        each(|_| {
            black_box(stamp(&mut clock));
            black_box(stamp(&mut clock));
        })
    });
    report("the histogram alone, latencies of 1 to 9 µs", || {
        each(|burst| record(histogram, latency(burst)))
    });
    report("as the loop does it: one reading, the histogram", || {
        let mut clock = clock.clone();
        let mut last = stamp(&mut clock);
        each(|burst| {
            let now = stamp(&mut clock);
            record(histogram, now - last + latency(burst));
            last = now;
        })
    });
    report("two readings, the histogram", || {
        let mut clock = clock.clone();
        each(|burst| {
            let (first, last) = (stamp(&mut clock), stamp(&mut clock));
            record(histogram, last - first + latency(burst));
        })
    });
    for one_in in [0, 1024, 1] {
        let reading = laps::calibrate();
        report(&format!("laps of the express way, one burst in {one_in}"), || {
            let mut sampler = Sampler::new(one_in);
            each(|_| {
                if sampler.is_due() {
                    let mut laps = Clocked::new(clock.tsc(), PACKETS as usize, reading);
                    for stage in [
                        Stage::Receive,
                        Stage::ExpressLook,
                        Stage::ExpressGarden,
                        Stage::ExpressGo,
                        Stage::Count,
                        Stage::Transmit,
                        Stage::Count,
                    ] {
                        laps.lap(stage, || PACKETS as usize);
                    }
                    laps.write_down(PACKETS as usize, costs);
                    sampler.again();
                }
                black_box(&mut sampler);
            })
        });
    }
    black_box(stamp(&mut clock));
}

fn stamp(clock: &mut Clock) -> u64 {
    let tsc = clock.tsc();
    clock.ns_at(tsc)
}

#[inline(always)]
fn record(histogram: &HistogramCells, ns: u64) {
    histogram.record(ns, PACKETS);
}

/// Different ones, so that the buckets are not always the same.
#[inline(always)]
fn latency(burst: u64) -> u64 {
    1000 + (burst.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 51)
}

/// Ticks that so many bursts took.
fn each(mut burst: impl FnMut(u64)) -> u64 {
    let start = sluice_worker::simd::tsc::ticks();
    for number in 0..BURSTS {
        burst(black_box(number));
    }
    sluice_worker::simd::tsc::ticks() - start
}

fn report(name: &str, round: impl FnMut() -> u64) {
    let mut rounds: Vec<u64> = std::iter::repeat_with(round).take(ROUNDS).collect();
    rounds.sort_unstable();
    let a_burst = |ticks: u64| ticks as f64 / BURSTS as f64;
    let median = a_burst(rounds[ROUNDS / 2]);
    println!(
        "{name:50} {median:7.1} a burst  {:6.2} a packet  (least {:.1} a burst)",
        median / PACKETS as f64,
        a_burst(rounds[0]),
    );
}
