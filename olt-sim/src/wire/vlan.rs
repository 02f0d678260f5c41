//! VLAN identifiers and the tags' type (TPID), IEEE 802.1Q.

use std::fmt;

use serde::{Deserialize, Serialize};

pub const TPID_C: u16 = 0x8100;
pub const TPID_S: u16 = 0x88a8;
pub const TPID_OLD_QINQ: u16 = 0x9100;
/// TPID and TCI.
pub const TAG_BYTES: usize = 4;

/// 1..=4094: 0 means "priority only" and 4095 is reserved (IEEE 802.1Q table 9-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

impl VlanId {
    pub fn new(id: u16) -> Result<Self, NotAVlan> {
        if (1..=4094).contains(&id) {
            Ok(Self(id))
        } else {
            Err(NotAVlan(id))
        }
    }

    /// The identifier in a tag's TCI; priority and drop eligibility are ignored.
    pub fn of_tci(tci: u16) -> Option<Self> {
        Self::new(tci & 0x0fff).ok()
    }

    pub fn get(self) -> u16 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not a VLAN identifier (1 to 4094)")]
pub struct NotAVlan(pub u16);

impl TryFrom<u16> for VlanId {
    type Error = NotAVlan;

    fn try_from(id: u16) -> Result<Self, NotAVlan> {
        Self::new(id)
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> Self {
        id.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The type of an outer tag. An inner tag is always 0x8100 (TR-101 R-18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Tpid(u16);

impl Tpid {
    pub const C: Self = Self(TPID_C);
    pub const S: Self = Self(TPID_S);
    pub const OLD_QINQ: Self = Self(TPID_OLD_QINQ);

    pub fn get(self) -> u16 {
        self.0
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:#06x} is not a tag's TPID (0x8100, 0x88a8 or 0x9100)")]
pub struct NotATpid(u16);

impl TryFrom<u16> for Tpid {
    type Error = NotATpid;

    fn try_from(tpid: u16) -> Result<Self, NotATpid> {
        if is_tpid(tpid) {
            Ok(Self(tpid))
        } else {
            Err(NotATpid(tpid))
        }
    }
}

impl From<Tpid> for u16 {
    fn from(tpid: Tpid) -> Self {
        tpid.0
    }
}

pub fn is_tpid(ethertype: u16) -> bool {
    matches!(ethertype, TPID_C | TPID_S | TPID_OLD_QINQ)
}
