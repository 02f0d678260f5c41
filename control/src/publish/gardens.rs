//! Garden profiles: the configuration's gardens by name, in the segment by number.
//!
//! Live policy words name profiles by number, so a restarted control keeps a number whose rules are what the configuration wants, and
//! gives every other garden a number that nobody uses. All of them take effect in one store ([`shm_bridge::garden::writer`]): those that live
//! policy words still name as they were, the new ones beside them. A number that no policy word names any more is left out at
//! the next takeover.

use std::collections::{BTreeMap, HashMap, HashSet};

use shm_bridge::garden::{GardenWriter, PROFILES, Rule, canonical};
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
    /// Publishes the configuration's gardens beside what `in_use` (numbers of live policy words) refers to. No worker may still be
    /// reading what an earlier control unlinked.
    pub fn publish(
        writer: &mut GardenWriter,
        gardens: &[Garden],
        in_use: &HashSet<u8>,
    ) -> Result<GardenNumbers, PublishError> {
        let mut live = writer.gardens().read_all();
        live.retain(|number, _| in_use.contains(number));
        let mut numbers = HashMap::new();
        let mut wanted: BTreeMap<u8, Vec<Rule>> = BTreeMap::new();
        let mut unmatched = Vec::new();
        for garden in gardens {
            let rules = canonical(&rules(garden));
            let same = live
                .iter()
                .find(|(number, found)| **found == rules && !wanted.contains_key(*number));
            match same {
                Some((number, _)) => {
                    numbers.insert(garden.name.as_str().to_owned(), *number);
                    wanted.insert(*number, rules);
                }
                None => unmatched.push((garden, rules)),
            }
        }
        for (garden, rules) in unmatched {
            let number = (1..PROFILES)
                .filter_map(|number| u8::try_from(number).ok())
                .find(|number| !in_use.contains(number) && !wanted.contains_key(number))
                .ok_or_else(|| PublishError::Gardens {
                    garden: garden.name.to_string(),
                    what: format!("all {} profile numbers are in use", PROFILES - 1),
                })?;
            numbers.insert(garden.name.as_str().to_owned(), number);
            wanted.insert(number, rules);
        }

        let left = live
            .into_iter()
            .filter(|(number, _)| !wanted.contains_key(number));
        let left = within(left.collect(), &wanted, writer.gardens().rule_capacity());
        let all = wanted.iter().chain(&left);
        writer.publish(all.map(|(number, rules)| (*number, &rules[..])))?;
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

/// What of `left`, which policy words name until they are corrected in a moment, has room beside the configuration's gardens. Whose
/// profile is left out is refused everything for that moment: better than a control that does not start.
fn within(
    left: BTreeMap<u8, Vec<Rule>>,
    wanted: &BTreeMap<u8, Vec<Rule>>,
    capacity: usize,
) -> BTreeMap<u8, Vec<Rule>> {
    let mut free = capacity.saturating_sub(wanted.values().map(Vec::len).sum());
    let has_room = |(number, rules): &(u8, Vec<Rule>)| {
        let fits = rules.len() <= free;
        if fits {
            free -= rules.len();
        } else {
            tracing::warn!(
                profile = number,
                rules = rules.len(),
                "a garden as it was before has no room beside the new ones, so its sessions are refused until their policy \
                 changes in a moment: raise limits.garden_rules to avoid this"
            );
        }
        fits
    };
    left.into_iter().filter(has_room).collect()
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

    fn profile(rules: usize) -> Vec<Rule> {
        vec![NOTHING; rules]
    }

    #[test]
    fn old_gardens_stay_beside_the_new_ones_as_far_as_there_is_room() {
        let wanted = BTreeMap::from([(1, profile(4))]);
        let left = BTreeMap::from([(2, profile(6)), (3, profile(3)), (4, profile(2))]);
        let stay = |capacity| -> Vec<u8> { within(left.clone(), &wanted, capacity).into_keys().collect() };

        assert_eq!(stay(15), [2, 3, 4]);
        assert_eq!(stay(14), [2, 3]);
        assert_eq!(stay(9), [3, 4]);
        assert!(stay(4).is_empty() && stay(3).is_empty());
    }
}
