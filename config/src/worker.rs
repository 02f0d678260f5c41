//! `[worker]`: how the packet-processing lcores behave.

use crate::reader::Section;
use crate::value::Choice;
use std::ops::RangeInclusive;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerConfig {
    pub idle: Idle,
    /// Most packets taken from a queue in one round.
    pub burst: u16,
    /// Packet buffers for each port.
    pub mbufs: u32,
    pub spread: Spread,
    /// One burst in so many is measured, stage by stage; 0 = none.
    pub measure_one_in: u32,
}

/// What an lcore does when its queues are empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Yields, then sleeps in short steps: for tests, demos and shared cores.
    Adaptive,
    /// Never stops polling: lowest latency, one core always busy.
    Poll,
}

/// How subscribers are divided among several lcores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    /// By the NIC where it can hash the subscriber's address, else in software.
    Auto,
    /// By the NIC; a port that cannot is an error at start.
    Nic,
    /// Whichever lcore receives a packet hands it to its owner over a ring.
    Software,
}

impl WorkerConfig {
    pub const BURST: RangeInclusive<u16> = 4..=256;
    pub const MBUFS: RangeInclusive<u32> = 512..=4_194_304;
    pub const MEASURE_ONE_IN: RangeInclusive<u32> = 0..=1_000_000;

    pub(crate) fn read(section: &Section<'_>) -> WorkerConfig {
        let default = WorkerConfig::default();
        let worker = WorkerConfig {
            idle: section.choice("idle").unwrap_or(default.idle),
            burst: section
                .number("burst", WorkerConfig::BURST, "packets")
                .unwrap_or(default.burst),
            mbufs: section
                .number("mbufs", WorkerConfig::MBUFS, "buffers")
                .unwrap_or(default.mbufs),
            spread: section.choice("spread").unwrap_or(default.spread),
            measure_one_in: section
                .number("measure_one_in", WorkerConfig::MEASURE_ONE_IN, "bursts")
                .unwrap_or(default.measure_one_in),
        };
        section.finish();
        worker
    }
}

impl Default for WorkerConfig {
    fn default() -> WorkerConfig {
        WorkerConfig {
            idle: Idle::Adaptive,
            burst: 32,
            mbufs: 16_384,
            spread: Spread::Auto,
            // At full load 600 bursts a second, for 0.02 ticks a packet.
            measure_one_in: 1024,
        }
    }
}

impl Choice for Idle {
    const WORDS: &'static [(&'static str, Idle)] = &[("adaptive", Idle::Adaptive), ("poll", Idle::Poll)];
}

impl Choice for Spread {
    const WORDS: &'static [(&'static str, Spread)] = &[
        ("auto", Spread::Auto),
        ("nic", Spread::Nic),
        ("software", Spread::Software),
    ];
}
