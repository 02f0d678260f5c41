//! VLAN tags (IEEE 802.1Q clause 9): `TPID(2) TCI(2)`, the TPID standing where the EtherType would.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const TAG_BYTES: usize = 4;

/// The customer tag, and the inner tag of two.
pub const C_TAG: u16 = 0x8100;
/// The service tag of IEEE 802.1ad.
pub const S_TAG: u16 = 0x88a8;
/// Outer tags before 802.1ad was agreed.
pub const LEGACY_TAG: u16 = 0x9100;

/// One tag with the TPID in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tag {
    pub tpid: U16,
    /// Priority (3 bits), drop eligible (1), VLAN id (12).
    pub tci: U16,
}

impl Tag {
    pub fn new(tpid: u16, tci: u16) -> Tag {
        Tag {
            tpid: U16::new(tpid),
            tci: U16::new(tci),
        }
    }
}

const _: () = assert!(size_of::<Tag>() == TAG_BYTES);

/// The VLAN id of a TCI.
#[inline(always)]
pub fn vid(tci: u16) -> u16 {
    tci & 0x0fff
}

/// Whether the id names a VLAN: 0 is a priority tag, 4095 is reserved (802.1Q table 9-2).
#[inline(always)]
pub fn is_vlan(vid: u16) -> bool {
    vid.wrapping_sub(1) < 4094
}

/// Whether an EtherType announces a tag, of whichever kind.
#[inline(always)]
pub fn is_tpid(ethertype: u16) -> bool {
    matches!(ethertype, C_TAG | S_TAG | LEGACY_TAG)
}
