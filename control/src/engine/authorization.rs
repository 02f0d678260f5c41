//! What a session is entitled to: asked of AAA, one request at a time, and remembered.
//!
//! The record of an activation, suspension or termination wins: where there is one, AAA is not asked. Otherwise it is asked when
//! a message needs its answer: at first, and again by a DISCOVER of a session that has no address or is in the garden, once the last answer is
//! older than [`FRESH_NS`]. The newest message waits for the answer; after `dhcp.aaa_timeout_seconds` the policy decides.

use std::collections::{HashMap, VecDeque};

use sluice_config::AaaTimeoutPolicy;

use super::entry::{Aaa, Asking};
use super::operation::{Change, Operation, transition};
use super::{
    AaaAnswer, AaaRequest, Activation, ActivationStatus, Changed, Cx, Engine, Ticket, access_is_empty,
};
use crate::dhcp::{Kind, Notice, Refusal};
use crate::session::{Identity, Service, SessionId, Standing, State, Trigger};

/// How long an answer serves: a client that discovers again and again does not become a storm of AAA requests.
pub(super) const FRESH_NS: u64 = 30 * super::SECOND_NS;

/// What AAA said of identities last time, for when it says nothing. The oldest is forgotten first.
#[derive(Debug)]
pub(super) struct LastKnown {
    answers: HashMap<Identity, (Service, Standing)>,
    order: VecDeque<Identity>,
    most: usize,
}

impl LastKnown {
    pub fn new(most: usize) -> LastKnown {
        LastKnown {
            answers: HashMap::new(),
            order: VecDeque::new(),
            most: most.max(1),
        }
    }

    pub fn get(&self, identity: &Identity) -> Option<&(Service, Standing)> {
        self.answers.get(identity)
    }

    pub fn remember(&mut self, identity: &Identity, service: Service, standing: Standing) {
        if self
            .answers
            .insert(identity.clone(), (service, standing))
            .is_some()
        {
            return;
        }
        self.order.push_back(identity.clone());
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.answers.remove(&oldest);
        }
    }
}

/// Whether a message can be answered now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Yes,
    /// It is parked.
    NotYet,
}

impl Engine {
    /// Sees to it that the session's entitlement is known, or parks the message and asks.
    pub(super) fn settle(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        asking: &Asking,
    ) -> Result<Settled, Refusal> {
        let Some(entry) = self.table.get(id) else {
            return Err(Refusal::NoSession);
        };
        if asking.line.is_none() {
            return self.settle_relayed(cx, id);
        }
        if let Some(record) = self.activations.get(&entry.session.identity) {
            let record = record.clone();
            return self.settle_by_record(cx, id, &record);
        }
        let bound = entry.bound(cx.now.mono_ns).is_some();
        let again = !bound || entry.session.state == State::Wgar;
        let ask = match entry.aaa {
            Aaa::Asked { .. } => {
                self.park(id, asking);
                return Ok(Settled::NotYet);
            }
            Aaa::Never => true,
            Aaa::Answered { fresh_until } => {
                entry.session.state == State::Discovered
                    || (asking.request.kind == Kind::Discover && again && cx.now.mono_ns >= fresh_until)
            }
        };
        if !ask {
            return Ok(Settled::Yes);
        }
        self.park(id, asking);
        self.ask_aaa(cx, id, asking);
        Ok(Settled::NotYet)
    }

    /// Clients behind relays get addresses of the relays' pool, and nothing more is to be known.
    fn settle_relayed(&mut self, cx: &Cx<'_>, id: SessionId) -> Result<Settled, Refusal> {
        let pool = self.config.dhcp.relay_pool.as_ref();
        let pool = pool.ok_or(Refusal::UnknownPool)?.to_string();
        let discovered = self
            .table
            .get(id)
            .is_some_and(|entry| entry.session.state == State::Discovered);
        if discovered {
            let service = Service {
                pool,
                ..self.garden_service()
            };
            self.shift(cx, id, Trigger::Accepted, Some(service));
        }
        Ok(Settled::Yes)
    }

    /// The record was applied to sessions that existed when it was made; a new one begins with it.
    fn settle_by_record(
        &mut self,
        cx: &Cx<'_>,
        id: SessionId,
        record: &Activation,
    ) -> Result<Settled, Refusal> {
        let discovered = self
            .table
            .get(id)
            .is_some_and(|entry| entry.session.state == State::Discovered);
        match record.status {
            ActivationStatus::Terminated => return Err(Refusal::Terminated),
            _ if !discovered => {}
            ActivationStatus::Active => {
                self.shift(cx, id, Trigger::Accepted, Some(record.service.clone()));
            }
            ActivationStatus::Suspended => {
                self.shift(cx, id, Trigger::Suspended, Some(record.service.clone()));
            }
        }
        Ok(Settled::Yes)
    }

    fn ask_aaa(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: &Asking) {
        let ticket = self.writing.aaa_ticket(id);
        let timeout = u64::try_from(self.config.dhcp.aaa_timeout.as_nanos()).unwrap_or(u64::MAX);
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.aaa = Aaa::Asked {
            ticket,
            until: cx.now.mono_ns.saturating_add(timeout),
        };
        let access = if access_is_empty(&asking.access) {
            entry.session.access.clone()
        } else {
            asking.access.clone()
        };
        let request = AaaRequest {
            ticket,
            identity: entry.session.identity.clone(),
            access,
            line: asking.line,
            mac: asking.request.chaddr,
        };
        self.arm(id);
        cx.world.authorize(request);
    }

    /// AAA answered.
    pub(super) fn authorized(&mut self, cx: &mut Cx<'_>, ticket: Ticket, answer: AaaAnswer) {
        let asked = self.writing.take_aaa(ticket).filter(|id| {
            let entry = self.table.get(*id);
            entry.is_some_and(|entry| matches!(entry.aaa, Aaa::Asked { ticket: open, .. } if open == ticket))
        });
        let Some(id) = asked else {
            self.counts.note(Notice::LateAaa);
            return;
        };
        match answer {
            AaaAnswer::Accept(service, standing) => {
                self.answered(id, cx.now.mono_ns + FRESH_NS);
                if let Some(entry) = self.table.get(id) {
                    let identity = entry.session.identity.clone();
                    self.known.remember(&identity, service.clone(), standing);
                }
                self.entitle(cx, id, Some((service, standing)));
            }
            AaaAnswer::Unknown => {
                self.answered(id, cx.now.mono_ns + FRESH_NS);
                self.entitle(cx, id, None);
            }
            AaaAnswer::Failed(_) => {
                self.counts.note(Notice::AaaFailed);
                self.unanswered(cx, id);
            }
        }
        self.resume_conversation(cx, id);
        self.arm(id);
    }

    /// AAA did not answer in time.
    pub(super) fn aaa_timed_out(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        if let Some(Aaa::Asked { ticket, .. }) = self.table.get(id).map(|entry| entry.aaa) {
            self.writing.take_aaa(ticket);
            self.counts.note(Notice::AaaTimeout);
            self.unanswered(cx, id);
            self.resume_conversation(cx, id);
        }
    }

    /// What the policy says when AAA says nothing. A session that was answered before keeps what it has. The next DISCOVER asks again.
    fn unanswered(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.aaa = Aaa::Answered {
            fresh_until: cx.now.mono_ns + super::SECOND_NS,
        };
        if entry.session.state != State::Discovered {
            return;
        }
        match self.config.dhcp.aaa_timeout_policy {
            AaaTimeoutPolicy::Silent => {
                entry.aaa = Aaa::Never;
                if entry.parked.take().is_some() {
                    self.counts.refuse(Refusal::AaaSilent);
                }
            }
            AaaTimeoutPolicy::Garden => self.entitle(cx, id, None),
            AaaTimeoutPolicy::LastKnown => {
                let identity = &entry.session.identity;
                let known = self.known.get(identity).cloned();
                self.entitle(cx, id, known);
            }
        }
    }

    fn answered(&mut self, id: SessionId, fresh_until: u64) {
        if let Some(entry) = self.table.get_mut(id) {
            entry.aaa = Aaa::Answered { fresh_until };
        }
    }

    /// Gives the session what AAA says of it; `None` is nothing.
    fn entitle(&mut self, cx: &mut Cx<'_>, id: SessionId, known: Option<(Service, Standing)>) {
        let Some(entry) = self.table.get(id) else { return };
        let (state, binding) = (entry.session.state, entry.session.binding.clone());
        if state == State::Terminated || self.activations.contains_key(&entry.session.identity) {
            // An operator was faster than AAA.
            return;
        }
        let (service, standing) = match known {
            Some((service, standing)) if self.pools.id(&service.pool).is_some() => (service, standing),
            Some(_) => {
                self.counts.refuse(Refusal::UnknownPool);
                if let Some(entry) = self.table.get_mut(id) {
                    entry.parked = None;
                    entry.aaa = Aaa::Never;
                }
                return;
            }
            None => (self.garden_service(), Standing::Wgar),
        };
        match (standing, binding) {
            (Standing::Wgar, _) => {
                let trigger = (state != State::Wgar).then_some(Trigger::Unknown);
                self.restrict(cx, id, trigger, service);
            }
            (Standing::Suspended, _) => {
                let trigger = (state != State::Suspended).then_some(Trigger::Suspended);
                self.restrict(cx, id, trigger, service);
            }
            (Standing::Active, None) if state == State::Active => {
                self.table
                    .update(id, &self.pools, |session| session.service = service);
            }
            (Standing::Active, None) => self.shift(cx, id, Trigger::Accepted, Some(service)),
            (Standing::Active, Some(binding)) if binding.pool == service.pool => {
                self.accept_in_place(cx, id, service);
            }
            (Standing::Active, Some(_)) => {
                self.shift(cx, id, Trigger::ActivatedElsewhere, Some(service));
                self.refresh_policy(cx, id);
            }
        }
    }

    /// AAA came to know a subscriber who is in the garden with an address of his pool: more than he had, so it is written first.
    fn accept_in_place(&mut self, cx: &mut Cx<'_>, id: SessionId, service: Service) {
        let Some(entry) = self.table.get(id) else { return };
        let session = &entry.session;
        let Ok(new_state) = session.state.after(Trigger::ActivatedInPlace) else {
            return;
        };
        let changed = Changed {
            id,
            ont_serial: session.access.ont_serial.clone(),
            old_state: session.state,
            new_state,
            old_ip: session.binding.as_ref().map(|binding| binding.ipv4),
            message: String::new(),
        };
        let news = self.state_news(session, new_state, cx.now, Some("accepted by AAA".into()));
        let change = Change {
            trigger: Trigger::ActivatedInPlace,
            service,
            record: None,
            leads: false,
            changed,
            reply_to: Vec::new(),
            request: None,
            olt: None,
            at: cx.now.wall_s(),
        };
        self.begin(
            cx,
            id,
            Operation::Change(Box::new(change)),
            Vec::new(),
            vec![news],
        );
    }

    /// Changes the state in memory, where nothing is granted by it: without an address no packet passes, and with one of another pool the
    /// garden stays. It is written with the next grant.
    pub(super) fn shift(&mut self, cx: &Cx<'_>, id: SessionId, trigger: Trigger, service: Option<Service>) {
        let Some(entry) = self.table.get(id) else { return };
        let news = match entry.session.state.after(trigger) {
            Ok(after) => self.state_news(&entry.session, after, cx.now, None),
            Err(_) => return,
        };
        let at = cx.now.wall_s();
        let moved = self.table.update(id, &self.pools, |session| {
            if let Some(service) = service {
                session.service = service;
            }
            transition(session, trigger, at)
        });
        if matches!(moved, Some(Ok(before)) if Some(before) != news.new_state) {
            self.add_news(id, news);
        }
    }

    pub(super) fn park(&mut self, id: SessionId, asking: &Asking) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        if entry.parked.replace(Box::new(asking.clone())).is_some() {
            self.counts.note(Notice::Replaced);
        }
    }
}
