//! `[punt]`: how many packets a second the worker may hand to control, so that a storm on one line cannot deafen it.

use crate::reader::Section;
use std::ops::RangeInclusive;

/// One token bucket for each kind of punted packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PuntLimits {
    /// DHCP, for each access line.
    pub line: PuntRate,
    /// DHCP, for each lcore.
    pub dhcp: PuntRate,
    /// DHCP of sessions that are already known, for each lcore: a storm of strangers must not cost them their lease.
    pub renewal: PuntRate,
    /// ARP that control must see, for each lcore.
    pub arp: PuntRate,
    /// Everything else, for each lcore.
    pub other: PuntRate,
}

/// A token bucket: `pps` tokens a second, at most `burst` saved up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PuntRate {
    pub pps: u32,
    pub burst: u32,
}

impl PuntRate {
    pub const PPS: RangeInclusive<u32> = 1..=10_000_000;
    pub const BURST: RangeInclusive<u32> = 1..=1_000_000;

    /// A rate with the burst of a tenth of a second, and at least 20: one DHCP exchange with a few retransmissions.
    pub const fn per_second(pps: u32) -> PuntRate {
        let tenth = pps / 10;
        PuntRate {
            pps,
            burst: if tenth < 20 { 20 } else { tenth },
        }
    }

    fn read(section: &Section<'_>, pps: &'static str, burst: &'static str, default: PuntRate) -> PuntRate {
        let rate = section
            .number(pps, PuntRate::PPS, "packets per second")
            .map_or(default, PuntRate::per_second);
        let burst = section
            .number(burst, PuntRate::BURST, "packets")
            .unwrap_or(rate.burst);
        PuntRate { burst, ..rate }
    }
}

impl PuntLimits {
    pub(crate) fn read(section: &Section<'_>) -> PuntLimits {
        let default = PuntLimits::default();
        let limits = PuntLimits {
            line: PuntRate::read(section, "line_pps", "line_burst", default.line),
            dhcp: PuntRate::read(section, "dhcp_pps", "dhcp_burst", default.dhcp),
            renewal: PuntRate::read(section, "renewal_pps", "renewal_burst", default.renewal),
            arp: PuntRate::read(section, "arp_pps", "arp_burst", default.arp),
            other: PuntRate::read(section, "other_pps", "other_burst", default.other),
        };
        section.finish();
        limits
    }
}

impl Default for PuntLimits {
    fn default() -> PuntLimits {
        PuntLimits {
            line: PuntRate::per_second(20),
            dhcp: PuntRate::per_second(20_000),
            renewal: PuntRate::per_second(20_000),
            arp: PuntRate::per_second(1000),
            other: PuntRate::per_second(1000),
        }
    }
}
