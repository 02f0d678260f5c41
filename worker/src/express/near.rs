//! The tables that every packet asks, their places at hand: a loop keeps them in registers instead of loading them anew for each packet.

use shm_bridge::Direction;
use shm_bridge::SessionIndex;
use shm_bridge::fib::FibView;
use shm_bridge::session::{DirectionCells, RowCells, StateCells};
use shm_bridge::sides::Tables;

use crate::simd::prefetch::prefetch;

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

    /// Asks for the row and state of the session that a slot names, if the tables have it.
    #[inline(always)]
    pub fn bring(&self, slot: u32) -> Option<SessionIndex> {
        let session = SessionIndex::new(slot)?;
        let (row, state) = self.lines(session)?;
        prefetch(row);
        prefetch(state);
        Some(session)
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
