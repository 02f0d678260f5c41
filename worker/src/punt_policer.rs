//! Token buckets in front of control: what one line, and what all lines together, may hand to it.
//!
//! Each bucket is a GCRA ([`shm_bridge::policer`]) in which a packet costs one "byte". Known subscribers' DHCP has a bucket of its own, so
//! that a storm of strangers does not cost them their leases. Buckets are this lcore's own.

use shm_bridge::PuntReason;
use shm_bridge::policer::{Profile, Rate, Time, from_ns};
use sluice_config::{PuntLimits, PuntRate};

/// Lines remembered at once. A line is remembered only while its bucket is not full, a second or so after its last packet, so
/// this bears some thousand busy lines a second; beyond, strangers share buckets and are policed too strictly, never too laxly.
const LINES: usize = 8192;
/// Buckets looked at for a line.
const PROBES: usize = 4;

/// All buckets of one lcore.
#[derive(Debug)]
pub struct PuntPolicers {
    line: Profile,
    lines: Box<[LineBucket]>,
    dhcp: Bucket,
    renewal: Bucket,
    arp: Bucket,
    other: Bucket,
}

/// Whether a packet may go to control, and if not, who had too much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Granted,
    LineExceeded,
    Exceeded,
}

/// An access line as the buckets know it: port, S-VLAN, C-VLAN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line(u64);

impl Line {
    pub fn new(port: u8, s_vlan: u16, c_vlan: u16) -> Line {
        // The set bit tells port 0's untagged line from an unused bucket.
        Line(1 << 63 | u64::from(port) << 32 | u64::from(s_vlan) << 16 | u64::from(c_vlan))
    }

    fn home(self) -> usize {
        // The upper bits of the product depend on all bits of the line.
        (self.0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % LINES
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct LineBucket {
    line: u64,
    arrival: Time,
}

#[derive(Clone, Copy, Debug)]
struct Bucket {
    profile: Profile,
    arrival: Time,
}

impl Bucket {
    fn new(rate: PuntRate) -> Bucket {
        Bucket {
            profile: profile(rate),
            arrival: 0,
        }
    }

    fn take(&mut self, now: Time) -> bool {
        take(&self.profile, &mut self.arrival, now)
    }
}

impl PuntPolicers {
    pub fn new(limits: &PuntLimits) -> PuntPolicers {
        PuntPolicers {
            line: profile(limits.line),
            lines: vec![LineBucket::default(); LINES].into_boxed_slice(),
            dhcp: Bucket::new(limits.dhcp),
            renewal: Bucket::new(limits.renewal),
            arp: Bucket::new(limits.arp),
            other: Bucket::new(limits.other),
        }
    }

    /// Asks for one packet that came from an access line: the line's own bucket first, then its kind's.
    pub fn admit_from_line(&mut self, line: Line, reason: PuntReason, now_ns: u64) -> Admission {
        let now = from_ns(now_ns);
        let bucket = self.bucket_of(line, now);
        if !take(&self.line, &mut self.lines[bucket].arrival, now) {
            return Admission::LineExceeded;
        }
        self.admit(reason, now_ns)
    }

    /// Asks for one packet of a kind.
    pub fn admit(&mut self, reason: PuntReason, now_ns: u64) -> Admission {
        let bucket = match reason {
            PuntReason::Dhcp | PuntReason::DhcpRelayed => &mut self.dhcp,
            PuntReason::DhcpKnown => &mut self.renewal,
            PuntReason::Arp => &mut self.arp,
            PuntReason::Glean => &mut self.other,
        };
        if bucket.take(from_ns(now_ns)) {
            Admission::Granted
        } else {
            Admission::Exceeded
        }
    }

    /// The line's bucket: the one it has, else one that is full again and so remembers nothing, else a stranger's.
    fn bucket_of(&mut self, line: Line, now: Time) -> usize {
        let home = line.home();
        let places = (0..PROBES).map(|probe| (home + probe) % LINES);
        if let Some(place) = places.clone().find(|place| self.lines[*place].line == line.0) {
            return place;
        }
        let is_full = |bucket: &LineBucket| bucket.line == 0 || bucket.arrival.wrapping_sub(now) as i64 <= 0;
        match places.clone().find(|place| is_full(&self.lines[*place])) {
            Some(place) => {
                self.lines[place] = LineBucket {
                    line: line.0,
                    arrival: now,
                };
                place
            }
            None => home,
        }
    }
}

fn profile(rate: PuntRate) -> Profile {
    Profile::new(Rate {
        bits_per_second: u64::from(rate.pps) * 8,
        burst_bytes: u64::from(rate.burst),
    })
}

/// One token out of a bucket, if it has one.
fn take(profile: &Profile, arrival: &mut Time, now: Time) -> bool {
    match profile.conform(*arrival, now, 1) {
        Some(next) => {
            *arrival = next;
            true
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policers() -> PuntPolicers {
        PuntPolicers::new(&PuntLimits {
            line: PuntRate { pps: 20, burst: 4 },
            dhcp: PuntRate { pps: 100, burst: 10 },
            renewal: PuntRate { pps: 100, burst: 10 },
            arp: PuntRate { pps: 10, burst: 2 },
            other: PuntRate { pps: 10, burst: 2 },
        })
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_line_has_its_burst_and_then_its_rate() {
        let mut policers = policers();
        let line = Line::new(0, 100, 7);
        let mut granted = |now| policers.admit_from_line(line, PuntReason::Dhcp, now) == Admission::Granted;

        assert_eq!((0..50).filter(|_| granted(SECOND)).count(), 4);
        // 20 packets a second: one every 50 ms.
        assert!(granted(SECOND + SECOND / 20));
        assert!(!granted(SECOND + SECOND / 20));
    }

    #[test]
    fn a_storm_on_one_line_costs_its_neighbour_nothing() {
        let mut policers = policers();
        for _ in 0..100 {
            policers.admit_from_line(Line::new(0, 100, 7), PuntReason::Dhcp, SECOND);
        }

        let neighbour = policers.admit_from_line(Line::new(0, 100, 8), PuntReason::Dhcp, SECOND);

        assert_eq!(neighbour, Admission::Granted);
    }

    #[test]
    fn a_storm_of_strangers_leaves_renewals_their_share() {
        let mut policers = policers();
        let mut refused = 0;
        for c_vlan in 1..=100 {
            let admission = policers.admit_from_line(Line::new(0, 100, c_vlan), PuntReason::Dhcp, SECOND);
            refused += usize::from(admission == Admission::Exceeded);
        }

        let renewal = policers.admit_from_line(Line::new(0, 200, 1), PuntReason::DhcpKnown, SECOND);

        assert_eq!(refused, 90);
        assert_eq!(renewal, Admission::Granted);
    }

    #[test]
    fn more_lines_than_buckets_share_them_and_none_gets_more_than_its_rate() {
        let mut policers = PuntPolicers::new(&PuntLimits {
            dhcp: PuntRate {
                pps: 10_000_000,
                burst: 1_000_000,
            },
            line: PuntRate { pps: 20, burst: 4 },
            ..PuntLimits::default()
        });
        for round in 0..8 {
            for c_vlan in 0..40_000u32 {
                let line = Line::new(0, (c_vlan / 4000) as u16, (c_vlan % 4000) as u16);
                let admission = policers.admit_from_line(line, PuntReason::Dhcp, SECOND);
                assert!(round < 4 || admission == Admission::LineExceeded || c_vlan > 8192);
            }
        }
    }
}
