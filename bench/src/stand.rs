//! In control's place where speed is tested and nobody speaks DHCP: the sessions that `sluice bench ndr` and `sluice-bench traffic`
//! make frames of, active, and a default route to the tester.

use std::net::Ipv4Addr;

use anyhow::Context;
use shm_bridge::access::{AccessKey, AccessWriter, LineModel};
use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::policer::{Profile, Rate};
use shm_bridge::session::{Policy, Row, RowState, mac_bits};
use shm_bridge::{ControlSide, SessionIndex};
use sluice_config::{Config, MacAddr};
use sluice_worker::ndr::subscribers::Subscribers;

/// The default route's next hop.
const ADJACENCY: AdjacencyIndex = AdjacencyIndex(0);
const PROFILE: u16 = 1;

/// Who is to have a session, and who stands behind the core.
#[derive(Debug)]
pub struct Stand {
    pub subscribers: Subscribers,
    /// The MAC address behind the core port's gateway.
    pub next_hop_mac: MacAddr,
    /// Each session's policer, bit/s each way.
    pub policer: u64,
}

impl Stand {
    /// Fills empty tables: sessions on the first access port, the default route through the first core port.
    pub fn fill(&self, control: &ControlSide, config: &Config) -> anyhow::Result<()> {
        let place = |found: Option<usize>| found.and_then(|index| u8::try_from(index).ok());
        let access_port = place(config.ports.iter().position(|port| port.access().is_some()));
        let access_port = access_port.context("no access port is configured")?;
        let core_port = place(config.ports.iter().position(|port| port.core().is_some()));
        let core_port = core_port.context("no core port is configured")?;
        let gateway = config.ports.iter().find_map(|port| port.core()?.gateway);
        let gateway = gateway.context("no core port has a gateway")?;

        let tables = &control.tables;
        let mut access = AccessWriter::attach(tables.access.clone());
        let mut fib = FibWriter::attach(tables.fib.clone());
        tables
            .policers
            .fill(PROFILE, Profile::new(Rate::with_default_burst(self.policer)));
        let next_hop = NextHop {
            mac: self.next_hop_mac.octets(),
            port: core_port,
        };
        tables.adjacencies.set(ADJACENCY, gateway, Some(next_hop));
        fib.load(Prefix::new(Ipv4Addr::UNSPECIFIED, 0), Leaf::Adjacency(ADJACENCY));
        for index in 0..self.subscribers.count() {
            let subscriber = self.subscribers.get(index);
            let row = SessionIndex::new(index + 1).context("row numbers start at 1")?;
            let key = AccessKey {
                port: u16::from(access_port),
                s_vlan: subscriber.s_vlan,
                c_vlan: subscriber.c_vlan,
                mac: mac_bits(subscriber.mac),
            };
            let ipv4 = Ipv4Addr::from(subscriber.ipv4);
            let mut image = Row::ipv4(ipv4, 10, key.port, key.s_vlan, key.c_vlan, subscriber.mac);
            image.policy = Policy::new(RowState::Active).with_policers(PROFILE, PROFILE);
            tables
                .rows
                .get(row)
                .with_context(|| format!("no row for session {index}: raise limits.sessions"))?
                .fill(&image);
            access.configure(key.port, key.s_vlan, Some(LineModel::OneToOne));
            access.set(&key, row, &tables.rows)?;
            fib.load(Prefix::host(ipv4), Leaf::Session(row));
        }
        fib.reconcile()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use shm_bridge::access::Found;
    use shm_bridge::layout::Geometry;
    use shm_bridge::sides::in_memory;

    use super::*;

    #[test]
    fn every_session_of_the_tester_is_found_by_its_line_and_by_its_address() {
        let text = include_str!("../../config/sluice.toml");
        let config = Config::parse("sluice.toml", text).unwrap();
        let (control, worker) = in_memory(&Geometry {
            sessions: 256,
            ..Geometry::default()
        })
        .unwrap();
        let vlans = |ids: &str| ids.parse().unwrap();
        let first = Ipv4Addr::new(10, 0, 0, 2);
        let stand = |count| Stand {
            subscribers: Subscribers::new(&vlans("100-101"), &vlans("1-200"), first, count).unwrap(),
            next_hop_mac: MacAddr::from([2, 0, 0, 0, 0, 3]),
            policer: 1_000_000_000,
        };

        stand(250).fill(&control, &config).unwrap();

        let tables = &worker.tables;
        for index in 0..250 {
            let row = SessionIndex::new(index + 1).unwrap();
            let subscriber = stand(250).subscribers.get(index);
            let key = AccessKey {
                port: 0,
                s_vlan: subscriber.s_vlan,
                c_vlan: subscriber.c_vlan,
                mac: mac_bits(subscriber.mac),
            };
            let found = tables.access.lookup(&key, &tables.rows);
            assert_eq!(found, Found::Session(row));
            assert_eq!(tables.fib.lookup(subscriber.ipv4), Leaf::Session(row));
            let policy = tables.rows.get(row).unwrap().read().policy;
            assert_eq!(policy.state(), RowState::Active);
        }
        assert_eq!(tables.fib.lookup(0xc633_6401), Leaf::Adjacency(ADJACENCY));

        let refused = stand(300).fill(&control, &config).unwrap_err().to_string();
        assert_eq!(refused, "no row for session 255: raise limits.sessions");
    }
}
