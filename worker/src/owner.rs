//! Which lcore owns a subscriber: the one that writes his state, both directions.
//!
//! The owner follows from the subscriber's IPv4 address alone, which stands in the frame (upstream it is the source, downstream
//! the destination): an lcore knows whose packet it has before any lookup. A forged source only brings the packet to the lcore
//! on which anti-spoof drops it. Law 1 rests on this: a session's state is written after the row was found to have that very
//! address, so no two lcores write one state, however the NIC spreads.
//!
//! Where the NIC spreads by the same hash ([`Spread::Toeplitz`] with its key and table), packets arrive where they belong and none is
//! handed over; where the NIC does otherwise, handing over in software makes it right.

use std::fmt;

/// Entries of the table from hash to slot: the smallest indirection table of common NICs.
pub const BUCKETS: usize = 128;

/// How an address becomes a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A multiplicative mix.
    Software,
    /// Receive-side scaling over one IPv4 address with this key (its first eight bytes are what 32 bits of input use).
    Toeplitz { key: [u8; 8] },
}

/// The owners as one lcore sees them.
#[derive(Clone)]
pub struct Owners {
    me: u8,
    spread: Spread,
    slots: [u8; BUCKETS],
    alone: bool,
}

impl Owners {
    /// One lcore owns everything.
    pub fn alone(slot: u8) -> Owners {
        Owners::new(slot, &[slot], Spread::Software)
    }

    /// `slots` share the subscribers evenly, bucket by bucket; `me` is one of them, or none where this lcore only hands over.
    pub fn new(me: u8, slots: &[u8], spread: Spread) -> Owners {
        let mut table = [me; BUCKETS];
        for (entry, slot) in table.iter_mut().zip(slots.iter().cycle()) {
            *entry = *slot;
        }
        Owners {
            me,
            spread,
            alone: table.iter().all(|slot| *slot == me),
            slots: table,
        }
    }

    /// Whether nothing is ever handed over.
    #[inline(always)]
    pub fn is_alone(&self) -> bool {
        self.alone
    }

    /// The slot of this lcore.
    pub fn me(&self) -> u8 {
        self.me
    }

    /// The slot of the lcore that owns the subscriber of this address.
    #[inline(always)]
    pub fn of(&self, address: u32) -> u8 {
        let hash = match self.spread {
            // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
            Spread::Software => address.wrapping_mul(0x9e37_79b1) >> 25,
            Spread::Toeplitz { key } => toeplitz(u64::from_be_bytes(key), address),
        };
        self.slots[hash as usize % BUCKETS]
    }

    /// Whether this lcore owns the subscriber of this address.
    #[inline(always)]
    pub fn is_mine(&self, address: u32) -> bool {
        self.alone || self.of(address) == self.me
    }

    /// The other lcore that owns this address, if it is not this one.
    #[inline(always)]
    pub fn other(&self, address: u32) -> Option<u8> {
        let owner = self.of(address);
        (owner != self.me).then_some(owner)
    }
}

impl fmt::Debug for Owners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owners")
            .field("me", &self.me)
            .field("spread", &self.spread)
            .finish_non_exhaustive()
    }
}

/// The Toeplitz hash of 32 bits of input: for every bit that is set, the 32 bits of key that stand from there on.
#[inline]
fn toeplitz(key: u64, input: u32) -> u32 {
    let mut hash = 0;
    for bit in 0..32 {
        if input & (1 << (31 - bit)) != 0 {
            hash ^= (key << bit >> 32) as u32;
        }
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_lcore_owns_everybody() {
        let owners = Owners::alone(3);

        assert!(owners.is_alone());
        assert!((0..1000u32).all(|address| owners.other(address.wrapping_mul(0x0101_0101)).is_none()));
    }

    #[test]
    fn neighbours_in_a_pool_spread_over_all_lcores_and_all_lcores_agree() {
        let slots = [0, 2, 5];
        let views = slots.map(|me| Owners::new(me, &slots, Spread::Software));
        let mut counts = [0u32; 8];

        for host in 0..30_000u32 {
            let address = 0x0a00_0000 + host;
            let owner = views[0].of(address);
            assert!(views.iter().all(|view| view.of(address) == owner));
            counts[usize::from(owner)] += 1;
        }

        for slot in slots {
            assert!((9_000..11_500).contains(&counts[usize::from(slot)]), "{counts:?}");
        }
    }

    #[test]
    fn a_lcore_outside_the_table_hands_everything_over() {
        let receiver = Owners::new(0, &[1, 2], Spread::Software);

        assert!((0..100u32).all(|address| receiver.other(address).is_some()));
    }

    #[test]
    fn toeplitz_gives_the_value_worked_out_by_hand() {
        // The first eight bytes of Microsoft's verification key. With one bit of input set at place n the hash is
        // the key's bits n..n + 32.
        let key = u64::from_be_bytes([0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2]);

        assert_eq!(toeplitz(key, 0x8000_0000), 0x6d5a_56da);
        assert_eq!(toeplitz(key, 0x0080_0000), 0x5a56_da25);
        assert_eq!(toeplitz(key, 0x8080_0000), 0x6d5a_56da ^ 0x5a56_da25);
        assert_eq!(toeplitz(key, 0), 0);
    }
}
