//! The three link headers of the access side, and the head of an IPv4 packet behind one of them: fixed sizes, so that one
//! length check does for the whole head.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::ethernet::Ethernet;
use super::ipv4::Ipv4;
use super::vlan::Tag;

/// A link header with the IPv4 header behind it.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Head<L> {
    pub link: L,
    pub ip: Ipv4,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Untagged {
    pub ethernet: Ethernet,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct SingleTagged {
    /// Its EtherType is the tag's TPID.
    pub ethernet: Ethernet,
    pub tci: U16,
    pub ethertype: U16,
}

#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct DoubleTagged {
    /// Its EtherType is the outer tag's TPID.
    pub ethernet: Ethernet,
    pub outer_tci: U16,
    pub inner: Tag,
    /// What follows the tags.
    pub ethertype: U16,
}

const _: () = assert!(size_of::<Head<Untagged>>() == 34);
const _: () = assert!(size_of::<Head<SingleTagged>>() == 38);
const _: () = assert!(size_of::<Head<DoubleTagged>>() == 42);
