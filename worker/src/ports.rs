//! The ports as the hot path needs them, and what of the configuration only rare packets ask for.
//!
//! [`Port`] fits a cache line and is copied into each burst. [`Ports`] also knows which lines exist and which gateway a
//! subscriber's address has, for packets that find no session and for answers in the gateway's name.

use std::net::Ipv4Addr;

use shm_bridge::access::PORTS_MAX;
use shm_bridge::garden::mask;
use shm_bridge::session::mac_bits;
use sluice_config::{Config, IdRanges, PortRole};

use crate::wire::vlan;

pub use sluice_config::Tagging;

/// One port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its place in the configuration, below [`PORTS_MAX`].
    pub index: u8,
    /// The BNG's one MAC address on this port.
    pub mac: [u8; 6],
    /// Largest IP packet, bytes.
    pub mtu: u16,
    pub side: Side,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Access(Access),
    Core(Core),
}

/// The subscribers' side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub tagging: Tagging,
    /// Outer TPIDs accepted on receive; the first is repeated where there are fewer.
    pub outer_tpids: [u16; 3],
    pub outer_tpid_tx: u16,
}

/// The network's side. Frames have no tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    pub address: u32,
    pub prefix_len: u8,
}

impl Access {
    /// Bytes of the tags of a frame that is sent.
    #[inline(always)]
    pub fn tags_len(&self) -> usize {
        match self.tagging {
            Tagging::QinQ => 2 * vlan::TAG_BYTES,
            Tagging::Single => vlan::TAG_BYTES,
            Tagging::Untagged => 0,
        }
    }

    /// Whether an outer tag of this TPID is accepted.
    #[inline(always)]
    pub fn takes(&self, tpid: u16) -> bool {
        let [a, b, c] = self.outer_tpids;
        (tpid == a) | (tpid == b) | (tpid == c)
    }

    /// Whether a frame with these tags can be sent: each tag that the port has names a VLAN, and the others are 0.
    #[inline(always)]
    pub fn fits(&self, s_vlan: u16, c_vlan: u16) -> bool {
        match self.tagging {
            Tagging::QinQ => vlan::is_vlan(s_vlan) && vlan::is_vlan(c_vlan),
            Tagging::Single => s_vlan == 0 && vlan::is_vlan(c_vlan),
            Tagging::Untagged => s_vlan == 0 && c_vlan == 0,
        }
    }
}

impl Port {
    /// The MAC address in the low 48 bits.
    #[inline(always)]
    pub fn mac_bits(&self) -> u64 {
        mac_bits(self.mac)
    }

    pub fn access(&self) -> Option<&Access> {
        match &self.side {
            Side::Access(access) => Some(access),
            Side::Core(_) => None,
        }
    }

    pub fn core(&self) -> Option<&Core> {
        match &self.side {
            Side::Core(core) => Some(core),
            Side::Access(_) => None,
        }
    }
}

/// All ports, by index.
#[derive(Clone, Debug, Default)]
pub struct Ports {
    ports: Vec<Port>,
    lines: Vec<Lines>,
    networks: Vec<Network>,
}

/// Lines of one port: every pair of the two sets.
#[derive(Clone, Debug)]
struct Lines {
    port: u8,
    s_vlans: IdRanges,
    c_vlans: IdRanges,
}

/// A subnet that subscribers see, with the address that we have in it.
#[derive(Clone, Copy, Debug)]
struct Network {
    address: u32,
    prefix_len: u8,
    gateway: u32,
}

impl Ports {
    pub fn from_config(config: &Config) -> Ports {
        let mut ports = Ports::default();
        for (index, port) in (0u8..).zip(config.ports.iter().take(PORTS_MAX)) {
            let side = match &port.role {
                PortRole::Access(access) => {
                    let tpids = access.outer_tpids.iter().map(|tpid| tpid.ethertype());
                    Side::Access(Access {
                        tagging: access.tagging,
                        outer_tpids: three(tpids),
                        outer_tpid_tx: access.outer_tpid_tx.ethertype(),
                    })
                }
                PortRole::Core(core) => Side::Core(Core {
                    address: u32::from(core.address.addr()),
                    prefix_len: core.address.prefix_len(),
                }),
            };
            ports.push(Port {
                index,
                mac: port.mac.octets(),
                mtu: port.mtu,
                side,
            });
            for line in port.access().iter().flat_map(|access| &access.lines) {
                ports.add_lines(index, line.s_vlans.clone(), line.c_vlans.clone());
            }
        }
        for pool in &config.pools {
            ports.add_network(pool.network.network(), pool.network.prefix_len(), pool.gateway);
        }
        ports
    }

    /// Appends a port; its index must be its place. At most [`PORTS_MAX`].
    pub fn push(&mut self, port: Port) {
        assert!(
            usize::from(port.index) == self.ports.len() && self.ports.len() < PORTS_MAX,
            "port {} is at its place",
            port.index
        );
        self.ports.push(port);
    }

    /// These lines exist on an access port. An empty set means "no such tag".
    pub fn add_lines(&mut self, port: u8, s_vlans: IdRanges, c_vlans: IdRanges) {
        self.lines.push(Lines {
            port,
            s_vlans,
            c_vlans,
        });
    }

    /// Subscribers have addresses of this network, and we have `gateway` in it.
    pub fn add_network(&mut self, network: Ipv4Addr, prefix_len: u8, gateway: Ipv4Addr) {
        self.networks.push(Network {
            address: u32::from(network),
            prefix_len,
            gateway: u32::from(gateway),
        });
    }

    #[inline(always)]
    pub fn get(&self, index: u8) -> Option<&Port> {
        self.ports.get(usize::from(index))
    }

    pub fn len(&self) -> usize {
        self.ports.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter()
    }

    /// Whether the configuration has this line. Not for the hot path: a session on the line says so faster.
    pub fn has_line(&self, port: u8, s_vlan: u16, c_vlan: u16) -> bool {
        let holds = |ids: &IdRanges, id: u16| match sluice_config::VlanId::new(id) {
            Ok(id) => ids.contains(id),
            Err(_) => id == 0 && ids.is_empty(),
        };
        self.lines
            .iter()
            .any(|line| line.port == port && holds(&line.s_vlans, s_vlan) && holds(&line.c_vlans, c_vlan))
    }

    /// The address in whose name we speak to a subscriber.
    pub fn gateway_of(&self, subscriber: u32) -> Option<u32> {
        self.network_of(subscriber).map(|network| network.gateway)
    }

    /// Whether this is the directed broadcast address of a subscribers' network or of a core port's.
    pub fn is_directed_broadcast(&self, address: u32) -> bool {
        let is_last = |prefix_len: u8| prefix_len < 31 && address & !mask(prefix_len) == !mask(prefix_len);
        self.network_of(address)
            .is_some_and(|network| is_last(network.prefix_len))
            || self
                .ports
                .iter()
                .filter_map(Port::core)
                .any(|core| (address ^ core.address) & mask(core.prefix_len) == 0 && is_last(core.prefix_len))
    }

    fn network_of(&self, address: u32) -> Option<&Network> {
        self.networks
            .iter()
            .find(|network| (address ^ network.address) & mask(network.prefix_len) == 0)
    }
}

/// The first three values, the first one repeated where there are fewer; zeros where there is none.
fn three(mut values: impl Iterator<Item = u16>) -> [u16; 3] {
    let first = values.next().unwrap_or_default();
    let second = values.next().unwrap_or(first);
    [first, second, values.next().unwrap_or(first)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_annotated_example_gives_ports_lines_and_gateways() {
        let text = include_str!("../../config/sluice.toml");
        let config = Config::parse("sluice.toml", text).unwrap();

        let ports = Ports::from_config(&config);

        assert_eq!(ports.len(), config.ports.len());
        for (port, written) in ports.iter().zip(&config.ports) {
            assert_eq!((port.mac, port.mtu), (written.mac.octets(), written.mtu));
            assert_eq!(port.access().is_some(), written.access().is_some());
            for line in written.access().iter().flat_map(|access| &access.lines) {
                let first = |ids: &IdRanges| ids.iter().next().map_or(0, |id| id.get());
                let (s_vlan, c_vlan) = (first(&line.s_vlans), first(&line.c_vlans));
                assert!(ports.has_line(port.index, s_vlan, c_vlan));
                assert!(!ports.has_line(port.index, s_vlan, 4095));
            }
        }
        for pool in &config.pools {
            let host = u32::from(pool.network.network()) + 9;
            assert_eq!(ports.gateway_of(host), Some(u32::from(pool.gateway)));
            assert!(ports.is_directed_broadcast(u32::from(pool.network.broadcast())));
            assert!(!ports.is_directed_broadcast(host));
        }
    }

    #[test]
    fn fewer_than_three_tpids_are_repeated() {
        assert_eq!(three([7, 8].into_iter()), [7, 8, 7]);
        assert_eq!(three([7].into_iter()), [7; 3]);
        assert_eq!(three([].into_iter()), [0; 3]);
    }
}
