//! The header of a common packet, read in a few words.
//!
//! `TAGS` is the bytes of tags that a frame has: 8, 4 or 0; `N` is the bytes of such a frame that are looked at. Where two versions stand side by side, the plain one is what the other is
//! held against.

use shm_bridge::session::RowCells;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ports::Port;
use crate::simd::level::Isa;
use crate::simd::v3::Picks;
use crate::wire::{ethernet, ipv4, udp, vlan};

/// Bytes that are looked at: Ethernet, tags, IPv4, ports.
pub(super) const QINQ_HEAD: usize = head(8);
pub(super) const SINGLE_HEAD: usize = head(4);
pub(super) const UNTAGGED_HEAD: usize = head(0);

const fn head(tags: usize) -> usize {
    network(tags) + ipv4::HEADER_BYTES + size_of::<udp::Ports>()
}

const _: () = assert!(udp::DHCP_CLIENT == udp::DHCP_SERVER + 1);

/// Where the network header begins.
pub(super) const fn network(tags: usize) -> usize {
    ethernet::HEADER_BYTES + tags
}

/// Where the TTL's word lies in the IPv4 header.
pub(super) const AGED_OFFSET: usize = 8;

/// What the express way keeps of a header, numbers in host order. It is laid out like the row of the session that it should belong to
/// ([`RowCells::identity`]), so that the two are compared as they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C, align(32))]
pub(super) struct Header {
    pub source: u32,
    pub port: u16,
    _not_compared: u16,
    pub s_vlan: u16,
    pub c_vlan: u16,
    /// 0: this is no common packet.
    pub total_len: u16,
    _nor_this: u16,
    pub source_mac: u64,
    pub destination: u32,
    _nor_that: u32,
}

const _: () = assert!(size_of::<Header>() == 32);

impl Header {
    pub const NONE: Header = Header {
        source: 0,
        port: 0,
        _not_compared: 0,
        s_vlan: 0,
        c_vlan: 0,
        total_len: 0,
        _nor_this: 0,
        source_mac: 0,
        destination: 0,
        _nor_that: 0,
    };

    /// Takes a common packet's header from a frame that came to `port`. `false`, and still [`Header::NONE`], where anything is not as in
    /// the common packet.
    #[inline(always)]
    pub fn take<const TAGS: usize, const N: usize>(
        &mut self,
        (head, len): (&[u8; N], usize),
        port: u16,
        shape: &Shape<TAGS>,
        isa: impl Isa,
    ) -> bool {
        const { assert!(N == self::head(TAGS)) };
        let l3 = network(TAGS);
        // One comparison for both ends: what is below the header's length wraps.
        let payload = usize::from(be16(head, l3 + 2)).wrapping_sub(ipv4::HEADER_BYTES);
        let is_common = shape.fits(head, isa)
            && payload <= len.wrapping_sub(l3 + ipv4::HEADER_BYTES)
            && head[l3 + AGED_OFFSET] > 1
            && ipv4::has_hosts(head[l3 + 16])
            && is_sound(head, l3)
            && !is_to_dhcp(head, l3);
        if is_common {
            self.fill::<TAGS, N>(head, isa);
            self.port = port;
            self.destination = be32(head, l3 + 16);
        }
        is_common
    }

    #[inline(always)]
    fn fill<const TAGS: usize, const N: usize>(&mut self, head: &[u8; N], isa: impl Isa) {
        match (isa.v3(), self.as_mut_bytes().first_chunk_mut()) {
            (Some(v3), Some(bytes)) => {
                v3.pick(
                    chunk(head, 6),
                    chunk(head, network(TAGS)),
                    const { &picks(TAGS) },
                    bytes,
                );
            }
            _ => self.fill_plainly::<TAGS, N>(head),
        }
    }

    #[inline(always)]
    fn fill_plainly<const TAGS: usize, const N: usize>(&mut self, head: &[u8; N]) {
        let l3 = network(TAGS);
        (self.s_vlan, self.c_vlan) = vlans::<TAGS, N>(head);
        self.source = be32(head, l3 + 12);
        self.total_len = be16(head, l3 + 2);
        self.source_mac = be64(head, 6) >> 16;
    }

    /// Whether a session's row is of this packet's sender: address, line and host are the same.
    #[inline(always)]
    pub fn is_of(&self, row: &RowCells, isa: impl Isa) -> bool {
        match (isa.v3(), self.as_bytes().first_chunk()) {
            (Some(v3), Some(bytes)) => !v3.cells_differ(row.identity(), bytes, &COMPARED),
            _ => {
                let tags = u32::from(self.s_vlan) | u32::from(self.c_vlan) << 16;
                row.is_of(self.source, self.port, tags, self.source_mac)
            }
        }
    }
}

/// Of a [`Header`], the bytes of address and port, of tags and of the MAC address.
const COMPARED: [u8; 32] = {
    let mut compared = [0xff; 32];
    let mut at = 0;
    while at < 32 {
        if matches!(at, 6 | 7 | 12..=15 | 22..) {
            compared[at] = 0;
        }
        at += 1;
    }
    compared
};

/// S-VLAN and C-VLAN, 0 where the frame has no such tag.
#[inline(always)]
pub(super) fn vlans<const TAGS: usize, const N: usize>(head: &[u8; N]) -> (u16, u16) {
    match TAGS {
        8 => (vlan::vid(be16(head, 14)), vlan::vid(be16(head, 18))),
        4 => (0, vlan::vid(be16(head, 14))),
        _ => (0, 0),
    }
}

/// What all common frames of a port have in the same place: to us, from a station, the tags' TPIDs, IPv4 without options.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(32))]
pub(super) struct Shape<const TAGS: usize> {
    expected: [u8; 32],
    outer_tpids: [u16; 3],
}

impl<const TAGS: usize> Shape<TAGS> {
    pub fn new(port: &Port) -> Shape<TAGS> {
        let outer_tpids = match port.access() {
            Some(access) => access.outer_tpids,
            None => [0; 3],
        };
        let mut expected = [0; 32];
        expected[..6].copy_from_slice(&port.mac);
        if TAGS > 0 {
            expected[12..14].copy_from_slice(&outer_tpids[0].to_be_bytes());
        }
        if TAGS > 4 {
            expected[16..18].copy_from_slice(&vlan::C_TAG.to_be_bytes());
        }
        let l3 = network(TAGS);
        expected[l3 - 2..l3].copy_from_slice(&ethernet::IPV4.to_be_bytes());
        expected[l3] = ipv4::PLAIN_VERSION_IHL;
        Shape {
            expected,
            outer_tpids,
        }
    }

    #[inline(always)]
    fn fits<const N: usize>(&self, head: &[u8; N], isa: impl Isa) -> bool {
        let counts = const { &counts(TAGS) };
        let differs = match isa.v3() {
            Some(v3) => v3.differs(chunk(head, 0), &self.expected, counts),
            None => differs(chunk(head, 0), &self.expected, counts),
        };
        !differs || self.has_other_tpid(head)
    }

    /// Whether all fits but the outer TPID, and that is another one that the port takes.
    #[cold]
    #[inline(never)]
    fn has_other_tpid<const N: usize>(&self, head: &[u8; N]) -> bool {
        let tpid = be16(head, 12);
        let mut expected = self.expected;
        expected[12..14].copy_from_slice(&tpid.to_be_bytes());
        TAGS > 0 && self.outer_tpids.contains(&tpid) && !differs(chunk(head, 0), &expected, &counts(TAGS))
    }
}

/// Whether bits that count differ from those expected.
#[inline(always)]
fn differs(bytes: &[u8; 32], expected: &[u8; 32], counts: &[u8; 32]) -> bool {
    let words = |bytes: &[u8; 32]| -> [u64; 4] {
        let (words, _) = bytes.as_chunks();
        std::array::from_fn(|i| u64::from_ne_bytes(words[i]))
    };
    let (bytes, expected, counts) = (words(bytes), words(expected), words(counts));
    (0..4).fold(0, |all, i| all | (bytes[i] ^ expected[i]) & counts[i]) != 0
}

/// The bits of a frame's beginning that all common frames of a port share.
const fn counts(tags: usize) -> [u8; 32] {
    let mut counts = [0; 32];
    let mut at = 0;
    while at < 6 {
        counts[at] = 0xff;
        at += 1;
    }
    // The group bit of the source.
    counts[6] = 1;
    // TPIDs and EtherType.
    let mut at = 12;
    while at < network(tags) {
        counts[at] = 0xff;
        counts[at + 1] = 0xff;
        at += vlan::TAG_BYTES;
    }
    // Version and header length.
    counts[network(tags)] = 0xff;
    counts
}

/// A [`Header`] but for its port and destination, out of the frame from byte 6 on and the network header.
const fn picks(tags: usize) -> Picks {
    const NO: u8 = Picks::NONE;
    let (s_vlan, c_vlan) = match tags {
        8 => ([9, 8], [13, 12]),
        4 => ([NO, NO], [9, 8]),
        _ => ([NO, NO], [NO, NO]),
    };
    let [s, t] = s_vlan;
    let [c, d] = c_vlan;
    Picks {
        first: [NO, NO, NO, NO, NO, NO, NO, NO, s, t, c, d, NO, NO, NO, NO],
        second: [15, 14, 13, 12, NO, NO, NO, NO, NO, NO, NO, NO, 3, 2, NO, NO],
        counts: [
            0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0x0f, 0xff, 0x0f, 0xff, 0xff, 0, 0,
        ],
        upper: [5, 4, 3, 2, 1, 0, NO, NO, NO, NO, NO, NO, NO, NO, NO, NO],
    }
}

/// Whether the header's checksum holds. The sum of sixteen-bit words is the same in any byte order, and in words of any size (RFC 1071, 2).
#[inline(always)]
fn is_sound<const N: usize>(head: &[u8; N], l3: usize) -> bool {
    let word = |at: usize| u64::from_ne_bytes(*chunk(head, at));
    let last = u64::from(u32::from_ne_bytes(*chunk(head, l3 + 16)));
    let (sum, carry) = word(l3).overflowing_add(word(l3 + 8));
    let (sum, again) = sum.overflowing_add(last + u64::from(carry));
    let sum = sum.wrapping_add(u64::from(again));
    // Each half's carry comes around into the other: the upper one is the folded sum.
    let sum = (sum.wrapping_add(sum.rotate_left(32)) >> 32) as u32;
    // A header has a version, so this is never plus zero.
    sum.wrapping_add(sum.rotate_left(16)) >= 0xffff_0000
}

/// Whether it is UDP and the destination port DHCP's: also where it is no port but a later fragment's data, the stages tell.
#[inline(always)]
fn is_to_dhcp<const N: usize>(head: &[u8; N], l3: usize) -> bool {
    let port = be16(head, l3 + ipv4::HEADER_BYTES + 2);
    head[l3 + 9] == ipv4::UDP && port.wrapping_sub(udp::DHCP_SERVER) < 2
}

/// The word of TTL, protocol and checksum one hop older, all in wire order: see [`ipv4::Ipv4::decrement_ttl`]. The TTL is not 0.
#[inline(always)]
pub(super) fn older(word: [u8; 4]) -> [u8; 4] {
    // As a little-endian number: the TTL is the lowest byte and loses one; the checksum's upper byte lies below its lower one, so that
    // the carry goes where it comes around to. What comes out of the top, and minus zero, goes back in below.
    let word = u32::from_le_bytes(word);
    let (around, comes_around) = word.overflowing_add(0x1_ffff);
    let older = if comes_around {
        around
    } else {
        word.wrapping_add(0xffff)
    };
    older.to_le_bytes()
}

#[inline(always)]
fn chunk<const N: usize, const K: usize>(head: &[u8; N], at: usize) -> &[u8; K] {
    match head[at..].first_chunk() {
        Some(chunk) => chunk,
        // Every `at` is a constant: this is decided when it is compiled.
        None => unreachable!("{K} bytes at {at} of a head"),
    }
}

#[inline(always)]
fn be16<const N: usize>(head: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes(*chunk(head, at))
}

#[inline(always)]
fn be32<const N: usize>(head: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes(*chunk(head, at))
}

#[inline(always)]
fn be64<const N: usize>(head: &[u8; N], at: usize) -> u64 {
    u64::from_be_bytes(*chunk(head, at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::level::Level;
    use crate::simd::level::Pass;

    #[test]
    fn every_ttl_and_checksum_ages_as_the_plain_header_does() {
        for checksum in 0..=u16::MAX {
            for ttl in [1, 2, 64, 255] {
                let mut header = ipv4::Ipv4::read_from_bytes(&[0; 20]).unwrap();
                (header.ttl, header.protocol, header.checksum) = (ttl, 17, checksum.to_be_bytes());
                let word: [u8; 4] = *header.as_bytes()[8..].first_chunk().unwrap();
                header.decrement_ttl();
                assert_eq!(older(word), header.as_bytes()[8..12], "{checksum:04x} {ttl}");
            }
        }
    }

    /// Reads any bytes by the instructions of a level.
    struct Read<'a, const TAGS: usize, const N: usize>(&'a [u8; N]);

    impl<const TAGS: usize, const N: usize> Pass for Read<'_, TAGS, N> {
        type Output = Header;

        #[inline(always)]
        fn run<I: Isa>(self, isa: I) -> Header {
            let mut header = Header::NONE;
            header.fill::<TAGS, N>(self.0, isa);
            header
        }
    }

    #[test]
    fn fields_are_the_same_at_every_level() {
        let mut seed = 7u64;
        for _ in 0..10_000 {
            let head: [u8; QINQ_HEAD] = std::array::from_fn(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            });
            let (any, best) = (Level::ANY, Level::best());
            assert_eq!(any.run(Read::<8, _>(&head)), best.run(Read::<8, _>(&head)));
            assert_eq!(any.run(Read::<4, _>(&head)), best.run(Read::<4, _>(&head)));
            assert_eq!(any.run(Read::<0, _>(&head)), best.run(Read::<0, _>(&head)));
        }
    }
}
