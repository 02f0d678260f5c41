//! Control's side of the FIB: the routes as prefixes, and the tables kept in step with them.
//!
//! The writer keeps every route (prefix → leaf) in its own memory. A change recomputes the entries it covers by longest match
//! over those routes and stores what differs, so a reader sees for each address the old leaf or the new one.
//!
//! After a restart the tables are live and the routes are lost: [`FibWriter::load`] takes the full set again and
//! [`FibWriter::reconcile`] stores only what differs, so no address loses its leaf on the way.
//!
//! A route to [`Leaf::None`] stores the empty leaf, which means the default route; what shall lead nowhere is a discard.

use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::ops::Range;

use super::{Fib, GROUP, KIND_SHIFT, LINK, Leaf, TBL24, VALUE_MASK};
use crate::epoch::Retired;
use crate::garden::mask;
use crate::sync::Ordering;

/// An IPv4 prefix with its host bits cleared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    network: u32,
    len: u8,
}

impl Prefix {
    /// Host bits are cleared; a length above 32 is 32.
    pub fn new(address: Ipv4Addr, len: u8) -> Prefix {
        let len = len.min(32);
        Prefix {
            network: u32::from(address) & mask(len),
            len,
        }
    }

    pub fn host(address: Ipv4Addr) -> Prefix {
        Prefix::new(address, 32)
    }

    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & mask(self.len) == self.network
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.network), self.len)
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a route could not be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FibError {
    #[error("all {groups} tbl8 groups are in use, none is left for {prefix}: raise limits.tbl8_groups")]
    NoGroup { groups: usize, prefix: Prefix },
}

/// The only writer of the FIB.
#[derive(Debug)]
pub struct FibWriter {
    fib: Fib,
    routes: HashMap<Prefix, Leaf>,
    /// How many routes have each length: a longest match looks only where there are any.
    lengths: [usize; 33],
    /// Routes longer than /24 by their /24.
    long_routes: HashMap<u32, usize>,
    /// The group of each /24 that has one.
    groups: HashMap<u32, u32>,
    free_groups: Vec<u32>,
    retired: Retired<u32>,
    /// Groups unlinked since the last epoch was opened.
    unlinked: Vec<u32>,
}

impl FibWriter {
    /// Takes over a table, fresh or left by an earlier control. Nothing is written. A group that nothing links but that was used
    /// may have been unlinked a moment before the earlier control died, so it waits for a grace period
    /// ([`FibWriter::wants_epoch`]) like one of our own.
    pub fn attach(fib: Fib) -> FibWriter {
        let mut groups = HashMap::new();
        let mut used = vec![false; fib.tbl8.len()];
        for (index, cell) in fib.tbl24.iter().enumerate() {
            let word = cell.load(Ordering::Relaxed);
            if word >> KIND_SHIFT == LINK
                && let Some(flag) = used.get_mut((word & VALUE_MASK) as usize)
                && !*flag
            {
                *flag = true;
                groups.insert(index as u32, word & VALUE_MASK);
            }
        }
        let (free_groups, unlinked) = (0..fib.tbl8.len() as u32)
            .rev()
            .filter(|g| !used[*g as usize])
            .partition(|g| {
                fib.tbl8[*g as usize]
                    .iter()
                    .all(|cell| cell.load(Ordering::Relaxed) == 0)
            });
        FibWriter {
            groups,
            free_groups,
            unlinked,
            ..FibWriter::fresh(fib)
        }
    }

    /// Takes over a table that was made just now and that nobody wrote: its 64 MiB need not be read.
    pub fn fresh(fib: Fib) -> FibWriter {
        FibWriter {
            free_groups: (0..fib.tbl8.len() as u32).rev().collect(),
            fib,
            routes: HashMap::new(),
            lengths: [0; 33],
            long_routes: HashMap::new(),
            groups: HashMap::new(),
            retired: Retired::default(),
            unlinked: Vec::new(),
        }
    }

    pub fn fib(&self) -> &Fib {
        &self.fib
    }

    pub fn route(&self, prefix: Prefix) -> Option<Leaf> {
        self.routes.get(&prefix).copied()
    }

    pub fn len(&self) -> usize {
        self.routes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// Enters or changes a route. An error leaves routes and tables as they were.
    pub fn set(&mut self, prefix: Prefix, leaf: Leaf) -> Result<(), FibError> {
        let old = self.load(prefix, leaf);
        if old == Some(leaf) {
            return Ok(());
        }
        if let Err(error) = self.store(prefix) {
            match old {
                Some(old) => self.load(prefix, old),
                None => self.unload(prefix),
            };
            let _ = self.store(prefix);
            return Err(error);
        }
        Ok(())
    }

    /// Takes a route out; addresses under it follow the next shorter one.
    pub fn remove(&mut self, prefix: Prefix) {
        if self.unload(prefix).is_some() {
            // Only a /24 that an earlier error left without its group can lack one here; it stays as it is.
            let _ = self.store(prefix);
        }
    }

    /// Groups unlinked so far wait for `epoch`, which the caller just opened.
    pub fn retire(&mut self, epoch: u64) {
        for group in self.unlinked.drain(..) {
            self.retired.push(epoch, group);
        }
    }

    /// Whether an epoch must be opened for groups that were unlinked.
    pub fn wants_epoch(&self) -> bool {
        !self.unlinked.is_empty()
    }

    /// Whether groups wait for their grace period.
    pub fn is_waiting(&self) -> bool {
        self.wants_epoch() || !self.retired.is_empty()
    }

    /// Takes back the groups whose grace period is over.
    pub fn reclaim(&mut self, reached: impl Fn(u64) -> bool) {
        while let Some(group) = self.retired.pop(&reached) {
            self.free_groups.push(group);
        }
    }

    /// Enters a route in memory only; see [`FibWriter::reconcile`].
    pub fn load(&mut self, prefix: Prefix, leaf: Leaf) -> Option<Leaf> {
        let old = self.routes.insert(prefix, leaf);
        if old.is_none() {
            self.lengths[usize::from(prefix.len)] += 1;
            if prefix.len > 24 {
                *self.long_routes.entry(prefix.network >> 8).or_default() += 1;
            }
        }
        old
    }

    fn unload(&mut self, prefix: Prefix) -> Option<Leaf> {
        let old = self.routes.remove(&prefix)?;
        self.lengths[usize::from(prefix.len)] -= 1;
        if prefix.len > 24
            && let Some(count) = self.long_routes.get_mut(&(prefix.network >> 8))
        {
            *count -= 1;
            if *count == 0 {
                self.long_routes.remove(&(prefix.network >> 8));
            }
        }
        Some(old)
    }

    /// Makes the tables say what the loaded routes say, storing only what differs. Returns how many leaves differed. Where
    /// there are not enough groups the first /24 without one is the error, and every other entry is in step.
    pub fn reconcile(&mut self) -> Result<usize, FibError> {
        let mut wanted = vec![0u32; TBL24];
        let mut short: Vec<(Prefix, Leaf)> = self
            .routes
            .iter()
            .filter(|(p, _)| (1..=24).contains(&p.len))
            .map(|(p, l)| (*p, *l))
            .collect();
        short.sort_by_key(|(prefix, _)| prefix.len);
        for (prefix, leaf) in short {
            let start = (prefix.network >> 8) as usize;
            wanted[start..start + (1 << (24 - prefix.len))].fill(leaf.to_word());
        }
        // A link is no leaf, so it can mark the entries that need a group.
        for index in self.long_routes.keys() {
            wanted[*index as usize] = LINK << KIND_SHIFT;
        }
        let mut differed = self.store_default();
        let mut failed = None;
        for (index, word) in wanted.into_iter().enumerate() {
            let index = index as u32;
            if word == LINK << KIND_SHIFT {
                match self.store_entry(index, 0..GROUP) {
                    Ok(count) => differed += count,
                    Err(error) => failed = failed.or(Some(error)),
                }
            } else if self.fib.tbl24[index as usize].load(Ordering::Relaxed) != word {
                differed += self.unlink(index, word);
            }
        }
        failed.map_or(Ok(differed), Err)
    }

    /// Brings the entries a prefix covers in step with the routes; an entry that lacks a group is left out and reported.
    fn store(&mut self, prefix: Prefix) -> Result<(), FibError> {
        if prefix.len == 0 {
            self.store_default();
            return Ok(());
        }
        let start = prefix.network >> 8;
        if prefix.len > 24 {
            let low = prefix.network as usize % GROUP;
            self.store_entry(start, low..low + (1 << (32 - prefix.len)))?;
            return Ok(());
        }
        let mut failed = None;
        for index in start..start + (1 << (24 - prefix.len)) {
            failed = failed.or(self.store_entry(index, 0..GROUP).err());
        }
        failed.map_or(Ok(()), Err)
    }

    fn store_default(&mut self) -> usize {
        let word = self
            .routes
            .get(&Prefix { network: 0, len: 0 })
            .map_or(0, |leaf| u64::from(leaf.to_word()));
        let differs = self.fib.default[0].load(Ordering::Relaxed) != word;
        self.fib.default[0].store(word, Ordering::Release);
        usize::from(differs)
    }

    /// Brings a /24 in step, of a group the leaves in `lows`; returns how many leaves differed.
    fn store_entry(&mut self, index: u32, lows: Range<usize>) -> Result<usize, FibError> {
        if !self.long_routes.contains_key(&index) {
            let word = self.longest_match(index << 8, 24);
            return Ok(self.unlink(index, word));
        }
        if let Some(group) = self.groups.get(&index) {
            let cells = &self.fib.tbl8[*group as usize];
            let mut differed = 0;
            for (low, cell) in cells.iter().enumerate().take(lows.end).skip(lows.start) {
                let word = self.longest_match(index << 8 | low as u32, 32);
                if cell.load(Ordering::Relaxed) != word {
                    cell.store(word, Ordering::Release);
                    differed += 1;
                }
            }
            return Ok(differed);
        }
        let group = self.free_groups.pop().ok_or(FibError::NoGroup {
            groups: self.fib.tbl8.len(),
            prefix: Prefix {
                network: index << 8,
                len: 24,
            },
        })?;
        for (low, cell) in self.fib.tbl8[group as usize].iter().enumerate() {
            cell.store(self.longest_match(index << 8 | low as u32, 32), Ordering::Relaxed);
        }
        self.fib.tbl24[index as usize].store(LINK << KIND_SHIFT | group, Ordering::Release);
        self.groups.insert(index, group);
        Ok(1)
    }

    /// The /24 has one leaf for all its addresses.
    fn unlink(&mut self, index: u32, word: u32) -> usize {
        let cell = &self.fib.tbl24[index as usize];
        let old = cell.load(Ordering::Relaxed);
        if old == word {
            return 0;
        }
        cell.store(word, Ordering::Release);
        if old >> KIND_SHIFT == LINK
            && let Some(group) = self.groups.remove(&index)
        {
            self.unlinked.push(group);
        }
        1
    }

    /// The word of the longest route of 1 to `max` bits that covers an address; 0 leaves it to the default route.
    fn longest_match(&self, address: u32, max: u8) -> u32 {
        (1..=max)
            .rev()
            .filter(|len| self.lengths[usize::from(*len)] > 0)
            .find_map(|len| {
                self.routes.get(&Prefix {
                    network: address & mask(len),
                    len,
                })
            })
            .map_or(0, |leaf| leaf.to_word())
    }
}
