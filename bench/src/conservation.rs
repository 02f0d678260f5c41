//! Where every packet went: the sum of law 2, `rx + injected + originated = tx + drops + punts`, and each end with the very count that
//! the files give it.

use std::collections::BTreeMap;

use anyhow::ensure;
use shm_bridge::{ControlSide, DropReason};

use crate::ground::{Files, Ground};
use crate::layout::Layout;
use crate::traffic::Expected;
use crate::traffic::network::HARNESS;

/// Drops of what is meant for control.
const PUNT_REFUSED: [DropReason; 3] = [
    DropReason::PuntLinePoliced,
    DropReason::PuntPoliced,
    DropReason::PuntRingFull,
];

/// What the rings between two lcores hold, both ways and both ports: so much may be in them when the worker is told to stop. The next
/// worker counts it as lost in flight.
const IN_RINGS_MAX: i64 = 8 * 1024;

/// All lcores' counters at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    rx: u64,
    tx: u64,
    punts: u64,
    drops: BTreeMap<DropReason, u64>,
    /// Packets received, by port.
    ports: Vec<u64>,
    in_hand: i64,
}

impl Counts {
    pub fn read(control: &ControlSide) -> Counts {
        let lcores = &control.tables.lcores;
        let port = |port| {
            let of = |lcore: &shm_bridge::counters::LcoreCells| lcore.port(port).map(|p| p.rx_packets.get());
            lcores.used().filter_map(|(_, lcore)| of(lcore)).sum()
        };
        Counts {
            rx: lcores.sum(|lcore| &lcore.rx),
            tx: lcores.sum(|lcore| &lcore.tx),
            punts: lcores.punts().map(|(_, count)| count).sum(),
            drops: lcores.drops().collect(),
            ports: (0..4).map(port).collect(),
            in_hand: lcores
                .used()
                .fold(0, |sum: u64, (_, lcore)| sum.wrapping_add(lcore.in_hand()))
                as i64,
        }
    }

    /// What was added since `before`; reasons without a count are left out.
    pub fn since(mut self, before: &Counts) -> Counts {
        self.rx -= before.rx;
        self.tx -= before.tx;
        self.punts -= before.punts;
        for (reason, count) in &mut self.drops {
            *count -= before.drops.get(reason).copied().unwrap_or(0);
        }
        self.drops.retain(|_, count| *count > 0);
        for (port, before) in self.ports.iter_mut().zip(&before.ports) {
            *port -= before;
        }
        self
    }

    pub fn received(&self) -> u64 {
        self.rx
    }

    /// Lost between lcores.
    pub fn spread_full(&self) -> u64 {
        self.drops.get(&DropReason::SpreadFull).copied().unwrap_or(0)
    }

    /// Checks a run that has come to rest against its files, whose frames each port received from the first on, in a loop.
    pub fn check(mut self, ground: &Ground, files: &Files) -> anyhow::Result<()> {
        let handed_over = ground.layout == Layout::HandedOver;
        ensure!(
            self.in_hand == 0 || (handed_over && (0..IN_RINGS_MAX).contains(&self.in_hand)),
            "{} packets are neither sent, dropped nor punted",
            self.in_hand
        );
        let mut expected = Expected::default();
        for (at, part) in files.parts.iter().enumerate() {
            let port = ground.layout.receiving(files.direction, at);
            let received = self.ports.get(port).copied().unwrap_or(0);
            ensure!(received > 0, "port {port} received nothing");
            let of = part.traffic.expected(&HARNESS, received);
            expected.forwarded += of.forwarded;
            expected.punted += of.punted;
            for (reason, count) in of.dropped {
                *expected.dropped.entry(reason).or_default() += count;
            }
        }
        let refused: u64 = PUNT_REFUSED
            .iter()
            .filter_map(|reason| self.drops.remove(reason))
            .sum();
        let mut forwarded = self.tx;
        if handed_over {
            // The receiver drops what a busy owner has no room for, and says so.
            forwarded += self.drops.remove(&DropReason::SpreadFull).unwrap_or(0);
            forwarded += self.in_hand as u64;
        }
        let came = Expected {
            forwarded,
            punted: self.punts + refused,
            dropped: self.drops,
        };
        ensure!(
            came == expected,
            "of {} packets this became: {came:?}; the files say {expected:?}",
            self.rx
        );
        Ok(())
    }
}
