//! Laps: how long each stage takes, of those bursts that are measured.
//!
//! ```text
//!   ordinary burst   NoLaps    a type without size, whose laps compile to nothing
//!   measured burst   Clocked   the time-stamp counter is read between stages; what passed is the stage's that ended
//! ```
//!
//! Which of the two a burst gets is its lcore's to decide, once for the whole burst.

use shm_bridge::cost::{CostCells, Stage};

use crate::simd::tsc;

const STAGES: usize = Stage::ALL.len();
/// Readings of which the least is taken to be what one costs.
const CALIBRATIONS: usize = 1000;

/// Somebody who is told where a stage ends.
pub trait Laps {
    /// `stage` ends here; of what it leaves behind the next one has so many packets.
    fn lap(&mut self, stage: Stage, next: impl FnOnce() -> usize);

    /// The stage under way has so many packets.
    fn begin(&mut self, packets: usize);
}

/// Nobody: the ordinary burst's.
#[derive(Clone, Copy, Debug)]
pub struct NoLaps;

impl Laps for NoLaps {
    #[inline(always)]
    fn lap(&mut self, _: Stage, _: impl FnOnce() -> usize) {}

    #[inline(always)]
    fn begin(&mut self, _: usize) {}
}

/// A burst's laps by the time-stamp counter.
#[derive(Debug)]
pub struct Clocked {
    /// When the stage under way began.
    since: u64,
    /// How many packets it has.
    packets: u64,
    /// Ticks of reading the counter.
    reading: u64,
    /// Packets and ticks, by stage.
    laps: [(u64, u64); STAGES],
}

impl Clocked {
    /// A burst of so many packets, whose first stage began at `since` (ticks); `reading` is what [`calibrate`] said.
    pub fn new(since: u64, packets: usize, reading: u64) -> Clocked {
        Clocked {
            since,
            packets: packets as u64,
            reading,
            laps: [(0, 0); STAGES],
        }
    }

    /// Packets that the stage had, and the ticks it took.
    pub fn of(&self, stage: Stage) -> (u64, u64) {
        self.laps[stage as usize]
    }

    /// Adds all laps of a burst of so many packets to the lcore's cells.
    pub fn write_down(&self, packets: usize, cells: &CostCells) {
        cells.bursts.add(1);
        cells.packets.add(packets as u64);
        for (stage, (packets, ticks)) in Stage::ALL.iter().zip(self.laps) {
            if packets | ticks != 0 {
                let stage = cells.stage(*stage);
                stage.packets.add(packets);
                stage.tsc.add(ticks);
            }
        }
    }
}

impl Laps for Clocked {
    #[inline]
    fn lap(&mut self, stage: Stage, next: impl FnOnce() -> usize) {
        let now = tsc::ticks();
        let (packets, ticks) = &mut self.laps[stage as usize];
        *packets += self.packets;
        *ticks += now.wrapping_sub(self.since).saturating_sub(self.reading);
        // Counting is not the next stage's work: its time begins after it.
        self.packets = next() as u64;
        self.since = tsc::ticks();
    }

    #[inline]
    fn begin(&mut self, packets: usize) {
        self.packets = packets as u64;
    }
}

/// Ticks of reading the counter once: the least of many, since an interrupt only adds.
pub fn calibrate() -> u64 {
    (0..CALIBRATIONS)
        .map(|_| {
            let before = tsc::ticks();
            tsc::ticks().wrapping_sub(before)
        })
        .min()
        .unwrap_or(0)
}

/// Which bursts are measured: one in so many on average, at changing distances, so that no rhythm of the traffic or of the queues'
/// order hides from it.
#[derive(Clone, Debug)]
pub struct Sampler {
    one_in: u32,
    /// Bursts up to and with the next one measured.
    left: u64,
    seed: u32,
}

impl Sampler {
    /// One burst in `one_in`; none where it is 0.
    pub fn new(one_in: u32) -> Sampler {
        Sampler {
            one_in,
            // At a burst a nanosecond never: 2^64 of them take 584 years.
            left: if one_in == 0 { u64::MAX } else { 1 },
            seed: 1,
        }
    }

    /// How often; 0 = never.
    pub fn one_in(&self) -> u32 {
        self.one_in
    }

    /// Whether this burst is to be measured. Where it is, [`Sampler::again`] must follow.
    #[inline(always)]
    pub fn is_due(&mut self) -> bool {
        self.left = self.left.wrapping_sub(1);
        self.left == 0
    }

    /// Chooses the next burst: 1 to 2·`one_in` − 1 bursts from here.
    pub fn again(&mut self) {
        // A linear congruential generator; the upper bits are the good ones.
        self.seed = self.seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let span = 2 * u64::from(self.one_in.max(1)) - 1;
        self.left = 1 + ((u64::from(self.seed) * span) >> 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_has_no_size_and_counts_no_packets() {
        assert_eq!(size_of::<NoLaps>(), 0);

        NoLaps.lap(Stage::Parse, || panic!("nobody wants to know"));
    }

    #[test]
    fn a_stage_gets_what_passed_since_the_last_one_ended() {
        let mut laps = Clocked::new(tsc::ticks(), 32, 0);
        let begun = tsc::ticks();
        while tsc::ticks() - begun < 100_000 {}
        laps.lap(Stage::Parse, || 5);
        laps.lap(Stage::Garden, || 3);
        laps.lap(Stage::Garden, || 0);

        let (packets, ticks) = laps.of(Stage::Parse);
        assert_eq!(packets, 32);
        assert!(ticks >= 100_000, "{ticks}");
        assert_eq!(laps.of(Stage::Garden).0, 5 + 3);
        assert_eq!(laps.of(Stage::Transmit), (0, 0));
    }

    #[test]
    fn one_burst_in_so_many_is_measured_on_average_and_at_changing_distances() {
        let mut sampler = Sampler::new(64);
        let mut measured = Vec::new();
        for burst in 0..640_000u32 {
            if sampler.is_due() {
                measured.push(burst);
                sampler.again();
            }
        }

        assert!((9_500..10_500).contains(&measured.len()), "{}", measured.len());
        // Two ports in turn: each gets its half.
        let even = measured.iter().filter(|burst| *burst % 2 == 0).count();
        assert!((4_700..5_300).contains(&even), "{even} of {}", measured.len());
    }

    #[test]
    fn one_in_one_is_every_burst_and_one_in_none_is_none() {
        let mut every = Sampler::new(1);
        let mut never = Sampler::new(0);
        for _ in 0..1000 {
            assert!(every.is_due());
            every.again();
            assert!(!never.is_due());
        }
    }
}
