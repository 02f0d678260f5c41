//! How busy the lcores have been of late: their counters of the last seconds, for what is read now to be compared with.
//!
//! Counters alone tell what was since the segment was made, which may be months; what an operator asks is what there is room for at the
//! present traffic.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shm_bridge::cost::Cost;
use shm_bridge::counters::LcoreCells;
use shm_bridge::sides::Tables;

use super::monotonic_ns;

/// How often counters are noted.
const EVERY: Duration = Duration::from_secs(1);
/// Notes kept: ten seconds of them.
const NOTES: usize = 10;

/// What one lcore had counted at a time.
#[derive(Clone, Debug)]
pub struct Note {
    /// CLOCK_MONOTONIC.
    pub at_ns: u64,
    /// The worker generation that ran it.
    pub generation: u64,
    /// Packets of bursts: received, and handed over by other lcores.
    pub of_bursts: u64,
    /// These and the injected ones.
    pub taken_in: u64,
    pub bursts: u64,
    pub busy_tsc: u64,
    pub cost: Cost,
}

impl Note {
    /// Of the lcore in this slot.
    pub fn of(tables: &Tables, slot: usize, cells: &LcoreCells, at_ns: u64) -> Note {
        let of_bursts = cells.rx.get().wrapping_add(cells.handed_in.get());
        Note {
            at_ns,
            generation: cells.generation.get(),
            of_bursts,
            taken_in: of_bursts.wrapping_add(cells.injected.get()),
            bursts: cells.bursts.get(),
            busy_tsc: cells.busy_tsc.get(),
            cost: tables
                .costs
                .get(slot)
                .map_or_else(Cost::default, |cells| cells.read()),
        }
    }
}

/// The last notes of all lcores, oldest first. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Round>>>);

/// What all lcores had counted at a time, by slot.
type Round = Vec<(usize, Note)>;

impl Recent {
    /// Notes every second until the runtime ends.
    pub async fn keep(self, tables: Tables) {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.note(&tables, monotonic_ns());
        }
    }

    /// Notes what all lcores have counted.
    pub fn note(&self, tables: &Tables, now_ns: u64) {
        let used = tables.lcores.used();
        let notes = used
            .map(|(slot, cells)| (slot, Note::of(tables, slot, cells, now_ns)))
            .collect();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() == NOTES {
            kept.pop_front();
        }
        kept.push_back(notes);
    }

    /// The oldest note of this slot that is of the same worker and before `now`.
    pub fn before(&self, slot: usize, now: &Note) -> Option<Note> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter()
            .flatten()
            .find(|(of, note)| *of == slot && note.generation == now.generation && note.at_ns < now.at_ns)
            .map(|(_, note)| note.clone())
    }
}
