//! A segment filled for a measurement: N active sessions with policers, one next hop.

use std::net::Ipv4Addr;

use anyhow::Context;
use shm_bridge::access::{AccessKey, AccessWriter, LineModel};
use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::policer::{Profile, Rate};
use shm_bridge::session::{Policy, Row, RowState, mac_bits};
use shm_bridge::{ControlSide, SessionIndex};

use crate::traffic::{NEXT_HOP_MAC, Subscriber};

/// Indexes of the ports in the configuration that [`crate::peers`] writes.
pub const ACCESS_PORT: u16 = 0;
pub const CORE_PORT: u8 = 1;

/// Enters `sessions` active sessions, each policed to 10 Gbit/s both ways, and a resolved default route.
pub fn fill(control: &ControlSide, sessions: u32) -> anyhow::Result<()> {
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
    Ok(())
}
