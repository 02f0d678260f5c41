//! VLAN tags: the 12-bit id, sets of ids written as ranges, and the tag protocol identifier before them.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A VLAN id that may stand in a tag: 1..=4094 (IEEE 802.1Q table 9-2: 0 is a priority tag, 4095 is reserved).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct VlanId(u16);

/// Why a text or number is no VLAN id, or no set of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VlanError {
    #[error("VLAN id {found} is outside 1..=4094")]
    OutOfRange { found: u64 },
    #[error("{found:?} is no VLAN id")]
    NotANumber { found: String },
    #[error("range {first}-{last} runs backwards")]
    Backwards { first: VlanId, last: VlanId },
    #[error("names no VLAN")]
    Empty,
}

impl VlanId {
    pub const MIN: VlanId = VlanId(1);
    pub const MAX: VlanId = VlanId(4094);

    pub const fn new(id: u16) -> Result<VlanId, VlanError> {
        if id >= 1 && id <= 4094 {
            Ok(VlanId(id))
        } else {
            Err(VlanError::OutOfRange { found: id as u64 })
        }
    }

    pub const fn get(self) -> u16 {
        self.0
    }
}

impl TryFrom<u16> for VlanId {
    type Error = VlanError;
    fn try_from(id: u16) -> Result<VlanId, VlanError> {
        VlanId::new(id)
    }
}

impl From<VlanId> for u16 {
    fn from(id: VlanId) -> u16 {
        id.0
    }
}

impl FromStr for VlanId {
    type Err = VlanError;

    fn from_str(text: &str) -> Result<VlanId, VlanError> {
        let trimmed = text.trim();
        if trimmed.is_empty() || !trimmed.bytes().all(|b| b.is_ascii_digit()) {
            return Err(VlanError::NotANumber {
                found: trimmed.to_owned(),
            });
        }
        let found = trimmed.parse::<u64>().unwrap_or(u64::MAX);
        match u16::try_from(found) {
            Ok(id) => VlanId::new(id),
            Err(_) => Err(VlanError::OutOfRange { found }),
        }
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A set of VLAN ids, written `100-109,200`. Kept sorted, without overlap, neighbours merged.
///
/// The empty set means "a frame of this line carries no such tag" (an untagged or single-tagged port).
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IdRanges(Vec<RangeInclusive<VlanId>>);

impl IdRanges {
    pub const NONE: IdRanges = IdRanges(Vec::new());

    /// Every id, 1..=4094.
    pub fn all() -> IdRanges {
        IdRanges(vec![VlanId::MIN..=VlanId::MAX])
    }

    /// The set of all ids in `ranges`, which may overlap and come in any order; a backward range is empty.
    pub fn from_ranges(ranges: impl IntoIterator<Item = RangeInclusive<VlanId>>) -> IdRanges {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|r| r.start() <= r.end()).collect();
        sorted.sort_by_key(|r| *r.start());
        let mut merged: Vec<RangeInclusive<VlanId>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.start().0 <= last.end().0.saturating_add(1) => {
                    *last = *last.start()..=(*last.end()).max(*range.end());
                }
                _ => merged.push(range),
            }
        }
        IdRanges(merged)
    }

    pub fn ranges(&self) -> &[RangeInclusive<VlanId>] {
        &self.0
    }

    pub fn contains(&self, id: VlanId) -> bool {
        self.0.iter().any(|range| range.contains(&id))
    }

    /// How many ids are in the set, 0..=4094.
    pub fn len(&self) -> usize {
        self.0
            .iter()
            .map(|r| usize::from(r.end().0 - r.start().0) + 1)
            .sum()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ids in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = VlanId> + '_ {
        self.0.iter().flat_map(|r| (r.start().0..=r.end().0).map(VlanId))
    }

    /// Whether every id of `other` is in this set too.
    pub fn contains_all(&self, other: &IdRanges) -> bool {
        let covered = |range: &RangeInclusive<VlanId>| {
            self.0
                .iter()
                .any(|own| own.start() <= range.start() && range.end() <= own.end())
        };
        other.0.iter().all(covered)
    }

    /// The smallest id in both sets.
    pub fn first_common(&self, other: &IdRanges) -> Option<VlanId> {
        let common = |a: &RangeInclusive<VlanId>, b: &RangeInclusive<VlanId>| {
            let first = (*a.start()).max(*b.start());
            (first <= (*a.end()).min(*b.end())).then_some(first)
        };
        self.0
            .iter()
            .flat_map(|a| other.0.iter().filter_map(move |b| common(a, b)))
            .min()
    }
}

impl FromStr for IdRanges {
    type Err = VlanError;

    fn from_str(text: &str) -> Result<IdRanges, VlanError> {
        if text.trim().is_empty() {
            return Err(VlanError::Empty);
        }
        let mut ranges = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<VlanId>()?, last.parse::<VlanId>()?);
            if first > last {
                return Err(VlanError::Backwards { first, last });
            }
            ranges.push(first..=last);
        }
        Ok(IdRanges::from_ranges(ranges))
    }
}

impl fmt::Display for IdRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            if range.start() == range.end() {
                write!(f, "{comma}{}", range.start())?;
            } else {
                write!(f, "{comma}{}-{}", range.start(), range.end())?;
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for IdRanges {
    type Error = VlanError;
    fn try_from(text: String) -> Result<IdRanges, VlanError> {
        if text.is_empty() {
            Ok(IdRanges::NONE)
        } else {
            text.parse()
        }
    }
}

impl From<IdRanges> for String {
    fn from(ranges: IdRanges) -> String {
        ranges.to_string()
    }
}

/// The tag protocol identifier in front of an outer tag: the EtherType that says "a VLAN tag follows".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tpid {
    /// 0x8100, the customer tag of IEEE 802.1Q; always the inner tag's.
    CTag,
    /// 0x88a8, the service tag of IEEE 802.1ad.
    STag,
    /// 0x9100, used for outer tags before 802.1ad was agreed, and by old access nodes still.
    Legacy,
}

impl Tpid {
    pub const ALL: [Tpid; 3] = [Tpid::STag, Tpid::CTag, Tpid::Legacy];

    pub const fn ethertype(self) -> u16 {
        match self {
            Tpid::CTag => 0x8100,
            Tpid::STag => 0x88a8,
            Tpid::Legacy => 0x9100,
        }
    }

    pub fn from_ethertype(ethertype: u16) -> Option<Tpid> {
        Tpid::ALL.into_iter().find(|tpid| tpid.ethertype() == ethertype)
    }
}

impl fmt::Display for Tpid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.ethertype())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(text: &str) -> IdRanges {
        text.parse().unwrap()
    }

    #[test]
    fn a_set_is_sorted_and_merged_and_reads_back() {
        let set = ranges("200, 105-109,100-104, 103");

        assert_eq!(set.to_string(), "100-109,200");
        assert_eq!(ranges(&set.to_string()), set);
        assert_eq!(set.len(), 11);
        assert_eq!(set.iter().count(), 11);
        assert!(set.contains(VlanId(104)) && set.contains(VlanId(200)) && !set.contains(VlanId(110)));
    }

    #[test]
    fn ids_that_no_tag_may_carry_are_refused() {
        assert_eq!("0".parse::<IdRanges>(), Err(VlanError::OutOfRange { found: 0 }));
        assert_eq!(
            "1-4095".parse::<IdRanges>(),
            Err(VlanError::OutOfRange { found: 4095 })
        );
        assert_eq!(
            "99999999999999999999".parse::<VlanId>(),
            Err(VlanError::OutOfRange { found: u64::MAX })
        );
        assert_eq!(
            "9-5".parse::<IdRanges>(),
            Err(VlanError::Backwards {
                first: VlanId(9),
                last: VlanId(5)
            })
        );
        assert!(matches!(
            "1,,2".parse::<IdRanges>(),
            Err(VlanError::NotANumber { .. })
        ));
        assert!(matches!(
            "-5".parse::<IdRanges>(),
            Err(VlanError::NotANumber { .. })
        ));
        assert_eq!("".parse::<IdRanges>(), Err(VlanError::Empty));
    }

    #[test]
    fn sets_meet_where_they_share_an_id() {
        assert_eq!(ranges("1-10").first_common(&ranges("20,8-12")), Some(VlanId(8)));
        assert_eq!(ranges("1-10").first_common(&ranges("11-20")), None);
        assert_eq!(IdRanges::all().first_common(&IdRanges::NONE), None);
    }
}
