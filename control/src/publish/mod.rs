//! The only writer of the tables that workers read.
//!
//! Publishing a session is several stores, made safe as a sequence. Every lookup verifies its key against the row it reached, so that
//! between any two of these stores a worker finds the right subscriber or none:
//!
//! ```text
//!  intent(old, new) ─► fill new row ─► address leads to new ─► line leads to new ─► old address and line lead nowhere
//!                                                               ─► epoch opened: old row waits for its grace period ─► intent cleared
//! ```
//!
//! A row, policer profile, adjacency or FIB group that was unlinked is used again only when no worker can still be reading it
//! ([`shm_bridge::epoch`]). [`Publisher::poll`] says which rows have come that far; a row is given back once its last counters are
//! durable ([`Publisher::release_row`]).
//!
//! `attach` takes over what an earlier control left: sessions that are as they should be are not touched.

mod adjacencies;
mod gardens;
mod lines;
mod policers;
mod reconcile;
mod routes;
mod rows;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::sync::Arc;

use shm_bridge::access::AccessWriter;
use shm_bridge::adjacency::AdjacencyIndex;
use shm_bridge::epoch::Retired;
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::intent::{Intent, Stage};
use shm_bridge::session::{Policy, Row, RowCells, RowState};
use shm_bridge::sides::Tables;
use shm_bridge::{ControlSide, Direction, SessionIndex};
use sluice_config::Config;

use crate::engine::{PolicyImage, ReservedRow, SessionImage, TableError};
pub use crate::neighbour::Hop;
use crate::session::{SessionId, State, Totals};

use adjacencies::AdjacencyNumbers;
use gardens::GardenNumbers;
use policers::Policers;
pub use reconcile::{Attached, Known};
pub use routes::{configured_hops, own_addresses};
use rows::{RowPool, RowUse};

/// The policy word of a row that nobody has.
const FREE: Policy = Policy::new(RowState::Free);

/// Why tables could not be taken over at start.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    #[error("garden {garden}: {what}")]
    Gardens { garden: String, what: String },
    #[error("gardens: {0}")]
    GardenRules(#[from] shm_bridge::garden::GardenError),
    #[error("all {0} adjacencies are in use by configured next hops: raise limits.adjacencies")]
    Adjacencies(usize),
    #[error(transparent)]
    Fib(#[from] shm_bridge::fib::FibError),
    #[error(
        "lcore slots {slots:?} of the worker stand still: nothing can be reused while they may be reading it"
    )]
    Stalled { slots: Vec<usize> },
}

/// A row that no worker reads any more, with what it counted for its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetiredRow {
    pub session: SessionId,
    pub row: SessionIndex,
    pub traffic: [Totals; 2],
}

/// How the tables are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub rows: usize,
    pub rows_published: usize,
    pub rows_free: usize,
    /// Unlinked rows whose grace period runs.
    pub rows_waiting: usize,
    pub policers: usize,
    pub adjacencies: usize,
    pub routes: usize,
}

/// The tables, held by their only writer.
#[derive(Debug)]
pub struct Publisher {
    side: ControlSide,
    config: Arc<Config>,
    access: AccessWriter,
    fib: FibWriter,
    rows: RowPool,
    policers: Policers,
    gardens: GardenNumbers,
    adjacencies: AdjacencyNumbers,
    retired: Retired<SessionIndex>,
}

impl Publisher {
    pub fn tables(&self) -> &Tables {
        &self.side.tables
    }

    pub fn side(&self) -> &ControlSide {
        &self.side
    }

    /// Sets a free row aside.
    pub fn reserve_row(&mut self) -> Result<ReservedRow, TableError> {
        let row = self.rows.take()?;
        let generation = self.cells(row).map_or(0, RowCells::generation).wrapping_add(1);
        let baseline = self.traffic(row);
        self.rows.set(
            row,
            RowUse::Reserved {
                generation,
                baseline,
                exposed: false,
            },
        );
        Ok(ReservedRow {
            row,
            generation,
            baseline,
        })
    }

    /// Makes workers see a session in its reserved row, and unlinks the row it had before.
    pub fn publish(
        &mut self,
        image: &SessionImage,
        previous: Option<&SessionImage>,
    ) -> Result<(), TableError> {
        let RowUse::Reserved {
            generation,
            baseline,
            exposed,
        } = self.rows.get(image.row)
        else {
            return Err(TableError::NotReserved(image.row.get()));
        };
        let old = previous.filter(|previous| {
            matches!(self.rows.get(previous.row), RowUse::Published { session, .. } if session == previous.session)
        });
        let policy = self.policy(&image.policy)?;
        let begun = |stage| Intent {
            stage,
            old: old.map(|old| old.row),
            new: Some(image.row),
        };

        self.begin(begun(Stage::Fill));
        let row = self.row(image, policy, generation);
        if let Some(cells) = self.cells(image.row) {
            cells.fill(&row);
        }
        self.step();
        if let Err(error) = self.link(image, &begun) {
            // A worker may have met the row between the two links: it rests before it is used again.
            let exposed = exposed || !matches!(error, TableError::Fib(_));
            if let Some(cells) = self.cells(image.row) {
                cells.set_policy(FREE);
            }
            self.rows.set(
                image.row,
                RowUse::Reserved {
                    generation,
                    baseline,
                    exposed,
                },
            );
            self.drop_policy(policy);
            self.end();
            return Err(error);
        }
        self.rows.set(
            image.row,
            RowUse::Published {
                session: image.session,
                baseline,
            },
        );
        if let Some(old) = old {
            self.begin(begun(Stage::Unlink));
            self.unlink(old);
            self.begin(begun(Stage::Retire));
            self.retire(old.row);
        }
        self.end();
        Ok(())
    }

    /// Address and line lead to the image's row.
    fn link(&mut self, image: &SessionImage, begun: &impl Fn(Stage) -> Intent) -> Result<(), TableError> {
        let host = Prefix::host(image.ipv4);
        let before = self.fib.route(host);
        self.begin(begun(Stage::Leaf));
        self.fib
            .set(host, Leaf::Session(image.row))
            .map_err(|e| TableError::Fib(e.to_string()))?;
        self.step();

        self.begin(begun(Stage::Access));
        let key = lines::key(image.line, image.mac);
        let linked = self.access.set(&key, image.row, &self.side.tables.rows);
        self.step();
        linked.map_err(|error| {
            match before {
                // It was there a moment ago, so its group is.
                Some(leaf) => {
                    if let Err(error) = self.fib.set(host, leaf) {
                        tracing::error!(%error, "a leaf could not be put back");
                    }
                }
                None => self.fib.remove(host),
            }
            TableError::Access(error.to_string())
        })
    }

    /// Changes what workers do with a published session: one store.
    pub fn set_policy(&mut self, row: SessionIndex, image: &PolicyImage) -> Result<(), TableError> {
        if !matches!(self.rows.get(row), RowUse::Published { .. }) {
            return Err(TableError::NotPublished(row.get()));
        }
        let policy = self.policy(image)?;
        if let Some(cells) = self.cells(row) {
            let before = cells.policy();
            cells.set_policy(policy);
            self.drop_policy(before);
        }
        Ok(())
    }

    /// Takes a session from the workers' sight.
    pub fn withdraw(&mut self, image: &SessionImage) {
        match self.rows.get(image.row) {
            RowUse::Published { session, .. } if session == image.session => {}
            other => {
                tracing::error!(session = %image.session, row = image.row.get(), ?other, "withdrawn, but not published");
                return;
            }
        }
        let begun = |stage| Intent {
            stage,
            old: Some(image.row),
            new: None,
        };
        self.begin(begun(Stage::Unlink));
        self.unlink(image);
        self.begin(begun(Stage::Retire));
        self.retire(image.row);
        self.end();
    }

    /// Address and line lead to the image's row no more, unless they lead elsewhere already.
    fn unlink(&mut self, image: &SessionImage) {
        let host = Prefix::host(image.ipv4);
        if self.fib.route(host) == Some(Leaf::Session(image.row)) {
            self.fib.remove(host);
            self.step();
        }
        self.access.clear(&lines::key(image.line, image.mac), image.row);
        self.step();
    }

    /// The row waits until no worker reads it.
    fn retire(&mut self, row: SessionIndex) {
        let to = match self.rows.get(row) {
            RowUse::Published { session, baseline } => RowUse::Retiring { session, baseline },
            _ => RowUse::Cooling,
        };
        self.rows.set(row, to);
        let epoch = self.open_epoch();
        self.step();
        self.retired.push(epoch, row);
    }

    /// The row may be used again: it was never published, or its last counters are durable.
    pub fn release_row(&mut self, row: SessionIndex) {
        match self.rows.get(row) {
            RowUse::Reserved { exposed: false, .. } | RowUse::Retired => self.rows.give_back(row),
            RowUse::Reserved { exposed: true, .. } => {
                let epoch = self.open_epoch();
                self.rows.set(row, RowUse::Cooling);
                self.retired.push(epoch, row);
            }
            RowUse::Retiring { .. } => self.rows.set(row, RowUse::Cooling),
            other => tracing::error!(row = row.get(), ?other, "given back, but not taken"),
        }
    }

    /// What a row has counted, in its life.
    pub fn traffic(&self, row: SessionIndex) -> [Totals; 2] {
        let Some(state) = self.side.tables.states.get(row) else {
            return Default::default();
        };
        Direction::ALL.map(|direction| state.direction(direction).traffic().into())
    }

    /// Whether something waits for a grace period, so that [`Publisher::poll`] is worth calling soon.
    pub fn is_waiting(&self) -> bool {
        !self.retired.is_empty()
            || self.policers.is_waiting()
            || self.adjacencies.is_waiting()
            || self.fib.is_waiting()
    }

    /// Takes back what no worker reads any more; gives the rows among it that sessions had.
    pub fn poll(&mut self) -> Vec<RetiredRow> {
        if !self.is_waiting() {
            return Vec::new();
        }
        // Asking costs a system call while a worker lags, so an epoch that was not reached is not asked about again.
        let (side, lagging) = (&self.side, Cell::new(u64::MAX));
        let reached = |epoch: u64| {
            if epoch >= lagging.get() {
                return false;
            }
            let is = side.epoch_reached(epoch);
            if !is {
                lagging.set(epoch);
            }
            is
        };
        let mut done = Vec::new();
        while let Some(row) = self.retired.pop(reached) {
            done.push(row);
        }
        self.policers.reclaim(reached);
        self.adjacencies.reclaim(reached);
        self.fib.reclaim(reached);
        done.into_iter().filter_map(|row| self.finish(row)).collect()
    }

    /// The row's grace period is over.
    fn finish(&mut self, row: SessionIndex) -> Option<RetiredRow> {
        let use_of = self.rows.get(row);
        if let Some(cells) = self.cells(row) {
            let policy = cells.policy();
            cells.set_policy(FREE);
            if use_of != RowUse::Left {
                self.drop_policy(policy);
            }
        }
        match use_of {
            RowUse::Retiring { session, baseline } => {
                self.rows.set(row, RowUse::Retired);
                let now = self.traffic(row);
                Some(RetiredRow {
                    session,
                    row,
                    traffic: [now[0].since(baseline[0]), now[1].since(baseline[1])],
                })
            }
            _ => {
                self.rows.give_back(row);
                None
            }
        }
    }

    /// A next hop gets a number, unresolved at first; `None` when the table is full.
    pub fn add_next_hop(&mut self, hop: Hop) -> Option<AdjacencyIndex> {
        self.adjacencies.number(hop)
    }

    /// What is known of a next hop: one store.
    pub fn resolve(&mut self, hop: Hop, mac: Option<[u8; 6]>) {
        self.adjacencies.resolve(hop, mac);
    }

    /// A host of a connected network is led to directly from now on.
    pub fn add_neighbour(&mut self, hop: Hop, mac: [u8; 6]) -> Result<(), TableError> {
        let full = || TableError::Fib(format!("no adjacency is left for {}", hop.address));
        let index = self.adjacencies.number(hop).ok_or_else(full)?;
        self.adjacencies.resolve(hop, Some(mac));
        let led = self.fib.set(Prefix::host(hop.address), Leaf::Adjacency(index));
        led.map_err(|error| {
            let epoch = self.open_epoch();
            self.adjacencies.retire(hop, epoch);
            TableError::Fib(error.to_string())
        })
    }

    /// A host of a connected network is gone: packets to it are gleaned again.
    pub fn remove_neighbour(&mut self, hop: Hop) {
        let host = Prefix::host(hop.address);
        let Some(index) = self.adjacencies.get(hop) else {
            return;
        };
        if self.fib.route(host) == Some(Leaf::Adjacency(index)) {
            self.fib.remove(host);
        }
        let epoch = self.open_epoch();
        self.adjacencies.retire(hop, epoch);
    }

    pub fn usage(&self) -> Usage {
        Usage {
            rows: self.rows.capacity(),
            rows_published: self.rows.count(|row| matches!(row, RowUse::Published { .. })),
            rows_free: self.rows.free(),
            rows_waiting: self.retired.len(),
            policers: self.policers.in_use(),
            adjacencies: self.adjacencies.in_use(),
            routes: self.fib.len(),
        }
    }

    /// Lcore slots that have not reached the present epoch, with the one they have: what blocks reuse when it lasts.
    pub fn lagging(&self) -> Vec<(usize, u64)> {
        reconcile::lagging(&self.side)
    }

    /// The policy word of an image; its policers are counted as used.
    fn policy(&mut self, image: &PolicyImage) -> Result<Policy, TableError> {
        let garden = self.gardens.number(image.garden.as_deref())?;
        let upstream = self.policers.acquire(image.qos.upload_bps)?;
        let downstream = match self.policers.acquire(image.qos.download_bps) {
            Ok(number) => number,
            Err(error) => {
                self.release_policers(&[upstream]);
                return Err(error);
            }
        };
        let policy = Policy::new(row_state(image.state))
            .with_garden(garden)
            .with_policers(upstream, downstream);
        Ok(if image.isolated { policy.isolated() } else { policy })
    }

    /// A policy word is no longer in any row that is reachable.
    fn drop_policy(&mut self, policy: Policy) {
        self.release_policers(&Direction::ALL.map(|direction| policy.policer(direction)));
    }

    fn release_policers(&mut self, numbers: &[u16]) {
        for number in numbers {
            if self.policers.release(*number) {
                let epoch = self.open_epoch();
                self.policers.retire(*number, epoch);
            }
        }
    }

    fn row(&self, image: &SessionImage, policy: Policy, generation: u32) -> Row {
        let line = image.line;
        let port = self.config.ports.get(usize::from(line.port));
        Row {
            policy,
            mtu: port.map_or(sluice_config::Port::MTU_DEFAULT, |port| port.mtu),
            generation,
            ..Row::ipv4(
                image.ipv4,
                image.prefix_len,
                line.port,
                line.s_vlan,
                line.c_vlan,
                image.mac.0,
            )
        }
    }

    fn cells(&self, row: SessionIndex) -> Option<&RowCells> {
        self.side.tables.rows.get(row)
    }

    /// What was unlinked until now may be reused when this epoch is reached.
    fn open_epoch(&mut self) -> u64 {
        let epoch = self.side.advance_epoch();
        self.fib.retire(epoch);
        epoch
    }

    fn begin(&mut self, intent: Intent) {
        self.side.intent.begin(intent);
        self.step();
    }

    fn end(&mut self) {
        self.side.intent.clear();
        if self.fib.wants_epoch() {
            self.open_epoch();
        }
        self.step();
    }

    /// Where a test may look at the tables, or stop.
    #[inline(always)]
    fn step(&self) {
        #[cfg(test)]
        tests::step(&self.side.tables);
    }
}

fn row_state(state: State) -> RowState {
    match state {
        State::Discovered => RowState::Discovered,
        State::Wgar => RowState::Wgar,
        State::Activating => RowState::Activating,
        State::Active => RowState::Active,
        State::Suspended => RowState::Suspended,
        State::Terminated => RowState::Terminated,
    }
}
