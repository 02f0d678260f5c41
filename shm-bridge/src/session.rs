//! A session is two cache lines: the row, written by control, and the state, written by the one lcore that owns the
//! session's direction.
//!
//! ```text
//! row    0 policy word      8 IPv4, port, prefix length, flags   16 S-VLAN, C-VLAN, MTU, VRF   24 MAC, IPv6 lengths
//!       32 IPv6 address    48 delegated prefix (upper 64 bits)   56 generation, seal
//! state  0 upstream: arrival time, packets, bytes, policed       32 downstream: the same
//! ```
//!
//! A row is immutable while published, but for the policy word: activation and suspension are one store to it. Row 0 is
//! never used, so that 0 means "none" in every index.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Which way a packet goes: upstream is access to core.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    Upstream,
    Downstream,
}

impl Direction {
    /// Both, in the order of their counters.
    pub const ALL: [Direction; 2] = [Direction::Upstream, Direction::Downstream];

    /// `upstream` or `downstream`, as metrics and REST say it.
    pub fn label(self) -> &'static str {
        match self {
            Direction::Upstream => "upstream",
            Direction::Downstream => "downstream",
        }
    }
}

/// Which row: never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionIndex(NonZeroU32);

impl SessionIndex {
    /// `None` for 0, which means "no session". Whether the row exists is the table's to say.
    #[inline(always)]
    pub fn new(value: u32) -> Option<SessionIndex> {
        NonZeroU32::new(value).map(SessionIndex)
    }

    #[inline(always)]
    pub fn get(self) -> u32 {
        self.0.get()
    }
}

/// What workers do with a session's packets. The words of the session machine, as far as they concern a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowState {
    /// The row is not in use.
    Free = 0,
    Discovered = 1,
    Wgar = 2,
    Activating = 3,
    Active = 4,
    Suspended = 5,
    Terminated = 6,
}

impl RowState {
    #[inline(always)]
    fn from_bits(bits: u64) -> RowState {
        match bits & 0xf {
            1 => RowState::Discovered,
            2 => RowState::Wgar,
            3 => RowState::Activating,
            4 => RowState::Active,
            5 => RowState::Suspended,
            6 => RowState::Terminated,
            // An unknown value forwards nothing.
            _ => RowState::Free,
        }
    }
}

/// The one word of a row that changes while it is published: bits 0–3 state, 4–7 flags, 8–15 garden profile
/// (0 = none: everything is permitted), 16–31 upstream policer profile, 32–47 downstream policer profile.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy(pub u64);

impl Policy {
    const ISOLATED: u64 = 1 << 4;

    /// A policy without policers (profile 0) or garden (profile 0), subscriber to subscriber routed.
    pub const fn new(state: RowState) -> Policy {
        Policy(state as u64)
    }

    pub const fn with_garden(self, profile: u8) -> Policy {
        Policy(self.0 & !(0xff << 8) | (profile as u64) << 8)
    }

    pub const fn with_policers(self, upstream: u16, downstream: u16) -> Policy {
        Policy(self.0 & !(0xffff_ffff << 16) | (upstream as u64) << 16 | (downstream as u64) << 32)
    }

    /// No traffic between this subscriber and others.
    pub const fn isolated(self) -> Policy {
        Policy(self.0 | Policy::ISOLATED)
    }

    #[inline(always)]
    pub fn state(self) -> RowState {
        RowState::from_bits(self.0)
    }

    /// Whether the session is active and has no garden: nothing but its rate holds it back.
    #[inline(always)]
    pub fn is_open(self) -> bool {
        self.0 & 0xff0f == RowState::Active as u64
    }

    /// Whether the session has traffic, and a garden to go by.
    #[inline(always)]
    pub fn is_gardened(self) -> bool {
        self.garden() != 0
            && matches!(
                self.state(),
                RowState::Wgar | RowState::Activating | RowState::Active | RowState::Suspended
            )
    }

    #[inline(always)]
    pub fn is_isolated(self) -> bool {
        self.0 & Policy::ISOLATED != 0
    }

    #[inline(always)]
    pub fn garden(self) -> u8 {
        (self.0 >> 8) as u8
    }

    #[inline(always)]
    pub fn policer(self, direction: Direction) -> u16 {
        match direction {
            Direction::Upstream => (self.0 >> 16) as u16,
            Direction::Downstream => (self.0 >> 32) as u16,
        }
    }
}

impl core::fmt::Debug for Policy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Policy")
            .field("state", &self.state())
            .field("garden", &self.garden())
            .field("upstream_policer", &self.policer(Direction::Upstream))
            .field("downstream_policer", &self.policer(Direction::Downstream))
            .field("isolated", &self.is_isolated())
            .finish()
    }
}

/// A row by value: what control fills in, and what a reader copies out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub policy: Policy,
    pub ipv4: Ipv4Addr,
    /// Length of the subnet the subscriber sees: proxy ARP answers inside it.
    pub prefix_len: u8,
    /// Index of the access port in the configuration.
    pub port: u16,
    /// 0 where the frame carries no such tag.
    pub s_vlan: u16,
    pub c_vlan: u16,
    /// Largest IP packet towards the subscriber, bytes.
    pub mtu: u16,
    pub vrf: u16,
    pub mac: [u8; 6],
    pub ipv6: Ipv6Addr,
    pub ipv6_len: u8,
    /// Upper 64 bits of the delegated prefix.
    pub delegated: u64,
    pub delegated_len: u8,
    /// Counts the uses of this row.
    pub generation: u32,
}

impl Row {
    /// A row with the fields an IPv4 session needs; the others are zero.
    pub fn ipv4(ipv4: Ipv4Addr, prefix_len: u8, port: u16, s_vlan: u16, c_vlan: u16, mac: [u8; 6]) -> Row {
        Row {
            policy: Policy::new(RowState::Wgar),
            ipv4,
            prefix_len,
            port,
            s_vlan,
            c_vlan,
            mtu: 1500,
            vrf: 0,
            mac,
            ipv6: Ipv6Addr::UNSPECIFIED,
            ipv6_len: 0,
            delegated: 0,
            delegated_len: 0,
            generation: 0,
        }
    }

    fn to_words(self) -> [u64; 8] {
        let v6 = u128::from(self.ipv6);
        let mut words = [
            self.policy.0,
            u64::from(u32::from(self.ipv4)) | u64::from(self.port) << 32 | u64::from(self.prefix_len) << 48,
            u64::from(self.s_vlan)
                | u64::from(self.c_vlan) << 16
                | u64::from(self.mtu) << 32
                | u64::from(self.vrf) << 48,
            mac_bits(self.mac) | u64::from(self.ipv6_len) << 48 | u64::from(self.delegated_len) << 56,
            (v6 >> 64) as u64,
            v6 as u64,
            self.delegated,
            u64::from(self.generation),
        ];
        words[7] |= u64::from(seal(&words)) << 32;
        words
    }

    fn from_words(words: [u64; 8]) -> Row {
        Row {
            policy: Policy(words[0]),
            ipv4: Ipv4Addr::from(words[1] as u32),
            port: (words[1] >> 32) as u16,
            prefix_len: ((words[1] >> 48) as u8).min(32),
            s_vlan: words[2] as u16,
            c_vlan: (words[2] >> 16) as u16,
            mtu: (words[2] >> 32) as u16,
            vrf: (words[2] >> 48) as u16,
            mac: mac_from_bits(words[3]),
            ipv6_len: (words[3] >> 48) as u8,
            delegated_len: (words[3] >> 56) as u8,
            ipv6: Ipv6Addr::from(u128::from(words[4]) << 64 | u128::from(words[5])),
            delegated: words[6],
            generation: words[7] as u32,
        }
    }
}

/// A MAC address in the low 48 bits of a word, first octet highest, as the wire orders it.
#[inline(always)]
pub fn mac_bits(mac: [u8; 6]) -> u64 {
    u64::from_be_bytes([0, 0, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]])
}

/// The reverse of [`mac_bits`]; the upper 16 bits are ignored.
#[inline(always)]
pub fn mac_from_bits(bits: u64) -> [u8; 6] {
    let b = bits.to_be_bytes();
    [b[2], b[3], b[4], b[5], b[6], b[7]]
}

/// Checksum over everything but the policy word (which changes) and the seal itself: tells a scrubber that a field was
/// overwritten. FNV-1a by words, folded to 32 bits.
fn seal(words: &[u64; 8]) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for (i, word) in words.iter().enumerate().skip(1) {
        let word = if i == 7 { word & 0xffff_ffff } else { *word };
        hash = (hash ^ word).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 29;
    }
    (hash ^ hash >> 32) as u32
}

/// One row in shared memory.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RowCells {
    words: [AtomicU64; 8],
}

// SAFETY: eight atomic words fill the 64 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for RowCells {}

impl RowCells {
    /// The policy as it is now; everything a worker does with the packet follows from this one load. Acquire: the profiles
    /// that it names were filled before it was stored.
    #[inline(always)]
    pub fn policy(&self) -> Policy {
        Policy(self.words[0].load(Ordering::Acquire))
    }

    /// The address word: IPv4, port, prefix length.
    #[inline(always)]
    pub fn ipv4(&self) -> u32 {
        self.words[1].load(Ordering::Relaxed) as u32
    }

    #[inline(always)]
    pub fn port(&self) -> u16 {
        (self.words[1].load(Ordering::Relaxed) >> 32) as u16
    }

    /// At most 32, whatever the memory says.
    #[inline(always)]
    pub fn prefix_len(&self) -> u8 {
        ((self.words[1].load(Ordering::Relaxed) >> 48) as u8).min(32)
    }

    /// (S-VLAN, C-VLAN, MTU).
    #[inline(always)]
    pub fn tags_and_mtu(&self) -> (u16, u16, u16) {
        let word = self.words[2].load(Ordering::Relaxed);
        (word as u16, (word >> 16) as u16, (word >> 32) as u16)
    }

    /// MAC address in the low 48 bits.
    #[inline(always)]
    pub fn mac_bits(&self) -> u64 {
        self.words[3].load(Ordering::Relaxed) & 0xffff_ffff_ffff
    }

    /// Whether the row is of this address, line and host: anti-spoofing in three compares. `tags` is the S-VLAN in the lower
    /// half and the C-VLAN in the upper; the upper 16 bits of `mac` do not count. See [`RowCells::identity`].
    #[inline(always)]
    pub fn is_of(&self, ipv4: u32, port: u16, tags: u32, mac: u64) -> bool {
        let address = self.words[1].load(Ordering::Relaxed) ^ (u64::from(ipv4) | u64::from(port) << 32);
        let line = self.words[2].load(Ordering::Relaxed) as u32 ^ tags;
        let host = self.words[3].load(Ordering::Relaxed) ^ mac;
        // Of both words the lower 48 bits count.
        (address | host) << 16 | u64::from(line) == 0
    }

    /// What tells whose row this is, for a comparison in one piece: IPv4 address (bytes 0 to 3, host order), port (4, 5), S-VLAN (8, 9),
    /// C-VLAN (10, 11), MAC address (16 to 21, last octet first); the bytes between are of other fields.
    #[inline(always)]
    pub fn identity(&self) -> &[AtomicU64; 4] {
        let [_, identity @ .., _, _, _] = &self.words;
        identity
    }

    #[inline(always)]
    pub fn generation(&self) -> u32 {
        self.words[7].load(Ordering::Relaxed) as u32
    }

    /// Copies the row out.
    pub fn read(&self) -> Row {
        Row::from_words(core::array::from_fn(|i| self.words[i].load(Ordering::Relaxed)))
    }

    /// Whether the seal fits the fields.
    pub fn is_sealed(&self) -> bool {
        let words: [u64; 8] = core::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        seal(&words) == (words[7] >> 32) as u32
    }

    /// Control only: fills a row that no index reaches. The policy word is stored last, with release order.
    pub fn fill(&self, row: &Row) {
        let words = row.to_words();
        for (cell, word) in self.words.iter().zip(words).skip(1) {
            cell.store(word, Ordering::Relaxed);
        }
        self.words[0].store(words[0], Ordering::Release);
    }

    /// Control only: changes what workers do with the session from their next load on.
    pub fn set_policy(&self, policy: Policy) {
        self.words[0].store(policy.0, Ordering::Release);
    }
}

/// What an lcore keeps for one direction of a session.
#[derive(Debug, Default)]
#[repr(C)]
pub struct DirectionCells {
    /// GCRA theoretical arrival time, units of [`crate::policer::Time`].
    arrival: AtomicU64,
    packets: AtomicU64,
    /// Forwarded IP bytes (no Ethernet header, no tags).
    bytes: AtomicU64,
    /// Packets the policer dropped.
    policed: AtomicU64,
}

// SAFETY: four atomic words fill the 32 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for DirectionCells {}

/// A session direction's totals since the row was first used; never reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
    pub policed: u64,
}

impl Traffic {
    /// What came since `earlier`; wraps as the counters do.
    pub fn since(self, earlier: Traffic) -> Traffic {
        Traffic {
            packets: self.packets.wrapping_sub(earlier.packets),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
            policed: self.policed.wrapping_sub(earlier.policed),
        }
    }
}

impl DirectionCells {
    #[inline(always)]
    pub fn arrival(&self) -> u64 {
        self.arrival.load(Ordering::Relaxed)
    }

    /// Owner lcore only.
    #[inline(always)]
    pub fn set_arrival(&self, time: u64) {
        self.arrival.store(time, Ordering::Relaxed);
    }

    /// Owner lcore only: a plain add, since no other writes here.
    #[inline(always)]
    pub fn account(&self, packets: u64, bytes: u64) {
        self.packets.store(
            self.packets.load(Ordering::Relaxed).wrapping_add(packets),
            Ordering::Relaxed,
        );
        self.bytes.store(
            self.bytes.load(Ordering::Relaxed).wrapping_add(bytes),
            Ordering::Relaxed,
        );
    }

    /// Owner lcore only.
    #[inline(always)]
    pub fn count_policed(&self) {
        self.policed.store(
            self.policed.load(Ordering::Relaxed).wrapping_add(1),
            Ordering::Relaxed,
        );
    }

    pub fn traffic(&self) -> Traffic {
        Traffic {
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            policed: self.policed.load(Ordering::Relaxed),
        }
    }
}

/// One state line in shared memory.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct StateCells {
    directions: [DirectionCells; 2],
}

// SAFETY: two directions of four atomic words fill the 64 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for StateCells {}

impl StateCells {
    #[inline(always)]
    pub fn direction(&self, direction: Direction) -> &DirectionCells {
        &self.directions[direction as usize]
    }
}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<RowCells>() == 64 && align_of::<RowCells>() == 64);
    assert!(size_of::<StateCells>() == 64 && align_of::<StateCells>() == 64);
    assert!(size_of::<DirectionCells>() == 32);
};

/// The rows, by index.
#[derive(Clone, Debug)]
pub struct Rows(pub(crate) Shared<RowCells>);

impl Rows {
    /// How many rows there are; row 0 is never used.
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// The whole table, for a loop that keeps its place at hand.
    #[inline(always)]
    pub fn cells(&self) -> &[RowCells] {
        &self.0
    }

    /// `None` where the index lies outside the table.
    #[inline(always)]
    pub fn get(&self, index: SessionIndex) -> Option<&RowCells> {
        self.0.get(index.get() as usize)
    }

    /// Every index of the table.
    pub fn indexes(&self) -> impl Iterator<Item = SessionIndex> + use<> {
        (1..self.0.len() as u32).filter_map(SessionIndex::new)
    }
}

/// The states, by index.
#[derive(Clone, Debug)]
pub struct States(pub(crate) Shared<StateCells>);

impl States {
    /// The whole table, for a loop that keeps its place at hand.
    #[inline(always)]
    pub fn cells(&self) -> &[StateCells] {
        &self.0
    }

    /// `None` where the index lies outside the table.
    #[inline(always)]
    pub fn get(&self, index: SessionIndex) -> Option<&StateCells> {
        self.0.get(index.get() as usize)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn row() -> Row {
        let mut row = Row::ipv4(Ipv4Addr::new(10, 255, 1, 2), 16, 3, 100, 4094, [2, 1, 2, 3, 4, 5]);
        row.policy = Policy::new(RowState::Active)
            .with_garden(7)
            .with_policers(65535, 1)
            .isolated();
        row.ipv6 = "2001:db8::1".parse().unwrap();
        (
            row.ipv6_len,
            row.delegated,
            row.delegated_len,
            row.generation,
            row.mtu,
        ) = (128, 77, 56, 9, 1492);
        row
    }

    #[test]
    fn a_row_reads_back_as_it_was_filled() {
        let cells = RowCells::default();

        cells.fill(&row());

        assert_eq!(cells.read(), row());
        assert!(cells.is_sealed());
        assert_eq!(cells.mac_bits(), 0x0201_0203_0405);
        assert_eq!(cells.tags_and_mtu(), (100, 4094, 1492));
        let (ipv4, tags, mac) = (0x0aff_0102, 4094 << 16 | 100, 0x0201_0203_0405);
        assert!(cells.is_of(ipv4, 3, tags, mac));
        assert!(!cells.is_of(ipv4 ^ 1, 3, tags, mac) && !cells.is_of(ipv4, 2, tags, mac));
        assert!(!cells.is_of(ipv4, 3, tags ^ 1 << 31, mac) && !cells.is_of(ipv4, 3, tags, mac ^ 1 << 47));
        assert_eq!(cells.policy().policer(Direction::Upstream), 65535);
        assert_eq!(cells.policy().policer(Direction::Downstream), 1);
    }

    #[test]
    fn a_policy_change_keeps_the_seal_and_any_other_breaks_it() {
        let cells = RowCells::default();
        cells.fill(&row());

        cells.set_policy(Policy::new(RowState::Suspended));
        assert!(cells.is_sealed());

        for word in 1..8 {
            for bit in [0, 17, 31] {
                let old = cells.words[word].load(Ordering::Relaxed);
                cells.words[word].store(old ^ 1 << bit, Ordering::Relaxed);
                assert!(!cells.is_sealed(), "word {word} bit {bit}");
                cells.words[word].store(old, Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn random_memory_is_a_free_row_or_a_known_state() {
        for bits in 0..16u64 {
            let state = Policy(bits).state();
            assert!(bits == state as u64 || state == RowState::Free);
        }
    }
}
