//! Giving an address: set a row aside, write, publish, answer, in this order (law 5).
//!
//! ```text
//!  REQUEST ─► reserve_row ─► commit ─ ─ ─ Committed ─► publish ─► ACK
//!                │ no row       │ lost                   │ refused
//!                ▼              ▼                        ▼
//!             silence     address and row back     the same, and the record is written back
//! ```
//!
//! Nothing of the session changes before the batch is durable. Until then retransmissions are answered by the one ACK to come, and
//! other messages wait.

use std::net::Ipv4Addr;

use super::clockwork::{binding_time, duration_ns};
use super::conversation::seconds;
use super::entry::{Asking, Retiring};
use super::operation::{Grant, Move, Operation};
use super::writing::Purpose;
use super::{Binding, BindingState, BusEvent, Cx, Engine, Record, ReservedRow, SessionImage, holder};
use crate::dhcp::{Answer, Lease, Notice, Refusal};
use crate::pool::PoolId;
use crate::session::{Line, Mac, Session, SessionBinding, SessionId, State};

impl Engine {
    /// Begins to give `address` to the host that asks; `reserved` says that it comes from an offer.
    pub(super) fn grant(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        asking: Asking,
        pool: PoolId,
        address: Ipv4Addr,
        reserved: bool,
    ) -> Result<(), Refusal> {
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        let mac = asking.request.chaddr;
        let shared = entry.shared;
        if let Some(line) = asking.line
            && shared
            && self
                .published_on(line, shared, mac)
                .is_some_and(|other| other != id)
        {
            return Err(Refusal::MacInUse);
        }
        let seen = entry.published.as_ref().is_some_and(|image| {
            Some(image.line) == asking.line && image.mac == mac && image.ipv4 == address
        });
        let row = match asking.line {
            Some(_) if !seen => Some(cx.world.reserve_row().map_err(|_| Refusal::NoRow)?),
            _ => None,
        };
        let config = self.config.clone();
        let config = &config.pools[usize::from(pool.0)];
        let at = cx.now.wall_s();
        let grant = Grant {
            pool,
            binding: SessionBinding {
                pool: config.name.to_string(),
                ipv4: address,
                expires_at: at.saturating_add(binding_time(config).as_secs()),
            },
            until: cx.now.mono_ns.saturating_add(duration_ns(binding_time(config))),
            row,
            reserved,
            at,
            asking,
        };

        let mut records = vec![Record::PutBinding(Binding {
            ipv4: address,
            pool: grant.binding.pool.clone(),
            identity: entry.session.identity.clone(),
            mac,
            client_id: grant.asking.request.client_id.clone(),
            session: Some(id),
            state: BindingState::Bound,
            until: grant.binding.expires_at,
        })];
        if let Some(left) = entry.session.binding.as_ref().filter(|b| b.ipv4 != address) {
            records.push(Record::PutBinding(sticky(&entry.session, left, at)));
        }
        let news = self.grant_news(&entry.session, &grant, cx);
        self.take_offer(id, address);
        self.begin(cx, id, Operation::Grant(Box::new(grant)), records, news);
        Ok(())
    }

    /// What is told of it once it is durable; a renewal is no news.
    fn grant_news(&self, session: &Session, grant: &Grant, cx: &Cx<'_>) -> Vec<BusEvent> {
        let mut after = session.clone();
        grant.apply(&mut after);
        let mut news = Vec::new();
        if after.state != session.state {
            news.push(self.state_news(&after, after.state, cx.now, None));
            if let Some(last) = news.last_mut() {
                last.old_state = Some(session.state);
            }
        }
        let had = session.binding.as_ref().map(|binding| binding.ipv4);
        if had != Some(grant.binding.ipv4) || session.mac != after.mac {
            let mut bound = self.news("AddressBound", &after, cx.now);
            if session.mac != after.mac && session.mac != Mac::UNKNOWN && had.is_some() {
                bound.detail = Some(format!("host {} took the place of {}", after.mac, session.mac));
            }
            news.push(bound);
        }
        news
    }

    /// The offer becomes the grant's; it no longer lapses.
    fn take_offer(&mut self, id: SessionId, address: Ipv4Addr) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        match entry.offer {
            Some(offer) if offer.reserved && offer.address == address => {
                entry.offer = None;
                let access_loop = entry.access_loop.clone();
                self.use_loop(&access_loop, |usage| {
                    usage.offers = usage.offers.saturating_sub(1)
                });
            }
            Some(offer) if !offer.reserved => entry.offer = None,
            _ => {}
        }
    }

    pub(super) fn finish_grant(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        grant: Grant,
        result: Result<(), String>,
    ) {
        let Some(entry) = self.table.get(id) else {
            self.give_back(cx, &grant);
            return;
        };
        if result.is_err() {
            self.counts.refuse(Refusal::CommitFailed);
            self.give_back(cx, &grant);
            return;
        }
        if entry.session.state == State::Terminated || entry.ended {
            // Terminated while it was written: the address stays kept, and nobody hears of it.
            self.counts.refuse(Refusal::Terminated);
            self.undo_grant(cx, id, &grant);
            return;
        }
        if grant.until <= cx.now.mono_ns.saturating_add(super::SECOND_NS) {
            // The binding ended before it was durable: an ACK would promise nothing.
            self.counts.refuse(Refusal::StoreTooSlow);
            self.undo_grant(cx, id, &grant);
            return;
        }
        let mut after = entry.session.clone();
        grant.apply(&mut after);
        let previous = entry.published.clone();
        let image = self.image(&after);
        if let (Some(row), Some(image)) = (grant.row, &image) {
            self.make_way(cx, id, image);
            if let Err(e) = cx.world.publish(image, previous.as_ref()) {
                tracing::warn!(session = %id, address = %image.ipv4, "not published: {e}");
                self.counts.refuse(Refusal::PublishFailed);
                self.undo_grant(cx, id, &grant);
                return;
            }
            self.replace_row(id, image.clone(), row);
        } else if let (Some(image), Some(previous)) = (&image, &previous)
            && image.policy != previous.policy
            && let Err(e) = cx.world.set_policy(image.row, &image.policy)
        {
            tracing::warn!(session = %id, address = %image.ipv4, "policy not set: {e}");
            self.counts.refuse(Refusal::PublishFailed);
            self.undo_grant(cx, id, &grant);
            return;
        }
        self.granted(cx, id, grant);
    }

    /// Durable and published: it is true now.
    fn granted(&mut self, cx: &mut Cx<'_>, id: SessionId, grant: Grant) {
        let now = cx.now.mono_ns;
        let address = grant.binding.ipv4;
        let Some(entry) = self.table.get(id) else { return };
        let left = entry.session.binding.as_ref().map(|binding| binding.ipv4);
        let displaced = entry.displaces(&grant.asking.request);
        let activated = entry.session.state == State::Activating;
        let holder = holder(&entry.session.identity, &grant.asking.request);

        self.pools.bind(address, holder, id);
        if let Some(left) = left.filter(|left| *left != address) {
            self.pools.keep(left, cx.now.wall_s());
        }
        self.table.update(id, &self.pools, |session| grant.apply(session));
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.bound_until = grant.until;
        entry.stored_until = grant.until;
        entry.linger_until = None;
        entry.busy_at = now;
        if displaced {
            entry.displacements.take(now);
            self.counts.note(Notice::Displaced);
        }
        let activated = activated && entry.session.state == State::Active;
        let started = entry.activation_started.take_if(|_| activated);
        if let Some(started) = started {
            let seconds = now.saturating_sub(started) as f64 / 1e9;
            self.counts.activated_after(seconds);
        }
        let image = self.table.get(id).and_then(|entry| self.image(&entry.session));
        if let Some(entry) = self.table.get_mut(id)
            && entry.published.is_some()
        {
            entry.published = image;
        }

        let config = self.config.clone();
        let config = &config.pools[usize::from(grant.pool.0)];
        let lease = Lease {
            address,
            pool: config,
            // The lease ends with the binding, however long the store took.
            seconds: seconds(
                config
                    .lease
                    .as_secs()
                    .min(grant.until.saturating_sub(now) / 1_000_000_000),
            ),
        };
        self.send(cx, Answer::Ack(lease), &grant.asking);
    }

    /// Nothing was written: address and row go back to where they came from.
    fn give_back(&mut self, cx: &mut Cx<'_>, grant: &Grant) {
        if let Some(row) = grant.row {
            cx.world.release_row(row.row);
        }
        if grant.reserved {
            self.pools.lapse(grant.binding.ipv4);
        }
    }

    /// It was written, and does not hold: what was before is written again.
    fn undo_grant(&mut self, cx: &mut Cx<'_>, id: SessionId, grant: &Grant) {
        let at = cx.now.wall_s();
        if let Some(row) = grant.row {
            cx.world.release_row(row.row);
        }
        let Some(entry) = self.table.get(id) else { return };
        let mut records = Vec::new();
        let address = grant.binding.ipv4;
        let held = entry.session.binding.as_ref();
        if held.is_none_or(|held| held.ipv4 != address) {
            // Kept for the line: its next attempt gets the same address.
            let mut kept = sticky(&entry.session, &grant.binding, at);
            kept.mac = grant.asking.request.chaddr;
            kept.client_id.clone_from(&grant.asking.request.client_id);
            records.push(Record::PutBinding(kept));
        }
        if let Some(held) = held {
            records.push(Record::PutBinding(bound(&entry.session, held)));
        }
        if held.is_none_or(|held| held.ipv4 != address) {
            let mut news = self.news("AddressReleased", &entry.session, cx.now);
            news.ipv4 = Some(address);
            news.pool = Some(grant.binding.pool.clone());
            news.detail = Some("it was never acknowledged".into());
            self.pools.keep(address, at);
            self.add_news(id, news);
        }
        let purpose = Purpose::InForce {
            session: id,
            reply: None,
            olt: None,
        };
        self.persist(cx, id, records, purpose);
    }

    /// On a one-host line whoever comes takes the place of whom the tags belonged to before.
    pub(super) fn make_way(&mut self, cx: &mut Cx<'_>, id: SessionId, image: &SessionImage) {
        let shared = self.table.get(id).is_some_and(|entry| entry.shared);
        let other = self.published_on(image.line, shared, image.mac);
        if let Some(other) = other.filter(|other| *other != id) {
            self.withdraw(cx, other);
            let purpose = Purpose::InForce {
                session: other,
                reply: None,
                olt: None,
            };
            self.persist(cx, other, Vec::new(), purpose);
        }
    }

    /// Takes note that workers see `image` now, and that the row before it retires.
    pub(super) fn replace_row(&mut self, id: SessionId, image: SessionImage, row: ReservedRow) {
        let pool = self
            .table
            .get(id)
            .and_then(|entry| self.binding_pool(&entry.session));
        self.forget_published(id);
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let key = (image.line, entry.shared.then_some(image.mac));
        if let Some(previous) = entry.published.replace(image) {
            entry.retiring.push(Retiring {
                row: previous.row,
                baseline: entry.session.baseline,
                sampled: std::mem::take(&mut entry.sampled),
                pool,
            });
        }
        self.published.insert(key, id);
        self.table
            .update(id, &self.pools, |session| super::operation::set_row(session, row));
    }

    pub(super) fn published_on(&self, line: Line, shared: bool, mac: Mac) -> Option<SessionId> {
        self.published.get(&(line, shared.then_some(mac))).copied()
    }

    /// The session is no longer found by its line.
    pub(super) fn forget_published(&mut self, id: SessionId) {
        let Some(entry) = self.table.get(id) else { return };
        if let Some(image) = &entry.published {
            let key = (image.line, entry.shared.then_some(image.mac));
            if self.published.get(&key) == Some(&id) {
                self.published.remove(&key);
            }
        }
    }

    /// The line's tags changed: the address moves along, in a row of its own.
    pub(super) fn move_to(&mut self, cx: &mut Cx<'_>, id: SessionId, line: Line, records: Vec<Record>) {
        let Some(entry) = self.table.get(id) else { return };
        if entry.session.line == Some(line) || entry.operation.is_some() {
            return;
        }
        let purpose = Purpose::InForce {
            session: id,
            reply: None,
            olt: None,
        };
        if entry.published.is_none() {
            self.table
                .update(id, &self.pools, |session| session.line = Some(line));
            self.persist(cx, id, records, purpose);
            return;
        }
        match cx.world.reserve_row() {
            Ok(row) => {
                let operation = Operation::Move(Box::new(Move { line, row }));
                self.begin(cx, id, operation, records, Vec::new());
            }
            Err(e) => {
                // The next REQUEST from there tries again.
                tracing::warn!(session = %id, "not moved: {e}");
                self.counts.refuse(Refusal::NoRow);
            }
        }
    }

    pub(super) fn finish_move(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        moved: Move,
        result: Result<(), String>,
    ) {
        let image = self.table.get(id).and_then(|entry| {
            let mut after = entry.session.clone();
            moved.apply(&mut after);
            entry.published.as_ref()?;
            self.image(&after)
        });
        let Some(image) = image.filter(|_| result.is_ok()) else {
            cx.world.release_row(moved.row.row);
            return;
        };
        self.make_way(cx, id, &image);
        let previous = self.table.get(id).and_then(|entry| entry.published.clone());
        if let Err(e) = cx.world.publish(&image, previous.as_ref()) {
            tracing::warn!(session = %id, "not moved: {e}");
            self.counts.refuse(Refusal::PublishFailed);
            cx.world.release_row(moved.row.row);
            let purpose = Purpose::InForce {
                session: id,
                reply: None,
                olt: None,
            };
            self.persist(cx, id, Vec::new(), purpose);
            return;
        }
        self.replace_row(id, image, moved.row);
        self.table.update(id, &self.pools, |session| moved.apply(session));
    }
}

/// The record of an address that is kept for its owner.
pub(super) fn sticky(session: &Session, binding: &SessionBinding, at: u64) -> Binding {
    Binding {
        session: None,
        state: BindingState::Sticky,
        until: at,
        ..bound(session, binding)
    }
}

/// The record of the address a session has.
pub(super) fn bound(session: &Session, binding: &SessionBinding) -> Binding {
    Binding {
        ipv4: binding.ipv4,
        pool: binding.pool.clone(),
        identity: session.identity.clone(),
        mac: session.mac,
        client_id: session.client_id.clone(),
        session: Some(session.id),
        state: BindingState::Bound,
        until: binding.expires_at,
    }
}
