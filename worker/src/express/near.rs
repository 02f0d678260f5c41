//! The tables that every packet asks, their places at hand: a loop keeps them in registers instead of loading them anew for each packet.

use shm_bridge::Direction;
use shm_bridge::SessionIndex;
use shm_bridge::fib::FibView;
use shm_bridge::session::{DirectionCells, RowCells, StateCells};
use shm_bridge::sides::Tables;

use crate::simd::prefetch::prefetch;

/// Packets that are looked at between asking for a line of a table and reading it: enough to cover the way to memory at the speed
/// of a burst, and few enough to leave the lines asked for in the first-level cache.
const AHEAD: usize = 8;

/// The last [`AHEAD`] passengers and what was asked for them.
pub(super) struct Ahead<T> {
    waiting: [(usize, T); AHEAD],
    count: usize,
}

impl<T: Copy> Ahead<T> {
    #[inline(always)]
    pub fn new(nothing: T) -> Ahead<T> {
        Ahead {
            waiting: [(0, nothing); AHEAD],
            count: 0,
        }
    }

    /// Appends one; the one that has waited long enough.
    #[inline(always)]
    pub fn push(&mut self, place: usize, asked: T) -> Option<(usize, T)> {
        let earlier = std::mem::replace(&mut self.waiting[self.count % AHEAD], (place, asked));
        self.count += 1;
        (self.count > AHEAD).then_some(earlier)
    }

    /// Those that still wait, in order.
    #[inline(always)]
    pub fn left(&self) -> impl Iterator<Item = (usize, T)> {
        let first = self.count.saturating_sub(AHEAD);
        (first..self.count).map(|at| self.waiting[at % AHEAD])
    }
}

/// Sessions by index, and the FIB.
#[derive(Clone, Copy)]
pub(super) struct Near<'t> {
    rows: &'t [RowCells],
    states: &'t [StateCells],
    pub fib: FibView<'t>,
}

impl<'t> Near<'t> {
    #[inline(always)]
    pub fn new(tables: &'t Tables) -> Near<'t> {
        let (rows, states) = (tables.rows.cells(), tables.states.cells());
        // As long as each other, so that one comparison serves both.
        let len = rows.len().min(states.len());
        Near {
            rows: rows.get(..len).unwrap_or_default(),
            states: states.get(..len).unwrap_or_default(),
            fib: tables.fib.view(),
        }
    }

    /// Asks for the row and state of the session that a slot names.
    #[inline(always)]
    pub fn bring(&self, slot: u32) -> Option<SessionIndex> {
        let session = SessionIndex::new(slot);
        if let Some((row, state)) = session.and_then(|session| self.lines(session)) {
            prefetch(row);
            prefetch(state);
        }
        session
    }

    /// A session's row, and what is kept of its traffic in this direction.
    #[inline(always)]
    pub fn session(
        &self,
        session: Option<SessionIndex>,
        direction: Direction,
    ) -> Option<(&'t RowCells, &'t DirectionCells)> {
        let (row, state) = self.lines(session?)?;
        Some((row, state.direction(direction)))
    }

    #[inline(always)]
    fn lines(&self, session: SessionIndex) -> Option<(&'t RowCells, &'t StateCells)> {
        let index = session.get() as usize;
        Some((self.rows.get(index)?, self.states.get(index)?))
    }
}
