//! ICMP (RFC 792): `type(1) code(1) checksum(2) rest(4)`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const HEADER_BYTES: usize = 8;

pub const ECHO_REPLY: u8 = 0;
pub const UNREACHABLE: u8 = 3;
pub const ECHO_REQUEST: u8 = 8;
pub const TIME_EXCEEDED: u8 = 11;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Icmp {
    pub kind: u8,
    pub code: u8,
    pub checksum: [u8; 2],
    /// Identifier and sequence of an echo; unused and next-hop MTU of "fragmentation needed" (RFC 1191, section 4).
    pub rest: [u8; 4],
}

const _: () = assert!(size_of::<Icmp>() == HEADER_BYTES);

/// Whether a message of this type reports an error: none may be sent about it (RFC 1812, 4.3.2.7).
pub fn is_error(kind: u8) -> bool {
    // Unreachable, source quench, redirect, time exceeded, parameter problem.
    matches!(kind, 3 | 4 | 5 | 11 | 12)
}
