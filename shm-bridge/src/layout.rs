//! Where everything lies in the segment, and how two processes make sure that they agree about it.
//!
//! Offsets follow from the [`Geometry`]. What does not follow from it, the sizes of cells, the order of tables and the names of
//! reasons, is in [`FINGERPRINT`]: named numbers computed at compile time, stored in the preamble by whoever made the segment and
//! compared by whoever attaches, so that a refusal names what differs.

use crate::access::{BucketCells, PORTS_MAX, VLANS};
use crate::adjacency::AdjacencyCells;
use crate::cost::{CostCells, Stage};
use crate::counters::LcoreCells;
use crate::fib::{GROUP, TBL24};
use crate::garden::HALVES;
use crate::garden::index::{LoneCells, NodeCells, PROFILE_WORDS, ROOT, rule_cells};
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
pub const FINGERPRINT: [(&str, u64); 18] = [
    ("session row size", size_of::<RowCells>() as u64),
    ("session state size", size_of::<StateCells>() as u64),
    ("access bucket size", size_of::<BucketCells>() as u64),
    ("adjacency size", size_of::<AdjacencyCells>() as u64),
    ("garden node size", size_of::<NodeCells>() as u64),
    ("garden lone prefix size", size_of::<LoneCells>() as u64),
    ("policer profile size", size_of::<ProfileCells>() as u64),
    ("lcore block size", size_of::<LcoreCells>() as u64),
    ("latency histogram size", size_of::<HistogramCells>() as u64),
    ("cost block size", size_of::<CostCells>() as u64),
    ("port status size", size_of::<PortStatusCells>() as u64),
    ("ring slot size", size_of::<Slot>() as u64),
    ("ports", PORTS_MAX as u64),
    ("order and size of tables", Layout::of(&Geometry::DEFAULT).hash()),
    ("drop reasons", hash(DropReason::LABELS)),
    ("punt reasons", hash(PuntReason::LABELS)),
    ("stages", hash(Stage::LABELS)),
    // Raised by hand when the meaning of a word changes but no size does.
    ("meaning", 5),
];

/// FNV-1a over names, each ended by a zero.
pub(crate) const fn hash(names: &[&str]) -> u64 {
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
        Geometry::DEFAULT
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
    /// 65,536 sessions on up to eight lcores.
    pub const DEFAULT: Geometry = Geometry {
        sessions: 65_536,
        adjacencies: 1024,
        policer_profiles: 4096,
        garden_rules: 16_384,
        svlan_blocks: 256,
        tbl8_groups: 1024,
        lcores: 8,
        ring_slots: 1024,
    };

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

/// A table's place: offset from its region's start, and number and size of its cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub offset: usize,
    pub cells: usize,
    pub cell_bytes: usize,
}

/// Hands out places one after another.
struct Cursor(usize);

impl Cursor {
    const fn take<T>(&mut self, cells: usize) -> Place {
        let align = if align_of::<T>() > 64 { align_of::<T>() } else { 64 };
        let offset = self.0.next_multiple_of(align);
        self.0 = offset + cells * size_of::<T>();
        Place {
            offset,
            cells,
            cell_bytes: size_of::<T>(),
        }
    }
}

/// Declares the layout: the tables of both regions in their order, each with the type and number of its cells. The struct of
/// places, their computation, and the list that the fingerprint and docs/shared-memory.md follow from.
macro_rules! layout {
    ($geometry:ident:
     control { $($control:ident: $control_cell:ty = $control_count:expr,)* }
     worker { $($worker:ident: $worker_cell:ty = $worker_count:expr,)* }) => {
        /// Offsets of all tables.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct Layout {
            pub control_start: usize,
            pub control_len: usize,
            pub worker_start: usize,
            pub worker_len: usize,
            $(pub $control: Place,)*
            $(pub $worker: Place,)*
        }

        impl Layout {
            pub const fn of($geometry: &Geometry) -> Layout {
                let mut control = Cursor(0);
                let mut worker = Cursor(0);
                $(let $control = control.take::<$control_cell>($control_count);)*
                $(let $worker = worker.take::<$worker_cell>($worker_count);)*
                let control_len = control.0.next_multiple_of(REGION_ALIGN);
                Layout {
                    control_start: REGION_ALIGN,
                    control_len,
                    worker_start: REGION_ALIGN + control_len,
                    worker_len: worker.0.next_multiple_of(REGION_ALIGN),
                    $($control,)*
                    $($worker,)*
                }
            }

            /// Name, offset in the segment and place of every table, in the order of memory.
            pub const fn tables(&self) -> [(&'static str, usize, Place); TABLES] {
                [
                    $((stringify!($control), self.control_start + self.$control.offset, self.$control),)*
                    $((stringify!($worker), self.worker_start + self.$worker.offset, self.$worker),)*
                ]
            }
        }

        /// Tables of both regions.
        const TABLES: usize = [$(stringify!($control),)* $(stringify!($worker),)*].len();
    };
}

type Word = u64;

layout! { geometry:
    control {
        control_header: Word = HEADER_WORDS,
        rows: RowCells = geometry.sessions as usize,
        directory: u32 = PORTS_MAX * VLANS,
        blocks: [u32; VLANS] = geometry.svlan_blocks as usize,
        // Twice as many slots as sessions, eight to a bucket.
        buckets: BucketCells = (geometry.sessions as usize / 4).next_power_of_two(),
        tbl24: u32 = TBL24,
        tbl8: [u32; GROUP] = geometry.tbl8_groups as usize,
        adjacencies: AdjacencyCells = geometry.adjacencies as usize,
        // The live index and the next one.
        garden_profiles: [Word; PROFILE_WORDS] = HALVES,
        garden_root: u32 = HALVES * ROOT,
        garden_nodes: NodeCells = HALVES * geometry.garden_rules as usize,
        garden_lone: LoneCells = HALVES * geometry.garden_rules as usize,
        garden_rules: Word = HALVES * rule_cells(geometry.garden_rules as usize),
        policers: ProfileCells = geometry.policer_profiles as usize,
        inject_slots: Slot = geometry.lcores as usize * geometry.ring_slots as usize,
        // A head or tail has a line of its own: eight words for one.
        inject_heads: [Word; 8] = geometry.lcores as usize,
        punt_tails: [Word; 8] = geometry.lcores as usize,
    }
    worker {
        worker_header: Word = HEADER_WORDS,
        ports: PortStatusCells = PORTS_MAX,
        lcores: LcoreCells = geometry.lcores as usize,
        latencies: [HistogramCells; 2] = geometry.lcores as usize,
        costs: CostCells = geometry.lcores as usize,
        states: StateCells = geometry.sessions as usize,
        punt_slots: Slot = geometry.lcores as usize * geometry.ring_slots as usize,
        punt_heads: [Word; 8] = geometry.lcores as usize,
        inject_tails: [Word; 8] = geometry.lcores as usize,
    }
}

impl Layout {
    /// Bytes of the whole segment.
    pub const fn total(&self) -> usize {
        self.worker_start + self.worker_len
    }

    /// Every table's offset and size in one number.
    const fn hash(&self) -> u64 {
        let tables = self.tables();
        let mut hash = self.total() as u64;
        let mut i = 0;
        while i < TABLES {
            let (_, offset, place) = tables[i];
            hash = (hash ^ offset as u64).wrapping_mul(0x0000_0100_0000_01b3);
            hash = (hash ^ (place.cells * place.cell_bytes) as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        hash
    }
}

/// Bytes of a segment of this geometry: what huge pages must hold.
pub fn segment_bytes(geometry: &Geometry) -> usize {
    Layout::of(geometry).total()
}

/// What tells one segment from another of the same layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// The run of the kernel that the segment was made in: its times are of a clock that starts with it.
    pub boot: u64,
    /// Seed of the access index's hash, unknown outside, so that nobody can choose MAC addresses that collide.
    pub seed: u64,
}

impl Identity {
    /// Of a segment that is being made.
    pub fn fresh(boot: u64) -> Identity {
        use std::hash::{BuildHasher, Hasher, RandomState};
        // The standard library's hasher is keyed by the system's randomness.
        let seed = RandomState::new().build_hasher().finish();
        Identity { boot, seed }
    }
}

/// What the preamble says, against what this process expects. `Err` names the first difference.
pub(crate) fn compare_preamble(words: &[u64], geometry: &Geometry, boot: u64) -> Result<(), Difference> {
    let expected = preamble(geometry, &Identity { boot, seed: 0 });
    let names = ["magic"]
        .into_iter()
        .chain(FINGERPRINT.iter().map(|(name, _)| *name))
        .chain(Geometry::NAMES)
        .chain(["boot"]);
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

/// The words of a preamble: magic, fingerprint, geometry, boot, seed.
pub(crate) fn preamble(geometry: &Geometry, identity: &Identity) -> Vec<u64> {
    let mut words = vec![MAGIC];
    words.extend(FINGERPRINT.iter().map(|(_, value)| *value));
    words.extend(geometry.numbers().map(u64::from));
    words.extend([identity.boot, identity.seed]);
    words
}

/// Which word of the preamble is the seed: the last one.
pub(crate) const SEED_WORD: usize = 1 + FINGERPRINT.len() + Geometry::NAMES.len() + 1;
/// Words of a preamble.
pub(crate) const PREAMBLE_WORDS: usize = SEED_WORD + 1;

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
        let identity = Identity::fresh(7);
        let mut words = preamble(&geometry, &identity);
        assert_eq!(words.len(), PREAMBLE_WORDS);
        assert_eq!(words[SEED_WORD], identity.seed);
        assert_eq!(compare_preamble(&words, &geometry, 7), Ok(()));
        assert_eq!(compare_preamble(&words, &geometry, 8).unwrap_err().name, "boot");

        let drop_reasons = FINGERPRINT.iter().position(|(name, _)| *name == "drop reasons");
        words[1 + drop_reasons.unwrap()] ^= 1;
        assert_eq!(
            compare_preamble(&words, &geometry, 7).unwrap_err().name,
            "drop reasons"
        );
        let other = Geometry {
            sessions: 128,
            ..geometry
        };
        let error = compare_preamble(&preamble(&other, &identity), &geometry, 7).unwrap_err();
        assert_eq!(error.name, "limits.sessions");
    }

    #[test]
    fn tables_follow_one_another_on_lines_of_their_own() {
        let layout = Layout::of(&Geometry::default());
        let mut end = layout.control_start;
        for (name, offset, place) in layout.tables() {
            assert!(offset >= end && offset % 64 == 0, "{name} at {offset}");
            end = offset + place.cells * place.cell_bytes;
        }
        assert!(end <= layout.total());
        assert_eq!(layout.worker_start % REGION_ALIGN, 0);
    }

    /// The table of docs/shared-memory.md, as it must be.
    fn documented() -> String {
        let layout = Layout::of(&Geometry::default());
        let mut text = String::from("| offset | bytes | cells × size | table |\n|---:|---:|---:|---|\n");
        text += "| 0x0000000 | 2097152 | | *preamble*, written once by whoever made the segment |\n";
        for (name, offset, place) in layout.tables() {
            if name == "control_header" {
                text += &format!(
                    "| {offset:#09x} | {} | | **control region**, writer: control |\n",
                    layout.control_len
                );
            }
            if name == "worker_header" {
                text += &format!(
                    "| {offset:#09x} | {} | | **worker region**, writers: lcores |\n",
                    layout.worker_len
                );
            }
            let bytes = place.cells * place.cell_bytes;
            text += &format!(
                "| {offset:#09x} | {bytes} | {} × {} | `{name}` |\n",
                place.cells, place.cell_bytes
            );
        }
        text + &format!("| {:#09x} | | | end |\n", layout.total())
    }

    #[test]
    fn the_documented_offsets_are_the_layouts() {
        let page = include_str!("../../docs/shared-memory.md");
        let wanted = documented();
        assert!(
            page.contains(&wanted),
            "docs/shared-memory.md should have\n\n{wanted}"
        );
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
