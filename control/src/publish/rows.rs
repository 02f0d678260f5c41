//! The session rows and who has them: which are free, set aside, published, or waiting until no worker reads them.

use std::collections::VecDeque;

use shm_bridge::SessionIndex;

use crate::engine::TableError;
use crate::session::{SessionId, Totals};

/// What a row is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowUse {
    Free,
    /// Set aside for a session that is not published yet.
    Reserved {
        generation: u32,
        baseline: [Totals; 2],
        /// Whether a worker may have seen it: a publication that failed half way.
        exposed: bool,
    },
    Published {
        session: SessionId,
        baseline: [Totals; 2],
    },
    /// Unlinked; its grace period runs. Given back early, it becomes free without a word.
    Retiring {
        session: SessionId,
        baseline: [Totals; 2],
    },
    /// Its grace period is over and its last counters are told: it waits to be given back.
    Retired,
    /// Nobody's, but a worker may still read it.
    Cooling,
    /// As `Cooling`, left by an earlier control: the policers it names were not counted.
    Left,
}

#[derive(Debug)]
pub(super) struct RowPool {
    /// By index; row 0 is never used.
    uses: Vec<RowUse>,
    /// Oldest first, so that a row rests as long as it can. One that was taken by number is still in it.
    free: VecDeque<SessionIndex>,
    free_count: usize,
}

impl RowPool {
    /// All rows free.
    pub fn new(capacity: usize) -> RowPool {
        RowPool {
            uses: vec![RowUse::Free; capacity],
            free: (1..capacity as u32).filter_map(SessionIndex::new).collect(),
            free_count: capacity.saturating_sub(1),
        }
    }

    /// How many rows can be used.
    pub fn capacity(&self) -> usize {
        self.uses.len().saturating_sub(1)
    }

    pub fn free(&self) -> usize {
        self.free_count
    }

    pub fn count(&self, is: impl Fn(&RowUse) -> bool) -> usize {
        self.uses.iter().skip(1).filter(|row| is(row)).count()
    }

    /// What a row is used for; a row outside the table is nobody's.
    pub fn get(&self, row: SessionIndex) -> RowUse {
        self.uses
            .get(row.get() as usize)
            .copied()
            .unwrap_or(RowUse::Cooling)
    }

    pub fn set(&mut self, row: SessionIndex, to: RowUse) {
        if let Some(slot) = self.uses.get_mut(row.get() as usize) {
            self.free_count -= usize::from(*slot == RowUse::Free);
            self.free_count += usize::from(to == RowUse::Free);
            *slot = to;
        }
    }

    /// Takes the row that was free longest.
    pub fn take(&mut self) -> Result<SessionIndex, TableError> {
        while let Some(row) = self.free.pop_front() {
            if self.get(row) == RowUse::Free {
                self.set(row, RowUse::Cooling);
                return Ok(row);
            }
        }
        Err(TableError::NoRow(self.capacity()))
    }

    /// Takes this row if it is free.
    pub fn take_this(&mut self, row: SessionIndex) -> Option<SessionIndex> {
        if self.get(row) != RowUse::Free {
            return None;
        }
        self.set(row, RowUse::Cooling);
        Some(row)
    }

    /// The row may be taken again.
    pub fn give_back(&mut self, row: SessionIndex) {
        self.set(row, RowUse::Free);
        self.free.push_back(row);
    }
}
