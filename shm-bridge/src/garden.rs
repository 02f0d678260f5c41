//! Garden profiles: what a session that is not active may reach, by destination prefix, protocol and port. The same rules judge
//! return traffic by its source.
//!
//! A packet is judged in a few loads, however many prefixes, lengths and profiles there are: a trie of all profiles' prefixes leads from
//! the far end's address to the rules of its longest prefix, and from those to the rules of the prefixes around it ([`index`]).
//!
//! ```text
//!  address ─► root[upper 20 bits] ─┬───────────────────────────────────────────────────────────► run of rules ─► run of the
//!                                  ├► node[next 6 bits] ─┬─────────────────────────────────────► (of a prefix)   prefix around
//!                                  │                     └► node[last 6 bits], or lone prefix ─►                 it, ─► …
//!                                  └► lone prefix ─────────────────────────────────────────────►
//! ```
//!
//! The segment has room for two indexes. Control builds a whole one in the half that nobody reads, and one store makes it the live
//! one: before it every packet is judged by the old rules, after it by the new, and a profile that both have is never missing. The
//! half that was live is written again only when no worker can still be reading it ([`writer::GardenWriter`]).
//!
//! There is room by construction: whatever the rules are, an index of `limits.garden_rules` of them fits ([`index`] has the sums).

pub mod index;
pub mod plain;
pub(crate) mod plan;
pub mod writer;

use std::net::Ipv4Addr;

use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};

pub use index::{Index, Walk};
pub use writer::{GardenError, GardenWriter};

use index::Half;

/// Profile numbers a policy word can name; 0 means "no garden".
pub const PROFILES: usize = 256;
/// Indexes there is room for: the live one and the next.
pub const HALVES: usize = 2;

/// What of IP a rule permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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

/// What the garden says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Permitted,
    Refused,
    /// The profile has no rules: control never wrote it, or the memory is corrupt.
    Missing,
}

/// The network mask of a prefix length (at most 32).
#[inline(always)]
pub fn mask(prefix_len: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(prefix_len.min(32)))
        .unwrap_or(0)
}

/// All profiles, as both sides see them.
#[derive(Clone, Debug)]
pub struct Gardens {
    /// One word: how often an index was made the live one; its parity says which half that is.
    pub(crate) live: Shared<AtomicU64>,
    pub(crate) halves: [Half; HALVES],
}

impl Gardens {
    /// How many rules all profiles together may have.
    pub fn rule_capacity(&self) -> usize {
        self.halves[0].rule_capacity()
    }

    /// The live index. A burst takes it once: it stands until the lcore's epoch slot moves on.
    #[inline(always)]
    pub fn index(&self) -> Index<'_> {
        self.index_and_version().0
    }

    /// The same, and a number that no other index has had: what was judged by an index of this number still stands.
    #[inline(always)]
    pub fn index_and_version(&self) -> (Index<'_>, u64) {
        let live = self.live[0].load(Ordering::Acquire);
        (Index(&self.halves[live as usize % HALVES]), live)
    }

    /// Judges a packet of a session in garden `profile`.
    #[inline(always)]
    pub fn judge(&self, profile: u8, flow: &Flow) -> Judgement {
        self.index().judge(profile, flow)
    }

    /// The rules of a profile as they stand, sorted and each once; `None` where it has none.
    pub fn read(&self, profile: u8) -> Option<Vec<Rule>> {
        self.read_all().remove(&profile)
    }

    /// The rules of every profile that has any, as they stand.
    pub fn read_all(&self) -> std::collections::BTreeMap<u8, Vec<Rule>> {
        self.index().0.read()
    }
}

/// Rules in the order in which they are read back: networks without host bits, sorted, each once.
pub fn canonical(rules: &[Rule]) -> Vec<Rule> {
    let mut rules: Vec<Rule> = rules.iter().map(Rule::without_host_bits).collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

impl Rule {
    fn without_host_bits(&self) -> Rule {
        let prefix_len = self.prefix_len.min(32);
        Rule {
            network: Ipv4Addr::from(u32::from(self.network) & mask(prefix_len)),
            prefix_len,
            ..*self
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
