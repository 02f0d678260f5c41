//! What must hold between values: the checks that no single key can answer for.
//!
//! Each check is a pure function from a [`Config`] to findings. [`CHECKS`] names the tables it reads: it runs only when those were read
//! without a problem, so that one mistake is not reported as three.

pub(crate) mod dhcp;
mod gardens;
mod pools;
mod ports;

use crate::Config;
use crate::error::Finding;
use crate::key_path::KeyPath;
use crate::problem::ProblemKind;
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;

type Check = fn(&Config, &mut Findings);

pub(crate) const CHECKS: &[(&[&str], Check)] = &[
    (&["limits"], sessions_fit_the_fib),
    (&["ports"], ports::both_sides_exist),
    (&["ports"], ports::names_and_devices_are_unique),
    (&["ports"], ports::each_line_exists_once),
    (&["ports"], ports::core_addresses_are_hosts),
    (&["ports"], ports::next_hops_are_neighbours),
    (&["ports"], ports::routes_are_unique),
    (&["pools"], pools::networks_are_usable),
    (&["pools"], pools::networks_are_disjoint),
    (&["pools"], pools::own_addresses_are_inside),
    (&["pools", "dhcp"], pools::leases_end_before_bindings),
    (&["pools"], pools::dns_servers_are_hosts),
    (&["pools", "ports"], pools::core_side_is_elsewhere),
    (&["pools", "sessions", "dhcp"], dhcp::pools_exist),
    (&["pools", "sessions", "dhcp", "ports"], dhcp::server_id_is_ours),
    (&["pools", "sessions", "dhcp"], dhcp::relays_are_no_subscribers),
    (&["gardens", "sessions"], gardens::gardens_exist),
    (&["gardens"], gardens::permits_are_narrow),
    (&["gardens", "limits"], gardens::rules_fit_the_segment),
    (&["gardens", "sessions", "pools"], gardens::dns_is_permitted),
];

/// Every check, for a configuration that no file stands behind.
pub(crate) fn all(config: &Config) -> Vec<Finding> {
    let mut findings = Findings::default();
    CHECKS.iter().for_each(|(_, check)| check(config, &mut findings));
    findings.0
}

/// Findings of the checks so far.
#[derive(Default)]
pub(crate) struct Findings(pub(crate) Vec<Finding>);

impl Findings {
    fn add(&mut self, at: KeyPath, kind: ProblemKind) {
        self.0.push(Finding { at, kind });
    }

    /// Refuses a list that is longer than the checks, or what is built from it, were made for.
    fn bound(&mut self, at: KeyPath, found: usize, max: usize) -> bool {
        if found > max {
            self.add(at, ProblemKind::TooMany { found, max });
        }
        found <= max
    }
}

/// A session's address needs a second-level group of the FIB, and a group holds the 256 addresses of one /24.
fn sessions_fit_the_fib(config: &Config, findings: &mut Findings) {
    let (sessions, groups) = (config.limits.sessions, config.limits.tbl8_groups);
    let least = sessions.div_ceil(256);
    if groups < least {
        let kind = ProblemKind::TooFewGroups {
            groups,
            sessions,
            least,
        };
        findings.add(KeyPath::top("limits").key("tbl8_groups"), kind);
    }
}

/// Whether a packet can come from this address: RFC 6890 keeps the others for special uses.
fn is_host(address: Ipv4Addr) -> bool {
    let [first, ..] = address.octets();
    first != 0 && first < 240 && !address.is_loopback() && !address.is_multicast()
}

/// Whether `address` is a host's in `network`; point-to-point networks have no broadcast address (RFC 3021).
fn is_host_in(address: Ipv4Addr, network: Ipv4Net) -> bool {
    let reserved =
        network.prefix_len() < 31 && (address == network.network() || address == network.broadcast());
    network.contains(&address) && !reserved && is_host(address)
}

fn overlap(a: Ipv4Net, b: Ipv4Net) -> bool {
    a.contains(&b) || b.contains(&a)
}

fn port_path(index: usize) -> KeyPath {
    KeyPath::top("ports").index(index)
}

fn pool_path(name: &crate::PoolName) -> KeyPath {
    KeyPath::top("pools").key(name.as_str())
}
