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

use crate::layout::Layout;
use crate::traffic::network::{self, HARNESS, subscriber};

/// The core's next hop.
const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Enters `sessions` active sessions, each policed to 10 Gbit/s both ways, and a resolved default route.
pub fn fill(control: &ControlSide, sessions: u32, layout: Layout) -> anyhow::Result<Filled> {
    let tables = &control.tables;
    let mut access = AccessWriter::attach(tables.access.clone());
    let mut fib = FibWriter::attach(tables.fib.clone());
    tables
        .policers
        .fill(1, Profile::new(Rate::with_default_burst(10_000_000_000)));
    let next_hop = NextHop {
        mac: HARNESS.next_hop_mac,
        port: layout.core_port(),
    };
    tables.adjacencies.set(AdjacencyIndex(0), GATEWAY, Some(next_hop));
    fib.load(
        Prefix::new(Ipv4Addr::UNSPECIFIED, 0),
        Leaf::Adjacency(AdjacencyIndex(0)),
    );
    for index in 0..sessions {
        let subscriber = subscriber(index);
        let ipv4 = Ipv4Addr::from(subscriber.ipv4);
        let row = SessionIndex::new(index + 1).context("row numbers start at 1")?;
        let key = AccessKey {
            port: layout.port_of(index),
            s_vlan: subscriber.s_vlan,
            c_vlan: subscriber.c_vlan,
            mac: mac_bits(subscriber.mac),
        };
        let mut image = Row::ipv4(ipv4, 10, key.port, key.s_vlan, key.c_vlan, subscriber.mac);
        image.policy = Policy::new(RowState::Active).with_policers(1, 1);
        tables
            .rows
            .get(row)
            .with_context(|| format!("no row {}: raise limits.sessions", row.get()))?
            .fill(&image);
        access.configure(key.port, key.s_vlan, Some(LineModel::OneToOne));
        access.set(&key, row, &tables.rows)?;
        fib.load(Prefix::host(ipv4), Leaf::Session(row));
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
        next_hop,
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
    let wide: Vec<Rule> = (0..64).map(|n| rule(n, network::garden_prefix(n), 16)).collect();
    let narrow: Vec<Rule> = (0..network::GARDEN_PREFIXES)
        .map(|n| rule(n, network::garden_prefix(n), 24))
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
    next_hop: NextHop,
    count: u32,
}

impl Filled {
    /// Each session is active (`None`) or in a garden.
    pub fn set_policies(&self, control: &ControlSide, garden: impl Fn(u32) -> Option<u8>) {
        for (session, row) in (0u32..).zip(&self.rows) {
            let policy = match garden(session) {
                None => Policy::new(RowState::Active),
                Some(profile) => Policy::new(RowState::Wgar).with_garden(profile),
            };
            if let Some(row) = control.tables.rows.get(*row) {
                row.set_policy(policy.with_policers(1, 1));
            }
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
                tables
                    .adjacencies
                    .set(AdjacencyIndex(0), GATEWAY, Some(self.next_hop));
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
