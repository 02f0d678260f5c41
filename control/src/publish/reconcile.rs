//! Taking over the tables: fresh ones, those of a control that ended, or those of one that died in the middle of a sequence.
//!
//! What the store says is the truth. A session whose row is as it should be keeps row, counters and forwarding, without a moment without a
//! leaf; one whose row is not is put into a free row first, and only then is what nobody should have taken away:
//!
//! ```text
//!  grace period ─► gardens, lines ─► kept rows (policy word compared) ─► fill rows of the others ─► FIB reconciled, each leaf in one store
//!                                    ─► lines lead to the rows ─► what leads elsewhere is cleared ─► unreferenced rows wait for their grace period
//! ```
//!
//! The grace period at the start stands for all that the dead control had unlinked and not waited for.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use shm_bridge::access::AccessWriter;
use shm_bridge::epoch::{OFFLINE, Retired};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::garden::GardenWriter;
use shm_bridge::intent::Intent;
use shm_bridge::session::{Policy, RowState};
use shm_bridge::sides::Tables;
use shm_bridge::{ControlSide, Direction, SessionIndex};
use sluice_config::Config;

use super::adjacencies::AdjacencyNumbers;
use super::gardens::GardenNumbers;
use super::policers::Policers;
use super::routes::{self, Target};
use super::rows::{RowPool, RowUse};
use super::{PublishError, Publisher, lines, row_state};
use crate::engine::{PolicyImage, ReservedRow, SessionImage, TableError};
use crate::neighbour::Hop;
use crate::session::{SessionId, Totals};

/// Between looks at the lcores' epochs.
const GRACE_POLL: Duration = Duration::from_micros(50);

/// A session that workers should see, as the store has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub image: SessionImage,
    /// The row's generation and counters when the session got it.
    pub generation: u32,
    pub baseline: [Totals; 2],
}

/// The tables taken over.
#[derive(Debug)]
pub struct Attached {
    pub publisher: Publisher,
    /// Sessions that were left as they were.
    pub kept: usize,
    /// Sessions that got another row, or whose row's counters began anew.
    pub rebased: Vec<(SessionId, ReservedRow)>,
    /// Sessions that the tables cannot take.
    pub unplaced: Vec<(SessionId, TableError)>,
    /// Next hops the tables know, with their MAC address where it is resolved.
    pub neighbours: Vec<(Hop, Option<[u8; 6]>)>,
    /// What an earlier control was doing when it died.
    pub interrupted: Option<Intent>,
    /// FIB leaves that were not what they should be.
    pub leaves_changed: usize,
}

impl Publisher {
    /// Takes over the tables so that workers see exactly the sessions of `known`. Waits at most `patience` for lcores that are reading.
    pub fn attach(
        side: ControlSide,
        config: Arc<Config>,
        known: Vec<Known>,
        patience: Duration,
    ) -> Result<Attached, PublishError> {
        let interrupted = side.intent.read();
        wait_for_grace(&side, side.advance_epoch(), patience)?;

        let tables = &side.tables;
        let left = Left::of(tables);
        let mut writer = GardenWriter::attach(tables.gardens.clone());
        let gardens = GardenNumbers::publish(&mut writer, &config.gardens, &left.gardens)?;
        #[cfg(test)]
        super::tests::step(tables);
        let policers = Policers::attach(tables.policers.clone(), &left.policers);
        let adjacencies =
            AdjacencyNumbers::attach(tables.adjacencies.clone(), |address| connected(&config, address));
        let mut access = AccessWriter::attach(tables.access.clone());
        lines::configure(&mut access, &config);
        let fib = FibWriter::attach(tables.fib.clone());
        let mut rows = RowPool::new(tables.rows.capacity());
        left.rows.iter().for_each(|row| rows.set(*row, RowUse::Left));

        let mut taking = Taking {
            publisher: Publisher {
                side,
                config,
                access,
                fib,
                rows,
                policers,
                gardens,
                adjacencies,
                retired: Retired::default(),
            },
            placed: Vec::new(),
            kept: 0,
            rebased: Vec::new(),
            unplaced: Vec::new(),
        };
        let homeless = taking.keep_or_fill(known);
        let leaves_changed = taking.lead_addresses()?;
        taking.lead_lines();
        taking.sweep(&left);
        taking.place_late(homeless, patience)?;

        Ok(Attached {
            neighbours: taking.publisher.adjacencies.found().collect(),
            publisher: taking.publisher,
            kept: taking.kept,
            rebased: taking.rebased,
            unplaced: taking.unplaced,
            interrupted,
            leaves_changed,
        })
    }
}

/// What rows in use say about the other tables.
struct Left {
    rows: Vec<SessionIndex>,
    gardens: HashSet<u8>,
    policers: Vec<u16>,
}

impl Left {
    fn of(tables: &Tables) -> Left {
        let mut left = Left {
            rows: Vec::new(),
            gardens: HashSet::new(),
            policers: Vec::new(),
        };
        for index in tables.rows.indexes() {
            let Some(policy) = tables.rows.get(index).map(|row| row.policy()) else {
                continue;
            };
            if policy.state() != RowState::Free {
                left.rows.push(index);
                left.policers
                    .extend(Direction::ALL.map(|direction| policy.policer(direction)));
                if policy.garden() != 0 {
                    left.gardens.insert(policy.garden());
                }
            }
        }
        left
    }
}

/// A takeover under way.
struct Taking {
    publisher: Publisher,
    /// Sessions that have a filled row.
    placed: Vec<SessionImage>,
    kept: usize,
    rebased: Vec<(SessionId, ReservedRow)>,
    unplaced: Vec<(SessionId, TableError)>,
}

impl Taking {
    /// Finds out whose row is right, and fills free rows for the others. Returns those for whom no row is free yet.
    fn keep_or_fill(&mut self, known: Vec<Known>) -> Vec<SessionImage> {
        let (kept, others): (Vec<Known>, Vec<Known>) =
            known.into_iter().partition(|session| self.claim(session));
        // Every profile in use is counted before the first new one is asked for.
        let adopted: Vec<[bool; 2]> = kept.iter().map(|session| self.adopt(&session.image)).collect();
        for (session, adopted) in kept.into_iter().zip(adopted) {
            match self.correct(&session.image, adopted) {
                Ok(()) => {
                    self.kept += 1;
                    self.placed.push(session.image);
                }
                Err(error) => {
                    self.disown(&session.image, adopted);
                    self.unplaced.push((session.image.session, error));
                }
            }
        }
        let mut homeless = Vec::new();
        for session in others {
            if self.publisher.rows.free() == 0 {
                homeless.push(session.image);
            } else if let Err(error) = self.fill(session.image.clone()) {
                self.unplaced.push((session.image.session, error));
            }
        }
        homeless
    }

    /// Whether the session's row is its own, filled as it should be.
    fn claim(&mut self, session: &Known) -> bool {
        let publisher = &mut self.publisher;
        let image = &session.image;
        let Some(cells) = publisher.side.tables.rows.get(image.row) else {
            return false;
        };
        let found = cells.read();
        let wanted = publisher.row(image, found.policy, session.generation);
        let is_own = publisher.rows.get(image.row) == RowUse::Left && cells.is_sealed() && found == wanted;
        if is_own {
            let baseline = session.baseline;
            publisher.rows.set(
                image.row,
                RowUse::Published {
                    session: image.session,
                    baseline,
                },
            );
        }
        is_own
    }

    /// Counts the policers that the row's policy word rightly names, by direction.
    fn adopt(&mut self, image: &SessionImage) -> [bool; 2] {
        let Some(policy) = self.publisher.cells(image.row).map(|row| row.policy()) else {
            return [false; 2];
        };
        Direction::ALL.map(|direction| {
            self.publisher.policers.adopt(
                policy.policer(direction),
                bits_per_second(&image.policy, direction),
            )
        })
    }

    /// Stores the policy word if it is not what it should be.
    fn correct(&mut self, image: &SessionImage, adopted: [bool; 2]) -> Result<(), TableError> {
        let publisher = &mut self.publisher;
        let Some(found) = publisher.cells(image.row).map(|row| row.policy()) else {
            return Ok(());
        };
        let mut numbers = [0; 2];
        for (direction, adopted) in Direction::ALL.into_iter().zip(adopted) {
            numbers[direction as usize] = if adopted {
                found.policer(direction)
            } else {
                publisher
                    .policers
                    .acquire(bits_per_second(&image.policy, direction))?
            };
        }
        let garden = publisher.gardens.number(image.policy.garden.as_deref())?;
        let wanted = Policy::new(row_state(image.policy.state))
            .with_garden(garden)
            .with_policers(numbers[0], numbers[1]);
        let wanted = if image.policy.isolated {
            wanted.isolated()
        } else {
            wanted
        };
        if wanted != found
            && let Some(cells) = publisher.cells(image.row)
        {
            cells.set_policy(wanted);
            publisher.step();
        }
        Ok(())
    }

    /// The row is nobody's after all.
    fn disown(&mut self, image: &SessionImage, adopted: [bool; 2]) {
        if let Some(found) = self.publisher.cells(image.row).map(|row| row.policy()) {
            let counted = Direction::ALL
                .into_iter()
                .zip(adopted)
                .filter(|(_, adopted)| *adopted);
            let numbers: Vec<u16> = counted.map(|(direction, _)| found.policer(direction)).collect();
            self.publisher.release_policers(&numbers);
        }
        self.publisher.rows.set(image.row, RowUse::Left);
    }

    /// Fills a free row, the session's own if it is free. Nothing leads to it yet.
    fn fill(&mut self, mut image: SessionImage) -> Result<(), TableError> {
        let publisher = &mut self.publisher;
        let policy = publisher.policy(&image.policy)?;
        let row = match publisher.rows.take_this(image.row) {
            Some(row) => row,
            None => publisher.rows.take()?,
        };
        image.row = row;
        let generation = publisher
            .cells(row)
            .map_or(0, |cells| cells.generation())
            .wrapping_add(1);
        let baseline = publisher.traffic(row);
        let filled = publisher.row(&image, policy, generation);
        if let Some(cells) = publisher.cells(row) {
            cells.fill(&filled);
        }
        publisher.step();
        publisher.rows.set(
            row,
            RowUse::Published {
                session: image.session,
                baseline,
            },
        );
        self.rebased.push((
            image.session,
            ReservedRow {
                row,
                generation,
                baseline,
            },
        ));
        self.placed.push(image);
        Ok(())
    }

    /// Every address gets the leaf it should have, in one store each.
    fn lead_addresses(&mut self) -> Result<usize, PublishError> {
        let publisher = &mut self.publisher;
        let capacity = publisher.side.tables.adjacencies.capacity();
        for (prefix, target) in routes::configured(&publisher.config) {
            let leaf = match target {
                Target::Leaf(leaf) => leaf,
                Target::Via(hop) => {
                    let index = publisher.adjacencies.number(hop);
                    Leaf::Adjacency(index.ok_or(PublishError::Adjacencies(capacity))?)
                }
            };
            publisher.fib.load(prefix, leaf);
        }
        let own = routes::own_addresses(&publisher.config);
        for hop in self.resolved_hosts(&own) {
            if let Some(index) = self.publisher.adjacencies.get(hop) {
                self.publisher
                    .fib
                    .load(Prefix::host(hop.address), Leaf::Adjacency(index));
            }
        }
        for image in &self.placed {
            let before = self
                .publisher
                .fib
                .load(Prefix::host(image.ipv4), Leaf::Session(image.row));
            if let Some(Leaf::Session(other)) = before {
                tracing::error!(session = %image.session, address = %image.ipv4, row = other.get(), "two sessions have this address");
            }
        }
        let changed = self.publisher.fib.reconcile()?;
        self.publisher.step();
        Ok(changed)
    }

    /// Hosts of connected networks that had been resolved by ARP and are no next hops of routes.
    fn resolved_hosts(&self, own: &BTreeSet<Ipv4Addr>) -> Vec<Hop> {
        let configured = routes::configured_hops(&self.publisher.config);
        self.publisher
            .adjacencies
            .found()
            .filter(|(hop, mac)| mac.is_some() && !configured.contains(hop) && !own.contains(&hop.address))
            .map(|(hop, _)| hop)
            .collect()
    }

    fn lead_lines(&mut self) {
        let publisher = &mut self.publisher;
        for image in std::mem::take(&mut self.placed) {
            let key = lines::key(image.line, image.mac);
            let led = publisher.access.set(&key, image.row, &publisher.side.tables.rows);
            if let Err(error) = led {
                if publisher.fib.route(Prefix::host(image.ipv4)) == Some(Leaf::Session(image.row)) {
                    publisher.fib.remove(Prefix::host(image.ipv4));
                }
                publisher.rows.set(image.row, RowUse::Cooling);
                self.rebased.retain(|(session, _)| *session != image.session);
                self.unplaced
                    .push((image.session, TableError::Access(error.to_string())));
            }
        }
        publisher.step();
    }

    /// What nobody should have leads nowhere any more, and rests.
    fn sweep(&mut self, left: &Left) {
        let publisher = &mut self.publisher;
        let rows = &publisher.rows;
        publisher
            .access
            .sweep(|row| matches!(rows.get(row), RowUse::Published { .. }));
        publisher.step();

        let epoch = publisher.open_epoch();
        for row in publisher.side.tables.rows.indexes() {
            if matches!(publisher.rows.get(row), RowUse::Left | RowUse::Cooling) {
                publisher.retired.push(epoch, row);
            }
        }
        publisher.policers.give_back(&left.policers, epoch);
        let own = routes::own_addresses(&publisher.config);
        let mut hops: HashSet<Hop> = routes::configured_hops(&publisher.config).into_iter().collect();
        hops.extend(self.resolved_hosts(&own));
        self.publisher.adjacencies.give_back(&hops, epoch);
        self.publisher.end();
    }

    /// Places those for whom there was no free row until others were swept.
    fn place_late(&mut self, homeless: Vec<SessionImage>, patience: Duration) -> Result<(), PublishError> {
        if homeless.is_empty() {
            return Ok(());
        }
        let epoch = self.publisher.open_epoch();
        wait_for_grace(&self.publisher.side, epoch, patience)?;
        self.publisher.poll();
        for mut image in homeless {
            let session = image.session;
            let placed = self.publisher.reserve_row().and_then(|reserved| {
                image.row = reserved.row;
                self.publisher
                    .publish(&image, None)
                    .inspect_err(|_| self.publisher.release_row(reserved.row))?;
                Ok(reserved)
            });
            match placed {
                Ok(reserved) => self.rebased.push((session, reserved)),
                Err(error) => self.unplaced.push((session, error)),
            }
        }
        Ok(())
    }
}

fn bits_per_second(policy: &PolicyImage, direction: Direction) -> u64 {
    match direction {
        Direction::Upstream => policy.qos.upload_bps,
        Direction::Downstream => policy.qos.download_bps,
    }
}

/// The core port to whose network an address belongs.
fn connected(config: &Config, address: Ipv4Addr) -> Option<u16> {
    config
        .core_ports()
        .find(|(_, _, core)| core.address.contains(&address))
        .map(|(port, _, _)| port)
}

fn wait_for_grace(side: &ControlSide, epoch: u64, patience: Duration) -> Result<(), PublishError> {
    let until = Instant::now() + patience;
    while !side.epoch_reached(epoch) {
        if Instant::now() >= until {
            let slots = lagging(side).into_iter().map(|(slot, _)| slot).collect();
            return Err(PublishError::Stalled { slots });
        }
        std::thread::sleep(GRACE_POLL);
    }
    Ok(())
}

/// Lcore slots that are online and have not reached the present epoch, with the one they have.
pub(super) fn lagging(side: &ControlSide) -> Vec<(usize, u64)> {
    let epoch = side.tables.epoch().load(Ordering::Relaxed);
    let slots = side.tables.lcores.epochs().enumerate();
    slots
        .map(|(index, slot)| (index, slot.load(Ordering::Relaxed)))
        .filter(|(_, seen)| *seen != OFFLINE && *seen < epoch)
        .collect()
}
