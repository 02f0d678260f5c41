//! Policers: the generic cell rate algorithm (ITU-T I.371, virtual scheduling) with one 64-bit word of state.
//!
//! A profile is a rate and a burst, shared by all sessions of the same service; the word of state is the session's
//! theoretical arrival time. Time is counted in sixteenths of a nanosecond of CLOCK_MONOTONIC and wraps after 36 years;
//! comparisons are of differences.
//!
//! The word outlives what wrote it: the row's earlier session, an earlier profile of the same session, a clock that began
//! anew. An arrival time further ahead than the profile itself ever puts it is such a leftover and counts as none, so that nobody
//! waits for a time that was never his.

use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Sixteenths of a nanosecond.
pub type Time = u64;

/// Nanoseconds in policer time.
#[inline(always)]
pub fn from_ns(ns: u64) -> Time {
    ns << 4
}

/// Profile 0 lets everything through.
pub const UNLIMITED: u16 = 0;
/// No packet is longer (IPv4 total length, RFC 791).
const PACKET_MAX: u32 = 65_535;
/// Clocks of two lcores may differ a little; what is nearly possible is not taken for a leftover.
const SLACK: Time = 16 * 1_000_000_000;
/// Fraction bits of the cost of a byte.
const COST_SHIFT: u32 = 16;
/// Times the longest packet, a word still holds it.
const COST_MAX: u64 = u64::MAX >> 16;

/// What a policer allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Bits per second of IP packets, at least 1.
    pub bits_per_second: u64,
    /// Bytes that may come at once on top of the rate.
    pub burst_bytes: u64,
}

impl Rate {
    /// A burst of 10 ms at the rate, at least ten full-size packets.
    pub fn with_default_burst(bits_per_second: u64) -> Rate {
        Rate {
            bits_per_second,
            burst_bytes: (bits_per_second / 8 / 100).max(15_000),
        }
    }
}

/// A rate as the worker computes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Policer time a byte costs, 16 fraction bits; 0 = unlimited.
    cost: u64,
    /// How far the arrival time may lie ahead of now.
    tolerance: Time,
    /// How far ahead an arrival time of this profile can lie, and that once more: what lies further is a leftover.
    furthest: Time,
}

impl Profile {
    pub const UNLIMITED: Profile = Profile {
        cost: 0,
        tolerance: 0,
        furthest: 0,
    };

    /// A cost and a tolerance as they stand in memory that others write.
    #[inline(always)]
    fn from_words(cost: u64, tolerance: u64) -> Profile {
        // Half the range of time would be ambiguous; a quarter is nine years of burst.
        let (cost, tolerance) = (cost.min(COST_MAX), tolerance.min(u64::MAX >> 2));
        let longest = (cost * u64::from(PACKET_MAX)) >> COST_SHIFT;
        Profile {
            cost,
            tolerance,
            furthest: tolerance.max(longest).saturating_mul(2).saturating_add(SLACK),
        }
    }

    pub fn new(rate: Rate) -> Profile {
        let cost = ((16u128 * 8_000_000_000) << COST_SHIFT) / u128::from(rate.bits_per_second.max(1));
        let cost = u64::try_from(cost.max(1)).unwrap_or(COST_MAX).min(COST_MAX);
        let tolerance = (u128::from(rate.burst_bytes) * u128::from(cost)) >> COST_SHIFT;
        Profile::from_words(cost, u64::try_from(tolerance).unwrap_or(u64::MAX))
    }

    /// Judges a packet of `bytes` at `now`, given the session's arrival time: the new arrival time if it conforms.
    #[inline(always)]
    pub fn conform(&self, arrival: Time, now: Time, bytes: u32) -> Option<Time> {
        if self.is_unlimited() {
            return Some(now);
        }
        self.conform_limited(arrival, now, bytes)
    }

    /// [`Profile::conform`] for a profile that is known to be limited.
    #[inline(always)]
    pub fn conform_limited(&self, arrival: Time, now: Time, bytes: u32) -> Option<Time> {
        // What lies behind now wraps to the far end, and counts as none like a leftover.
        let ahead = arrival.wrapping_sub(now);
        let start = if ahead <= self.furthest { ahead } else { 0 };
        // No overflow: the furthest is below 2^63 + 2^35, and a price below 2^48.
        let after = start.wrapping_add(self.price(bytes));
        // `>` and not `>=`: a whole burst conforms when the bucket is full. A packet larger than the burst conforms to an
        // empty schedule, so that a tiny burst slows traffic but does not stop it.
        if after > self.tolerance && start > 0 {
            return None;
        }
        Some(now.wrapping_add(after))
    }

    #[inline(always)]
    fn price(&self, bytes: u32) -> u64 {
        // The product fits: the cost is at most COST_MAX, and no packet is longer.
        (self.cost * u64::from(bytes.min(PACKET_MAX))) >> COST_SHIFT
    }

    #[inline(always)]
    pub fn is_unlimited(&self) -> bool {
        self.cost == 0
    }
}

/// One profile in shared memory.
#[derive(Debug, Default)]
#[repr(C, align(16))]
pub struct ProfileCells {
    cost: AtomicU64,
    tolerance: AtomicU64,
}

// SAFETY: two atomic words fill the 16 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for ProfileCells {}

/// The profiles, by number. Immutable while a session uses them; reused after a grace period.
#[derive(Clone, Debug)]
pub struct Profiles(pub(crate) Shared<ProfileCells>);

impl Profiles {
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    /// `None` for a number outside the table and for a profile that was never filled: only [`UNLIMITED`] is unlimited. A tolerance
    /// out of range is cut to what arithmetic bears.
    #[inline(always)]
    pub fn get(&self, number: u16) -> Option<Profile> {
        let cells = self.0.get(usize::from(number))?;
        let cost = cells.cost.load(Ordering::Relaxed);
        if cost == 0 && number != UNLIMITED {
            return None;
        }
        Some(Profile::from_words(cost, cells.tolerance.load(Ordering::Relaxed)))
    }

    /// Control only: fills a profile that no session uses.
    pub fn fill(&self, number: u16, profile: Profile) {
        let cells = &self.0[usize::from(number)];
        cells.tolerance.store(profile.tolerance, Ordering::Relaxed);
        cells.cost.store(profile.cost, Ordering::Release);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Bytes that pass when `bytes`-sized packets come every `gap_ns` for `seconds`.
    fn passed(rate: Rate, bytes: u32, gap_ns: u64, seconds: u64) -> u64 {
        let profile = Profile::new(rate);
        let (mut arrival, mut total, mut ns) = (0, 0, 1_000);
        while ns < seconds * 1_000_000_000 {
            if let Some(next) = profile.conform(arrival, from_ns(ns), bytes) {
                arrival = next;
                total += u64::from(bytes);
            }
            ns += gap_ns;
        }
        total
    }

    #[test]
    fn twice_the_rate_is_cut_to_the_rate_within_a_percent() {
        for (rate, bytes) in [
            (1_000_000, 100),
            (20_000_000, 1400),
            (100_000_000, 64),
            (10_000_000_000, 1500),
        ] {
            let gap = u64::from(bytes) * 8 * 1_000_000_000 / rate / 2;
            let seconds = if rate > 1_000_000_000 { 1 } else { 10 };
            let got = passed(
                Rate {
                    bits_per_second: rate,
                    burst_bytes: 15_000,
                },
                bytes,
                gap.max(1),
                seconds,
            );
            let want = rate / 8 * seconds + 15_000;
            assert!(got.abs_diff(want) <= want / 100, "rate {rate}: {got} of {want}");
        }
    }

    #[test]
    fn a_full_burst_passes_at_once_and_no_more() {
        let profile = Profile::new(Rate {
            bits_per_second: 8_000_000,
            burst_bytes: 10_000,
        });
        let (mut arrival, now, mut count) = (0, from_ns(5), 0);
        while let Some(next) = profile.conform(arrival, now, 1000) {
            (arrival, count) = (next, count + 1);
        }
        assert_eq!(count, 10);
    }

    #[test]
    fn an_old_arrival_time_and_a_time_that_wraps_give_no_credit_beyond_the_burst() {
        let profile = Profile::new(Rate {
            bits_per_second: 8_000,
            burst_bytes: 2000,
        });
        for now in [from_ns(1 << 50), u64::MAX - 3, 2] {
            let first = profile
                .conform(now.wrapping_sub(from_ns(1 << 40)), now, 1500)
                .unwrap();
            assert_eq!(profile.conform(first, now, 1500), None);
        }
    }

    #[test]
    fn a_leftover_of_another_clock_or_profile_holds_nobody_up() {
        let slow = Profile::new(Rate {
            bits_per_second: 8_000,
            burst_bytes: 15_000,
        });
        let fast = Profile::new(Rate {
            bits_per_second: 100_000_000,
            burst_bytes: 125_000,
        });
        let now = from_ns(3_000_000_000);

        // The clock began anew, ten days back.
        let arrival = now + from_ns(10 * 86_400 * 1_000_000_000);
        assert!(fast.conform(arrival, now, 1500).is_some());
        // Idle for so long that the difference changed its sign.
        assert!(fast.conform(now.wrapping_add(1 << 63), now, 1500).is_some());
        assert!(fast.conform(now.wrapping_add((1 << 63) - 1), now, 1500).is_some());
        // A burst at 8 kbit/s puts the arrival time 15 s ahead; activated, the subscriber need not wait for it.
        let mut arrival = 0;
        while let Some(next) = slow.conform(arrival, now, 1000) {
            arrival = next;
        }
        assert!(arrival > now + from_ns(14_000_000_000));
        assert!(fast.conform(arrival, now, 1500).is_some());
        assert_eq!(slow.conform(arrival, now, 1000), None);
    }

    #[test]
    fn a_clock_a_little_behind_gives_no_second_burst() {
        let profile = Profile::new(Rate {
            bits_per_second: 10_000_000_000,
            burst_bytes: 15_000,
        });
        let now = from_ns(1 << 40);
        let mut arrival = 0;
        while let Some(next) = profile.conform(arrival, now, 1500) {
            arrival = next;
        }

        for behind in [1, from_ns(1000), from_ns(1_000_000)] {
            assert_eq!(profile.conform(arrival, now - behind, 1500), None);
        }
    }

    #[test]
    fn a_profile_nobody_filled_is_none_and_the_unlimited_one_lets_everything_through() {
        let profiles = Profiles(Shared::on_heap(4, ProfileCells::default));

        assert_eq!(profiles.get(3), None);
        assert_eq!(profiles.get(4), None);
        let unlimited = profiles.get(UNLIMITED).unwrap();
        assert!(unlimited.is_unlimited());
        assert!(
            unlimited
                .conform(from_ns(9_000_000_000), from_ns(5), 1500)
                .is_some()
        );
        let profile = Profile::new(Rate::with_default_burst(1_000_000));
        profiles.fill(3, profile);
        assert_eq!(profiles.get(3), Some(profile));
    }

    #[test]
    fn no_rate_or_random_memory_panics() {
        for rate in [0, 1, u64::MAX] {
            for burst in [0, u64::MAX] {
                let profile = Profile::new(Rate {
                    bits_per_second: rate,
                    burst_bytes: burst,
                });
                assert!(profile.conform(0, 1, 1500).is_some());
            }
        }
        let wild = Profile::from_words(u64::MAX, u64::MAX);
        let _ = wild.conform(u64::MAX, 0, u32::MAX);
        let _ = wild.conform(1, u64::MAX, u32::MAX);
    }
}
