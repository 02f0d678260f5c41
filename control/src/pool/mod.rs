//! Addresses: which are free, and whose the others are.
//!
//! ```text
//!            reserve                bind                 release, expire
//!   free ───────────────► offered ───────► bound ──────────────────────► sticky ─┐
//!    ▲ ▲                     │ lapse         │ decline                     │  │   │ reserve by its owner
//!    │ └─────────────────────┘               ▼                             │  └───┴──► offered
//!    └──────────────────────────────── quarantined      reclaimed, oldest ─┘
//! ```
//!
//! A sticky address waits for who had it last, and is given to somebody else only when nothing is free: oldest first. Every
//! address is in one of these places, and the counts follow the moves, so nothing here walks a pool.

mod bitmap;

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use sluice_config::Config;

use crate::session::{Identity, Mac, SessionId};
use bitmap::Bitmap;

/// A pool by its place in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u16);

/// Whose an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    pub identity: Identity,
    pub mac: Mac,
    pub client_id: Option<Vec<u8>>,
}

/// What an address that is not free is used for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// Promised in memory; `sticky_since` is where it goes back to when the offer lapses.
    Offered {
        session: SessionId,
        sticky_since: Option<u64>,
    },
    Bound {
        session: SessionId,
    },
    /// Unix seconds of its owner's last word.
    Sticky {
        since: u64,
    },
    Quarantined,
}

#[derive(Clone, Debug)]
pub struct Slot {
    pub holder: Holder,
    pub usage: Use,
}

/// How many addresses are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub size: u64,
    pub free: u64,
    pub offered: u64,
    pub bound: u64,
    pub sticky: u64,
    pub quarantined: u64,
}

/// An address that was found for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reserved {
    pub address: Ipv4Addr,
    /// It was taken from the owner it was kept for.
    pub reclaimed: bool,
}

/// Kept addresses of one identity in one pool. Beyond it the oldest becomes free: a line with ever new hosts hoards nothing.
const STICKY_PER_IDENTITY: usize = 16;

/// All pools.
#[derive(Debug)]
pub struct Pools {
    config: Arc<Config>,
    pools: Vec<Pool>,
    by_name: HashMap<String, PoolId>,
    /// First and last address of each pool, ascending; pools do not overlap.
    ranges: Vec<(u32, u32, PoolId)>,
}

#[derive(Debug)]
struct Pool {
    base: u32,
    free: Bitmap,
    /// Where the next search begins: an address that was just freed is the last to be given again.
    cursor: u32,
    slots: HashMap<Ipv4Addr, Slot>,
    sticky: BTreeSet<(u64, Ipv4Addr)>,
    sticky_of: HashMap<Identity, Vec<Ipv4Addr>>,
    counts: Counts,
}

impl Pools {
    pub fn new(config: Arc<Config>) -> Pools {
        let ids = || (0u16..).map(PoolId);
        let pools: Vec<Pool> = config
            .pools
            .iter()
            .map(|pool| Pool::new(pool, config.limits.sessions))
            .collect();
        let by_name = config
            .pools
            .iter()
            .map(|pool| pool.name.to_string())
            .zip(ids())
            .collect();
        let mut ranges: Vec<(u32, u32, PoolId)> = config
            .pools
            .iter()
            .zip(ids())
            .map(|(pool, id)| {
                let (first, last) = (pool.network.network(), pool.network.broadcast());
                (first.to_bits(), last.to_bits(), id)
            })
            .collect();
        ranges.sort_unstable();
        Pools {
            config,
            pools,
            by_name,
            ranges,
        }
    }

    pub fn id(&self, name: &str) -> Option<PoolId> {
        self.by_name.get(name).copied()
    }

    /// The pool whose network holds `address`.
    pub fn id_of(&self, address: Ipv4Addr) -> Option<PoolId> {
        let address = address.to_bits();
        let at = self.ranges.partition_point(|(_, last, _)| *last < address);
        let (first, _, id) = self.ranges.get(at)?;
        (*first <= address).then_some(*id)
    }

    /// What the operator wrote about it.
    pub fn config(&self, id: PoolId) -> &sluice_config::Pool {
        &self.config.pools[usize::from(id.0)]
    }

    pub fn name(&self, id: PoolId) -> &str {
        self.config(id).name.as_str()
    }

    pub fn ids(&self) -> impl Iterator<Item = PoolId> + use<> {
        (0u16..).map(PoolId).take(self.pools.len())
    }

    pub fn counts(&self, id: PoolId) -> Counts {
        let pool = self.pool(id);
        Counts {
            free: u64::from(pool.free.count()),
            ..pool.counts
        }
    }

    /// Who has the address, whatever for.
    pub fn slot(&self, address: Ipv4Addr) -> Option<&Slot> {
        self.pool(self.id_of(address)?).slots.get(&address)
    }

    /// The session that has the address, bound or offered.
    pub fn session_of(&self, address: Ipv4Addr) -> Option<SessionId> {
        match self.slot(address)?.usage {
            Use::Offered { session, .. } | Use::Bound { session } => Some(session),
            Use::Sticky { .. } | Use::Quarantined => None,
        }
    }

    /// Finds an address for `holder`: the one it had, the one it asks for, the next free one, or the one that is kept longest for
    /// somebody else (RFC 2131 section 4.3.1). `inherit` says that whoever is on the line gets what the line had.
    pub fn reserve(
        &mut self,
        id: PoolId,
        holder: Holder,
        session: SessionId,
        requested: Option<Ipv4Addr>,
        inherit: Inherit,
    ) -> Option<Reserved> {
        let pool = self.pool_mut(id);
        let kept = pool.kept(&holder, inherit);
        let free = || {
            let asked = requested.filter(|address| pool.is_free(*address));
            asked.or_else(|| pool.next_free())
        };
        let (address, reclaimed) = match kept.or_else(free) {
            Some(address) => (address, false),
            None => (pool.sticky.first()?.1, true),
        };
        pool.offer(address, holder, session, reclaimed);
        Some(Reserved { address, reclaimed })
    }

    /// Reserves exactly this address, if it is kept for `holder`.
    pub fn reserve_kept(
        &mut self,
        id: PoolId,
        holder: Holder,
        session: SessionId,
        address: Ipv4Addr,
        inherit: Inherit,
    ) -> bool {
        let pool = self.pool_mut(id);
        let own = pool.slots.get(&address).is_some_and(|slot| {
            matches!(slot.usage, Use::Sticky { .. })
                && slot.holder.identity == holder.identity
                && (inherit == Inherit::Line || slot.holder.is_same_host(&holder))
        });
        if own {
            pool.offer(address, holder, session, false);
        }
        own
    }

    /// The offer was not taken: the address goes back to where it came from.
    pub fn lapse(&mut self, address: Ipv4Addr) {
        let Some(pool) = self.pool_of(address) else { return };
        let Some(slot) = pool.slots.get(&address) else {
            return;
        };
        match slot.usage {
            Use::Offered {
                sticky_since: Some(since),
                ..
            } => pool.set(address, Use::Sticky { since }),
            Use::Offered { .. } => pool.clear(address),
            _ => {}
        }
    }

    /// The address is `session`'s now. False when it is not one of ours, or somebody else's.
    pub fn bind(&mut self, address: Ipv4Addr, holder: Holder, session: SessionId) -> bool {
        let Some(pool) = self.pool_of(address) else {
            return false;
        };
        match pool.slots.get(&address).map(|slot| &slot.usage) {
            Some(Use::Bound { session: other }) if *other != session => return false,
            Some(Use::Quarantined) => return false,
            Some(_) => {}
            None if !pool.is_free(address) => return false,
            None => {}
        }
        pool.put(
            address,
            Slot {
                holder,
                usage: Use::Bound { session },
            },
        );
        true
    }

    /// The address is nobody's now, but kept for its owner.
    pub fn keep(&mut self, address: Ipv4Addr, since: u64) {
        if let Some(pool) = self.pool_of(address) {
            pool.set(address, Use::Sticky { since });
        }
    }

    /// Takes up a kept address from the store.
    pub fn restore_sticky(&mut self, address: Ipv4Addr, holder: Holder, since: u64) {
        if let Some(pool) = self.pool_of(address).filter(|pool| pool.is_free(address)) {
            let usage = Use::Sticky { since };
            pool.put(address, Slot { holder, usage });
        }
    }

    /// Somebody else was seen using the address: nobody gets it for a while.
    pub fn quarantine(&mut self, address: Ipv4Addr, holder: Holder) {
        let Some(pool) = self.pool_of(address) else { return };
        if pool.slots.contains_key(&address) || pool.is_free(address) {
            let usage = Use::Quarantined;
            pool.put(address, Slot { holder, usage });
        }
    }

    /// The address is free, whatever it was.
    pub fn free(&mut self, address: Ipv4Addr) {
        if let Some(pool) = self.pool_of(address) {
            pool.clear(address);
        }
    }

    fn pool(&self, id: PoolId) -> &Pool {
        &self.pools[usize::from(id.0)]
    }

    fn pool_mut(&mut self, id: PoolId) -> &mut Pool {
        &mut self.pools[usize::from(id.0)]
    }

    fn pool_of(&mut self, address: Ipv4Addr) -> Option<&mut Pool> {
        let id = self.id_of(address)?;
        Some(self.pool_mut(id))
    }
}

/// Who may have an address that is kept for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inherit {
    /// Whoever is on the line: it has one host.
    Line,
    /// Only the host that had it.
    Host,
}

impl Holder {
    /// By option 61 where both sent one, else by MAC address (RFC 2131 section 4.2).
    pub fn is_same_host(&self, other: &Holder) -> bool {
        match (&self.client_id, &other.client_id) {
            (Some(own), Some(theirs)) => own == theirs,
            _ => self.mac == other.mac,
        }
    }
}

impl Pool {
    /// With room for `sessions` from the start, since a table that grows moves everything in it at once.
    fn new(config: &sluice_config::Pool, sessions: u32) -> Pool {
        let (first, last) = (
            config.network.network().to_bits(),
            config.network.broadcast().to_bits(),
        );
        // The reader bounds a pool to a /8.
        let mut free = Bitmap::full((last - first).saturating_add(1));
        for own in [first, last, config.gateway.to_bits()] {
            free.remove(own.wrapping_sub(first));
        }
        for range in &config.exclusions {
            let offset = |address: Ipv4Addr| address.to_bits().clamp(first, last) - first;
            free.remove_range(offset(range.first()), offset(range.last()));
        }
        let free_count = free.count();
        let size = u64::from(free_count);
        Pool {
            base: first,
            free,
            cursor: 0,
            slots: HashMap::with_capacity(free_count.min(sessions) as usize),
            sticky: BTreeSet::new(),
            sticky_of: HashMap::new(),
            counts: Counts {
                size,
                ..Counts::default()
            },
        }
    }

    fn is_free(&self, address: Ipv4Addr) -> bool {
        self.free.contains(address.to_bits().wrapping_sub(self.base))
    }

    fn next_free(&self) -> Option<Ipv4Addr> {
        let offset = self.free.next_from(self.cursor)?;
        Some(Ipv4Addr::from_bits(self.base + offset))
    }

    /// The address that is kept for the holder: its own host's first, then on a one-host line the newest.
    fn kept(&self, holder: &Holder, inherit: Inherit) -> Option<Ipv4Addr> {
        let kept = self.sticky_of.get(&holder.identity)?;
        let own = |address: &&Ipv4Addr| {
            let slot = self.slots.get(address);
            slot.is_some_and(|slot| slot.holder.is_same_host(holder))
        };
        let own = kept.iter().rev().find(own);
        let newest = kept.last().filter(|_| inherit == Inherit::Line);
        own.or(newest).copied()
    }

    fn offer(&mut self, address: Ipv4Addr, holder: Holder, session: SessionId, reclaimed: bool) {
        let sticky_since = match self.slots.get(&address).map(|slot| &slot.usage) {
            Some(Use::Sticky { since }) if !reclaimed => Some(*since),
            _ => None,
        };
        let offset = address.to_bits().wrapping_sub(self.base);
        if self.free.contains(offset) {
            self.cursor = offset + 1;
        }
        let usage = Use::Offered {
            session,
            sticky_since,
        };
        self.put(address, Slot { holder, usage });
    }

    fn set(&mut self, address: Ipv4Addr, usage: Use) {
        let Some(slot) = self.slots.get(&address) else {
            return;
        };
        let holder = slot.holder.clone();
        self.put(address, Slot { holder, usage });
    }

    fn put(&mut self, address: Ipv4Addr, slot: Slot) {
        self.take_out(address);
        *self.counts.of(&slot.usage) += 1;
        let mut crowded_out = None;
        if let Use::Sticky { since } = slot.usage {
            self.sticky.insert((since, address));
            let kept = self.sticky_of.entry(slot.holder.identity.clone()).or_default();
            kept.push(address);
            if kept.len() > STICKY_PER_IDENTITY {
                crowded_out = kept.first().copied();
            }
        }
        self.slots.insert(address, slot);
        if let Some(oldest) = crowded_out {
            self.clear(oldest);
        }
    }

    /// Makes what is somebody's free; what may not be given stays so.
    fn clear(&mut self, address: Ipv4Addr) {
        if self.slots.contains_key(&address) {
            self.take_out(address);
            self.free.insert(address.to_bits().wrapping_sub(self.base));
        }
    }

    /// Takes the address out of wherever it is.
    fn take_out(&mut self, address: Ipv4Addr) {
        self.free.remove(address.to_bits().wrapping_sub(self.base));
        let Some(slot) = self.slots.remove(&address) else {
            return;
        };
        *self.counts.of(&slot.usage) -= 1;
        if let Use::Sticky { since } = slot.usage {
            self.sticky.remove(&(since, address));
            if let Some(kept) = self.sticky_of.get_mut(&slot.holder.identity) {
                kept.retain(|other| *other != address);
                if kept.is_empty() {
                    self.sticky_of.remove(&slot.holder.identity);
                }
            }
        }
    }
}

impl Counts {
    fn of(&mut self, usage: &Use) -> &mut u64 {
        match usage {
            Use::Offered { .. } => &mut self.offered,
            Use::Bound { .. } => &mut self.bound,
            Use::Sticky { .. } => &mut self.sticky,
            Use::Quarantined => &mut self.quarantined,
        }
    }

    /// Addresses that a newcomer could get: free, or kept for somebody who does not use them.
    pub fn available(&self) -> u64 {
        self.free + self.sticky
    }

    pub fn utilization(&self) -> f64 {
        if self.size == 0 {
            0.0
        } else {
            self.bound as f64 / self.size as f64
        }
    }
}

#[cfg(test)]
mod tests;
