//! Time on an lcore: the cycle counter, converted to nanoseconds of CLOCK_MONOTONIC without a system call.
//!
//! ```text
//!   housekeeping, once a second                      lcore, once a burst
//!   Timebase::discipline ── base, rate (seqlock) ──► Clock::now_ns = base_ns + (tsc − base_tsc) · rate
//! ```
//!
//! Control and the worker compare times (heartbeats, lease ends), so the counter must not drift away from the clock
//! that control reads, and NTP bends that one. `discipline` therefore steers the rate such that the error seen now is
//! gone at the next call. Time never steps back, and on one [`Clock`] it never decreases.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Fraction bits of the rate: 2^-32 ns per tick is an error of 1 ns in 4 s even without discipline.
const RATE_SHIFT: u32 = 32;

/// The first measurement: two samples of some 50 ns, 20 ms apart, are within 5 ppm.
const CALIBRATION: Duration = Duration::from_millis(20);

/// Samples closer than this say nothing about the rate.
const DISCIPLINE_NS_MIN: u64 = 1_000_000;

/// How far the rate may be bent, as the kernel's own limit for NTP.
const SLEW_PPM_MAX: u64 = 500;

/// Further behind than this is no drift (the machine slept): step forward.
const STEP_NS: u64 = 10_000_000;

/// The conversion that all clocks of the process share. One thread calls [`Timebase::discipline`].
#[derive(Debug)]
pub struct Timebase {
    /// Odd while the three below are being written.
    sequence: AtomicU32,
    base_tsc: AtomicU64,
    base_ns: AtomicU64,
    rate: AtomicU64,
    last_sample: Mutex<Sample>,
}

impl Timebase {
    /// Measures the counter's rate; takes 20 ms.
    pub fn calibrate() -> Arc<Timebase> {
        let first = Sample::take();
        std::thread::sleep(CALIBRATION);
        let last = Sample::take();
        Arc::new(Timebase {
            sequence: AtomicU32::new(0),
            base_tsc: AtomicU64::new(last.tsc),
            base_ns: AtomicU64::new(last.ns),
            rate: AtomicU64::new(first.rate_to(&last)),
            last_sample: Mutex::new(last),
        })
    }

    /// Compares with CLOCK_MONOTONIC and bends the rate. To be called about once a second, by the housekeeping thread.
    pub fn discipline(&self) {
        let mut last = self.last_sample.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Sample::take();
        if now.ns.saturating_sub(last.ns) < DISCIPLINE_NS_MIN {
            return;
        }
        let (base_ns, rate) = self.conversion().steer(&last, &now);
        *last = now;
        self.publish(&Conversion {
            base_tsc: now.tsc,
            base_ns,
            rate,
        });
    }

    /// A clock for one lcore.
    pub fn clock(self: &Arc<Self>) -> Clock {
        let sequence = self.sequence.load(Ordering::Acquire);
        // An odd sequence never matches again, so the first reading refreshes.
        Clock {
            timebase: Arc::clone(self),
            sequence: sequence | 1,
            conversion: self.conversion(),
            last_ns: 0,
        }
    }

    /// Ticks a second, as now steered.
    pub fn tsc_hz(&self) -> u64 {
        let rate = u128::from(self.rate.load(Ordering::Relaxed).max(1));
        u64::try_from((1_000_000_000u128 << RATE_SHIFT) / rate).unwrap_or(u64::MAX)
    }

    fn publish(&self, conversion: &Conversion) {
        let sequence = self.sequence.load(Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        self.base_tsc.store(conversion.base_tsc, Ordering::Relaxed);
        self.base_ns.store(conversion.base_ns, Ordering::Relaxed);
        self.rate.store(conversion.rate, Ordering::Relaxed);
        self.sequence.store(sequence.wrapping_add(2), Ordering::Release);
    }

    fn conversion(&self) -> Conversion {
        Conversion {
            base_tsc: self.base_tsc.load(Ordering::Relaxed),
            base_ns: self.base_ns.load(Ordering::Relaxed),
            rate: self.rate.load(Ordering::Relaxed),
        }
    }
}

/// One lcore's clock.
#[derive(Debug, Clone)]
pub struct Clock {
    timebase: Arc<Timebase>,
    sequence: u32,
    conversion: Conversion,
    last_ns: u64,
}

impl Clock {
    /// Nanoseconds of CLOCK_MONOTONIC; never less than the last reading of this clock. Some 10 ns.
    #[inline]
    pub fn now_ns(&mut self) -> u64 {
        self.ns_at(tsc())
    }

    /// The time of an earlier reading of [`Clock::tsc`], so that one reading serves cycles and time.
    #[inline]
    pub fn ns_at(&mut self, tsc: u64) -> u64 {
        let sequence = self.timebase.sequence.load(Ordering::Acquire);
        if sequence != self.sequence {
            self.refresh(sequence);
        }
        self.last_ns = self.last_ns.max(self.conversion.ns_at(tsc));
        self.last_ns
    }

    /// The counter itself, for cycles spent.
    #[inline]
    pub fn tsc(&self) -> u64 {
        tsc()
    }

    /// Ticks of [`Clock::tsc`] a second, as now steered.
    pub fn tsc_hz(&self) -> u64 {
        self.timebase.tsc_hz()
    }

    /// Takes the new conversion over; keeps the old one where it is just being written, rather than wait.
    #[cold]
    fn refresh(&mut self, sequence: u32) {
        let conversion = self.timebase.conversion();
        fence(Ordering::Acquire);
        if sequence.is_multiple_of(2) && self.timebase.sequence.load(Ordering::Relaxed) == sequence {
            self.conversion = conversion;
            self.sequence = sequence;
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Conversion {
    base_tsc: u64,
    base_ns: u64,
    /// Nanoseconds a tick, `RATE_SHIFT` fraction bits.
    rate: u64,
}

impl Conversion {
    /// Another core's counter may be some ticks behind the base's: that is the base's time, not 500 years later.
    #[inline]
    fn ns_at(&self, tsc: u64) -> u64 {
        let ticks = tsc.saturating_sub(self.base_tsc);
        self.base_ns + ((u128::from(ticks) * u128::from(self.rate)) >> RATE_SHIFT) as u64
    }

    /// The new base's time, and the rate that is on time one such interval later.
    fn steer(&self, last: &Sample, now: &Sample) -> (u64, u64) {
        let rate = last.rate_to(now);
        let ours = self.ns_at(now.tsc);
        if now.ns > ours.saturating_add(STEP_NS) {
            return (now.ns, rate);
        }
        let interval = i128::from(now.ns - last.ns);
        let error = i128::from(now.ns) - i128::from(ours);
        let bend_max = i128::from(rate) * i128::from(SLEW_PPM_MAX) / 1_000_000;
        let bend = (i128::from(rate) * error / interval).clamp(-bend_max, bend_max);
        (ours, (i128::from(rate) + bend) as u64)
    }
}

/// Both clocks at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    tsc: u64,
    ns: u64,
}

impl Sample {
    /// The one of five readings that took the shortest, so that an interrupt between the two clocks does not show.
    fn take() -> Sample {
        let reading = || {
            let before = tsc();
            let ns = monotonic_ns();
            let took = tsc().saturating_sub(before);
            (
                took,
                Sample {
                    tsc: before + took / 2,
                    ns,
                },
            )
        };
        (1..5)
            .map(|_| reading())
            .fold(reading(), |best, next| if next.0 < best.0 { next } else { best })
            .1
    }

    fn rate_to(&self, later: &Sample) -> u64 {
        let ns = u128::from(later.ns.saturating_sub(self.ns));
        let ticks = u128::from(later.tsc.saturating_sub(self.tsc).max(1));
        u64::try_from((ns << RATE_SHIFT) / ticks).unwrap_or(u64::MAX)
    }
}

fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    // Since boot, so neither part is negative, and 2^64 ns are 584 years.
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

#[inline]
fn tsc() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reads the time-stamp counter; Linux lets user space do so unless a process asks otherwise by prctl.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reads the architecture's counter, and has no other effect.
    unsafe {
        dpdk_sys::shim_rte_rdtsc()
    }
}

#[cfg(test)]
mod tests;
