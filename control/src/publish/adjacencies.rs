//! Adjacencies by next hop: numbers for next hops, kept over a restart.
//!
//! FIB leaves name adjacencies by number, so a restarted control finds each next hop's number again by the address written beside it,
//! and what was resolved stays resolved.

use std::collections::{HashMap, HashSet};

use shm_bridge::adjacency::{Adjacencies, AdjacencyIndex, NextHop};
use shm_bridge::epoch::Retired;

use crate::neighbour::Hop;

#[derive(Debug)]
pub(super) struct AdjacencyNumbers {
    table: Adjacencies,
    numbers: HashMap<Hop, AdjacencyIndex>,
    free: Vec<AdjacencyIndex>,
    retired: Retired<AdjacencyIndex>,
}

impl AdjacencyNumbers {
    /// Takes over the table. `network_of` gives the core port an address is connected to. Entries of other addresses are left
    /// alone until [`AdjacencyNumbers::give_back`].
    pub fn attach(
        table: Adjacencies,
        network_of: impl Fn(std::net::Ipv4Addr) -> Option<u16>,
    ) -> AdjacencyNumbers {
        let mut numbers = HashMap::new();
        let mut free = Vec::new();
        for index in (0..table.capacity() as u32).rev().map(AdjacencyIndex) {
            let address = table.address(index).filter(|address| !address.is_unspecified());
            let Some(address) = address else {
                free.push(index);
                continue;
            };
            // An entry of another port than the address's own would send frames to the wrong wire.
            let hop = table.get(index).flatten();
            if let Some(port) = network_of(address)
                && hop.is_none_or(|hop| u16::from(hop.port) == port)
            {
                numbers.insert(Hop { port, address }, index);
            }
        }
        AdjacencyNumbers {
            table,
            numbers,
            free,
            retired: Retired::default(),
        }
    }

    /// Next hops found, with what is known of them.
    pub fn found(&self) -> impl Iterator<Item = (Hop, Option<[u8; 6]>)> + '_ {
        self.numbers.iter().map(|(hop, index)| {
            let mac = self.table.get(*index).flatten().map(|found| found.mac);
            (*hop, mac)
        })
    }

    pub fn get(&self, hop: Hop) -> Option<AdjacencyIndex> {
        self.numbers.get(&hop).copied()
    }

    /// The number of a next hop, a new unresolved one if need be; `None` when the table is full.
    pub fn number(&mut self, hop: Hop) -> Option<AdjacencyIndex> {
        if let Some(index) = self.get(hop) {
            return Some(index);
        }
        let index = self.free.pop()?;
        self.table.set(index, hop.address, None);
        self.numbers.insert(hop, index);
        Some(index)
    }

    /// What is known of a next hop: one store that workers see at once.
    pub fn resolve(&mut self, hop: Hop, mac: Option<[u8; 6]>) {
        let (Some(index), Ok(port)) = (self.get(hop), u8::try_from(hop.port)) else {
            return;
        };
        self.table
            .set(index, hop.address, mac.map(|mac| NextHop { mac, port }));
    }

    /// Nothing leads to the next hop since before `epoch` was opened. It is unresolved from now on, so that a successor does not take
    /// it for a neighbour.
    pub fn retire(&mut self, hop: Hop, epoch: u64) {
        self.resolve(hop, None);
        if let Some(index) = self.numbers.remove(&hop) {
            self.retired.push(epoch, index);
        }
    }

    /// All entries but those of `wanted` are free again once no worker reads them.
    pub fn give_back(&mut self, wanted: &HashSet<Hop>, epoch: u64) {
        self.numbers.retain(|hop, _| wanted.contains(hop));
        let mut kept: HashSet<AdjacencyIndex> = self.numbers.values().copied().collect();
        kept.extend(&self.free);
        for index in (0..self.table.capacity() as u32).map(AdjacencyIndex) {
            if !kept.contains(&index) {
                self.retired.push(epoch, index);
            }
        }
    }

    /// Takes back the numbers whose grace period is over.
    pub fn reclaim(&mut self, reached: impl Fn(u64) -> bool) {
        while let Some(index) = self.retired.pop(&reached) {
            self.table.set(index, std::net::Ipv4Addr::UNSPECIFIED, None);
            self.free.push(index);
        }
    }

    pub fn is_waiting(&self) -> bool {
        !self.retired.is_empty()
    }

    pub fn in_use(&self) -> usize {
        self.numbers.len()
    }
}
