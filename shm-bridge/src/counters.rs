//! Counters of an lcore: plain stores by their owner, never zeroed, read by anyone.
//!
//! Law 2 in numbers, over all lcores of a worker generation and at burst boundaries:
//! `rx + injected + originated = tx + drops + punts`; what a killed generation had in hand is `lost_in_flight`.

use crate::access::PORTS_MAX;
use crate::reasons::{DROP_SLOTS, DropReason, PUNT_SLOTS, PuntReason};
use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Packets and bytes of one port and lcore; bytes are of Ethernet frames without FCS.
#[derive(Debug, Default)]
#[repr(C)]
pub struct PortCells {
    pub rx_packets: Counter,
    pub rx_bytes: Counter,
    pub tx_packets: Counter,
    pub tx_bytes: Counter,
}

/// A counter with one writer.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Owner only: a plain add, since no other writes here.
    #[inline(always)]
    pub fn add(&self, count: u64) {
        self.0.store(
            self.0.load(Ordering::Relaxed).wrapping_add(count),
            Ordering::Relaxed,
        );
    }

    /// Owner only: for what is a state and not a sum.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What one lcore writes, besides latencies and session states.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct LcoreCells {
    /// The epoch slot, see [`crate::epoch`]. On a line of its own.
    pub epoch: AtomicU64,
    epoch_padding: [AtomicU64; 7],
    /// Monotonic ns of the last turn of the loop.
    pub heartbeat_ns: Counter,
    /// The worker generation that runs this lcore; 0 = never used.
    pub generation: Counter,
    /// EAL lcore id.
    pub lcore_id: Counter,
    /// CPU it is pinned to.
    pub cpu: Counter,
    pub bursts: Counter,
    /// Turns of the loop that received nothing.
    pub idle_polls: Counter,
    /// TSC ticks spent in turns that had work.
    pub busy_tsc: Counter,
    pub rx: Counter,
    pub injected: Counter,
    pub originated: Counter,
    pub tx: Counter,
    /// Packets that an earlier worker generation had taken in and did not account for when it was killed.
    pub lost_in_flight: Counter,
    /// Packets per direction that were forwarded between access and core or subscriber and subscriber.
    pub forwarded: [Counter; 2],
    /// Packets that another lcore received and handed over to this one; in the sum they are the other's.
    pub handed_in: Counter,
    /// Packets that this lcore received and handed over to another one.
    pub handed_out: Counter,
    drops: [Counter; DROP_SLOTS],
    punts: [Counter; PUNT_SLOTS],
    ports: [PortCells; PORTS_MAX],
}

// SAFETY: words only (Counter is a transparent word); the asserts below prove there is no padding.
#[allow(unsafe_code)]
unsafe impl Cells for LcoreCells {}

#[cfg(not(loom))]
const _: () = {
    assert!(size_of::<LcoreCells>() == (8 + 16 + DROP_SLOTS + PUNT_SLOTS + 4 * PORTS_MAX) * 8);
    assert!(core::mem::offset_of!(LcoreCells, heartbeat_ns) == 64);
};

impl LcoreCells {
    #[inline(always)]
    pub fn drop(&self, reason: DropReason) -> &Counter {
        &self.drops[reason as usize]
    }

    #[inline(always)]
    pub fn punt(&self, reason: PuntReason) -> &Counter {
        &self.punts[reason as usize]
    }

    #[inline(always)]
    pub fn port(&self, port: usize) -> Option<&PortCells> {
        self.ports.get(port)
    }

    /// All drops.
    pub fn dropped(&self) -> u64 {
        self.drops.iter().fold(0, |sum, c| sum.wrapping_add(c.get()))
    }

    /// All punts.
    pub fn punted(&self) -> u64 {
        self.punts.iter().fold(0, |sum, c| sum.wrapping_add(c.get()))
    }

    /// What the killed one had in hand is lost. Counters are stored one by one; where the killed lcore had stored more departures than
    /// arrivals, those packets did arrive, and their arrival is counted now.
    fn close(&self, in_hand: u64) {
        if in_hand as i64 >= 0 {
            self.lost_in_flight.add(in_hand);
        } else {
            self.rx.add(in_hand.wrapping_neg());
        }
    }

    /// What came in less what is accounted for: 0 at a burst boundary.
    pub fn in_hand(&self) -> u64 {
        self.taken()
            .wrapping_add(self.handed_in.get())
            .wrapping_sub(self.handed_out.get())
    }

    /// The same of what this lcore itself took in, and of what it itself accounted for: over all lcores, packets handed over are in
    /// it once.
    fn taken(&self) -> u64 {
        let came = self
            .rx
            .get()
            .wrapping_add(self.injected.get())
            .wrapping_add(self.originated.get());
        let went = self
            .tx
            .get()
            .wrapping_add(self.dropped())
            .wrapping_add(self.punted());
        came.wrapping_sub(went).wrapping_sub(self.lost_in_flight.get())
    }
}

/// The lcore blocks, by slot.
#[derive(Clone, Debug)]
pub struct Lcores(pub(crate) Shared<LcoreCells>);

impl Lcores {
    pub fn capacity(&self) -> usize {
        self.0.len()
    }

    #[inline(always)]
    pub fn get(&self, slot: usize) -> Option<&LcoreCells> {
        self.0.get(slot)
    }

    /// Called by a new worker generation, before its lcores run: what the killed one had in hand is counted as lost, so that the sum of
    /// law 2 holds from here on.
    ///
    /// Where packets were handed over, some may have been on their way between two lcores, counted by either or none: what is lost is
    /// then known of all lcores together, and is written down at the first one.
    pub(crate) fn close_generation(&self) {
        let together = |of: fn(&LcoreCells) -> u64| self.0.iter().map(of).fold(0, u64::wrapping_add);
        let handed = together(|lcore| lcore.handed_in.get() | lcore.handed_out.get());
        match self.0.first() {
            Some(first) if handed != 0 => {
                first.close(together(LcoreCells::taken));
                for lcore in self.0.iter() {
                    lcore.handed_out.add(lcore.in_hand());
                }
            }
            _ => self.0.iter().for_each(|lcore| lcore.close(lcore.in_hand())),
        }
    }

    /// Slots that some worker generation used.
    pub fn used(&self) -> impl Iterator<Item = (usize, &LcoreCells)> {
        self.0
            .iter()
            .enumerate()
            .filter(|(_, lcore)| lcore.generation.get() != 0)
    }

    /// The epoch slots, for [`crate::epoch::all_reached`].
    pub fn epochs(&self) -> impl Iterator<Item = &AtomicU64> {
        self.0.iter().map(|lcore| &lcore.epoch)
    }

    /// Drops by reason over all lcores.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.sum(|lcore| lcore.drop(*reason))))
    }

    /// Punts by reason over all lcores.
    pub fn punts(&self) -> impl Iterator<Item = (PuntReason, u64)> + '_ {
        PuntReason::ALL
            .iter()
            .map(|reason| (*reason, self.sum(|lcore| lcore.punt(*reason))))
    }

    /// The sum of a counter over all lcores.
    pub fn sum(&self, counter: impl Fn(&LcoreCells) -> &Counter) -> u64 {
        self.0
            .iter()
            .fold(0, |sum, lcore| sum.wrapping_add(counter(lcore).get()))
    }
}
