//! `[limits]`: how large the shared segment is. Everything in it is allocated once, at these sizes.

use crate::problem::ProblemKind;
use crate::reader::Section;
use std::ops::RangeInclusive;

/// Sizes of the segment's tables. Changing one needs a new segment, so both processes restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Session rows; a power of two.
    pub sessions: u32,
    pub adjacencies: u32,
    /// Distinct (rate, burst) pairs in use at once.
    pub policer_profiles: u32,
    /// Garden rules over all profiles.
    pub garden_rules: u32,
    /// S-VLANs with 1:1 lines in use at once; 16 KiB each.
    pub svlan_blocks: u32,
    /// Second-level FIB groups; one for each /24 that holds a session or a longer route.
    pub tbl8_groups: u32,
    /// Slots for worker lcores.
    pub lcores: u32,
    /// Frames in each punt ring; a power of two.
    pub punt_ring_slots: u32,
}

impl Limits {
    pub const SESSIONS: RangeInclusive<u32> = 64..=1_048_576;
    pub const ADJACENCIES: RangeInclusive<u32> = 2..=1_048_576;
    pub const POLICER_PROFILES: RangeInclusive<u32> = 2..=65_536;
    pub const GARDEN_RULES: RangeInclusive<u32> = 1..=1_048_576;
    /// There are no more S-VLANs than this on one port, and a block is 16 KiB.
    pub const SVLAN_BLOCKS: RangeInclusive<u32> = 1..=65_536;
    pub const TBL8_GROUPS: RangeInclusive<u32> = 1..=1_048_576;
    pub const LCORES: RangeInclusive<u32> = 1..=64;
    pub const PUNT_RING_SLOTS: RangeInclusive<u32> = 16..=65_536;

    /// Second-level groups for `sessions`: four times what densely filled /24s need, never under 1024.
    pub const fn tbl8_groups_for(sessions: u32) -> u32 {
        let groups = sessions / 64;
        if groups < 1024 { 1024 } else { groups }
    }

    pub(crate) fn read(section: &Section<'_>) -> Limits {
        let default = Limits::default();
        let sessions =
            power_of_two(section, "sessions", Limits::SESSIONS, "rows").unwrap_or(default.sessions);
        let number = |key, range, unit, default| section.number(key, range, unit).unwrap_or(default);
        let limits = Limits {
            sessions,
            adjacencies: number(
                "adjacencies",
                Limits::ADJACENCIES,
                "next hops",
                default.adjacencies,
            ),
            policer_profiles: number(
                "policer_profiles",
                Limits::POLICER_PROFILES,
                "profiles",
                default.policer_profiles,
            ),
            garden_rules: number(
                "garden_rules",
                Limits::GARDEN_RULES,
                "rules",
                default.garden_rules,
            ),
            svlan_blocks: number(
                "svlan_blocks",
                Limits::SVLAN_BLOCKS,
                "S-VLANs",
                default.svlan_blocks,
            ),
            tbl8_groups: number(
                "tbl8_groups",
                Limits::TBL8_GROUPS,
                "groups",
                Limits::tbl8_groups_for(sessions),
            ),
            lcores: number("lcores", Limits::LCORES, "lcores", default.lcores),
            punt_ring_slots: power_of_two(section, "punt_ring_slots", Limits::PUNT_RING_SLOTS, "frames")
                .unwrap_or(default.punt_ring_slots),
        };
        section.finish();
        limits
    }
}

fn power_of_two(
    section: &Section<'_>,
    key: &'static str,
    range: RangeInclusive<u32>,
    unit: &'static str,
) -> Option<u32> {
    let found = section.number(key, range, unit)?;
    if found.is_power_of_two() {
        return Some(found);
    }
    section.wrong(
        key,
        ProblemKind::NotAPowerOfTwo {
            found,
            above: found.next_power_of_two(),
        },
    );
    None
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            sessions: 65_536,
            adjacencies: 1024,
            policer_profiles: 4096,
            garden_rules: 16_384,
            svlan_blocks: 256,
            tbl8_groups: 1024,
            lcores: 8,
            punt_ring_slots: 1024,
        }
    }
}
