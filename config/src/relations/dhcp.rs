//! The DHCP server's own address, its relays, and the pools it is told to use.

use super::{Findings, is_host, port_path};
use crate::Config;
use crate::key_path::KeyPath;
use crate::names::PoolName;
use crate::nearest::nearest;
use crate::problem::ProblemKind;
use std::net::Ipv4Addr;

pub(super) fn pools_exist(config: &Config, findings: &mut Findings) {
    let (sessions, dhcp) = (KeyPath::top("sessions"), KeyPath::top("dhcp"));
    let named = [
        (sessions.key("unknown_pool"), Some(&config.sessions.unknown_pool)),
        (
            sessions.key("suspended_pool"),
            Some(&config.sessions.suspended_pool),
        ),
        (dhcp.key("relay_pool"), config.dhcp.relay_pool.as_ref()),
    ];
    for (at, name) in named {
        let Some(name) = name.filter(|name| config.pool(name.as_str()).is_none()) else {
            continue;
        };
        // What was not written is said to be unknown_pool's, and reported there.
        let inherited = *name == config.sessions.unknown_pool && at == sessions.key("suspended_pool");
        if !inherited {
            findings.add(at, unknown_pool(name, config));
        }
    }
}

/// The problem "no such pool", with the pools there are.
pub(crate) fn unknown_pool(found: &PoolName, config: &Config) -> ProblemKind {
    let known: Vec<PoolName> = config.pools.iter().map(|pool| pool.name.clone()).collect();
    let nearest = nearest(found.as_str(), known.iter().map(PoolName::as_str)).map(str::to_owned);
    ProblemKind::UnknownPool {
        found: found.clone(),
        nearest,
        known,
    }
}

/// UDP 67 to it is punted on every access port, so it must belong to no subscriber and to no neighbour.
pub(super) fn server_id_is_ours(config: &Config, findings: &mut Findings) {
    let address = config.dhcp.server_id;
    let at = KeyPath::top("dhcp").key("server_id");
    if !is_host(address) {
        findings.add(at.clone(), ProblemKind::NotUnicast { address });
    }
    if let Some(pool) = config.pool_of(address) {
        if pool.is_assignable(address) {
            findings.add(
                at,
                ProblemKind::AddressAssignable {
                    address,
                    pool: pool.name.clone(),
                },
            );
        } else if address == pool.network.network() || address == pool.network.broadcast() {
            findings.add(
                at,
                ProblemKind::NoHostAddress {
                    address,
                    network: pool.network,
                },
            );
        }
    }
    for (index, _, core) in config.core_ports() {
        let port = port_path(index.into());
        if core.gateway == Some(address) {
            findings.add(port.key("gateway"), ProblemKind::NextHopIsOurs { address });
        }
        for (number, _) in core
            .routes
            .iter()
            .enumerate()
            .filter(|(_, route)| route.via == address)
        {
            findings.add(
                port.key("routes").index(number).key("via"),
                ProblemKind::NextHopIsOurs { address },
            );
        }
    }
}

pub(super) fn relays_are_no_subscribers(config: &Config, findings: &mut Findings) {
    let at = KeyPath::top("dhcp").key("relays");
    if !findings.bound(
        at.clone(),
        config.dhcp.relays.len(),
        crate::DhcpConfig::RELAYS_MAX,
    ) {
        return;
    }
    for (index, relay) in config.dhcp.relays.iter().enumerate() {
        if let Some(kind) = wrong_relay(*relay, config) {
            findings.add(at.index(index), kind);
        }
    }
}

fn wrong_relay(address: Ipv4Addr, config: &Config) -> Option<ProblemKind> {
    if !is_host(address) {
        return Some(ProblemKind::NotUnicast { address });
    }
    if address == config.dhcp.server_id {
        return Some(ProblemKind::NextHopIsOurs { address });
    }
    let pool = config
        .pool_of(address)
        .filter(|pool| pool.is_assignable(address))?;
    Some(ProblemKind::AddressAssignable {
        address,
        pool: pool.name.clone(),
    })
}
