//! An index built in control's own memory, ready to be copied into a half of the segment.
//!
//! Prefixes are taken in the order of their networks, the shorter first, so that whatever lies around a prefix has its run, and its words in
//! the trie, before it:
//!
//! ```text
//!  rules of all profiles ─► by prefix ─► a run each ─► up to /20: words of the root
//!                                                      longer, alone in its /20 (or /26): a lone prefix
//!                                                      longer, one of several: a node
//! ```

use std::collections::BTreeMap;

use super::index::{
    LINE, NODE, PROFILE_WORDS, ROOT, RuleWord, SHORT, Word, link_word, long_word, lower_slot, prefix_word,
    root_slot, upper_slot,
};
use super::{Rule, mask};

/// The longest prefix that the root decides.
const ROOT_LEN: u8 = 20;
/// The longest prefix that an upper node decides.
const UPPER_LEN: u8 = 26;

/// The words of an index.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub profiles: Vec<u64>,
    pub root: Vec<u32>,
    pub nodes: Vec<[u32; NODE]>,
    pub lone: Vec<[u32; 4]>,
    pub rules: Vec<u64>,
}

/// A prefix with its run.
#[derive(Clone, Copy, Debug)]
struct Prefix {
    network: u32,
    len: u8,
    run: Word,
}

impl Prefix {
    fn contains(&self, other: &Prefix) -> bool {
        self.len <= other.len && (self.network ^ other.network) & mask(self.len) == 0
    }

    /// The prefix of `len` bits around this one.
    fn around(&self, len: u8) -> u32 {
        self.network & mask(len)
    }
}

impl Plan {
    /// The index of these profiles. Profile 0 is no garden, and its rules are left out.
    pub fn of<'a>(profiles: impl IntoIterator<Item = (u8, &'a [Rule])>) -> Plan {
        let mut plan = Plan {
            profiles: vec![0; PROFILE_WORDS],
            root: vec![0; ROOT],
            rules: vec![0; LINE],
            ..Plan::default()
        };
        let mut by_prefix: BTreeMap<(u32, u8), Vec<RuleWord>> = BTreeMap::new();
        for (profile, rules) in profiles.into_iter().filter(|(profile, _)| *profile != 0) {
            for rule in rules.iter().map(Rule::without_host_bits) {
                let prefix = (u32::from(rule.network), rule.prefix_len);
                by_prefix
                    .entry(prefix)
                    .or_default()
                    .push(RuleWord::new(profile, &rule));
                plan.profiles[usize::from(profile) / 64] |= 1 << (profile % 64);
            }
        }
        let prefixes = plan.lay_runs(by_prefix);
        plan.lead(&prefixes);
        plan
    }

    /// One rule for the first word of a root, in as few words as it takes: models count each.
    #[cfg(loom)]
    pub fn of_one_run(profile: u8, rule: &Rule) -> Plan {
        Plan {
            profiles: vec![1 << profile],
            root: vec![Word::run(2).0],
            rules: vec![0, 4, RuleWord::new(profile, rule).0, link_word(0)],
            ..Plan::default()
        }
    }

    /// Every prefix gets its run, linked to that of the longest prefix around it.
    fn lay_runs(&mut self, by_prefix: BTreeMap<(u32, u8), Vec<RuleWord>>) -> Vec<Prefix> {
        let mut prefixes: Vec<Prefix> = Vec::with_capacity(by_prefix.len());
        // The prefixes around the present one, the longest last.
        let mut around: Vec<Prefix> = Vec::new();
        for ((network, len), mut rules) in by_prefix {
            rules.sort_unstable();
            rules.dedup();
            let mut prefix = Prefix {
                network,
                len,
                run: Word(0),
            };
            while around.pop_if(|outer| !outer.contains(&prefix)).is_some() {}
            let parent = around.last().map_or(0, |outer| outer.run.0);
            prefix.run = self.lay_run(&prefix, parent, &rules);
            around.push(prefix);
            prefixes.push(prefix);
        }
        self.rules[1] = self.rules.len() as u64;
        prefixes
    }

    fn lay_run(&mut self, prefix: &Prefix, parent: u32, rules: &[RuleWord]) -> Word {
        let is_long = rules.len() > SHORT;
        let cells = rules.len() + 2;
        let left = LINE - self.rules.len() % LINE;
        if cells > left && cells <= LINE {
            self.rules.extend(std::iter::repeat_n(0, left));
        }
        self.rules.push(prefix_word(prefix.network, prefix.len));
        let start = self.rules.len();
        if is_long {
            self.rules.push(long_word(rules.len()));
        }
        self.rules.extend(rules.iter().map(|rule| rule.0));
        self.rules.push(link_word(parent));
        Word::run(start as u32)
    }

    /// The trie leads to the runs.
    fn lead(&mut self, prefixes: &[Prefix]) {
        let of_root = |prefix: &Prefix| (prefix.len > ROOT_LEN).then(|| prefix.around(ROOT_LEN));
        for group in prefixes.chunk_by(|a, b| of_root(a).is_some() && of_root(a) == of_root(b)) {
            let first = group[0];
            let slot = root_slot(first.network);
            if first.len <= ROOT_LEN {
                self.root[slot..slot + span(first.len, ROOT_LEN)].fill(first.run.0);
            } else {
                self.root[slot] = self.below(group, Word(self.root[slot]), Plan::upper).0;
            }
        }
    }

    /// The word of a subtree of which `group` are all prefixes, and `outside` what lies around them.
    fn below(
        &mut self,
        group: &[Prefix],
        outside: Word,
        node: fn(&mut Plan, &[Prefix], Word) -> Word,
    ) -> Word {
        match group {
            [lone] => {
                self.lone
                    .push([lone.network, mask(lone.len), lone.run.0, outside.0]);
                Word::lone(self.lone.len() as u32 - 1)
            }
            several => node(self, several, outside),
        }
    }

    /// A node for the prefixes of one /20.
    fn upper(&mut self, group: &[Prefix], outside: Word) -> Word {
        let number = self.nodes.len();
        self.nodes.push([outside.0; NODE]);
        let of_node = |prefix: &Prefix| (prefix.len > UPPER_LEN).then(|| prefix.around(UPPER_LEN));
        for group in group.chunk_by(|a, b| of_node(a).is_some() && of_node(a) == of_node(b)) {
            let first = group[0];
            let slot = upper_slot(first.network);
            if first.len <= UPPER_LEN {
                self.nodes[number][slot..slot + span(first.len, UPPER_LEN)].fill(first.run.0);
            } else {
                let outside = Word(self.nodes[number][slot]);
                self.nodes[number][slot] = self.below(group, outside, Plan::lower).0;
            }
        }
        Word::upper(number as u32)
    }

    /// A node for the prefixes of one /26.
    fn lower(&mut self, group: &[Prefix], outside: Word) -> Word {
        let mut node = [outside.0; NODE];
        for prefix in group {
            let slot = lower_slot(prefix.network);
            node[slot..slot + span(prefix.len, 32)].fill(prefix.run.0);
        }
        self.nodes.push(node);
        Word::lower(self.nodes.len() as u32 - 1)
    }
}

/// How many prefixes of `of` bits a shorter one has.
fn span(len: u8, of: u8) -> usize {
    1 << (of - len)
}
