//! Grace periods: when may memory that workers could still be reading be used again?
//!
//! Quiescent state by epochs. Before each burst an lcore acquire-loads the global epoch and release-stores it into its own
//! slot, which says: every read of earlier bursts is over, and every read of the coming ones sees what was unlinked before
//! that epoch. Control unlinks, raises the epoch, and reuses when every online slot has reached it.
//!
//! A sleeping lcore stores [`OFFLINE`] and blocks nobody. On waking it stores its epoch and then fences (SeqCst): either
//! control's scan sees it online, or its reads see the unlink. A worker that came before any control finds epoch 0; it is
//! online nevertheless, in the [`FIRST`] one. A stalled lcore blocks reuse; it is never declared dead by
//! time. A dead worker is proved dead by its lock, and then none of its slots count.

use std::collections::VecDeque;

use crate::sync::{AtomicU64, Ordering, fence};

/// The slot of an lcore that reads nothing.
pub const OFFLINE: u64 = 0;
/// The first epoch of a fresh segment.
pub const FIRST: u64 = 1;

/// Worker side, before every burst while online.
#[inline(always)]
pub fn quiesce(global: &AtomicU64, slot: &AtomicU64) {
    slot.store(present(global), Ordering::Release);
}

/// The epoch to show. Before the first control it is 0, which would say "offline".
#[inline(always)]
fn present(global: &AtomicU64) -> u64 {
    global.load(Ordering::Acquire).max(FIRST)
}

/// Worker side, before sleeping: all reads are over.
pub fn go_offline(slot: &AtomicU64) {
    slot.store(OFFLINE, Ordering::Release);
}

/// Worker side, at start and after sleeping, before the first read.
pub fn go_online(global: &AtomicU64, slot: &AtomicU64) {
    // Release: whoever sees this store and not the OFFLINE before it must know the earlier reads over as well.
    slot.store(present(global), Ordering::Release);
    fence(Ordering::SeqCst);
}

/// Control side: opens a new epoch after something was unlinked, and returns it. What was unlinked may be reused when
/// [`all_reached`] says so for this epoch.
pub fn advance(global: &AtomicU64) -> u64 {
    let epoch = global.load(Ordering::Relaxed).max(FIRST) + 1;
    global.store(epoch, Ordering::SeqCst);
    fence(Ordering::SeqCst);
    epoch
}

/// Control side: whether no online lcore can still be reading what was unlinked before `epoch` was opened.
pub fn all_reached<'a>(epoch: u64, slots: impl IntoIterator<Item = &'a AtomicU64>) -> bool {
    fence(Ordering::SeqCst);
    slots.into_iter().all(|slot| {
        let seen = slot.load(Ordering::Acquire);
        seen == OFFLINE || seen >= epoch
    })
}

/// Things waiting for their grace period, oldest first.
#[derive(Debug)]
pub struct Retired<T> {
    waiting: VecDeque<(u64, T)>,
}

impl<T> Default for Retired<T> {
    fn default() -> Self {
        Retired {
            waiting: VecDeque::new(),
        }
    }
}

impl<T> Retired<T> {
    /// `item` was unlinked before `epoch` was opened.
    pub fn push(&mut self, epoch: u64, item: T) {
        self.waiting.push_back((epoch, item));
    }

    /// The next item for which `reached` holds.
    pub fn pop(&mut self, reached: impl Fn(u64) -> bool) -> Option<T> {
        let (epoch, _) = self.waiting.front()?;
        if reached(*epoch) {
            self.waiting.pop_front().map(|(_, item)| item)
        } else {
            None
        }
    }

    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_item_waits_for_every_online_lcore_and_for_no_sleeper() {
        let global = AtomicU64::new(FIRST);
        let slots = [AtomicU64::new(OFFLINE), AtomicU64::new(OFFLINE)];
        go_online(&global, &slots[0]);
        let mut retired = Retired::default();

        retired.push(advance(&global), "row 7");

        assert_eq!(retired.pop(|e| all_reached(e, &slots)), None);
        quiesce(&global, &slots[0]);
        assert_eq!(retired.pop(|e| all_reached(e, &slots)), Some("row 7"));
        retired.push(advance(&global), "row 8");
        go_offline(&slots[0]);
        assert_eq!(retired.pop(|e| all_reached(e, &slots)), Some("row 8"));
        assert!(retired.is_empty());
    }

    #[test]
    fn a_worker_that_came_before_any_control_is_waited_for() {
        let global = AtomicU64::new(0);
        let slots = [AtomicU64::new(OFFLINE), AtomicU64::new(OFFLINE)];

        go_online(&global, &slots[0]);
        quiesce(&global, &slots[1]);

        let epoch = advance(&global);
        assert!(!all_reached(epoch, &slots));
        quiesce(&global, &slots[0]);
        assert!(!all_reached(epoch, &slots));
        quiesce(&global, &slots[1]);
        assert!(all_reached(epoch, &slots));
    }
}
