//! What one lcore counted since it last wrote it down: plain arrays, flushed once a burst.

use shm_bridge::counters::LcoreCells;
use shm_bridge::reasons::DROP_SLOTS;
use shm_bridge::{Direction, DropReason};

/// Counts that the pipeline makes. What is received, sent, injected or punted is the lcore's to count: it alone knows what the
/// queues and rings took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    drops: [u64; DROP_SLOTS],
    /// One bit for each reason that has a count: a flush looks at nothing else.
    dropped: u128,
    /// Packets made here: ICMP errors.
    pub originated: u64,
    forwarded: [u64; 2],
}

const _: () = assert!(DROP_SLOTS <= u128::BITS as usize);

impl Default for Counts {
    fn default() -> Self {
        Counts {
            drops: [0; DROP_SLOTS],
            dropped: 0,
            originated: 0,
            forwarded: [0; 2],
        }
    }
}

impl Counts {
    #[inline(always)]
    pub fn drop(&mut self, reason: DropReason) {
        self.drop_many(reason, 1);
    }

    #[inline(always)]
    pub fn drop_many(&mut self, reason: DropReason, packets: u64) {
        self.drops[reason as usize] += packets;
        self.dropped |= 1 << (reason as u32);
    }

    #[inline(always)]
    pub fn forwarded(&mut self, direction: Direction, packets: u64) {
        self.forwarded[direction as usize] += packets;
    }

    /// How many packets of this reason were dropped since the last flush.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// How many packets were forwarded since the last flush.
    pub fn forwarded_in(&self, direction: Direction) -> u64 {
        self.forwarded[direction as usize]
    }

    /// The reasons that have a count, with it.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.dropped(*reason)))
            .filter(|(_, count)| *count > 0)
    }

    /// Adds everything to the lcore's cells and begins anew.
    #[inline]
    pub fn flush(&mut self, cells: &LcoreCells) {
        while self.dropped != 0 {
            let index = self.dropped.trailing_zeros() as usize;
            self.dropped &= self.dropped - 1;
            if let Some(reason) = DropReason::from_index(index) {
                cells.drop(reason).add(std::mem::take(&mut self.drops[index]));
            }
        }
        if self.originated != 0 {
            cells.originated.add(std::mem::take(&mut self.originated));
        }
        for direction in Direction::ALL {
            let count = std::mem::take(&mut self.forwarded[direction as usize]);
            if count != 0 {
                cells.forwarded[direction as usize].add(count);
            }
        }
    }
}
