//! What the driver could not do, by reason. Nothing is dropped in silence.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::frames::Malformed;

/// Why something was lost between the engine and the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Lost {
    /// A punt ring's head was impossible; its frames were skipped.
    CorruptRing,
    /// No worker runs that could send the frame.
    NoWorker,
    /// The inject ring and the queue before it are full.
    InjectFull,
    /// The message fits no frame, or its port does not fit it.
    Unsendable,
    /// The relay's next hop is not known yet.
    NoNextHop,
    /// The tables have no room for a neighbour.
    NeighbourTable,
}

impl Lost {
    pub const ALL: [Lost; 6] = [
        Lost::CorruptRing,
        Lost::NoWorker,
        Lost::InjectFull,
        Lost::Unsendable,
        Lost::NoNextHop,
        Lost::NeighbourTable,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Lost::CorruptRing => "corrupt_ring",
            Lost::NoWorker => "no_worker",
            Lost::InjectFull => "inject_full",
            Lost::Unsendable => "unsendable",
            Lost::NoNextHop => "no_next_hop",
            Lost::NeighbourTable => "neighbour_table",
        }
    }
}

/// Counters, shared with the metrics.
#[derive(Debug, Default)]
pub struct DriverCounts {
    lost: [AtomicU64; Lost::ALL.len()],
    /// By name; at most as many as there are kinds of [`Malformed`].
    malformed: Mutex<BTreeMap<String, u64>>,
}

impl DriverCounts {
    pub fn add(&self, reason: Lost, count: u64) {
        self.lost[reason as usize].fetch_add(count, Ordering::Relaxed);
    }

    pub fn lost(&self, reason: Lost) -> u64 {
        self.lost[reason as usize].load(Ordering::Relaxed)
    }

    pub fn malformed(&self, what: Malformed) {
        let mut counts = self.malformed.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what.to_string()).or_default() += 1;
    }

    /// Everything, by label.
    pub fn read(&self) -> Vec<(String, u64)> {
        let malformed = self.malformed.lock().unwrap_or_else(PoisonError::into_inner);
        let lost = Lost::ALL
            .iter()
            .map(|reason| (reason.label().to_owned(), self.lost(*reason)));
        lost.chain(
            malformed
                .iter()
                .map(|(what, count)| (format!("malformed_{what}"), *count)),
        )
        .collect()
    }
}
