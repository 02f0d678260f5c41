//! When frames are due. A tester that was held up does not make up for it with a flood: it forfeits, and says so.

/// Frames that may be sent at once after a delay; more would be a burst that nobody asked for.
const BACKLOG_MAX: u64 = 256;

#[derive(Clone, Debug)]
pub struct Pace {
    start_ns: u64,
    frames_per_second: f64,
    /// Frames sent or forfeited.
    passed: u64,
    forfeited: u64,
}

impl Pace {
    pub fn new(start_ns: u64, frames_per_second: f64) -> Pace {
        Pace {
            start_ns,
            frames_per_second,
            passed: 0,
            forfeited: 0,
        }
    }

    /// Frames to be sent now.
    #[inline]
    pub fn due(&mut self, now_ns: u64) -> u64 {
        let elapsed = now_ns.saturating_sub(self.start_ns) as f64;
        let scheduled = (elapsed * self.frames_per_second / 1e9) as u64;
        let due = scheduled.saturating_sub(self.passed);
        if due > BACKLOG_MAX {
            self.forfeited += due - BACKLOG_MAX;
            self.passed += due - BACKLOG_MAX;
            return BACKLOG_MAX;
        }
        due
    }

    #[inline]
    pub fn sent(&mut self, frames: u64) {
        self.passed += frames;
    }

    /// Frames that the tester was too late for.
    pub fn forfeited(&self) -> u64 {
        self.forfeited
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_as_many_frames_as_the_rate_says() {
        let mut pace = Pace::new(1_000, 1e6);
        let mut sent = 0;
        for turn in 0..=100_000 {
            let due = pace.due(1_000 + turn * 10_000);
            pace.sent(due);
            sent += due;
        }
        assert_eq!((sent, pace.forfeited()), (1_000_000, 0));
    }

    #[test]
    fn what_was_missed_is_forfeited_and_told() {
        let mut pace = Pace::new(0, 1e6);

        assert_eq!(pace.due(10_000_000), BACKLOG_MAX);
        assert_eq!(pace.forfeited(), 10_000 - BACKLOG_MAX);
    }
}
