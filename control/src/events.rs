//! The event bus: what happened, for those who follow it live and for those who come back.
//!
//! ```text
//!  engine ── publish ──► ring of the last N events ──► Subscription (its own place in the ring)
//!                                                 └──► Subscription …
//! ```
//!
//! A subscription is a place in the sequence, not a queue: replay after `Last-Event-ID` and following live are the same walk along the
//! ring, a slow follower costs no memory, and one that was overtaken is told how many events it [missed](Next::Missed). The
//! ring is the memory of this process; what must outlive it is in the store's outbox, whose last events are put in here
//! [at start](Bus::resumed).
//!
//! Sequences rise, but not one by one: events that the store could not keep were never told, and their numbers are not used again. So
//! what a follower missed is told by what has left the ring, not by numbers that are not in it.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::engine::BusEvent;

/// Events that can be replayed: an hour of a lively access network, some 2 MB.
pub const REPLAY_MAX: usize = 8192;

/// Where events are published and followed. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Bus(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    replay_max: usize,
    ring: Mutex<Ring>,
    /// Wakes followers; true once the bus is closed.
    closed: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Ring {
    /// By rising sequence.
    events: VecDeque<Arc<BusEvent>>,
    /// Sequence of the newest event that can no longer be replayed; 0 while all can.
    gone: u64,
}

/// What a follower gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Event(Arc<BusEvent>),
    /// So many events, at most, can no longer be replayed; the oldest that can follows. At most, because numbers that were never used
    /// are counted among the events that are gone.
    Missed(u64),
    /// The sequence began anew below the follower's place (the store was replaced): everything known follows.
    Restarted,
}

impl Default for Bus {
    fn default() -> Bus {
        Bus::new(REPLAY_MAX)
    }
}

impl Bus {
    /// A bus that replays the last `replay_max` events, at least one.
    pub fn new(replay_max: usize) -> Bus {
        Bus(Arc::new(Inner {
            replay_max: replay_max.max(1),
            ring: Mutex::new(Ring::default()),
            closed: watch::Sender::new(false),
        }))
    }

    /// A bus that goes on from what the store kept: `events`, oldest first, and before them none or, up to the sequence `gone`, some
    /// that it no longer has.
    pub fn resumed(replay_max: usize, gone: u64, events: impl IntoIterator<Item = BusEvent>) -> Bus {
        let bus = Bus::new(replay_max);
        bus.ring().gone = gone;
        events.into_iter().for_each(|event| bus.publish(event));
        bus
    }

    /// Makes `event` known to all who follow. Never waits.
    pub fn publish(&self, event: BusEvent) {
        let mut ring = self.ring();
        // Out of order would break the walk; a sequence that begins anew empties the ring.
        if ring
            .events
            .back()
            .is_some_and(|last| last.sequence >= event.sequence)
        {
            *ring = Ring::default();
        }
        if ring.events.len() == self.0.replay_max
            && let Some(oldest) = ring.events.pop_front()
        {
            ring.gone = oldest.sequence;
        }
        ring.events.push_back(Arc::new(event));
        drop(ring);
        self.0.closed.send_modify(|_| {});
    }

    /// Follows from now on.
    pub fn subscribe(&self) -> Subscription {
        let from = self
            .ring()
            .events
            .back()
            .map(|last| last.sequence.saturating_add(1));
        self.subscription(from)
    }

    /// Follows from the event after `sequence`, as `Last-Event-ID` asks; 0 is everything there is.
    pub fn subscribe_after(&self, sequence: u64) -> Subscription {
        self.subscription(Some(sequence.saturating_add(1)))
    }

    /// Ends all subscriptions, once they have got what is in the ring.
    pub fn close(&self) {
        self.0.closed.send_replace(true);
    }

    fn subscription(&self, from: Option<u64>) -> Subscription {
        Subscription {
            wake: self.0.closed.subscribe(),
            bus: self.clone(),
            from,
        }
    }

    /// A panic elsewhere cannot leave the ring half changed: nothing that changes it panics.
    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.0.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One follower's place.
#[derive(Debug)]
pub struct Subscription {
    bus: Bus,
    wake: watch::Receiver<bool>,
    /// Sequence of the next event wanted; `None`: whichever comes first.
    from: Option<u64>,
}

impl Subscription {
    /// The next event, waiting for it; `None` once the bus is closed and nothing is left. Cancel safe.
    pub async fn next(&mut self) -> Option<Next> {
        loop {
            let closed = *self.wake.borrow_and_update();
            if let Some(next) = self.try_next() {
                return Some(next);
            }
            if closed || self.wake.changed().await.is_err() {
                return None;
            }
        }
    }

    /// The next event if it is there already.
    pub fn try_next(&mut self) -> Option<Next> {
        let ring = self.bus.ring();
        let (first, last) = (ring.events.front()?.sequence, ring.events.back()?.sequence);
        let from = self.from.unwrap_or(first);
        if from > last.saturating_add(1) {
            self.from = Some(first);
            return Some(Next::Restarted);
        }
        if from <= ring.gone {
            self.from = Some(ring.gone.saturating_add(1));
            return Some(Next::Missed((ring.gone - from).saturating_add(1)));
        }
        let at = ring.events.partition_point(|event| event.sequence < from);
        let event = ring.events.get(at)?.clone();
        self.from = Some(event.sequence.saturating_add(1));
        Some(Next::Event(event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: u64) -> BusEvent {
        BusEvent {
            sequence,
            at_ms: 1_700_000_000_000 + sequence,
            kind: "SessionStateChanged".into(),
            session: None,
            ont_serial: None,
            circuit_id: None,
            old_state: None,
            new_state: None,
            ipv4: None,
            pool: None,
            detail: None,
        }
    }

    fn sequences(subscription: &mut Subscription) -> Vec<u64> {
        std::iter::from_fn(|| subscription.try_next())
            .map(|next| match next {
                Next::Event(event) => event.sequence,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_follower_sees_what_comes_and_a_returning_one_what_it_has_not_seen() {
        let bus = Bus::new(8);
        bus.publish(event(1));
        let mut live = bus.subscribe();
        bus.publish(event(2));
        bus.publish(event(3));

        assert_eq!(sequences(&mut live), [2, 3]);
        assert_eq!(sequences(&mut bus.subscribe_after(2)), [3]);
        assert_eq!(sequences(&mut bus.subscribe_after(0)), [1, 2, 3]);
        assert_eq!(sequences(&mut bus.subscribe()), [0u64; 0]);
    }

    #[test]
    fn a_follower_that_was_overtaken_is_told_how_many_it_missed() {
        let bus = Bus::new(4);
        bus.publish(event(1));
        let mut slow = bus.subscribe();
        for sequence in 2..=10 {
            bus.publish(event(sequence));
        }

        assert_eq!(slow.try_next(), Some(Next::Missed(5)));
        assert_eq!(sequences(&mut slow), [7, 8, 9, 10]);
        assert_eq!(bus.subscribe_after(3).try_next(), Some(Next::Missed(3)));
    }

    #[test]
    fn a_sequence_that_begins_anew_does_not_leave_followers_waiting_for_ever() {
        let bus = Bus::new(4);
        let mut from_another_life = bus.subscribe_after(5000);
        assert_eq!(from_another_life.try_next(), None);

        bus.publish(event(1));

        assert_eq!(from_another_life.try_next(), Some(Next::Restarted));
        assert_eq!(sequences(&mut from_another_life), [1]);
    }

    #[test]
    fn a_restarted_control_tells_a_returning_follower_what_is_no_longer_kept() {
        let bus = Bus::resumed(4, 999, [event(1000)]);

        let mut returning = bus.subscribe_after(900);
        assert_eq!(returning.try_next(), Some(Next::Missed(99)));
        assert_eq!(sequences(&mut returning), [1000]);
        assert_eq!(sequences(&mut bus.subscribe_after(999)), [1000]);

        // What the store kept and the ring has no room for is gone, too.
        let small = Bus::resumed(2, 0, [event(1), event(2), event(3)]);
        assert_eq!(small.subscribe_after(0).try_next(), Some(Next::Missed(1)));
        // Nothing was kept: whoever comes waits for what happens next.
        let mut early = Bus::resumed(4, 0, []).subscribe_after(0);
        assert_eq!(early.try_next(), None);
    }

    #[test]
    fn numbers_that_were_never_used_are_no_events_missed() {
        // Given a store that could not keep its first three events, nor the sixth.
        let bus = Bus::resumed(8, 0, [event(4), event(5), event(7)]);

        assert_eq!(sequences(&mut bus.subscribe_after(0)), [4, 5, 7]);
        assert_eq!(sequences(&mut bus.subscribe_after(5)), [7]);
        let mut live = bus.subscribe();
        bus.publish(event(1024));
        assert_eq!(sequences(&mut live), [1024]);
        assert_eq!(sequences(&mut bus.subscribe_after(7)), [1024]);
    }

    #[tokio::test]
    async fn waiting_followers_wake_for_each_event_and_end_when_the_bus_closes() {
        let bus = Bus::new(4);
        let mut follower = bus.subscribe();
        let waiting = tokio::spawn(async move {
            let mut seen = 0;
            while follower.next().await.is_some() {
                seen += 1;
            }
            seen
        });
        tokio::task::yield_now().await;

        for sequence in 1..=3 {
            bus.publish(event(sequence));
            tokio::task::yield_now().await;
        }
        bus.close();

        assert_eq!(waiting.await.unwrap(), 3);
    }
}
