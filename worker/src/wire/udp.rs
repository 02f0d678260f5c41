//! UDP (RFC 768), and the first four bytes that it shares with TCP.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const HEADER_BYTES: usize = 8;

pub const DHCP_SERVER: u16 = 67;
pub const DHCP_CLIENT: u16 = 68;

/// The ports at the head of a UDP or TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ports {
    pub source: U16,
    pub destination: U16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Udp {
    pub ports: Ports,
    /// Header and payload, bytes.
    pub len: U16,
    pub checksum: [u8; 2],
}

const _: () = assert!(size_of::<Udp>() == HEADER_BYTES);
