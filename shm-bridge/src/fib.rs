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

/// Entries of `tbl24`; two in a model.
pub const TBL24: usize = if cfg!(loom) { 2 } else { 1 << 24 };
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
const ADJACENCY: u32 = 2;
const SESSION: u32 = 3;

impl Leaf {
    fn to_word(self) -> u32 {
        let (kind, value) = match self {
            Leaf::None => (0, 0),
            Leaf::Adjacency(index) => (ADJACENCY, index.0),
            Leaf::Session(index) => (SESSION, index.get()),
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
            ADJACENCY => Leaf::Adjacency(AdjacencyIndex(value)),
            SESSION => SessionIndex::new(value).map_or(Leaf::None, Leaf::Session),
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
    /// The table with its places at hand, for a loop over many addresses.
    #[inline(always)]
    pub fn view(&self) -> FibView<'_> {
        FibView {
            tbl24: self.tbl24.first_chunk().expect("tbl24 has TBL24 entries"),
            tbl8: &self.tbl8,
            default: &self.default,
        }
    }

    /// The first cell that a lookup reads, so that a burst can prefetch it.
    #[inline(always)]
    pub fn cell(&self, address: u32) -> &AtomicU32 {
        self.view().cell(address)
    }

    /// The second cell that a lookup reads, if it reads one.
    #[inline(always)]
    pub fn group_cell(&self, address: u32) -> Option<&AtomicU32> {
        self.view().group_cell(address)
    }

    /// The longest match for an address.
    #[inline(always)]
    pub fn lookup(&self, address: u32) -> Leaf {
        self.view().lookup(address)
    }
}

/// A [`Fib`] by reference.
#[derive(Clone, Copy, Debug)]
pub struct FibView<'t> {
    tbl24: &'t [AtomicU32; TBL24],
    tbl8: &'t [[AtomicU32; GROUP]],
    default: &'t [AtomicU64],
}

impl<'t> FibView<'t> {
    /// See [`Fib::cell`].
    #[inline(always)]
    pub fn cell(self, address: u32) -> &'t AtomicU32 {
        &self.tbl24[(address >> 8) as usize]
    }

    /// See [`Fib::group_cell`].
    #[inline(always)]
    pub fn group_cell(self, address: u32) -> Option<&'t AtomicU32> {
        let word = self.cell(address).load(Ordering::Acquire);
        if word >> KIND_SHIFT != LINK {
            return None;
        }
        let group = self.tbl8.get((word & VALUE_MASK) as usize)?;
        Some(&group[address as usize % GROUP])
    }

    /// See [`Fib::lookup`].
    #[inline(always)]
    pub fn lookup(self, address: u32) -> Leaf {
        Leaf::from_word(self.word(address))
    }

    /// What the first cell says of the address, unread.
    #[inline(always)]
    pub fn route(self, address: u32) -> Route {
        Route(self.cell(address).load(Ordering::Acquire))
    }

    /// The adjacency that an address leads to; `None` where it leads elsewhere.
    #[inline(always)]
    pub fn adjacency(self, address: u32) -> Option<AdjacencyIndex> {
        let word = self.word(address);
        (word >> KIND_SHIFT == ADJACENCY).then_some(AdjacencyIndex(word & VALUE_MASK))
    }

    /// The session that an address leads to; `None` where it leads elsewhere.
    #[inline(always)]
    pub fn session(self, address: u32) -> Option<SessionIndex> {
        let word = self.word(address);
        if word >> KIND_SHIFT != SESSION {
            return None;
        }
        SessionIndex::new(word & VALUE_MASK)
    }

    #[inline(always)]
    fn word(self, address: u32) -> u32 {
        let mut word = self.cell(address).load(Ordering::Acquire);
        if word >> KIND_SHIFT == LINK {
            word = match self.tbl8.get((word & VALUE_MASK) as usize) {
                Some(group) => group[address as usize % GROUP].load(Ordering::Acquire),
                None => 0,
            };
        }
        if word == 0 {
            word = self.default[0].load(Ordering::Acquire) as u32;
        }
        word
    }
}

/// What the first cell says of an address: addresses with the same shared route lead to the same place, as long as the table stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route(u32);

impl Route {
    /// A word of no meaning: it leads nowhere.
    pub const NOWHERE: Route = Route(u32::MAX);

    /// Whether it is the answer; else each address has its own.
    #[inline(always)]
    pub fn is_shared(self) -> bool {
        self.0 >> KIND_SHIFT != LINK
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
