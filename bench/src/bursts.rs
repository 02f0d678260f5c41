//! What a smaller burst buys and costs: ticks a packet, and latency from receive to transmit, of our worker under full load.
//!
//! Each size of burst in turn, each start a fresh process, round after round. The load is the looping file, which never runs dry: every burst
//! is full, and a packet's latency is that of its burst. What it would have waited in a NIC's queue before is not in it.

use std::fmt::Write as _;

use anyhow::Context;
use shm_bridge::Direction;

use crate::figures::Figure;
use crate::ground::Ground;
use crate::latency::Distribution;
use crate::layout::Layout;
use crate::program::{Program, short};
use crate::start::Manner;
use crate::traffic::{Spec, Traffic};

/// How it is measured.
#[derive(Clone, Debug)]
pub struct BurstPlan {
    pub bursts: Vec<u16>,
    pub sessions: u32,
    pub bytes: usize,
    pub starts: usize,
    pub manner: Manner,
}

/// A direction with one size of burst.
#[derive(Clone, Debug)]
pub struct Row {
    direction: Direction,
    burst: u16,
    /// Ticks a packet, by start.
    tsc: Vec<f64>,
    /// Of all starts.
    times: Distribution,
}

impl BurstPlan {
    /// Runs all starts.
    pub fn run(&self, tsc_mhz: f64) -> anyhow::Result<Vec<Row>> {
        let (mut ground, _filled) = Ground::new(Layout::One, self.sessions, self.sessions)?;
        let mut rows = Vec::new();
        for direction in Direction::ALL {
            let traffic = Traffic::new(Spec {
                sizes: vec![self.bytes],
                ..Spec::plain(direction, self.sessions)
            })?;
            let files = ground.files("plain", &traffic)?;
            rows.extend(
                self.bursts
                    .iter()
                    .map(|burst| (files.clone(), Row::new(direction, *burst))),
            );
        }
        for start in 0..self.starts {
            for (files, row) in &mut rows {
                ground.burst = row.burst;
                let program = Program::Ours(row.direction);
                let measured = self
                    .manner
                    .start(&ground, files, program, None)
                    .with_context(|| format!("{} bursts of {}", short(row.direction), row.burst))?;
                let tsc = tsc_mhz / measured.mpps;
                eprintln!(
                    "{} bursts of {}, start {start}: {tsc:.1} tsc",
                    short(row.direction),
                    row.burst
                );
                row.tsc.push(tsc);
                row.times.add(&measured.times);
            }
        }
        Ok(rows.into_iter().map(|(_, row)| row).collect())
    }
}

impl Row {
    fn new(direction: Direction, burst: u16) -> Row {
        Row {
            direction,
            burst,
            tsc: Vec::new(),
            times: Distribution::default(),
        }
    }
}

/// The table for RESULTS.md: ticks of the starts, latencies of all their packets.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::from(
        "| | burst | tsc a packet, median (least to most) | rx to tx p50 | p99 | p99.9 |\n|---|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let tsc = Figure::of(&row.tsc).map_or_else(
            || "-".to_owned(),
            |tsc| format!("{:.1} ({:.1} to {:.1})", tsc.median, tsc.min, tsc.max),
        );
        let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| {
            let ns = row.times.quantile(share);
            ns.map_or_else(|| "-".to_owned(), |ns| format!("{:.2} µs", ns as f64 / 1000.0))
        });
        // A String takes everything.
        let _ = writeln!(
            text,
            "| {} | {} | {tsc} | {p50} | {p99} | {p999} |",
            row.direction.label(),
            row.burst
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_the_starts_median_and_all_packets_latencies() {
        let row = Row {
            tsc: vec![90.0, 80.0, 100.0],
            times: Distribution::of(&[(20, 990), (40, 9), (60, 1)]),
            ..Row::new(Direction::Upstream, 16)
        };

        let table = markdown(&[row]);

        let line = "| upstream | 16 | 90.0 (80.0 to 100.0) | 0.02 µs | 0.02 µs | 0.04 µs |";
        assert_eq!(table.lines().last(), Some(line));
    }
}
