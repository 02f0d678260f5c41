//! IPv4 (RFC 791): the fixed header, its options, and which addresses may stand where.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const HEADER_BYTES: usize = 20;
/// With all the options that fit.
pub const HEADER_BYTES_MAX: usize = 60;

pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// Fragments are counted in units of this many bytes.
pub const FRAGMENT_UNIT: usize = 8;
const DONT_FRAGMENT: u16 = 0x4000;
const MORE_FRAGMENTS: u16 = 0x2000;
const OFFSET: u16 = 0x1fff;

pub const BROADCAST: u32 = u32::MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    pub version_ihl: u8,
    pub tos: u8,
    /// Header and payload, bytes.
    pub total_len: U16,
    pub id: U16,
    pub fragment: Fragment,
    pub ttl: u8,
    pub protocol: u8,
    pub checksum: [u8; 2],
    pub source: U32,
    pub destination: U32,
}

const _: () = assert!(size_of::<Ipv4>() == HEADER_BYTES);

/// Version 4 and five words of header: no options.
pub const PLAIN_VERSION_IHL: u8 = 0x45;

impl Ipv4 {
    #[inline(always)]
    pub fn version(&self) -> u8 {
        self.version_ihl >> 4
    }

    /// Bytes of the header as it claims, 0..=60.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        usize::from(self.version_ihl & 0xf) * 4
    }

    /// One hop less to live. The checksum grows by what the TTL, the upper byte of its word, loses (RFC 1624, equation 3
    /// for m - m' = 0x0100); a TTL of 0 is not to come here.
    #[inline(always)]
    pub fn decrement_ttl(&mut self) {
        self.ttl = self.ttl.wrapping_sub(1);
        let sum = u32::from(u16::from_be_bytes(self.checksum)) + 0x0100;
        // Adding the carry where the sum is 0xffff too makes minus zero zero.
        self.checksum = ((sum + u32::from(sum >= 0xffff)) as u16).to_be_bytes();
    }
}

/// Flags and offset of a fragment.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Fragment(pub U16);

impl Fragment {
    #[inline(always)]
    pub fn dont_fragment(self) -> bool {
        self.0.get() & DONT_FRAGMENT != 0
    }

    /// Whether the packet is a piece of a larger one.
    #[inline(always)]
    pub fn is_fragment(self) -> bool {
        self.0.get() & (MORE_FRAGMENTS | OFFSET) != 0
    }

    /// Whether it is a piece other than the first, which shows no ports.
    #[inline(always)]
    pub fn is_later(self) -> bool {
        self.0.get() & OFFSET != 0
    }
}

/// Whether an address can be the source of a packet that is forwarded: not "this network", loopback, multicast, reserved or
/// broadcast (RFC 1812, 5.3.7).
#[inline(always)]
pub fn is_host(address: u32) -> bool {
    has_hosts((address >> 24) as u8)
}

/// Whether a network of the old classes has hosts, by an address's first octet.
#[inline(always)]
pub fn has_hosts(first_octet: u8) -> bool {
    // One load where comparisons are half a dozen instructions.
    const HAS_HOSTS: [bool; 256] = {
        let mut has = [false; 256];
        let mut octet = 1;
        while octet < 224 {
            has[octet] = octet != 127;
            octet += 1;
        }
        has
    };
    HAS_HOSTS[usize::from(first_octet)]
}

#[inline(always)]
pub fn is_multicast(address: u32) -> bool {
    address >> 28 == 0xe
}

/// What the options of a header tell a router that implements none of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Options {
    /// Well-formed, and nothing we act upon.
    Harmless,
    /// Loose or strict source route: dropped (RFC 7126, 4.3 and 4.4).
    SourceRoute,
    /// A length that runs out of the header.
    Malformed,
}

/// Walks the options area of a header (what follows its first 20 bytes).
pub fn options(mut area: &[u8]) -> Options {
    const END: u8 = 0;
    const NO_OPERATION: u8 = 1;
    const LOOSE_SOURCE_ROUTE: u8 = 131;
    const STRICT_SOURCE_ROUTE: u8 = 137;
    loop {
        area = match area {
            [] | [END, ..] => return Options::Harmless,
            [NO_OPERATION, rest @ ..] => rest,
            [LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE, ..] => return Options::SourceRoute,
            [_, len, ..] if *len >= 2 => match area.get(usize::from(*len)..) {
                Some(rest) => rest,
                None => return Options::Malformed,
            },
            _ => return Options::Malformed,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_route_is_found_behind_other_options() {
        assert_eq!(options(&[]), Options::Harmless);
        assert_eq!(options(&[1, 1, 1, 0]), Options::Harmless);
        // Router alert (RFC 2113), then a loose source route.
        assert_eq!(options(&[148, 4, 0, 0, 131, 3, 4, 0]), Options::SourceRoute);
        assert_eq!(options(&[1, 1, 1, 137]), Options::SourceRoute);
        // After the end of options nothing counts.
        assert_eq!(options(&[0, 131, 3, 4]), Options::Harmless);
    }

    #[test]
    fn an_option_whose_length_is_impossible_is_malformed() {
        assert_eq!(options(&[7, 1, 0, 0]), Options::Malformed);
        assert_eq!(options(&[7, 0, 0, 0]), Options::Malformed);
        assert_eq!(options(&[7, 5, 0, 0]), Options::Malformed);
        assert_eq!(options(&[1, 1, 1, 7]), Options::Malformed);
    }

    #[test]
    fn only_a_host_may_be_a_source() {
        for (address, is) in [
            ([0, 0, 0, 0], false),
            ([0, 1, 2, 3], false),
            ([1, 0, 0, 0], true),
            ([126, 255, 255, 255], true),
            ([127, 0, 0, 1], false),
            ([128, 0, 0, 1], true),
            ([223, 255, 255, 255], true),
            ([224, 0, 0, 1], false),
            ([240, 0, 0, 1], false),
            ([255, 255, 255, 255], false),
        ] {
            assert_eq!(is_host(u32::from_be_bytes(address)), is, "{address:?}");
        }
    }
}
