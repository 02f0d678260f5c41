//! Ports among each other: who they are, which lines they claim, where the core side leads.

use super::{Findings, is_host_in, overlap, port_path};
use crate::Config;
use crate::key_path::KeyPath;
use crate::port::{CorePort, LINES_MAX, LineRange, PORTS_MAX, ROUTES_MAX};
use crate::problem::{LineTags, ProblemKind};
use crate::vlan::{IdRanges, VlanId};
use ipnet::Ipv4Net;
use std::collections::HashMap;
use std::net::Ipv4Addr;

pub(super) fn both_sides_exist(config: &Config, findings: &mut Findings) {
    let at = KeyPath::top("ports");
    if config.ports.len() > PORTS_MAX {
        findings.add(
            at.clone(),
            ProblemKind::TooManyPorts {
                found: config.ports.len(),
                max: PORTS_MAX,
            },
        );
    }
    if !config.ports.iter().any(|port| port.access().is_some()) {
        findings.add(at.clone(), ProblemKind::NoPortOfRole { role: "access" });
    }
    if !config.ports.iter().any(|port| port.core().is_some()) {
        findings.add(at, ProblemKind::NoPortOfRole { role: "core" });
    }
}

pub(super) fn names_and_devices_are_unique(config: &Config, findings: &mut Findings) {
    let (mut names, mut devices) = (HashMap::new(), HashMap::new());
    for (index, port) in config.ports.iter().enumerate() {
        if let Some(other) = names.insert(&port.name, index) {
            let kind = ProblemKind::PortNameTaken {
                name: port.name.clone(),
                other: port_path(other),
            };
            findings.add(port_path(index).key("name"), kind);
        }
        if let Some(other) = devices.insert(&port.device, &port.name) {
            let kind = ProblemKind::DeviceTaken {
                device: port.device.to_string(),
                other: other.clone(),
            };
            findings.add(port_path(index).key("device"), kind);
        }
    }
}

/// Two ranges of one port may not claim the same line, nor one S-VLAN for both models: the access index keeps one model for each S-VLAN.
pub(super) fn each_line_exists_once(config: &Config, findings: &mut Findings) {
    for (index, _, access) in config.access_ports() {
        let at = port_path(index.into()).key("lines");
        if !findings.bound(at.clone(), access.lines.len(), LINES_MAX) {
            continue;
        }
        for (later, range) in access.lines.iter().enumerate() {
            let earlier = access.lines.iter().take(later).enumerate();
            let conflict = earlier
                .filter_map(|(other, earlier)| conflict(range, earlier, at.index(other)))
                .next();
            if let Some(kind) = conflict {
                findings.add(at.index(later), kind);
            }
        }
    }
}

fn conflict(range: &LineRange, earlier: &LineRange, other: KeyPath) -> Option<ProblemKind> {
    let s_vlan = common(&range.s_vlans, &earlier.s_vlans)?;
    if let Some(c_vlan) = common(&range.c_vlans, &earlier.c_vlans) {
        return Some(ProblemKind::LineTaken {
            line: LineTags { s_vlan, c_vlan },
            other,
        });
    }
    (range.model != earlier.model).then_some(ProblemKind::MixedModels { s_vlan, other })
}

/// The smallest common id; two empty sets have the missing tag in common.
fn common(a: &IdRanges, b: &IdRanges) -> Option<Option<VlanId>> {
    if a.is_empty() && b.is_empty() {
        Some(None)
    } else {
        a.first_common(b).map(Some)
    }
}

pub(super) fn core_addresses_are_hosts(config: &Config, findings: &mut Findings) {
    let mut earlier: Vec<(KeyPath, Ipv4Net)> = Vec::new();
    for (index, _, core) in config.core_ports() {
        let at = port_path(index.into()).key("address");
        let (address, network) = (core.address.addr(), core.address.trunc());
        if !is_host_in(address, network) {
            findings.add(at.clone(), ProblemKind::NoHostAddress { address, network });
        }
        if let Some((other, theirs)) = earlier.iter().find(|(_, theirs)| overlap(network, *theirs)) {
            findings.add(
                at.clone(),
                ProblemKind::Overlaps {
                    network,
                    other: other.clone(),
                    theirs: *theirs,
                },
            );
        }
        earlier.push((at, network));
    }
}

/// A next hop is found by ARP on the port's own network; elsewhere it could never be resolved.
pub(super) fn next_hops_are_neighbours(config: &Config, findings: &mut Findings) {
    for (index, _, core) in config.core_ports() {
        let at = port_path(index.into());
        if let Some(gateway) = core.gateway {
            next_hop_is_neighbour(at.key("gateway"), gateway, core, findings);
        }
        for (number, route) in core.routes.iter().enumerate() {
            next_hop_is_neighbour(
                at.key("routes").index(number).key("via"),
                route.via,
                core,
                findings,
            );
        }
    }
}

fn next_hop_is_neighbour(at: KeyPath, address: Ipv4Addr, core: &CorePort, findings: &mut Findings) {
    let network = core.address.trunc();
    if !network.contains(&address) {
        findings.add(at, ProblemKind::NextHopOutside { address, network });
    } else if address == core.address.addr() {
        findings.add(at, ProblemKind::NextHopIsOurs { address });
    } else if !is_host_in(address, network) {
        findings.add(at, ProblemKind::NoHostAddress { address, network });
    }
}

/// Each prefix has one next hop. A `gateway` is the default route, and a core port's own network is connected.
pub(super) fn routes_are_unique(config: &Config, findings: &mut Findings) {
    let mut routed: HashMap<Ipv4Net, KeyPath> = HashMap::new();
    for (index, _, core) in config.core_ports() {
        routed
            .entry(core.address.trunc())
            .or_insert(port_path(index.into()).key("address"));
    }
    for (index, _, core) in config.core_ports() {
        let at = port_path(index.into());
        let routes = at.key("routes");
        if core.gateway.is_some() {
            claim(&mut routed, Ipv4Net::default(), at.key("gateway"), findings);
        }
        if !findings.bound(routes.clone(), core.routes.len(), ROUTES_MAX) {
            continue;
        }
        for (number, route) in core.routes.iter().enumerate() {
            claim(
                &mut routed,
                route.prefix,
                routes.index(number).key("prefix"),
                findings,
            );
        }
    }
}

fn claim(routed: &mut HashMap<Ipv4Net, KeyPath>, prefix: Ipv4Net, at: KeyPath, findings: &mut Findings) {
    match routed.get(&prefix).cloned() {
        None => {
            routed.insert(prefix, at);
        }
        Some(other) if prefix.prefix_len() == 0 => {
            findings.add(at, ProblemKind::SecondDefaultRoute { other })
        }
        Some(other) => findings.add(at, ProblemKind::RouteTaken { prefix, other }),
    }
}
