//! What an lcore does when its queues are empty: nothing, when it must be fast; yield and sleep, where it shares a core.

use std::thread;
use std::time::Duration;

use shm_bridge::epoch;
use shm_bridge::sync::AtomicU64;

/// Empty turns before the core is offered to others: some 10 µs of polling.
const YIELD_AFTER: u32 = 64;
/// Empty turns before sleeping.
const SLEEP_AFTER: u32 = 256;
/// A sleep: with the kernel's timer slack about 100 µs, which bounds what idling adds to a packet's latency.
const NAP: Duration = Duration::from_micros(50);

/// Counts empty turns and acts on them.
#[derive(Debug, Clone)]
pub struct Idle {
    policy: sluice_config::worker::Idle,
    empty_turns: u32,
}

impl Idle {
    pub fn new(policy: sluice_config::worker::Idle) -> Idle {
        Idle {
            policy,
            empty_turns: 0,
        }
    }

    /// The turn had work.
    #[inline(always)]
    pub fn worked(&mut self) {
        self.empty_turns = 0;
    }

    /// The turn had none. A sleeping lcore is offline for grace periods, so that it delays nobody.
    #[inline(always)]
    pub fn rest(&mut self, global: &AtomicU64, slot: &AtomicU64) {
        if self.policy == sluice_config::worker::Idle::Poll {
            return;
        }
        self.empty_turns = self.empty_turns.saturating_add(1);
        if self.empty_turns > SLEEP_AFTER {
            epoch::go_offline(slot);
            thread::sleep(NAP);
            epoch::go_online(global, slot);
        } else if self.empty_turns > YIELD_AFTER {
            thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shm_bridge::sync::Ordering;

    #[test]
    fn a_polling_lcore_never_goes_offline_and_an_adaptive_one_comes_back() {
        let global = AtomicU64::new(7);
        for policy in [
            sluice_config::worker::Idle::Poll,
            sluice_config::worker::Idle::Adaptive,
        ] {
            let slot = AtomicU64::new(3);
            let mut idle = Idle::new(policy);
            for _ in 0..SLEEP_AFTER + 2 {
                idle.rest(&global, &slot);
            }
            let expected = if policy == sluice_config::worker::Idle::Poll {
                3
            } else {
                7
            };
            assert_eq!(slot.load(Ordering::Relaxed), expected);
        }
    }
}
