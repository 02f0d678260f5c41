//! Adjacencies: next hops of the core side. One word holds all that a rewrite needs, so a change is one store.

use std::net::Ipv4Addr;

use crate::session::{mac_bits, mac_from_bits};
use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Which adjacency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AdjacencyIndex(pub u32);

const RESOLVED: u64 = 1 << 63;

/// A next hop whose MAC address is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NextHop {
    pub mac: [u8; 6],
    /// The core port, as an index of the configuration.
    pub port: u8,
}

/// One adjacency in shared memory: word 0 is MAC (0–47), port (48–55), resolved (63); word 1 the next hop's address,
/// for people.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub struct AdjacencyCells {
    hop: AtomicU64,
    address: AtomicU64,
}

// SAFETY: two atomic words fill the 16 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for AdjacencyCells {}

/// The adjacencies, by index.
#[derive(Clone, Debug)]
pub struct Adjacencies(pub(crate) Shared<AdjacencyCells>);

impl Adjacencies {
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// `None` where the index lies outside the table; `Some(None)` where the next hop is not resolved.
    #[inline(always)]
    pub fn get(&self, index: AdjacencyIndex) -> Option<Option<NextHop>> {
        let word = self.0.get(index.0 as usize)?.hop.load(Ordering::Relaxed);
        if word & RESOLVED == 0 {
            return Some(None);
        }
        Some(Some(NextHop {
            mac: mac_from_bits(word),
            port: (word >> 48) as u8,
        }))
    }

    pub fn address(&self, index: AdjacencyIndex) -> Option<Ipv4Addr> {
        let word = self.0.get(index.0 as usize)?.address.load(Ordering::Relaxed);
        Some(Ipv4Addr::from(word as u32))
    }

    /// Control only: the next hop `address`, resolved or not.
    pub fn set(&self, index: AdjacencyIndex, address: Ipv4Addr, hop: Option<NextHop>) {
        let cells = &self.0[index.0 as usize];
        cells
            .address
            .store(u64::from(u32::from(address)), Ordering::Relaxed);
        let word = hop.map_or(0, |hop| RESOLVED | mac_bits(hop.mac) | u64::from(hop.port) << 48);
        cells.hop.store(word, Ordering::Release);
    }
}
