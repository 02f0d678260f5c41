//! The header of a common packet, read in a few words.

use crate::ports::{Access, Port};
use crate::wire::{ethernet, ipv4, udp, vlan};

/// What the express way keeps of a header, in whole words: they are stored and loaded as they are, and taken apart in registers.
/// Numbers in host order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// Source MAC address in the low 48 bits, total length above.
    mac_and_len: u64,
    /// Source address in the lower half; above, S-VLAN and then C-VLAN.
    source_and_tags: u64,
    /// The word of TTL, protocol and checksum as it came; above, the destination.
    old_and_destination: u64,
}

impl Header {
    #[inline(always)]
    pub fn source_mac(&self) -> u64 {
        self.mac_and_len & 0xffff_ffff_ffff
    }

    #[inline(always)]
    pub fn total_len(&self) -> u16 {
        (self.mac_and_len >> 48) as u16
    }

    #[inline(always)]
    pub fn source(&self) -> u32 {
        self.source_and_tags as u32
    }

    /// S-VLAN in the lower half, C-VLAN in the upper.
    #[inline(always)]
    pub fn tags(&self) -> u32 {
        (self.source_and_tags >> 32) as u32
    }

    #[inline(always)]
    pub fn destination(&self) -> u32 {
        (self.old_and_destination >> 32) as u32
    }

    /// The word of TTL, protocol and checksum as it will be, one hop older.
    #[inline(always)]
    pub fn aged(&self) -> u32 {
        older(self.old_and_destination as u32)
    }
}

/// Bytes of the IPv4 header and the ports behind it.
const IP_AND_PORTS: usize = ipv4::HEADER_BYTES + size_of::<udp::Ports>();
pub(super) const QINQ_BYTES: usize = 22 + IP_AND_PORTS;
pub(super) const SINGLE_BYTES: usize = 18 + IP_AND_PORTS;
pub(super) const UNTAGGED_BYTES: usize = 14 + IP_AND_PORTS;

const _: () = assert!(udp::DHCP_CLIENT == udp::DHCP_SERVER + 1);

/// Where the TTL's word lies in the IPv4 header.
pub(super) const AGED_OFFSET: usize = 8;

#[inline(always)]
fn be64<const N: usize>(head: &[u8; N], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&head[at..at + 8]);
    u64::from_be_bytes(word)
}

#[inline(always)]
fn be32<const N: usize>(head: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]])
}

/// Two tags. `None` where anything is not as in the common packet.
#[inline(always)]
pub(super) fn qinq(head: &[u8; QINQ_BYTES], len: usize, port: &Port, access: &Access) -> Option<Header> {
    let (source_mac, tpid) = link(head, port)?;
    // outer TCI, inner TPID, inner TCI, EtherType
    let tags = be64(head, 14);
    let fixed = u64::from(vlan::C_TAG) << 32 | u64::from(ethernet::IPV4);
    let (s_vlan, c_vlan) = (vlan::vid((tags >> 48) as u16), vlan::vid((tags >> 16) as u16));
    // No session has an id that is no VLAN's, so those need no look here.
    if tags & 0x0000_ffff_0000_ffff != fixed || !access.takes(tpid) {
        return None;
    }
    let tags = u32::from(s_vlan) | u32::from(c_vlan) << 16;
    network::<QINQ_BYTES, 22>(head, len, source_mac, tags)
}

/// One tag.
#[inline(always)]
pub(super) fn single(head: &[u8; SINGLE_BYTES], len: usize, port: &Port, access: &Access) -> Option<Header> {
    let (source_mac, tpid) = link(head, port)?;
    let tag = be32(head, 14);
    let c_vlan = vlan::vid((tag >> 16) as u16);
    if tag as u16 != ethernet::IPV4 || !access.takes(tpid) {
        return None;
    }
    network::<SINGLE_BYTES, 18>(head, len, source_mac, u32::from(c_vlan) << 16)
}

/// No tag.
#[inline(always)]
pub(super) fn untagged(head: &[u8; UNTAGGED_BYTES], len: usize, port: &Port) -> Option<Header> {
    let (source_mac, ethertype) = link(head, port)?;
    if ethertype != ethernet::IPV4 {
        return None;
    }
    network::<UNTAGGED_BYTES, 14>(head, len, source_mac, 0)
}

/// The source address and what follows it, of a frame to us from a station.
#[inline(always)]
fn link<const N: usize>(head: &[u8; N], port: &Port) -> Option<(u64, u16)> {
    const GROUP: u64 = 1 << 8;
    // The destination, and the first two bytes of the source, of which the group bit must be clear.
    let first = be64(head, 0);
    let rest = be64(head, 6);
    let source = rest >> 16;
    if first & (!0xffff | GROUP) != port.mac_bits() << 16 || source == 0 {
        return None;
    }
    Some((source, rest as u16))
}

#[inline(always)]
fn network<const N: usize, const L3: usize>(
    head: &[u8; N],
    len: usize,
    source_mac: u64,
    tags: u32,
) -> Option<Header> {
    // version, header length, TOS, total length · id, fragment
    let first = be64(head, L3);
    // TTL, protocol, checksum · source
    let second = be64(head, L3 + 8);
    let destination = be32(head, L3 + 16);
    let total_len = (first >> 32) as u16;
    let aged = (second >> 32) as u32;

    // One comparison for both ends: what is below the header's length wraps.
    let payload = usize::from(total_len).wrapping_sub(ipv4::HEADER_BYTES);
    if first >> 56 != u64::from(ipv4::PLAIN_VERSION_IHL)
        || payload > len.wrapping_sub(L3 + ipv4::HEADER_BYTES)
        || aged < 2 << 24
        || !ipv4::is_host(destination)
    {
        return None;
    }
    // Halves of ten words: less than 5 * 2^32, so two folds leave at most 0x1fffe, of which these two are minus zero.
    let halves = |word: u64| (word >> 32) + (word & 0xffff_ffff);
    let sum = halves(halves(first) + halves(second) + u64::from(destination));
    let sum = (sum >> 16) + (sum & 0xffff);
    if sum != 0xffff && sum != 0x1_fffe {
        return None;
    }
    // Also where it is no port but a later fragment's data: the stages tell. The two ports are neighbours.
    let port = be32(head, L3 + ipv4::HEADER_BYTES) as u16;
    if (aged >> 16) as u8 == ipv4::UDP && port.wrapping_sub(udp::DHCP_SERVER) < 2 {
        return None;
    }
    Some(Header {
        mac_and_len: source_mac | u64::from(total_len) << 48,
        source_and_tags: second & 0xffff_ffff | u64::from(tags) << 32,
        old_and_destination: u64::from(aged) | u64::from(destination) << 32,
    })
}

/// The word of TTL, protocol and checksum one hop older: see [`ipv4::Ipv4::decrement_ttl`]. The TTL is not 0.
#[inline(always)]
fn older(word: u32) -> u32 {
    let sum = (word & 0xffff) + 0x0100;
    // The carry falls out of the 16 bits, and the TTL loses the one in the uppermost eight.
    let checksum = (sum + u32::from(sum >= 0xffff)) as u16;
    (word & 0xffff_0000) - 0x0100_0000 + u32::from(checksum)
}
