//! Pools: addresses that exist, belong to one pool only, and to nobody else.

use super::{Findings, is_host, is_host_in, overlap, pool_path, port_path};
use crate::Config;
use crate::key_path::KeyPath;
use crate::pool::{POOLS_MAX, Pool};
use crate::problem::ProblemKind;

pub(super) fn networks_are_usable(config: &Config, findings: &mut Findings) {
    findings.bound(KeyPath::top("pools"), config.pools.len(), POOLS_MAX);
    for pool in &config.pools {
        let at = pool_path(&pool.name).key("network");
        let (found, min, max) = (
            pool.network.prefix_len(),
            Pool::PREFIX_LEN_MIN,
            Pool::PREFIX_LEN_MAX,
        );
        if found < min || found > max {
            findings.add(at, ProblemKind::PrefixLength { found, min, max });
        } else if let Some(address) = [pool.network.network(), pool.network.broadcast()]
            .into_iter()
            .find(|address| !is_host(*address))
        {
            findings.add(at, ProblemKind::NotUnicast { address });
        }
    }
}

pub(super) fn networks_are_disjoint(config: &Config, findings: &mut Findings) {
    if config.pools.len() > POOLS_MAX {
        return;
    }
    for (index, pool) in config.pools.iter().enumerate() {
        let mut earlier = config.pools.iter().take(index);
        if let Some(other) = earlier.find(|other| overlap(pool.network, other.network)) {
            let (network, theirs) = (pool.network, other.network);
            let kind = ProblemKind::Overlaps {
                network,
                other: pool_path(&other.name).key("network"),
                theirs,
            };
            findings.add(pool_path(&pool.name).key("network"), kind);
        }
    }
}

/// Gateway and exclusions are parts of the network, and something is left beside them.
pub(super) fn own_addresses_are_inside(config: &Config, findings: &mut Findings) {
    for pool in &config.pools {
        let (at, network, gateway) = (pool_path(&pool.name), pool.network, pool.gateway);
        if network.prefix_len() > Pool::PREFIX_LEN_MAX {
            continue;
        }
        if !network.contains(&gateway) {
            findings.add(
                at.key("gateway"),
                ProblemKind::GatewayOutside { gateway, network },
            );
        } else if !is_host_in(gateway, network) {
            findings.add(
                at.key("gateway"),
                ProblemKind::NoHostAddress {
                    address: gateway,
                    network,
                },
            );
        }
        if !findings.bound(at.key("exclude"), pool.exclusions.len(), Pool::EXCLUSIONS_MAX) {
            continue;
        }
        for (index, range) in pool.exclusions.iter().enumerate() {
            if !(network.contains(&range.first()) && network.contains(&range.last())) {
                let kind = ProblemKind::ExclusionOutside {
                    range: range.to_string(),
                    network,
                };
                findings.add(at.key("exclude").index(index), kind);
            }
        }
        if pool.capacity() == 0 {
            findings.add(at.key("exclude"), ProblemKind::PoolEmpty { network });
        }
    }
}

pub(super) fn leases_end_before_bindings(config: &Config, findings: &mut Findings) {
    for pool in &config.pools {
        if pool.lease > pool.binding {
            let (lease, binding) = (pool.lease.as_secs(), pool.binding.as_secs());
            let kind = ProblemKind::LeaseOverBinding { lease, binding };
            findings.add(pool_path(&pool.name).key("lease_seconds"), kind);
        }
    }
}

/// A name server is a host, and no address that a subscriber may get: he could then answer for it.
pub(super) fn dns_servers_are_hosts(config: &Config, findings: &mut Findings) {
    for pool in &config.pools {
        let at = pool_path(&pool.name).key("dns");
        if !findings.bound(at.clone(), pool.dns.len(), Pool::DNS_MAX) {
            continue;
        }
        for (index, server) in pool.dns.iter().enumerate() {
            let address = *server;
            if !is_host(address) {
                findings.add(at.index(index), ProblemKind::NotUnicast { address });
            } else if let Some(pool) = config.pool_of(address).filter(|pool| pool.is_assignable(address)) {
                let kind = ProblemKind::AddressAssignable {
                    address,
                    pool: pool.name.clone(),
                };
                findings.add(at.index(index), kind);
            }
        }
    }
}

/// The core networks and the routes' destinations are not subscribers' addresses. A route that *contains* a pool is fine: the pool's
/// own longer entry wins.
pub(super) fn core_side_is_elsewhere(config: &Config, findings: &mut Findings) {
    for (index, _, core) in config.core_ports() {
        let at = port_path(index.into());
        let network = core.address.trunc();
        if let Some(pool) = config.pools.iter().find(|pool| overlap(network, pool.network)) {
            findings.add(at.key("address"), overlaps(network, pool));
        }
        for (number, route) in core.routes.iter().enumerate() {
            if let Some(pool) = config
                .pools
                .iter()
                .find(|pool| pool.network.contains(&route.prefix))
            {
                findings.add(
                    at.key("routes").index(number).key("prefix"),
                    overlaps(route.prefix, pool),
                );
            }
        }
    }
}

fn overlaps(network: ipnet::Ipv4Net, pool: &Pool) -> ProblemKind {
    ProblemKind::Overlaps {
        network,
        other: pool_path(&pool.name).key("network"),
        theirs: pool.network,
    }
}
