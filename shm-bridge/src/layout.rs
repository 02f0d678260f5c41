//! Where everything lies in the segment, and how two processes make sure that they agree about it.
//!
//! Offsets follow from the [`Geometry`] alone. What does not follow from it, the sizes of cells and the names of reasons, is in
//! [`FINGERPRINT`]: named numbers computed at compile time, stored in the preamble by whoever made the segment and compared by
//! whoever attaches, so that a refusal names what differs.

use crate::access::{BucketCells, PORTS_MAX, VLANS};
use crate::adjacency::AdjacencyCells;
use crate::counters::LcoreCells;
use crate::fib::{GROUP, TBL24};
use crate::garden::{PROFILES, RuleCells};
use crate::latency::HistogramCells;
use crate::policer::ProfileCells;
use crate::ports::PortStatusCells;
use crate::reasons::{DropReason, PuntReason};
use crate::ring::Slot;
use crate::session::{RowCells, StateCells};

/// First word of a segment: "SLUICE" and the version of the preamble's own form.
pub const MAGIC: u64 = u64::from_be_bytes(*b"SLUICE\0\x01");
/// Regions begin at a huge page of the common size, so that each can be mapped with its own protection.
pub const REGION_ALIGN: usize = 2 << 20;
/// Words of each region's header.
pub const HEADER_WORDS: usize = 64;

/// Named numbers that must be equal on both sides.
pub const FINGERPRINT: [(&str, u64); 14] = [
    ("session row size", size_of::<RowCells>() as u64),
    ("session state size", size_of::<StateCells>() as u64),
    ("access bucket size", size_of::<BucketCells>() as u64),
    ("adjacency size", size_of::<AdjacencyCells>() as u64),
    ("garden rule size", size_of::<RuleCells>() as u64),
    ("policer profile size", size_of::<ProfileCells>() as u64),
    ("lcore block size", size_of::<LcoreCells>() as u64),
    ("latency histogram size", size_of::<HistogramCells>() as u64),
    ("port status size", size_of::<PortStatusCells>() as u64),
    ("ring slot size", size_of::<Slot>() as u64),
    ("ports", PORTS_MAX as u64),
    ("drop reasons", hash(DropReason::LABELS)),
    ("punt reasons", hash(PuntReason::LABELS)),
    // Raised by hand when the meaning of a word changes but no size does.
    ("meaning", 1),
];

/// FNV-1a over names, each ended by a zero.
const fn hash(names: &[&str]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    let mut i = 0;
    while i < names.len() {
        let bytes = names[i].as_bytes();
        let mut j = 0;
        while j <= bytes.len() {
            let byte = if j < bytes.len() { bytes[j] } else { 0 };
            hash = (hash ^ byte as u64).wrapping_mul(0x0000_0100_0000_01b3);
            j += 1;
        }
        i += 1;
    }
    hash
}

/// How large the tables are. Each number is a count of entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Session rows, a power of two; row 0 is not used.
    pub sessions: u32,
    pub adjacencies: u32,
    pub policer_profiles: u32,
    pub garden_rules: u32,
    /// S-VLANs with 1:1 lines in use at once.
    pub svlan_blocks: u32,
    pub tbl8_groups: u32,
    pub lcores: u32,
    /// Slots of each punt and inject ring, a power of two.
    pub ring_slots: u32,
}

impl Default for Geometry {
    fn default() -> Self {
        Geometry {
            sessions: 65_536,
            adjacencies: 1024,
            policer_profiles: 4096,
            garden_rules: 16_384,
            svlan_blocks: 256,
            tbl8_groups: 1024,
            lcores: 8,
            ring_slots: 1024,
        }
    }
}

/// A table size out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {value}; it must be {range}")]
pub struct GeometryError {
    pub name: &'static str,
    pub value: u32,
    pub range: &'static str,
}

impl Geometry {
    /// Names of the numbers as the configuration has them, in the order of the preamble.
    pub const NAMES: [&'static str; 8] = [
        "limits.sessions",
        "limits.adjacencies",
        "limits.policer_profiles",
        "limits.garden_rules",
        "limits.svlan_blocks",
        "limits.tbl8_groups",
        "limits.lcores",
        "limits.punt_ring_slots",
    ];

    pub(crate) fn numbers(&self) -> [u32; 8] {
        [
            self.sessions,
            self.adjacencies,
            self.policer_profiles,
            self.garden_rules,
            self.svlan_blocks,
            self.tbl8_groups,
            self.lcores,
            self.ring_slots,
        ]
    }

    /// Whether the layout can be made of it.
    pub fn validate(&self) -> Result<(), GeometryError> {
        let powers = [
            ("limits.sessions", self.sessions, 64, 1 << 20),
            ("limits.punt_ring_slots", self.ring_slots, 2, 1 << 16),
        ];
        for (name, value, low, high) in powers {
            if !value.is_power_of_two() || value < low || value > high {
                let range = if name == "limits.sessions" {
                    "a power of two from 64 to 1048576"
                } else {
                    "a power of two from 2 to 65536"
                };
                return Err(GeometryError { name, value, range });
            }
        }
        let counts = [
            ("limits.adjacencies", self.adjacencies, 1 << 20, "1 to 1048576"),
            (
                "limits.policer_profiles",
                self.policer_profiles,
                65_536,
                "1 to 65536",
            ),
            ("limits.garden_rules", self.garden_rules, 1 << 20, "1 to 1048576"),
            ("limits.svlan_blocks", self.svlan_blocks, 65_536, "1 to 65536"),
            ("limits.tbl8_groups", self.tbl8_groups, 1 << 20, "1 to 1048576"),
            ("limits.lcores", self.lcores, 64, "1 to 64"),
        ];
        for (name, value, high, range) in counts {
            if value == 0 || value > high {
                return Err(GeometryError { name, value, range });
            }
        }
        Ok(())
    }
}

/// A table's place: offset from its region's start, and number of cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: usize,
    pub cells: usize,
}

/// Hands out places one after another.
struct Cursor(usize);

impl Cursor {
    fn take<T>(&mut self, cells: usize) -> Place {
        let offset = self.0.next_multiple_of(align_of::<T>().max(64));
        self.0 = offset + cells * size_of::<T>();
        Place { offset, cells }
    }
}

/// Offsets of all tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub control_start: usize,
    pub control_len: usize,
    pub worker_start: usize,
    pub worker_len: usize,
    // Control region.
    pub control_header: Place,
    pub rows: Place,
    pub directory: Place,
    pub blocks: Place,
    pub buckets: Place,
    pub tbl24: Place,
    pub tbl8: Place,
    pub adjacencies: Place,
    pub garden_profiles: Place,
    pub garden_rules: Place,
    pub policers: Place,
    pub inject_slots: Place,
    pub inject_heads: Place,
    pub punt_tails: Place,
    // Worker region.
    pub worker_header: Place,
    pub lcores: Place,
    pub latencies: Place,
    pub ports: Place,
    pub states: Place,
    pub punt_slots: Place,
    pub punt_heads: Place,
    pub inject_tails: Place,
}

impl Layout {
    pub fn of(geometry: &Geometry) -> Layout {
        type Word = u64;
        let sessions = geometry.sessions as usize;
        let lcores = geometry.lcores as usize;
        let ring = lcores * geometry.ring_slots as usize;
        let mut control = Cursor(0);
        let mut worker = Cursor(0);
        let mut layout = Layout {
            control_start: REGION_ALIGN,
            control_len: 0,
            worker_start: 0,
            worker_len: 0,
            control_header: control.take::<Word>(HEADER_WORDS),
            rows: control.take::<RowCells>(sessions),
            directory: control.take::<u32>(PORTS_MAX * VLANS),
            blocks: control.take::<[u32; VLANS]>(geometry.svlan_blocks as usize),
            // Twice as many slots as sessions, eight to a bucket.
            buckets: control.take::<BucketCells>((sessions / 4).next_power_of_two()),
            tbl24: control.take::<u32>(TBL24),
            tbl8: control.take::<[u32; GROUP]>(geometry.tbl8_groups as usize),
            adjacencies: control.take::<AdjacencyCells>(geometry.adjacencies as usize),
            garden_profiles: control.take::<Word>(PROFILES),
            garden_rules: control.take::<RuleCells>(geometry.garden_rules as usize),
            policers: control.take::<ProfileCells>(geometry.policer_profiles as usize),
            inject_slots: control.take::<Slot>(ring),
            // A head or tail has a line of its own: eight words for one.
            inject_heads: control.take::<[Word; 8]>(lcores),
            punt_tails: control.take::<[Word; 8]>(lcores),
            worker_header: worker.take::<Word>(HEADER_WORDS),
            lcores: worker.take::<LcoreCells>(lcores),
            latencies: worker.take::<[HistogramCells; 2]>(lcores),
            ports: worker.take::<PortStatusCells>(PORTS_MAX),
            states: worker.take::<StateCells>(sessions),
            punt_slots: worker.take::<Slot>(ring),
            punt_heads: worker.take::<[Word; 8]>(lcores),
            inject_tails: worker.take::<[Word; 8]>(lcores),
        };
        layout.control_len = control.0.next_multiple_of(REGION_ALIGN);
        layout.worker_start = layout.control_start + layout.control_len;
        layout.worker_len = worker.0.next_multiple_of(REGION_ALIGN);
        layout
    }

    /// Bytes of the whole segment.
    pub fn total(&self) -> usize {
        self.worker_start + self.worker_len
    }
}

/// Bytes of a segment of this geometry: what huge pages must hold.
pub fn segment_bytes(geometry: &Geometry) -> usize {
    Layout::of(geometry).total()
}

/// What the preamble says, against what this process expects. `Err` names the first difference.
pub(crate) fn compare_preamble(words: &[u64], geometry: &Geometry) -> Result<(), Difference> {
    let expected = preamble(geometry);
    let names = ["magic"]
        .into_iter()
        .chain(FINGERPRINT.iter().map(|(name, _)| *name))
        .chain(Geometry::NAMES);
    for ((name, found), expected) in names.zip(words).zip(&expected) {
        if found != expected {
            return Err(Difference {
                name,
                found: *found,
                expected: *expected,
            });
        }
    }
    Ok(())
}

/// The words of a preamble: magic, fingerprint, geometry.
pub(crate) fn preamble(geometry: &Geometry) -> Vec<u64> {
    let mut words = vec![MAGIC];
    words.extend(FINGERPRINT.iter().map(|(_, value)| *value));
    words.extend(geometry.numbers().map(u64::from));
    words
}

/// Words of a preamble.
pub(crate) const PREAMBLE_WORDS: usize = 1 + FINGERPRINT.len() + Geometry::NAMES.len();

/// What of the layout differs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: the segment has {found:#x}, this program expects {expected:#x}")]
pub struct Difference {
    pub name: &'static str,
    pub found: u64,
    pub expected: u64,
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_named() {
        let geometry = Geometry::default();
        let mut words = preamble(&geometry);
        assert_eq!(words.len(), PREAMBLE_WORDS);
        assert_eq!(compare_preamble(&words, &geometry), Ok(()));

        words[1 + 11] ^= 1;
        assert_eq!(
            compare_preamble(&words, &geometry).unwrap_err().name,
            "drop reasons"
        );
        let other = Geometry {
            sessions: 128,
            ..geometry
        };
        let error = compare_preamble(&preamble(&other), &geometry).unwrap_err();
        assert_eq!(error.name, "limits.sessions");
    }

    #[test]
    fn a_million_sessions_fit() {
        let geometry = Geometry {
            sessions: 1 << 20,
            ..Geometry::default()
        };
        geometry.validate().unwrap();
        assert!(segment_bytes(&geometry) < 512 << 20);
    }
}
