//! Ethernet II: `destination(6) source(6) EtherType(2)`.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const HEADER_BYTES: usize = 14;

pub const IPV4: u16 = 0x0800;
pub const ARP: u16 = 0x0806;
pub const IPV6: u16 = 0x86dd;

pub const BROADCAST: [u8; 6] = [0xff; 6];

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ethernet {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    /// What follows; below 0x600 a length (IEEE 802.3), which none of our protocols uses.
    pub ethertype: U16,
}

const _: () = assert!(size_of::<Ethernet>() == HEADER_BYTES);

/// Whether a station may send from this address: the group bit is clear and it is not all zero (IEEE 802, section 8.2).
#[inline(always)]
pub fn is_unicast(mac: [u8; 6]) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

/// Whether the group bit is set; broadcast is a group too.
#[inline(always)]
pub fn is_group(mac: [u8; 6]) -> bool {
    mac[0] & 1 != 0
}
