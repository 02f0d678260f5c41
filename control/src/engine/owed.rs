//! What must be written again, as it is by then.
//!
//! A batch that the store lost may have been about something that is in force all the same: a suspension, an address given back, a row's last
//! counters. It is not repeated, since an old batch would overwrite a newer truth; what it was *about* is owed, and written after a
//! second from what is true then. What happened is told then, too.

use std::collections::{BTreeSet, HashSet};
use std::net::Ipv4Addr;

use shm_bridge::SessionIndex;

use super::writing::Purpose;
use super::{Binding, BindingState, BusEvent, Cx, Engine, Record};
use crate::pool::Use;
use crate::session::{Identity, SessionId};

/// What is owed is written in batches of this many.
const OWED_BATCH: usize = 512;
/// Happenings that wait for a store that does not work: more are forgotten, what they were about is not.
const OWED_NEWS_MAX: usize = 4096;

/// Until what could not be written is tried again.
const RETRY_NS: u64 = super::SECOND_NS;

/// What a batch is about.
#[derive(Debug, Default)]
pub(super) struct About {
    sessions: BTreeSet<SessionId>,
    addresses: BTreeSet<Ipv4Addr>,
    identities: HashSet<Identity>,
}

/// What must be written as it is now.
#[derive(Debug, Default)]
pub(super) struct Owed {
    about: About,
    news: Vec<BusEvent>,
    /// Rows that are given back once their last counters are durable.
    rows: Vec<(SessionId, SessionIndex)>,
    /// Not before.
    from: u64,
}

impl About {
    pub fn of(batch: &[Record]) -> About {
        let mut about = About::default();
        for record in batch {
            match record {
                Record::PutSession(session) => about.sessions.insert(session.id),
                Record::EndSession { id, .. } => about.sessions.insert(*id),
                Record::PutBinding(binding) => about.addresses.insert(binding.ipv4),
                Record::DeleteBinding(address) => about.addresses.insert(*address),
                Record::PutActivation(record) => about.identities.insert(record.identity.clone()),
                Record::DeleteActivation(identity) => about.identities.insert(identity.clone()),
                Record::PutEvent(_) => continue,
            };
        }
        about
    }

    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.addresses.is_empty() && self.identities.is_empty()
    }

    /// At most `most` of each.
    fn take(&mut self, most: usize) -> About {
        let identities: Vec<Identity> = self.identities.iter().take(most).cloned().collect();
        for identity in &identities {
            self.identities.remove(identity);
        }
        About {
            sessions: std::iter::from_fn(|| self.sessions.pop_first())
                .take(most)
                .collect(),
            addresses: std::iter::from_fn(|| self.addresses.pop_first())
                .take(most)
                .collect(),
            identities: identities.into_iter().collect(),
        }
    }
}

impl Owed {
    /// The session is written with the next event.
    pub fn session(&mut self, id: SessionId) {
        self.about.sessions.insert(id);
    }

    /// The row's last counters were not written.
    pub fn row(&mut self, session: SessionId, row: SessionIndex) {
        self.rows.push((session, row));
    }

    /// The store lost a batch whose matter is in force.
    pub fn lost(&mut self, about: About, news: Vec<BusEvent>, now: u64) {
        self.about.sessions.extend(about.sessions);
        self.about.addresses.extend(about.addresses);
        self.about.identities.extend(about.identities);
        self.news.extend(news);
        self.news.truncate(OWED_NEWS_MAX);
        self.from = now.saturating_add(RETRY_NS);
    }

    pub fn is_empty(&self) -> bool {
        self.about.is_empty() && self.news.is_empty() && self.rows.is_empty()
    }
}

impl Engine {
    /// Writes what is owed, if its time has come.
    pub(super) fn catch_up(&mut self, cx: &mut Cx<'_>) {
        if self.writing.owed.is_empty() || cx.now.mono_ns < self.writing.owed.from {
            return;
        }
        while !self.writing.owed.about.is_empty() || !self.writing.owed.news.is_empty() {
            let about = self.writing.owed.about.take(OWED_BATCH);
            let news = std::mem::take(&mut self.writing.owed.news);
            let mut batch = Vec::new();
            for address in about.addresses {
                batch.push(self.binding_record(address));
            }
            for identity in about.identities {
                batch.push(match self.activations.get(&identity) {
                    Some(record) => Record::PutActivation(record.clone()),
                    None => Record::DeleteActivation(identity),
                });
            }
            for id in about.sessions {
                batch.push(self.session_record(cx, id));
            }
            self.commit(cx, Purpose::Owed, batch, news);
        }
        for (session, row) in std::mem::take(&mut self.writing.owed.rows) {
            self.persist(cx, session, Vec::new(), Purpose::Retired { session, row });
        }
    }

    fn session_record(&mut self, cx: &Cx<'_>, id: SessionId) -> Record {
        if let Some(entry) = self.table.get_mut(id) {
            entry.foreseen |= entry.operation.is_some();
        }
        match self.table.get(id).filter(|entry| !entry.ended) {
            Some(entry) => Record::PutSession(Box::new(self.snapshot(cx, entry))),
            None => Record::EndSession {
                id,
                at: cx.now.wall_ms,
            },
        }
    }

    /// What the store should hold of an address.
    fn binding_record(&self, address: Ipv4Addr) -> Record {
        let nobody = Record::DeleteBinding(address);
        let (Some(slot), Some(pool)) = (self.pools.slot(address), self.pools.id_of(address)) else {
            return nobody;
        };
        let (state, session, until) = match slot.usage {
            Use::Offered {
                sticky_since: None, ..
            } => return nobody,
            Use::Offered {
                sticky_since: Some(since),
                ..
            }
            | Use::Sticky { since } => (BindingState::Sticky, None, since),
            Use::Bound { session } => {
                let binding = self.table.get(session).and_then(|e| e.session.binding.as_ref());
                let until = binding.map_or(0, |binding| binding.expires_at);
                (BindingState::Bound, Some(session), until)
            }
            Use::Quarantined => {
                let Some(until) = self.clockwork.rests_until(address) else {
                    return nobody;
                };
                (BindingState::Declined, None, until)
            }
        };
        Record::PutBinding(Binding {
            ipv4: address,
            pool: self.pools.name(pool).to_owned(),
            identity: slot.holder.identity.clone(),
            mac: slot.holder.mac,
            client_id: slot.holder.client_id.clone(),
            session,
            state,
            until,
        })
    }
}
