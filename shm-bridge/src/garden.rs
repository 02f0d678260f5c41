//! Walled gardens: what a session that is not active may reach, by destination prefix, protocol and port.
//!
//! A profile is a run of rules in one array; its word (start, count) is stored last, so a new set of rules is written beside
//! the old and takes effect as one store. The same rules judge return traffic by its source.

use std::net::Ipv4Addr;

use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Profile numbers a policy word can name; 0 means "no garden".
pub const PROFILES: usize = 256;

/// What of IP a rule permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    pub network: Ipv4Addr,
    pub prefix_len: u8,
    /// IP protocol number; `None` permits any.
    pub protocol: Option<u8>,
    /// Far-end ports, inclusive; `None` permits any, and fragments and protocols without ports too.
    pub ports: Option<(u16, u16)>,
}

/// What the garden needs to know of a packet: the far end is the destination upstream, the source downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    pub far_address: u32,
    pub protocol: u8,
    /// `None` where the packet shows no port: a later fragment, or a protocol without.
    pub far_port: Option<u16>,
}

/// One rule in shared memory: word 0 network and mask, word 1 protocol, flags, ports.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub struct RuleCells {
    prefix: AtomicU64,
    ports: AtomicU64,
}

// SAFETY: two atomic words fill the 16 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for RuleCells {}

const ANY_PROTOCOL: u64 = 1 << 8;
const ANY_PORT: u64 = 1 << 9;

impl RuleCells {
    fn fill(&self, rule: &Rule) {
        let mask = mask(rule.prefix_len);
        let network = u32::from(rule.network) & mask;
        self.prefix
            .store(u64::from(network) | u64::from(mask) << 32, Ordering::Relaxed);
        let protocol = rule.protocol.map_or(ANY_PROTOCOL, u64::from);
        let ports = rule.ports.map_or(ANY_PORT, |(low, high)| {
            u64::from(low) << 16 | u64::from(high) << 32
        });
        self.ports.store(protocol | ports, Ordering::Relaxed);
    }

    /// Copies the rule out.
    fn read(&self) -> Rule {
        let prefix = self.prefix.load(Ordering::Relaxed);
        let rest = self.ports.load(Ordering::Relaxed);
        Rule {
            network: Ipv4Addr::from(prefix as u32),
            prefix_len: ((prefix >> 32) as u32).leading_ones() as u8,
            protocol: (rest & ANY_PROTOCOL == 0).then_some(rest as u8),
            ports: (rest & ANY_PORT == 0).then_some(((rest >> 16) as u16, (rest >> 32) as u16)),
        }
    }

    #[inline(always)]
    fn permits(&self, flow: &Flow) -> bool {
        let prefix = self.prefix.load(Ordering::Relaxed);
        if flow.far_address & (prefix >> 32) as u32 != prefix as u32 {
            return false;
        }
        let rest = self.ports.load(Ordering::Relaxed);
        if rest & ANY_PROTOCOL == 0 && flow.protocol != rest as u8 {
            return false;
        }
        rest & ANY_PORT != 0
            || flow
                .far_port
                .is_some_and(|port| port >= (rest >> 16) as u16 && port <= (rest >> 32) as u16)
    }
}

/// The network mask of a prefix length (at most 32).
#[inline(always)]
pub fn mask(prefix_len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix_len.min(32)))
        .unwrap_or(0)
}

/// What the garden says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Permitted,
    Refused,
    /// The profile has no rules: control never wrote it, or the memory is corrupt.
    Missing,
}

/// Profiles and rules.
#[derive(Clone, Debug)]
pub struct Gardens {
    pub(crate) profiles: Shared<AtomicU64>,
    pub(crate) rules: Shared<RuleCells>,
}

impl Gardens {
    pub fn rule_capacity(&self) -> usize {
        self.rules.len()
    }

    /// Judges a packet of a session in garden `profile`.
    #[inline]
    pub fn judge(&self, profile: u8, flow: &Flow) -> Judgement {
        let word = self.profiles[usize::from(profile)].load(Ordering::Acquire);
        let (start, count) = (word as u32 as usize, (word >> 32) as usize);
        match self.rules.get(start..start.saturating_add(count)) {
            None | Some([]) => Judgement::Missing,
            Some(rules) if rules.iter().any(|rule| rule.permits(flow)) => Judgement::Permitted,
            Some(_) => Judgement::Refused,
        }
    }

    /// Control only: writes rules into cells that no profile uses, from `start` on.
    pub fn fill(&self, start: usize, rules: &[Rule]) {
        for (cells, rule) in self.rules[start..start + rules.len()].iter().zip(rules) {
            cells.fill(rule);
        }
    }

    /// Control only: profile `number` is now the rules `start..start + count`.
    pub fn set_profile(&self, number: u8, start: u32, count: u32) {
        self.profiles[usize::from(number)]
            .store(u64::from(start) | u64::from(count) << 32, Ordering::Release);
    }

    /// The rules of a profile as they stand; `None` where it has none or they do not lie in the table.
    pub fn read(&self, number: u8) -> Option<Vec<Rule>> {
        let (start, count) = self.profile(number);
        let rules = self
            .rules
            .get(start as usize..(start as usize).saturating_add(count as usize))?;
        (!rules.is_empty()).then(|| rules.iter().map(RuleCells::read).collect())
    }

    /// The run of rules of a profile, as (start, count).
    pub fn profile(&self, number: u8) -> (u32, u32) {
        let word = self.profiles[usize::from(number)].load(Ordering::Acquire);
        (word as u32, (word >> 32) as u32)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn gardens() -> Gardens {
        let gardens = Gardens {
            profiles: Shared::on_heap(PROFILES, || AtomicU64::new(0)),
            rules: Shared::on_heap(8, RuleCells::default),
        };
        let portal = Ipv4Addr::new(198, 51, 100, 80);
        gardens.fill(
            2,
            &[
                Rule {
                    network: portal,
                    prefix_len: 32,
                    protocol: Some(6),
                    ports: Some((80, 80)),
                },
                Rule {
                    network: Ipv4Addr::new(8, 8, 8, 8),
                    prefix_len: 32,
                    protocol: Some(17),
                    ports: Some((53, 53)),
                },
                Rule {
                    network: portal,
                    prefix_len: 24,
                    protocol: Some(1),
                    ports: None,
                },
            ],
        );
        gardens.set_profile(1, 2, 3);
        gardens
    }

    fn judge(far: [u8; 4], protocol: u8, far_port: Option<u16>) -> Judgement {
        let flow = Flow {
            far_address: u32::from(Ipv4Addr::from(far)),
            protocol,
            far_port,
        };
        gardens().judge(1, &flow)
    }

    #[test]
    fn destination_protocol_and_port_must_all_fit() {
        assert_eq!(judge([198, 51, 100, 80], 6, Some(80)), Judgement::Permitted);
        assert_eq!(judge([198, 51, 100, 80], 6, Some(81)), Judgement::Refused);
        assert_eq!(judge([198, 51, 100, 80], 17, Some(80)), Judgement::Refused);
        assert_eq!(judge([198, 51, 100, 81], 6, Some(80)), Judgement::Refused);
        assert_eq!(judge([198, 51, 100, 80], 6, None), Judgement::Refused);
        assert_eq!(judge([8, 8, 8, 8], 17, Some(53)), Judgement::Permitted);
        assert_eq!(judge([9, 9, 9, 9], 17, Some(53)), Judgement::Refused);
        assert_eq!(judge([198, 51, 100, 7], 1, None), Judgement::Permitted);
    }

    #[test]
    fn rules_read_back_as_they_were_filled() {
        let gardens = gardens();
        let rules = gardens.read(1).unwrap();
        assert_eq!(rules.len(), 3);
        assert_eq!(rules[0].ports, Some((80, 80)));
        assert_eq!(
            rules[2],
            Rule {
                network: Ipv4Addr::new(198, 51, 100, 0),
                prefix_len: 24,
                protocol: Some(1),
                ports: None,
            }
        );
        assert_eq!(gardens.read(9), None);
        gardens.set_profile(9, u32::MAX, u32::MAX);
        assert_eq!(gardens.read(9), None);
    }

    #[test]
    fn a_profile_that_is_not_there_permits_nothing() {
        let gardens = gardens();
        let flow = Flow {
            far_address: 0,
            protocol: 6,
            far_port: Some(80),
        };

        assert_eq!(gardens.judge(9, &flow), Judgement::Missing);
        gardens.set_profile(9, u32::MAX, u32::MAX);
        assert_eq!(gardens.judge(9, &flow), Judgement::Missing);
    }
}
