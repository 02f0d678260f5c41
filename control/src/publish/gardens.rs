//! Garden profiles: the configuration's gardens by name, in the segment by number.
//!
//! Live policy words name profiles by number, so a restarted control keeps a number whose rules are what the configuration wants, and
//! gives every other garden a number and rule cells that nobody uses.

use std::collections::{HashMap, HashSet};

use shm_bridge::garden::{Gardens, PROFILES, Rule};
use sluice_config::{Garden, Permit};

use super::PublishError;
use crate::engine::TableError;

/// IP protocol 255 is reserved (RFC 3692 section 1) and no packet comes from 0.0.0.0/32: this permits nothing, so that a garden
/// without permits refuses instead of looking like one that was never written.
const NOTHING: Rule = Rule {
    network: std::net::Ipv4Addr::UNSPECIFIED,
    prefix_len: 32,
    protocol: Some(255),
    ports: Some((0, 0)),
};

/// The number of each garden.
#[derive(Debug, Default)]
pub(super) struct GardenNumbers(HashMap<String, u8>);

impl GardenNumbers {
    /// Writes the configuration's gardens beside what `in_use` (numbers of live policy words) refers to. Nothing else may still be
    /// read by a worker.
    pub fn write(
        table: &Gardens,
        gardens: &[Garden],
        in_use: &HashSet<u8>,
    ) -> Result<GardenNumbers, PublishError> {
        let mut numbers = HashMap::new();
        let mut kept: HashSet<u8> = in_use.clone();
        let mut unmatched = Vec::new();
        let mut claimed = HashSet::new();
        for garden in gardens {
            let wanted = rules(garden);
            let same = in_use
                .iter()
                .find(|number| !claimed.contains(*number) && table.read(**number).as_ref() == Some(&wanted));
            match same {
                Some(number) => {
                    claimed.insert(*number);
                    numbers.insert(garden.name.as_str().to_owned(), *number);
                }
                None => unmatched.push((garden, wanted)),
            }
        }

        let mut taken: Vec<(u32, u32)> = kept.iter().map(|number| table.profile(*number)).collect();
        for (garden, wanted) in unmatched {
            let too_many = |what: String| PublishError::Gardens {
                garden: garden.name.to_string(),
                what,
            };
            let number = (1..PROFILES)
                .filter_map(|n| u8::try_from(n).ok())
                .find(|n| !kept.contains(n))
                .ok_or_else(|| too_many(format!("all {} profile numbers are in use", PROFILES - 1)))?;
            let count = wanted.len() as u32;
            let start = gap(&mut taken, count, table.rule_capacity() as u32).ok_or_else(|| {
                too_many(format!(
                    "its {count} rules do not fit beside those in use: raise limits.garden_rules above {}",
                    table.rule_capacity()
                ))
            })?;
            table.fill(start as usize, &wanted);
            table.set_profile(number, start, count);
            taken.push((start, count));
            kept.insert(number);
            numbers.insert(garden.name.as_str().to_owned(), number);
        }
        Ok(GardenNumbers(numbers))
    }

    /// The number of a garden by name; `None` is 0, no garden.
    pub fn number(&self, name: Option<&str>) -> Result<u8, TableError> {
        match name {
            None => Ok(0),
            Some(name) => self
                .0
                .get(name)
                .copied()
                .ok_or_else(|| TableError::NoGarden(name.to_owned())),
        }
    }
}

/// The first run of `count` cells that none of `taken` overlaps.
fn gap(taken: &mut [(u32, u32)], count: u32, capacity: u32) -> Option<u32> {
    taken.sort_unstable();
    let mut start = 0u32;
    for (used, len) in taken.iter() {
        if used.saturating_sub(start) >= count {
            break;
        }
        start = start.max(used.saturating_add(*len));
    }
    (start.checked_add(count)? <= capacity).then_some(start)
}

/// A garden as the segment has it: one rule for each protocol and port range of each permit.
pub(super) fn rules(garden: &Garden) -> Vec<Rule> {
    let mut rules: Vec<Rule> = garden.permits.iter().flat_map(rules_of).collect();
    if rules.is_empty() {
        rules.push(NOTHING);
    }
    rules
}

fn rules_of(permit: &Permit) -> Vec<Rule> {
    let ports: Vec<Option<(u16, u16)>> = if permit.ports.is_empty() {
        vec![None]
    } else {
        permit
            .ports
            .iter()
            .map(|range| Some((*range.start(), *range.end())))
            .collect()
    };
    let rule = |protocol: u8, ports| Rule {
        network: permit.destination.network(),
        prefix_len: permit.destination.prefix_len(),
        protocol: Some(protocol),
        ports,
    };
    let protocols = permit.protocol.numbers();
    protocols
        .iter()
        .flat_map(|protocol| ports.iter().map(move |ports| rule(*protocol, *ports)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_found_between_before_and_behind_what_is_taken() {
        assert_eq!(gap(&mut [], 4, 16), Some(0));
        assert_eq!(gap(&mut [(4, 4)], 4, 16), Some(0));
        assert_eq!(gap(&mut [(0, 2), (4, 4)], 2, 16), Some(2));
        assert_eq!(gap(&mut [(4, 4), (0, 2)], 3, 16), Some(8));
        assert_eq!(gap(&mut [(0, 14)], 3, 16), None);
        assert_eq!(gap(&mut [(u32::MAX, u32::MAX)], 3, 16), Some(0));
        assert_eq!(gap(&mut [(0, u32::MAX)], 1, 16), None);
    }
}
