//! When the tester itself stood still: turns of its loop that took longer than a turn can.
//!
//! A tester that shares its core loses it now and then. What came back meanwhile waits in a ring that may overflow, and what was due
//! is not sent: neither says anything about the device under test.

/// Counts turns, and those among them that were pauses.
#[derive(Clone, Debug)]
pub struct Pauses {
    /// A turn of more is a pause.
    limit_ns: u64,
    last_ns: u64,
    pub turns: u64,
    pub count: u64,
    pub total_ns: u64,
    pub longest_ns: u64,
}

impl Pauses {
    pub fn new(start_ns: u64, limit_ns: u64) -> Pauses {
        Pauses {
            limit_ns,
            last_ns: start_ns,
            turns: 0,
            count: 0,
            total_ns: 0,
            longest_ns: 0,
        }
    }

    /// Another turn begins.
    #[inline]
    pub fn turn(&mut self, now_ns: u64) {
        let took = now_ns.saturating_sub(self.last_ns);
        self.last_ns = now_ns;
        self.turns += 1;
        self.longest_ns = self.longest_ns.max(took);
        if took > self.limit_ns {
            self.count += 1;
            self.total_ns += took;
        }
    }

    /// Whether there was one.
    pub fn any(&self) -> bool {
        self.count > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_turns_are_pauses_and_the_longest_turn_is_known_either_way() {
        let mut pauses = Pauses::new(1_000, 100);
        for now in [1_050, 1_150, 1_400, 1_401, 2_401] {
            pauses.turn(now);
        }

        assert!(pauses.any());
        assert_eq!((pauses.turns, pauses.count), (5, 2));
        assert_eq!((pauses.total_ns, pauses.longest_ns), (1_250, 1_000));
        assert!(!Pauses::new(0, 1).any());
    }
}
