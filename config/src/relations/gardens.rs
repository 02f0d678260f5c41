//! Gardens: they exist, they have walls, they fit, and who is inside can resolve names.

use super::Findings;
use crate::Config;
use crate::garden::{DNS_PORT, GARDENS_MAX, Garden, GardenProtocol, Permit};
use crate::key_path::KeyPath;
use crate::names::GardenName;
use crate::nearest::nearest;
use crate::problem::ProblemKind;

fn garden_path(garden: &Garden) -> KeyPath {
    KeyPath::top("gardens").key(garden.name.as_str())
}

pub(super) fn gardens_exist(config: &Config, findings: &mut Findings) {
    let named = [
        ("unactivated_garden", &config.sessions.unactivated_garden),
        ("suspended_garden", &config.sessions.suspended_garden),
    ];
    for (key, name) in named {
        if config.garden(name.as_str()).is_none() {
            let known: Vec<GardenName> = config.gardens.iter().map(|garden| garden.name.clone()).collect();
            let nearest = nearest(name.as_str(), known.iter().map(GardenName::as_str)).map(str::to_owned);
            let kind = ProblemKind::UnknownGarden {
                found: name.clone(),
                nearest,
                known,
            };
            findings.add(KeyPath::top("sessions").key(key), kind);
        }
    }
}

/// A permit to half the Internet is a way around the walls, whatever its port: tunnels over 53, 443 and ICMP are in every toolbox.
pub(super) fn permits_are_narrow(config: &Config, findings: &mut Findings) {
    for garden in &config.gardens {
        for (index, permit) in garden.permits.iter().enumerate() {
            let destination = permit.destination;
            if destination.prefix_len() < Permit::PREFIX_LEN_MIN {
                let at = garden_path(garden).key("permit").index(index).key("destination");
                findings.add(at, ProblemKind::PermitTooWide { destination });
            }
        }
    }
}

pub(super) fn rules_fit_the_segment(config: &Config, findings: &mut Findings) {
    let at = KeyPath::top("gardens");
    findings.bound(at.clone(), config.gardens.len(), GARDENS_MAX);
    let (found, limit) = (
        config.gardens.iter().map(Garden::rules).sum(),
        config.limits.garden_rules,
    );
    if u64::try_from(found).unwrap_or(u64::MAX) > limit.into() {
        findings.add(at, ProblemKind::TooManyGardenRules { found, limit });
    }
}

/// Whoever is put into a garden is told name servers by his pool; without them no portal opens.
pub(super) fn dns_is_permitted(config: &Config, findings: &mut Findings) {
    let sessions = &config.sessions;
    let gardened = [
        (&sessions.unactivated_garden, &sessions.unknown_pool),
        (&sessions.suspended_garden, &sessions.suspended_pool),
    ];
    for (at, (garden, pool)) in gardened.iter().enumerate() {
        let repeated = gardened
            .iter()
            .take(at)
            .any(|earlier| earlier == &(*garden, *pool));
        let (Some(garden), Some(pool)) = (config.garden(garden.as_str()), config.pool(pool.as_str())) else {
            continue;
        };
        for server in pool.dns.iter().filter(|_| !repeated) {
            if !garden.permits(*server, GardenProtocol::Udp, DNS_PORT) {
                let kind = ProblemKind::DnsNotPermitted {
                    server: *server,
                    pool: pool.name.clone(),
                };
                findings.add(garden_path(garden), kind);
            }
        }
    }
}
