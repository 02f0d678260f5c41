//! A segment filled for a measurement: N active sessions with policers, one next hop.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use anyhow::Context;
use shm_bridge::access::{AccessKey, AccessWriter, LineModel};
use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::garden::{GardenWriter, Rule};
use shm_bridge::policer::{Profile, Rate};
use shm_bridge::session::{Policy, Row, RowState, mac_bits};
use shm_bridge::{ControlSide, SessionIndex};

use crate::traffic::{self, NEXT_HOP_MAC, Subscriber};

/// Indexes of the ports in the configuration that [`crate::peers`] writes.
pub const ACCESS_PORT: u16 = 0;
pub const CORE_PORT: u8 = 1;

/// Enters `sessions` active sessions, each policed to 10 Gbit/s both ways, and a resolved default route.
pub fn fill(control: &ControlSide, sessions: u32) -> anyhow::Result<Filled> {
    let tables = &control.tables;
    let mut access = AccessWriter::attach(tables.access.clone());
    let mut fib = FibWriter::attach(tables.fib.clone());
    tables
        .policers
        .fill(1, Profile::new(Rate::with_default_burst(10_000_000_000)));
    tables.adjacencies.set(
        AdjacencyIndex(0),
        Ipv4Addr::new(192, 0, 2, 1),
        Some(NextHop {
            mac: NEXT_HOP_MAC,
            port: CORE_PORT,
        }),
    );
    fib.load(
        Prefix::new(Ipv4Addr::UNSPECIFIED, 0),
        Leaf::Adjacency(AdjacencyIndex(0)),
    );
    for index in 0..sessions {
        let subscriber = Subscriber::new(index);
        let row = SessionIndex::new(index + 1).context("row numbers start at 1")?;
        let key = AccessKey {
            port: ACCESS_PORT,
            s_vlan: subscriber.s_vlan,
            c_vlan: subscriber.c_vlan,
            mac: mac_bits(subscriber.mac),
        };
        let mut image = Row::ipv4(
            subscriber.ipv4,
            10,
            key.port,
            key.s_vlan,
            key.c_vlan,
            subscriber.mac,
        );
        image.policy = Policy::new(RowState::Active).with_policers(1, 1);
        tables
            .rows
            .get(row)
            .with_context(|| format!("no row {}: raise limits.sessions", row.get()))?
            .fill(&image);
        access.configure(ACCESS_PORT, key.s_vlan, Some(LineModel::OneToOne));
        access.set(&key, row, &tables.rows)?;
        fib.load(Prefix::host(subscriber.ipv4), Leaf::Session(row));
    }
    fib.reconcile()?;
    gardens(control)?;
    let capacity = u32::try_from(tables.rows.capacity())?;
    Ok(Filled {
        rows: (1..=sessions).filter_map(SessionIndex::new).collect(),
        spare: (sessions + 1..capacity)
            .filter_map(SessionIndex::new)
            .map(|row| (row, 0))
            .collect(),
        access,
        fib,
        count: 0,
    })
}

/// Garden profiles that [`fill`] enters: the same far ends by 64 rules and by 10,000.
pub const GARDEN_64: u8 = 1;
pub const GARDEN_10K: u8 = 2;

/// Every other rule names protocol and port, as the frames have them.
fn gardens(control: &ControlSide) -> anyhow::Result<()> {
    let rule = |number: u32, network, prefix_len| Rule {
        network,
        prefix_len,
        protocol: (number % 2 == 1).then_some(17),
        ports: (number % 2 == 1).then_some((9, 9)),
    };
    let wide: Vec<Rule> = (0..64).map(|n| rule(n, traffic::garden_prefix(n), 16)).collect();
    let narrow: Vec<Rule> = (0..traffic::GARDEN_PREFIXES)
        .map(|n| rule(n, traffic::garden_prefix(n), 24))
        .collect();
    let profiles = [(GARDEN_64, &wide[..]), (GARDEN_10K, &narrow[..])];
    GardenWriter::attach(control.tables.gardens.clone()).publish(profiles)?;
    Ok(())
}

/// Filled tables with their writers.
#[derive(Debug)]
pub struct Filled {
    /// The row of each session.
    rows: Vec<SessionIndex>,
    /// Rows that may be reused when their epoch is reached.
    spare: VecDeque<(SessionIndex, u64)>,
    access: AccessWriter,
    fib: FibWriter,
    count: u32,
}

impl Filled {
    /// Every session is active (`None`) or in a garden.
    pub fn set_policies(&self, control: &ControlSide, garden: Option<u8>) {
        let policy = match garden {
            None => Policy::new(RowState::Active),
            Some(profile) => Policy::new(RowState::Wgar).with_garden(profile),
        };
        for row in self.rows.iter().filter_map(|row| control.tables.rows.get(*row)) {
            row.set_policy(policy.with_policers(1, 1));
        }
    }

    /// One change as control makes them, each kind in its turn: a policy word, a next hop, a leaf of the FIB, a session in a new row.
    pub fn update(&mut self, control: &ControlSide) -> anyhow::Result<()> {
        let tables = &control.tables;
        let step = self.count / 4;
        let session = step.wrapping_mul(7919) % self.rows.len() as u32;
        let index = self.rows[session as usize];
        let row = tables.rows.get(index).context("a session without row")?;
        match self.count % 4 {
            0 => row.set_policy(Policy::new(RowState::Active).with_policers(1, 1)),
            1 => {
                let hop = NextHop {
                    mac: NEXT_HOP_MAC,
                    port: CORE_PORT,
                };
                tables
                    .adjacencies
                    .set(AdjacencyIndex(0), Ipv4Addr::new(192, 0, 2, 1), Some(hop));
            }
            2 => {
                // 64 addresses that nobody sends to.
                let address = Ipv4Addr::new(100, 127, 0, (step % 64) as u8);
                let leaf = if (step / 64).is_multiple_of(2) {
                    Leaf::Discard
                } else {
                    Leaf::Local
                };
                self.fib.set(Prefix::host(address), leaf)?;
            }
            _ => {
                let ready = self
                    .spare
                    .front()
                    .is_some_and(|(_, epoch)| control.epoch_reached(*epoch));
                let (new, _) = ready
                    .then(|| self.spare.pop_front())
                    .flatten()
                    .context("no row is free")?;
                let image = row.read();
                tables.rows.get(new).context("no such row")?.fill(&image);
                self.fib.set(Prefix::host(image.ipv4), Leaf::Session(new))?;
                let key = AccessKey {
                    port: image.port,
                    s_vlan: image.s_vlan,
                    c_vlan: image.c_vlan,
                    mac: mac_bits(image.mac),
                };
                self.access.set(&key, new, &tables.rows)?;
                self.rows[session as usize] = new;
                self.spare.push_back((index, control.advance_epoch()));
            }
        }
        self.count = self.count.wrapping_add(1);
        Ok(())
    }
}
