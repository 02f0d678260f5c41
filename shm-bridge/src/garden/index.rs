//! The index in shared memory, and how a packet is judged by it.
//!
//! A trie word (32 bits) is a kind and a number:
//!
//! | kind | number | leads to |
//! |---|---|---|
//! | 0 run | cell of `rules` | the rules of the longest prefix; 0: there is none |
//! | 1 upper node | of `nodes` | 64 words, by bits 6 to 11 of the address |
//! | 2 lower node | of `nodes` | 64 words, by bits 0 to 5 |
//! | 3 lone prefix | of `lone` | network, mask, and the word inside and outside of it: a subtree of one prefix needs no nodes |
//!
//! A run is the rules of one prefix, of all profiles, sorted by profile: `prefix · header (parent, count) · rules`, a word each. The
//! parent is the run of the longest prefix around this one, so that nothing is copied downwards. A short run lies in one cache line.
//! Cell 0 is the run of no prefix; cell 1 says where the runs end.
//!
//! The sums, for R rules: a node stands for two prefixes at least and k prefixes have at most k of them (two in one lower node
//! need that and the upper one), so R nodes are enough, as are R lone prefixes. A run of n rules takes n + 2 cells, and a line ends early only where
//! the next run does not fit, which is worst with runs of one rule: two to a line, four cells a rule.
//!
//! Nothing here is believed: every number is checked against its table, a walk ends after two steps, a chain of runs after
//! 33, one for each prefix length.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use super::{Flow, Judgement, PROFILES, Rule};
use crate::shared::Shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Bits of an address that one node decides.
const STRIDE: u32 = 6;
/// Words of the root: the upper 20 bits decide. 4 MiB, of which traffic to a few places touches a few lines.
pub const ROOT: usize = 1 << (32 - 2 * STRIDE);
/// Words of a node.
pub const NODE: usize = 1 << STRIDE;
/// Steps from the root to a run, at most.
pub const STEPS: usize = 2;
/// Prefix lengths there are, so runs in a chain.
const CHAIN_MAX: usize = 33;
/// Cells of a cache line.
pub(super) const LINE: usize = 8;
/// A run longer than this is searched for the profile's first rule.
const SHORT: usize = 8;

/// Cells of `rules` for so many rules.
pub const fn rule_cells(rules: usize) -> usize {
    (4 * rules + 2 * LINE).next_multiple_of(LINE)
}

/// Words of profile bits.
pub const PROFILE_WORDS: usize = PROFILES / 64;

/// A lone prefix: network and mask, then the words inside and outside.
pub type LoneCells = [AtomicU32; 4];
/// A node.
pub type NodeCells = [AtomicU32; NODE];

/// A word of the trie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Word(pub u32);

const KIND_SHIFT: u32 = 30;
const NUMBER: u32 = (1 << KIND_SHIFT) - 1;
const UPPER: u32 = 1;
const LOWER: u32 = 2;
const LONE: u32 = 3;

impl Word {
    pub const fn run(cell: u32) -> Word {
        Word(cell & NUMBER)
    }

    pub const fn upper(node: u32) -> Word {
        Word(UPPER << KIND_SHIFT | node & NUMBER)
    }

    pub const fn lower(node: u32) -> Word {
        Word(LOWER << KIND_SHIFT | node & NUMBER)
    }

    pub const fn lone(number: u32) -> Word {
        Word(LONE << KIND_SHIFT | number & NUMBER)
    }

    #[inline(always)]
    const fn kind(self) -> u32 {
        self.0 >> KIND_SHIFT
    }

    #[inline(always)]
    const fn number(self) -> usize {
        (self.0 & NUMBER) as usize
    }
}

/// Where an address lies in the root.
#[inline(always)]
pub(super) const fn root_slot(address: u32) -> usize {
    (address >> (2 * STRIDE)) as usize
}

/// Where an address lies in an upper node.
#[inline(always)]
pub(super) const fn upper_slot(address: u32) -> usize {
    (address >> STRIDE) as usize % NODE
}

/// Where an address lies in a lower node.
#[inline(always)]
pub(super) const fn lower_slot(address: u32) -> usize {
    address as usize % NODE
}

const HIGH_SHIFT: u32 = 16;
const PROTOCOL_SHIFT: u32 = 40;
const PROTOCOL_MASK_SHIFT: u32 = 48;
const PROFILE_SHIFT: u32 = 56;
/// A port has 16 bits; "no port" is the number after the last.
const NO_PORT: u32 = 1 << 16;
/// The upper end of a rule for any port, and none: 17 bits.
const ANY_PORT: u32 = NO_PORT;

/// A rule in one word: ports low (bits 0 to 15) and high (16 to 32), protocol (40), the bits of it that count (48), profile (56).
/// The prefix is the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleWord(pub u64);

impl RuleWord {
    pub fn new(profile: u8, rule: &Rule) -> RuleWord {
        let (low, high) = rule
            .ports
            .map_or((0, ANY_PORT), |(low, high)| (low, u32::from(high)));
        let (protocol, counts) = rule.protocol.map_or((0, 0), |protocol| (protocol, u8::MAX));
        RuleWord(
            u64::from(low)
                | u64::from(high) << HIGH_SHIFT
                | u64::from(protocol) << PROTOCOL_SHIFT
                | u64::from(counts) << PROTOCOL_MASK_SHIFT
                | u64::from(profile) << PROFILE_SHIFT,
        )
    }

    fn rule(self, network: Ipv4Addr, prefix_len: u8) -> Rule {
        let is_any_port = self.high() >= ANY_PORT;
        Rule {
            network,
            prefix_len,
            protocol: ((self.0 >> PROTOCOL_MASK_SHIFT) as u8 != 0)
                .then_some((self.0 >> PROTOCOL_SHIFT) as u8),
            ports: (!is_any_port).then_some((self.0 as u16, self.high() as u16)),
        }
    }

    #[inline(always)]
    fn profile(self) -> u8 {
        (self.0 >> PROFILE_SHIFT) as u8
    }

    #[inline(always)]
    fn high(self) -> u32 {
        (self.0 >> HIGH_SHIFT) as u32 & 0x1_ffff
    }

    #[inline(always)]
    fn permits(self, protocol: u8, port: u32) -> bool {
        let differs = (self.0 >> PROTOCOL_SHIFT) as u8 ^ protocol;
        let counts = (self.0 >> PROTOCOL_MASK_SHIFT) as u8;
        (differs & counts == 0) & (port >= u32::from(self.0 as u16)) & (port <= self.high())
    }
}

/// The head of a run.
pub(super) struct Header;

const COUNT_SHIFT: u32 = 32;
const COUNT_MASK: u64 = (1 << 24) - 1;

impl Header {
    pub fn word(parent: u32, count: usize) -> u64 {
        u64::from(parent) | (count as u64 & COUNT_MASK) << COUNT_SHIFT
    }

    #[inline(always)]
    fn parts(word: u64) -> (usize, usize) {
        (word as u32 as usize, (word >> COUNT_SHIFT & COUNT_MASK) as usize)
    }
}

/// Not 0, so that a prefix differs from the padding before a line.
const IS_PREFIX: u64 = 1 << 63;

/// The word before a run's header, which only reading back looks at.
pub(super) fn prefix_word(network: u32, prefix_len: u8) -> u64 {
    IS_PREFIX | u64::from(prefix_len) << 32 | u64::from(network)
}

/// Room for one index.
#[derive(Clone, Debug)]
pub(crate) struct Half {
    /// Bit n: profile n has rules.
    pub profiles: Shared<AtomicU64>,
    pub root: Shared<AtomicU32>,
    pub nodes: Shared<NodeCells>,
    pub lone: Shared<LoneCells>,
    pub rules: Shared<AtomicU64>,
}

impl Half {
    pub fn rule_capacity(&self) -> usize {
        self.lone.len()
    }

    /// Every profile's rules.
    pub fn read(&self) -> BTreeMap<u8, Vec<Rule>> {
        let word = |cell: usize| self.rules.get(cell).map(|cell| cell.load(Ordering::Relaxed));
        let end = word(1).map_or(0, |end| (end as usize).min(self.rules.len()));
        let mut all: BTreeMap<u8, Vec<Rule>> = BTreeMap::new();
        let mut at = LINE;
        while at < end {
            let Some(prefix) = word(at).filter(|prefix| *prefix != 0) else {
                at += 1;
                continue;
            };
            let (network, prefix_len) = (Ipv4Addr::from(prefix as u32), (prefix >> 32) as u8 & 0x3f);
            let (_, count) = Header::parts(word(at + 1).unwrap_or(0));
            let rules = at + 2..(at + 2).saturating_add(count).min(end);
            for rule in rules.clone().filter_map(word).map(RuleWord) {
                let rules = all.entry(rule.profile()).or_default();
                rules.push(rule.rule(network, prefix_len.min(32)));
            }
            at = rules.end.max(at + 2);
        }
        all.into_iter()
            .map(|(profile, rules)| (profile, super::canonical(&rules)))
            .collect()
    }
}

/// A packet on its way from the root to a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    address: u32,
    word: Word,
}

/// The live index, to be used for one burst.
///
/// A burst overlaps its misses by doing each of these for all its packets before the next: prefetch [`Index::root_cell`]; [`Index::walk`]
/// and prefetch [`Index::cell`]; twice [`Index::step`] and prefetch `cell`; [`Index::judge_at`]. A walk that has arrived stays where it is, and its
/// cell is then the run's header, so no step needs to be asked whether it is the last.
#[derive(Clone, Copy, Debug)]
pub struct Index<'a>(pub(super) &'a Half);

impl Index<'_> {
    /// The first cell that a walk to `address` reads. To be prefetched: the pointer may dangle.
    #[inline(always)]
    pub fn root_cell(self, address: u32) -> *const u8 {
        self.0.root.as_ptr().wrapping_add(root_slot(address)).cast()
    }

    /// Reads the root.
    #[inline(always)]
    pub fn walk(self, address: u32) -> Walk {
        let word = self.0.root.get(root_slot(address));
        let word = word.map_or(Word(0), |cell| Word(cell.load(Ordering::Relaxed)));
        Walk { address, word }
    }

    /// The next cell that is read for this walk, by a step or by the judgement. To be prefetched: the pointer may dangle where the memory
    /// is corrupt.
    #[inline(always)]
    pub fn cell(self, walk: Walk) -> *const u8 {
        let number = walk.word.number();
        match walk.word.kind() {
            UPPER => node_cell(&self.0.nodes, number, upper_slot(walk.address)),
            LOWER => node_cell(&self.0.nodes, number, lower_slot(walk.address)),
            LONE => self.0.lone.as_ptr().wrapping_add(number).cast(),
            _ => self.0.rules.as_ptr().wrapping_add(number).cast(),
        }
    }

    /// One step towards the run; none where it was reached.
    #[inline(always)]
    pub fn step(self, walk: Walk) -> Walk {
        let number = walk.word.number();
        let next = match walk.word.kind() {
            0 => return walk,
            LONE => self.0.lone.get(number).map(|[network, mask, inside, outside]| {
                let differs = (walk.address ^ network.load(Ordering::Relaxed)) & mask.load(Ordering::Relaxed);
                let (inside, outside) = (inside.load(Ordering::Relaxed), outside.load(Ordering::Relaxed));
                if differs == 0 { inside } else { outside }
            }),
            kind => self.0.nodes.get(number).map(|node| {
                let slot = if kind == UPPER {
                    upper_slot(walk.address)
                } else {
                    lower_slot(walk.address)
                };
                node[slot].load(Ordering::Relaxed)
            }),
        };
        Walk {
            word: Word(next.unwrap_or(0)),
            ..walk
        }
    }

    /// Judges a packet whose walk took [`STEPS`] steps. One that has not arrived then, in corrupt memory, is led to no rules.
    #[inline(always)]
    pub fn judge_at(self, walk: Walk, profile: u8, flow: &Flow) -> Judgement {
        let port = flow.far_port.map_or(NO_PORT, u32::from);
        let mut at = if walk.word.kind() == 0 {
            walk.word.number()
        } else {
            0
        };
        for _ in 0..CHAIN_MAX {
            if at == 0 {
                break;
            }
            let Some(run) = self.run(at) else {
                break;
            };
            if run.permits(profile, flow.protocol, port) {
                return Judgement::Permitted;
            }
            at = run.parent;
        }
        self.not_permitted(profile)
    }

    /// Judges one packet from the root on.
    #[inline(always)]
    pub fn judge(self, profile: u8, flow: &Flow) -> Judgement {
        let mut walk = self.walk(flow.far_address);
        for _ in 0..STEPS {
            walk = self.step(walk);
        }
        self.judge_at(walk, profile, flow)
    }

    #[inline(always)]
    fn run(&self, at: usize) -> Option<Run<'_>> {
        let header = self.0.rules.get(at)?.load(Ordering::Relaxed);
        let (parent, count) = Header::parts(header);
        let rules = self.0.rules.get(at + 1..at + 1 + count)?;
        Some(Run { parent, rules })
    }

    /// Only who is refused asks whether there is a profile at all.
    #[inline(always)]
    fn not_permitted(self, profile: u8) -> Judgement {
        let profile = usize::from(profile);
        let word = self.0.profiles.get(profile / 64);
        let word = word.map_or(0, |word| word.load(Ordering::Relaxed));
        if word >> (profile % 64) & 1 == 1 {
            Judgement::Refused
        } else {
            Judgement::Missing
        }
    }
}

#[inline(always)]
fn node_cell(nodes: &[NodeCells], node: usize, slot: usize) -> *const u8 {
    let first: *const AtomicU32 = nodes.as_ptr().wrapping_add(node).cast();
    first.wrapping_add(slot).cast()
}

/// The rules of one prefix.
struct Run<'a> {
    parent: usize,
    rules: &'a [AtomicU64],
}

impl Run<'_> {
    #[inline(always)]
    fn permits(&self, profile: u8, protocol: u8, port: u32) -> bool {
        let rules = if self.rules.len() <= SHORT {
            self.rules
        } else {
            self.from(profile)
        };
        for cell in rules {
            let rule = RuleWord(cell.load(Ordering::Relaxed));
            if rule.profile() > profile {
                return false;
            }
            if rule.profile() == profile && rule.permits(protocol, port) {
                return true;
            }
        }
        false
    }

    /// A long run from the profile's first rule on.
    #[inline(never)]
    fn from(&self, profile: u8) -> &[AtomicU64] {
        let first = self
            .rules
            .partition_point(|cell| RuleWord(cell.load(Ordering::Relaxed)).profile() < profile);
        self.rules.get(first..).unwrap_or(&[])
    }
}
