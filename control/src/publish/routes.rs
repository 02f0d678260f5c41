//! Routes that follow from the configuration: pools, our own addresses, connected networks, static routes, the default route.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use shm_bridge::fib::{Leaf, Prefix};
use sluice_config::Config;

use crate::neighbour::Hop;

/// Where a prefix leads, before next hops have numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Leaf(Leaf),
    Via(Hop),
}

/// The next hops that the configuration names.
pub fn configured_hops(config: &Config) -> BTreeSet<Hop> {
    config
        .core_ports()
        .flat_map(|(port, _, core)| {
            let gateway = core.gateway.into_iter();
            let vias = core.routes.iter().map(|route| route.via);
            gateway.chain(vias).map(move |address| Hop { port, address })
        })
        .collect()
}

/// All routes of the configuration; a later one of the same prefix replaces an earlier one.
pub(super) fn configured(config: &Config) -> Vec<(Prefix, Target)> {
    let mut routes = Vec::new();
    for pool in &config.pools {
        routes.push((prefix(pool.network), Target::Leaf(Leaf::Discard)));
    }
    for (port, _, core) in config.core_ports() {
        let network = core.address.trunc();
        routes.push((prefix(network), Target::Leaf(Leaf::Glean(port))));
        // Nobody answers ARP for these (RFC 3021: a /31 has neither).
        if network.prefix_len() < 31 {
            for address in [network.network(), network.broadcast()] {
                routes.push((Prefix::host(address), Target::Leaf(Leaf::Discard)));
            }
        }
        for route in &core.routes {
            let hop = Hop {
                port,
                address: route.via,
            };
            routes.push((prefix(route.prefix), Target::Via(hop)));
        }
        if let Some(address) = core.gateway {
            routes.push((
                Prefix::new(Ipv4Addr::UNSPECIFIED, 0),
                Target::Via(Hop { port, address }),
            ));
        }
    }
    // Without these a packet to a next hop itself would be gleaned for ever: it is asked for already.
    routes.extend(
        configured_hops(config)
            .into_iter()
            .map(|hop| (Prefix::host(hop.address), Target::Via(hop))),
    );
    routes.extend(
        own_addresses(config)
            .into_iter()
            .map(|address| (Prefix::host(address), Target::Leaf(Leaf::Local))),
    );
    routes
}

/// Addresses of ours: pool gateways, the DHCP server's, the core ports'.
pub fn own_addresses(config: &Config) -> BTreeSet<Ipv4Addr> {
    let gateways = config.pools.iter().map(|pool| pool.gateway);
    let core = config.core_ports().map(|(_, _, core)| core.address.addr());
    gateways
        .chain(core)
        .chain([config.dhcp.server_id])
        .filter(|address| !address.is_unspecified())
        .collect()
}

fn prefix(network: Ipv4Net) -> Prefix {
    Prefix::new(network.network(), network.prefix_len())
}
