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
//! A run is the rules of one prefix, of all profiles, sorted: `prefix · rules · link`, a word each. The link leads to the run of the
//! longest prefix around this one, so that nothing is copied downwards. Up to six rules lie in one cache line with both; before many lies a
//! word that counts them, and they are searched. Cell 0 links nowhere: it is the run of no prefix. Cell 1 says where the runs end.
//!
//! The sums, for R rules: a node stands for two prefixes at least and k prefixes have at most k of them (two in one lower node
//! need that and the upper one), so R nodes are enough, as are R lone prefixes. A run of n rules takes n + 2 cells (n + 3 if it is long), and a line ends early only where
//! the next run does not fit, which is worst with runs of one rule: two to a line, four cells a rule.
//!
//! Nothing here is believed: every number is checked against its table, a walk ends after two steps, and a judgement looks at no more
//! rules than there are cells.

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
/// Cells of a cache line.
pub(super) const LINE: usize = 8;
/// A run of more rules than this is searched for the profile's first one.
pub(super) const SHORT: usize = 8;

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

const SPAN_SHIFT: u32 = 16;
const SPAN_MASK: u32 = (1 << 17) - 1;
const NEVER: u64 = 1 << 33;
const PROTOCOL_SHIFT: u32 = 40;
const COUNTS_SHIFT: u32 = 48;
const PROFILE_SHIFT: u32 = 56;
const PROFILE_MASK: u64 = 0xff << PROFILE_SHIFT;
/// A port has 16 bits; "no port" is the number after the last.
const NO_PORT: u32 = 1 << 16;

/// A rule in one word: the first port (bits 0 to 15), how many follow (16 to 32), "permits nothing" (33), protocol (40 to 47), which bits of that
/// count (48 to 55), profile (56 to 63). The prefix is the run's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RuleWord(pub u64);

impl RuleWord {
    pub fn new(profile: u8, rule: &Rule) -> RuleWord {
        let (low, span, never) = match rule.ports {
            None => (0, NO_PORT, 0),
            Some((low, high)) => {
                let never = if low > high { NEVER } else { 0 };
                (low, u32::from(high.wrapping_sub(low)), never)
            }
        };
        let (protocol, counts) = rule.protocol.map_or((0, 0), |protocol| (protocol, u8::MAX));
        RuleWord(
            u64::from(low)
                | u64::from(span) << SPAN_SHIFT
                | never
                | u64::from(protocol) << PROTOCOL_SHIFT
                | u64::from(counts) << COUNTS_SHIFT
                | u64::from(profile) << PROFILE_SHIFT,
        )
    }

    fn rule(self, network: Ipv4Addr, prefix_len: u8) -> Rule {
        let low = self.0 as u16;
        Rule {
            network,
            prefix_len,
            protocol: ((self.0 >> COUNTS_SHIFT) as u8 != 0).then_some((self.0 >> PROTOCOL_SHIFT) as u8),
            ports: (self.span() < NO_PORT).then(|| (low, low.wrapping_add(self.span() as u16))),
        }
    }

    /// 0: not a rule.
    #[inline(always)]
    fn profile(self) -> u8 {
        (self.0 >> PROFILE_SHIFT) as u8
    }

    #[inline(always)]
    fn span(self) -> u32 {
        (self.0 >> SPAN_SHIFT) as u32 & SPAN_MASK
    }
}

/// What of a packet a rule word is compared with.
#[derive(Clone, Copy)]
struct Asked {
    /// Profile and protocol where a rule word has them.
    key: u64,
    port: u32,
}

impl Asked {
    #[inline(always)]
    fn new(profile: u8, flow: &Flow) -> Asked {
        Asked {
            key: u64::from(profile) << PROFILE_SHIFT | u64::from(flow.protocol) << PROTOCOL_SHIFT,
            port: flow.far_port.map_or(NO_PORT, u32::from),
        }
    }

    #[inline(always)]
    fn profile(self) -> u8 {
        RuleWord(self.key).profile()
    }

    #[inline(always)]
    fn is_permitted_by(self, rule: RuleWord) -> bool {
        let protocol = rule.0 >> (COUNTS_SHIFT - PROTOCOL_SHIFT) & 0xff << PROTOCOL_SHIFT;
        let differs = (rule.0 ^ self.key) & (protocol | PROFILE_MASK | NEVER);
        let is_port = self.port.wrapping_sub(u32::from(rule.0 as u16)) <= rule.span();
        differs == 0 && is_port
    }
}

/// A link to the run at `parent`: the end of a run. As a rule of profile 0 it permits nothing.
pub(super) fn link_word(parent: u32) -> u64 {
    NEVER | u64::from(parent)
}

const IS_LONG: u64 = 1 << 55;

/// The word before the rules of a long run.
pub(super) fn long_word(count: usize) -> u64 {
    NEVER | IS_LONG | count as u64 & u64::from(u32::MAX)
}

/// Not 0, so that a prefix differs from the padding before a line.
const IS_PREFIX: u64 = 1 << 63;

/// The word before a run, which only reading back looks at.
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
            let prefix = word(at).unwrap_or(0);
            at += 1;
            if prefix == 0 {
                continue;
            }
            let (network, prefix_len) = (Ipv4Addr::from(prefix as u32), (prefix >> 32) as u8 & 0x3f);
            if word(at).is_some_and(|word| word >> PROFILE_SHIFT == 0 && word & IS_LONG != 0) {
                at += 1;
            }
            while let Some(rule) = word(at).map(RuleWord).filter(|rule| rule.profile() != 0) {
                let rules = all.entry(rule.profile()).or_default();
                rules.push(rule.rule(network, prefix_len.min(32)));
                at += 1;
            }
            // Past the link.
            at += 1;
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
/// cell is then the run's first rule, so no step needs to be asked whether it is the last.
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
        let rules: &[AtomicU64] = &self.0.rules;
        let asked = Asked::new(profile, flow);
        let mut at = walk.word.number();
        if at == 0 || walk.word.kind() != 0 {
            return self.not_permitted(profile);
        }
        // No run is met twice, so whoever counts to the end has been led in a circle.
        for _ in 0..rules.len() {
            let Some(cell) = rules.get(at) else {
                break;
            };
            let word = RuleWord(cell.load(Ordering::Relaxed));
            if asked.is_permitted_by(word) {
                return Judgement::Permitted;
            }
            at = if word.profile() != 0 {
                at + 1
            } else if word.0 & IS_LONG == 0 {
                word.0 as u32 as usize
            } else {
                match self.long_run(at + 1, word.0 as u32 as usize, asked) {
                    Some(parent) => parent,
                    None => return Judgement::Permitted,
                }
            };
            if at == 0 {
                break;
            }
        }
        self.not_permitted(profile)
    }

    /// Where a long run's link leads if none of its rules permits.
    #[cold]
    #[inline(never)]
    fn long_run(self, first: usize, count: usize, asked: Asked) -> Option<usize> {
        let load = |cell: &AtomicU64| RuleWord(cell.load(Ordering::Relaxed));
        let Some(run) = self.0.rules.get(first..first.saturating_add(count)) else {
            return Some(0);
        };
        let profile = asked.profile();
        let own = run.partition_point(|cell| load(cell).profile() < profile);
        let own = run.get(own..).unwrap_or(&[]).iter().map(load);
        let permitted = own
            .take_while(|rule| rule.profile() == profile)
            .any(|rule| asked.is_permitted_by(rule));
        let link = self.0.rules.get(first.saturating_add(count));
        (!permitted).then(|| link.map_or(0, |cell| load(cell).0 as u32 as usize))
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
