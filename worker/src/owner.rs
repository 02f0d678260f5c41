//! Which lcore owns a subscriber: the one that writes his state, both directions.
//!
//! The owner follows from the subscriber's IPv4 address alone, which stands in the frame (upstream it is the source, downstream
//! the destination): an lcore knows whose packet it has before any lookup. A forged source only brings the packet to the lcore
//! on which anti-spoof drops it. Law 1 rests on this: a session's state is written after the row was found to have that very
//! address, so no two lcores write one state, however the NIC spreads.
//!
//! Where the NIC spreads by the same hash ([`Spread::Toeplitz`] with its key and table), packets arrive where they belong and none is
//! handed over; where the NIC does otherwise, handing over in software makes it right.
//!
//! NICs put the address at different places of what they hash: a source stands first, a destination behind the source, and one that
//! is hashed alone may stand at either place. So our key ([`nic_key`]) repeats one word of 32 bits: the hash of an address is then the same
//! wherever it stands, on the access port and on the core port, on one NIC and another.

use std::fmt;

/// Entries of the table from hash to slot: the smallest indirection table of common NICs.
pub const BUCKETS: usize = 128;

/// The word that the key repeats. It has an odd number of ones, so that no two addresses have one hash; and of nearly all runs of seven
/// bits of an address (the last seven among them) the 128 values have the 128 buckets, so that a pool spreads evenly.
const KEY_WORD: u32 = 0xa817_f426;

/// How an address becomes a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// A multiplicative mix.
    Software,
    /// Receive-side scaling over one IPv4 address with this key (its first eight bytes are what 32 bits of input use).
    Toeplitz { key: [u8; 8] },
}

impl Spread {
    /// As a NIC spreads that was given [`nic_key`] and [`buckets`].
    pub fn by_nic() -> Spread {
        let word = KEY_WORD.to_be_bytes();
        let mut key = [0; 8];
        key[..4].copy_from_slice(&word);
        key[4..].copy_from_slice(&word);
        Spread::Toeplitz { key }
    }
}

/// The key for a NIC that wants so many bytes.
pub fn nic_key(bytes: usize) -> Vec<u8> {
    KEY_WORD.to_be_bytes().into_iter().cycle().take(bytes).collect()
}

/// The slot of each bucket, and so the table for a NIC whose queue `i` is polled by the lcore of the `i`-th slot (repeated where its table
/// is larger). No slots, no owners: all zero.
pub fn buckets(slots: &[u8]) -> [u8; BUCKETS] {
    let mut table = [0; BUCKETS];
    for (entry, slot) in table.iter_mut().zip(slots.iter().cycle()) {
        *entry = *slot;
    }
    table
}

/// The owners as one lcore sees them.
#[derive(Clone)]
pub struct Owners {
    me: u8,
    spread: Spread,
    slots: [u8; BUCKETS],
    alone: bool,
    /// What each value of each byte of an address gives to the bucket; the hash is linear, so they are just added (xor).
    bytes: [[u8; 256]; 4],
}

impl Owners {
    /// One lcore owns everything.
    pub fn alone(slot: u8) -> Owners {
        Owners::new(slot, &[slot], Spread::Software)
    }

    /// `slots` share the subscribers evenly, bucket by bucket; `me` is one of them, or none where this lcore only hands over.
    pub fn new(me: u8, slots: &[u8], spread: Spread) -> Owners {
        let slots = buckets(slots);
        Owners {
            me,
            spread,
            alone: slots.iter().all(|slot| *slot == me),
            slots,
            bytes: match spread {
                Spread::Software => [[0; 256]; 4],
                Spread::Toeplitz { key } => by_byte(u64::from_be_bytes(key)),
            },
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
        let bucket = match self.spread {
            // Fibonacci hashing: the upper bits of the product depend on all bits of the address.
            Spread::Software => (address.wrapping_mul(0x9e37_79b1) >> 25) as usize,
            Spread::Toeplitz { .. } => {
                let [a, b, c, d] = address.to_be_bytes().map(usize::from);
                usize::from(self.bytes[0][a] ^ self.bytes[1][b] ^ self.bytes[2][c] ^ self.bytes[3][d])
            }
        };
        self.slots[bucket % BUCKETS]
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

/// The buckets' share of each byte.
fn by_byte(key: u64) -> [[u8; 256]; 4] {
    let mut table = [[0; 256]; 4];
    for (place, values) in table.iter_mut().enumerate() {
        for (value, entry) in (0u32..).zip(values) {
            *entry = (toeplitz(key, value << (24 - 8 * place)) as usize % BUCKETS) as u8;
        }
    }
    table
}

/// The Toeplitz hash of 32 bits of input: for every bit that is set, the 32 bits of key that stand from there on.
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
        // With one bit of input set at place n the hash is the key's bits n..n + 32.
        let key = u64::from_be_bytes(first_eight(&MICROSOFT_KEY));

        assert_eq!(toeplitz(key, 0x8000_0000), 0x6d5a_56da);
        assert_eq!(toeplitz(key, 0x0080_0000), 0x5a56_da25);
        assert_eq!(toeplitz(key, 0x8080_0000), 0x6d5a_56da ^ 0x5a56_da25);
        assert_eq!(toeplitz(key, 0), 0);
    }

    /// "Verifying the RSS hash calculation" in Microsoft's documentation of network drivers: the key, and for IPv4 addresses without
    /// ports the destination, the source, and the hash of source and destination.
    const MICROSOFT_KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];
    const MICROSOFT_HASHES: [([u8; 4], [u8; 4], u32); 5] = [
        ([161, 142, 100, 80], [66, 9, 149, 187], 0x323e_8fc2),
        ([65, 69, 140, 83], [199, 92, 111, 2], 0xd718_262a),
        ([12, 22, 207, 184], [24, 19, 198, 95], 0xd2d0_a5de),
        ([209, 142, 163, 6], [38, 27, 205, 30], 0x8298_9176),
        ([202, 188, 127, 2], [153, 39, 163, 191], 0x5d18_09c5),
    ];

    fn first_eight(key: &[u8]) -> [u8; 8] {
        key[..8].try_into().unwrap()
    }

    /// The hash over source and destination: two hashes of 32 bits, the second with the key from its fifth byte on.
    fn of_both(key: &[u8], source: [u8; 4], destination: [u8; 4]) -> u32 {
        let half = |at: usize, address| {
            toeplitz(
                u64::from_be_bytes(first_eight(&key[at..])),
                u32::from_be_bytes(address),
            )
        };
        half(0, source) ^ half(4, destination)
    }

    #[test]
    fn toeplitz_passes_microsofts_verification_suite() {
        for (destination, source, hash) in MICROSOFT_HASHES {
            assert_eq!(of_both(&MICROSOFT_KEY, source, destination), hash);
        }
    }

    #[test]
    fn the_table_of_bytes_is_the_hash_whatever_the_key() {
        let slots: Vec<u8> = (0..128).collect();
        for key in [first_eight(&MICROSOFT_KEY), first_eight(&nic_key(40))] {
            let owners = Owners::new(0, &slots, Spread::Toeplitz { key });
            for n in 0..100_000u32 {
                let address = n.wrapping_mul(0x9e37_79b1);
                let bucket = toeplitz(u64::from_be_bytes(key), address) as usize % BUCKETS;
                assert_eq!(usize::from(owners.of(address)), bucket);
            }
        }
    }

    #[test]
    fn with_our_key_an_address_has_one_hash_wherever_the_nic_puts_it() {
        let key = nic_key(52);
        let owners = Owners::new(0, &(0..128).collect::<Vec<u8>>(), Spread::by_nic());

        for n in 0..10_000u32 {
            let address = n.wrapping_mul(0x9e37_79b1);
            let first = of_both(&key, address.to_be_bytes(), [0; 4]);
            let second = of_both(&key, [0; 4], address.to_be_bytes());
            assert_eq!(first, second);
            assert_eq!(first as usize % BUCKETS, usize::from(owners.of(address)));
        }
    }

    #[test]
    fn our_key_spreads_every_pool_evenly() {
        for count in 1..=16u8 {
            let slots: Vec<u8> = (0..count).collect();
            let owners = Owners::new(0, &slots, Spread::by_nic());
            for pool in [0x0a00_0000u32, 0x6440_0080, 0xc0a8_ff00] {
                let mut counts = [0usize; 16];
                for host in 0..BUCKETS as u32 {
                    counts[usize::from(owners.of(pool + host))] += 1;
                }
                // 128 neighbours have the 128 buckets.
                let even = BUCKETS / usize::from(count);
                assert!(
                    counts[..usize::from(count)]
                        .iter()
                        .all(|n| (even..=even + 1).contains(n)),
                    "{counts:?}"
                );
            }
        }
    }
}
