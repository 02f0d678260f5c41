//! Taking away: restrictions are in force before they are written, and an address that nobody holds is out of the workers' sight first.

use super::clockwork::{LINGER_NS, duration_ns};
use super::entry::{Asking, Retiring};
use super::grant::sticky;
use super::operation::{clear_row, transition};
use super::writing::{Purpose, plus, since};
use super::{Binding, BindingState, BusEvent, Cx, Engine, Now, Record, holder_of};
use crate::dhcp::Refusal;
use crate::session::{Service, Session, SessionId, State, Totals, Trigger};
use shm_bridge::SessionIndex;

/// Addresses of one access loop that may rest in quarantine at a time: a client that declines everything empties no pool.
const QUARANTINED_PER_LOOP: u16 = 4;

/// Where an address goes that its session loses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Kept for its owner.
    Keep,
    /// Somebody else uses it, the client says.
    Decline,
}

impl Engine {
    /// Takes the session from the workers' sight; its row retires.
    pub(super) fn withdraw(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        self.forget_published(id);
        let pool = self
            .table
            .get(id)
            .and_then(|entry| self.binding_pool(&entry.session));
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if let Some(image) = entry.published.take() {
            entry.retiring.push(Retiring {
                row: image.row,
                baseline: entry.session.baseline,
                sampled: std::mem::take(&mut entry.sampled),
                pool,
            });
            self.table.update(id, &self.pools, clear_row);
            cx.world.withdraw(&image);
        }
    }

    /// Takes the session's address away and returns the records that say so.
    pub(super) fn unbind(&mut self, cx: &mut Cx<'_>, id: SessionId, fate: Fate, why: &str) -> Vec<Record> {
        self.withdraw(cx, id);
        let Some(entry) = self.table.get(id) else {
            return Vec::new();
        };
        let Some(binding) = entry.session.binding.clone() else {
            return Vec::new();
        };
        let mut news = self.news("AddressReleased", &entry.session, cx.now);
        news.detail = Some(why.to_owned());
        let record = match fate {
            Fate::Keep => {
                let at = cx.now.wall_s();
                self.pools.keep(binding.ipv4, at);
                Record::PutBinding(sticky(&entry.session, &binding, at))
            }
            Fate::Decline => self.quarantine(cx, id, &binding),
        };
        self.add_news(id, news);
        self.table
            .update(id, &self.pools, |session| session.binding = None);
        if let Some(entry) = self.table.get_mut(id) {
            entry.bound_until = 0;
            entry.stored_until = 0;
            entry.linger_until = Some(cx.now.mono_ns + LINGER_NS);
            if let Some(offer) = entry.offer
                && !offer.reserved
            {
                entry.offer = None;
            }
        }
        vec![record]
    }

    fn quarantine(&mut self, cx: &Cx<'_>, id: SessionId, binding: &crate::session::SessionBinding) -> Record {
        let rest = self.config.dhcp.decline_quarantine;
        let freed = Record::DeleteBinding(binding.ipv4);
        let Some(entry) = self.table.get(id) else {
            return freed;
        };
        let access_loop = entry.access_loop.clone();
        if rest.is_zero() || self.loop_of(&access_loop).quarantined >= QUARANTINED_PER_LOOP {
            if !rest.is_zero() {
                self.counts.refuse(Refusal::DeclineCapped);
            }
            self.pools.free(binding.ipv4);
            return freed;
        }
        self.pools.quarantine(binding.ipv4, holder_of(&entry.session));
        let wall_until = cx.now.wall_s().saturating_add(rest.as_secs());
        self.clockwork.quarantine(
            binding.ipv4,
            cx.now.mono_ns.saturating_add(duration_ns(rest)),
            wall_until,
            Some(access_loop.clone()),
        );
        let record = Binding {
            state: BindingState::Declined,
            until: wall_until,
            ..sticky(&entry.session, binding, 0)
        };
        self.use_loop(&access_loop, |usage| usage.quarantined += 1);
        Record::PutBinding(record)
    }

    /// Writes what is in force.
    pub(super) fn persist_in_force(&mut self, cx: &mut Cx<'_>, id: SessionId, records: Vec<Record>) {
        let purpose = Purpose::InForce {
            session: id,
            reply: None,
            olt: None,
        };
        self.persist(cx, id, records, purpose);
    }

    /// RELEASE (RFC 2131 section 4.3.4): only the host that holds the address may give it back.
    pub(super) fn released(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        asking: &Asking,
    ) -> Result<(), Refusal> {
        self.holds(id, asking, asking.request.ciaddr)?;
        let records = self.unbind(cx, id, Fate::Keep, "released by the client");
        self.persist_in_force(cx, id, records);
        Ok(())
    }

    /// DECLINE (RFC 2131 section 4.3.3): somebody else was found using the address.
    pub(super) fn declined(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        asking: &Asking,
    ) -> Result<(), Refusal> {
        let request = &asking.request;
        if request
            .server_id
            .is_some_and(|server| server != self.config.dhcp.server_id)
        {
            return Err(Refusal::OtherServer);
        }
        let address = request.requested.ok_or(Refusal::NoAddressAsked)?;
        self.holds(id, asking, address)?;
        let records = self.unbind(cx, id, Fate::Decline, "declined by the client");
        self.persist_in_force(cx, id, records);
        Ok(())
    }

    fn holds(&self, id: SessionId, asking: &Asking, address: std::net::Ipv4Addr) -> Result<(), Refusal> {
        let entry = self.table.get(id).ok_or(Refusal::NoSession)?;
        let session = &entry.session;
        let held = session
            .binding
            .as_ref()
            .is_some_and(|binding| binding.ipv4 == address);
        if held && session.mac == asking.request.chaddr && session.line == asking.line {
            Ok(())
        } else {
            Err(Refusal::NotTheHolder)
        }
    }

    /// The binding ran out.
    pub(super) fn expire(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let records = self.unbind(cx, id, Fate::Keep, "expired");
        if !records.is_empty() {
            self.persist_in_force(cx, id, records);
        }
    }

    /// Changes state and service to ones that give no more than before: at once, and written afterwards if the session has an address.
    pub(super) fn restrict(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        trigger: Option<Trigger>,
        service: Service,
    ) {
        let state = |engine: &Engine| engine.table.get(id).map(|entry| entry.session.state);
        let before = state(self);
        match trigger {
            Some(trigger) => self.shift(cx, id, trigger, Some(service)),
            None => {
                self.table
                    .update(id, &self.pools, |session| session.service = service);
            }
        }
        let bound = self
            .table
            .get(id)
            .is_some_and(|entry| entry.session.binding.is_some());
        if bound && before != state(self) {
            self.refresh_policy(cx, id);
            self.persist_in_force(cx, id, Vec::new());
        }
    }

    /// Makes workers do what the session's state asks. A policy that cannot be had leaves nothing published: fail closed.
    pub(super) fn refresh_policy(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let Some(entry) = self.table.get(id) else { return };
        let Some(published) = &entry.published else { return };
        let policy = self.policy(&entry.session);
        if policy == published.policy {
            return;
        }
        match cx.world.set_policy(published.row, &policy) {
            Ok(()) => {
                if let Some(image) = self.table.get_mut(id).and_then(|e| e.published.as_mut()) {
                    image.policy = policy;
                }
            }
            Err(e) => {
                tracing::error!(session = %id, "withdrawn, since its policy could not be set: {e}");
                self.withdraw(cx, id);
            }
        }
    }

    /// Takes everything from a terminated subscriber's session and returns the records that say so.
    pub(super) fn strip(&mut self, cx: &mut Cx<'_>, id: SessionId, why: &str) -> Vec<Record> {
        self.lapse_offer(id);
        let mut records = self.unbind(cx, id, Fate::Keep, why);
        let at = cx.now.wall_s();
        let Some(entry) = self.table.get(id) else {
            return records;
        };
        let news = self.state_news(&entry.session, State::Terminated, cx.now, Some(why.to_owned()));
        self.table.update(id, &self.pools, |session| {
            // Legal from every state but itself.
            let _legal = transition(session, Trigger::Terminated, at);
        });
        self.add_news(id, news);
        if let Some(entry) = self.table.get_mut(id) {
            entry.parked = None;
            entry.linger_until = Some(cx.now.mono_ns + LINGER_NS);
        }
        self.end_if_still(cx, id, &mut records);
        records
    }

    /// Once no row counts for it any more, a terminated session is over: its tombstone goes into the batch.
    fn end_if_still(&mut self, cx: &Cx<'_>, id: SessionId, records: &mut Vec<Record>) {
        let over = self.table.get(id).is_some_and(|entry| {
            entry.session.state == State::Terminated
                && entry.retiring.is_empty()
                && entry.published.is_none()
                && entry.operation.is_none()
                && !entry.ended
        });
        if over {
            self.end(cx, id, records);
        }
    }

    /// Ends a session that was terminated while something of it was being written.
    pub(super) fn conclude(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let mut records = Vec::new();
        self.end_if_still(cx, id, &mut records);
        if !records.is_empty() {
            self.persist_in_force(cx, id, records);
        }
    }

    /// Writes the session's tombstone. It is shown until it is removed.
    pub(super) fn end(&mut self, cx: &Cx<'_>, id: SessionId, records: &mut Vec<Record>) {
        let Some(entry) = self.table.get(id) else { return };
        let mut news = self.news("SessionEnded", &entry.session, cx.now);
        news.detail = Some(totals_text(entry.session.carried));
        self.add_news(id, news);
        if let Some(entry) = self.table.get_mut(id) {
            entry.ended = true;
            if entry.stored {
                records.push(Record::EndSession {
                    id,
                    at: cx.now.wall_ms,
                });
            }
        }
    }

    /// Forgets a session that lost its address long ago, or was terminated.
    pub(super) fn linger_over(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let still_there = entry.session.state != State::Terminated && self.onts.holds(&entry.session.access);
        let busy = entry.operation.is_some() || !entry.retiring.is_empty();
        if still_there || busy || entry.session.binding.is_some() {
            let wait = if busy { super::SECOND_NS } else { LINGER_NS };
            entry.linger_until = Some(cx.now.mono_ns + wait);
            return;
        }
        self.lapse_offer(id);
        let Some(entry) = self.table.get(id) else { return };
        if !entry.ended {
            let heard_of = entry.stored;
            let mut records = Vec::new();
            self.end(cx, id, &mut records);
            // A host that never got an address ends as it came: without a trace on disk.
            if heard_of {
                self.persist_in_force(cx, id, records);
            }
        }
        self.remove(id);
    }

    fn remove(&mut self, id: SessionId) {
        let Some(entry) = self.table.get(id) else { return };
        let pool = self.binding_pool(&entry.session);
        self.forget_published(id);
        if let Some(entry) = self.table.remove(id, pool) {
            if let super::entry::Aaa::Asked { ticket, .. } = entry.aaa {
                self.writing.take_aaa(ticket);
            }
            self.clockwork.disarm(id, entry.armed);
            self.use_loop(&entry.access_loop, |usage| {
                usage.sessions = usage.sessions.saturating_sub(1);
            });
        }
    }

    /// A row's last counters: they become the session's, durably, before the row is used again.
    pub(super) fn row_retired(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        row: SessionIndex,
        traffic: [Totals; 2],
    ) {
        let retiring = self.table.get_mut(id).and_then(|entry| {
            let at = entry.retiring.iter().position(|retiring| retiring.row == row)?;
            Some(entry.retiring.swap_remove(at))
        });
        let Some(retiring) = retiring else {
            // The session is gone, and its totals were told when it ended.
            cx.world.release_row(row);
            return;
        };
        self.ledger.add(retiring.pool, since(traffic, retiring.sampled));
        self.table.update(id, &self.pools, |session| {
            session.carried = plus(session.carried, traffic);
        });
        let mut records = Vec::new();
        self.end_if_still(cx, id, &mut records);
        self.persist(cx, id, records, Purpose::Retired { session: id, row });
    }

    pub(super) fn state_news(
        &self,
        session: &Session,
        after: State,
        now: Now,
        detail: Option<String>,
    ) -> BusEvent {
        BusEvent {
            old_state: Some(session.state),
            new_state: Some(after),
            detail,
            ..self.news("SessionStateChanged", session, now)
        }
    }
}

fn totals_text(totals: [Totals; 2]) -> String {
    let [up, down] = totals;
    format!(
        "upstream {} packets {} bytes, downstream {} packets {} bytes",
        up.packets, up.bytes, down.packets, down.bytes
    )
}
