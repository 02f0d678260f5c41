//! The FIB: DIR-24-8 (Gupta, Lin, McKeown 1998). A subscriber is a next hop like any other.
//!
//! The upper 24 bits of an address index `tbl24`; its leaf is the answer or a link to one of the `tbl8` groups, which the last 8
//! bits index. A group is filled before it is linked by a release store, and freed through a grace period. An empty
//! leaf means "the default route", which has a word of its own, so that a default route does not fill 64 MiB.

pub mod writer;

use crate::adjacency::AdjacencyIndex;
use crate::session::SessionIndex;
use crate::shared::Shared;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

pub use writer::{FibError, FibWriter, Prefix};

/// Entries of `tbl24`.
pub const TBL24: usize = 1 << 24;
/// Entries of a `tbl8` group; two in a model, where every word multiplies the interleavings.
pub const GROUP: usize = if cfg!(loom) { 2 } else { 256 };

const KIND_SHIFT: u32 = 29;
const VALUE_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// Where an address leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// No route.
    None,
    /// A next hop on the core side.
    Adjacency(AdjacencyIndex),
    /// A subscriber.
    Session(SessionIndex),
    /// An address of a pool that nobody has.
    Discard,
    /// One of our own addresses.
    Local,
    /// A network on a core port: control must resolve the host. The value is the port.
    Glean(u16),
}

const LINK: u32 = 1;

impl Leaf {
    fn to_word(self) -> u32 {
        let (kind, value) = match self {
            Leaf::None => (0, 0),
            Leaf::Adjacency(index) => (2, index.0),
            Leaf::Session(index) => (3, index.get()),
            Leaf::Discard => (4, 0),
            Leaf::Local => (5, 0),
            Leaf::Glean(port) => (6, u32::from(port)),
        };
        kind << KIND_SHIFT | value & VALUE_MASK
    }

    /// An unknown kind is no route.
    #[inline(always)]
    fn from_word(word: u32) -> Leaf {
        let value = word & VALUE_MASK;
        match word >> KIND_SHIFT {
            2 => Leaf::Adjacency(AdjacencyIndex(value)),
            3 => SessionIndex::new(value).map_or(Leaf::None, Leaf::Session),
            4 => Leaf::Discard,
            5 => Leaf::Local,
            6 => Leaf::Glean(value as u16),
            _ => Leaf::None,
        }
    }
}

/// The table as both sides see it.
#[derive(Clone, Debug)]
pub struct Fib {
    pub(crate) tbl24: Shared<AtomicU32>,
    pub(crate) tbl8: Shared<[AtomicU32; GROUP]>,
    /// One word: the leaf of the default route.
    pub(crate) default: Shared<AtomicU64>,
}

impl Fib {
    /// The first cell that a lookup reads, so that a burst can prefetch it.
    #[inline(always)]
    pub fn cell(&self, address: u32) -> &AtomicU32 {
        &self.tbl24[(address >> 8) as usize]
    }

    /// The second cell that a lookup reads, if it reads one.
    #[inline(always)]
    pub fn group_cell(&self, address: u32) -> Option<&AtomicU32> {
        let word = self.cell(address).load(Ordering::Acquire);
        if word >> KIND_SHIFT != LINK {
            return None;
        }
        let group = self.tbl8.get((word & VALUE_MASK) as usize)?;
        Some(&group[address as usize % GROUP])
    }

    /// The longest match for an address.
    #[inline(always)]
    pub fn lookup(&self, address: u32) -> Leaf {
        let mut word = self.tbl24[(address >> 8) as usize].load(Ordering::Acquire);
        if word >> KIND_SHIFT == LINK {
            word = match self.tbl8.get((word & VALUE_MASK) as usize) {
                Some(group) => group[address as usize % GROUP].load(Ordering::Acquire),
                None => 0,
            };
        }
        if word == 0 {
            word = self.default[0].load(Ordering::Acquire) as u32;
        }
        Leaf::from_word(word)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn leaves_survive_their_word_and_random_words_are_leaves() {
        let session = SessionIndex::new(77).unwrap();
        for leaf in [
            Leaf::None,
            Leaf::Adjacency(AdjacencyIndex(3)),
            Leaf::Session(session),
            Leaf::Discard,
            Leaf::Local,
            Leaf::Glean(7),
        ] {
            assert_eq!(Leaf::from_word(leaf.to_word()), leaf);
        }
        assert_eq!(Leaf::from_word(u32::MAX), Leaf::None);
        assert_eq!(Leaf::from_word(LINK << KIND_SHIFT), Leaf::None);
        assert_eq!(Leaf::from_word(3 << KIND_SHIFT), Leaf::None);
    }
}
