//! What happens when time passes: offers lapse, bindings expire, quarantines end, AAA is given up, sessions end.
//!
//! Each session has one timer, set to the first thing of it that runs out. A deadline that moves away leaves the timer where it is; when it
//! rings, it is set anew. So a renewal touches no timer, and a tick looks only at what is due.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use super::entry::Aaa;
use super::{Cx, Engine, SECOND_NS};
use crate::session::SessionId;

/// How long a session outlives its address: a client that releases and asks again, or a CPE that is changed, stays the same session.
pub(super) const LINGER_NS: u64 = 300 * SECOND_NS;
/// What a binding lasts beyond its pool's `binding_seconds`: time for the store, so that the ACK can say the whole lease that was offered
/// even where lease and binding are equally long.
const STORE_SLACK: Duration = Duration::from_secs(10);
/// Timers looked at in one tick: the rest waits for the next, 100 ms later.
const TIMERS_PER_TICK: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Clockwork {
    timers: BTreeSet<(u64, Timer)>,
    quarantined: HashMap<Ipv4Addr, Quarantine>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    Session(SessionId),
    Quarantine(Ipv4Addr),
}

#[derive(Debug)]
struct Quarantine {
    until: u64,
    /// The same in Unix seconds.
    wall_until: u64,
    /// Whose limit it counts for; `None` after a restart.
    access_loop: Option<String>,
}

impl Clockwork {
    /// Lets `address` rest until `until`, which is `wall_until` in Unix seconds.
    pub fn quarantine(
        &mut self,
        address: Ipv4Addr,
        until: u64,
        wall_until: u64,
        access_loop: Option<String>,
    ) {
        self.timers.insert((until, Timer::Quarantine(address)));
        let quarantine = Quarantine {
            until,
            wall_until,
            access_loop,
        };
        self.quarantined.insert(address, quarantine);
    }

    /// Unix seconds until which the address rests.
    pub fn rests_until(&self, address: Ipv4Addr) -> Option<u64> {
        Some(self.quarantined.get(&address)?.wall_until)
    }

    pub fn disarm(&mut self, id: SessionId, armed: Option<u64>) {
        if let Some(at) = armed {
            self.timers.remove(&(at, Timer::Session(id)));
        }
    }

    fn next_due(&mut self, now: u64) -> Option<Timer> {
        let first = *self.timers.first()?;
        (first.0 <= now).then(|| {
            self.timers.remove(&first);
            first.1
        })
    }
}

impl Engine {
    pub(super) fn tick(&mut self, cx: &mut Cx<'_>) {
        for _ in 0..TIMERS_PER_TICK {
            match self.clockwork.next_due(cx.now.mono_ns) {
                Some(Timer::Session(id)) => self.ring(cx, id),
                Some(Timer::Quarantine(address)) => self.quarantine_over(cx, address),
                None => break,
            }
        }
        self.sample(cx);
    }

    /// Sets the session's timer to its next deadline, unless it rings earlier anyway.
    pub(super) fn arm(&mut self, id: SessionId) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let Some(deadline) = entry.deadline() else { return };
        if entry.armed.is_some_and(|armed| armed <= deadline) {
            return;
        }
        let before = entry.armed.replace(deadline);
        self.clockwork.disarm(id, before);
        self.clockwork.timers.insert((deadline, Timer::Session(id)));
    }

    fn ring(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let now = cx.now.mono_ns;
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.armed = None;
        let asked_until = match entry.aaa {
            Aaa::Asked { until, .. } => Some(until),
            _ => None,
        };
        let offer_over = entry.offer.is_some_and(|offer| offer.until <= now);
        let expired = entry.session.binding.is_some() && entry.bound_until <= now;
        if expired && entry.operation.is_some() {
            // What is being written may be its renewal.
            entry.bound_until = now + SECOND_NS;
        } else if expired {
            self.expire(cx, id);
        }
        if offer_over {
            self.lapse_offer(id);
        }
        if asked_until.is_some_and(|until| until <= now) {
            self.aaa_timed_out(cx, id);
        }
        let over = |engine: &Engine| {
            let entry = engine.table.get(id);
            entry
                .and_then(|entry| entry.linger_until)
                .is_some_and(|until| until <= now)
        };
        if over(self) {
            self.linger_over(cx, id);
        }
        self.arm(id);
    }

    fn quarantine_over(&mut self, cx: &mut Cx<'_>, address: Ipv4Addr) {
        let over = self
            .clockwork
            .quarantined
            .get(&address)
            .is_some_and(|quarantine| quarantine.until <= cx.now.mono_ns);
        if !over {
            return;
        }
        if let Some(quarantine) = self.clockwork.quarantined.remove(&address) {
            self.pools.free(address);
            if let Some(access_loop) = quarantine.access_loop {
                self.use_loop(&access_loop, |usage| {
                    usage.quarantined = usage.quarantined.saturating_sub(1);
                });
            }
            let records = vec![super::Record::DeleteBinding(address)];
            self.commit(cx, super::writing::Purpose::Owed, records, Vec::new());
        }
    }
}

#[cfg(test)]
impl Engine {
    pub(super) fn clockwork_is_idle(&self) -> bool {
        self.clockwork.timers.is_empty() && self.clockwork.quarantined.is_empty()
    }
}

/// How long an address stays its holder's after his last word.
pub(super) fn binding_time(pool: &sluice_config::Pool) -> Duration {
    pool.binding.saturating_add(STORE_SLACK)
}

pub(super) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
