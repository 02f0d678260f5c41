//! Giving more: activation and resumption. Written first, then in force, then answered.
//!
//! Same pool as the address: active once it is durable. Another pool: `activating`, in the garden until the ACK of an address of it; the
//! access node is asked to bounce the line, so that the client asks at once.

use sluice_config::{Qos as Rates, ServiceId, VlanId};

use super::command::{DEFERRED_MAX, busy, changed, result_label};
use super::operation::{Change, Operation};
use super::{
    Activate, Activation, ActivationStatus, Command, CommandError, Cx, Engine, OltRequest, Record, Reply,
    ReplyTo, Selector, ServiceOrigin,
};
use crate::session::{Identity, Line, Qos, Service, Session, SessionId, State, Trigger};

impl Engine {
    /// Gives the subscriber a service. Same pool as its address: active once written. Another: activating, until its host has an address of it.
    pub(super) fn activate(
        &mut self,
        cx: &mut Cx<'_>,
        activate: Activate,
        reply_to: ReplyTo,
    ) -> Result<(), CommandError> {
        let what = || format!("ont_serial {}", activate.ont_serial);
        let id = self.one_of(self.table.of_ont(&activate.ont_serial), what)?;
        let service = self.service_asked(id, &activate)?;
        let Some(entry) = self.table.get(id) else {
            return Err(CommandError::NotFound { what: what() });
        };
        match &entry.operation {
            Some(Operation::Change(change)) if change.request.as_ref() == Some(&activate) => {
                return self.join(id, reply_to);
            }
            Some(_) => return self.defer(id, Command::Activate(activate), reply_to),
            None => {}
        }
        let session = &entry.session;
        if self.is_repeat(session, &service, &activate) {
            let changed = changed(session, session.state, message(session.state));
            cx.world.reply(reply_to, Ok(Reply::Changed(changed)));
            return Ok(());
        }
        let trigger = match &session.binding {
            Some(binding) if binding.pool == service.pool => Trigger::ActivatedInPlace,
            _ => Trigger::ActivatedElsewhere,
        };
        let Ok(new_state) = session.state.after(trigger) else {
            let wanted = if trigger == Trigger::ActivatedInPlace {
                State::Active
            } else {
                State::Activating
            };
            return Err(CommandError::WrongState {
                state: session.state,
                wanted,
            });
        };
        let moves = activate.s_vlan.is_some() || activate.c_vlan.is_some();
        let elsewhere = trigger == Trigger::ActivatedElsewhere;
        let line = self
            .activations
            .get(&session.identity)
            .and_then(|record| record.line);
        let record = Activation {
            identity: session.identity.clone(),
            ont_serial: Some(activate.ont_serial.clone()),
            service: service.clone(),
            status: ActivationStatus::Active,
            origin: ServiceOrigin::Operator,
            line,
            at: cx.now.wall_ms,
        };
        let olt = OltRequest {
            ont_serial: activate.ont_serial.clone(),
            pool: service.pool.clone(),
            qos_download_bps: service.qos.download_bps,
            qos_upload_bps: service.qos.upload_bps,
            s_vlan: activate.s_vlan,
            c_vlan: activate.c_vlan,
            bounce: activate.bounce && (elsewhere || moves),
        };
        let change = Change {
            trigger,
            service,
            record: Some(record),
            leads: true,
            changed: changed(session, new_state, message(new_state)),
            reply_to: vec![reply_to],
            request: Some(activate),
            olt: Some(olt),
            at: cx.now.wall_s(),
        };
        if let Some(entry) = self.table.get_mut(id) {
            entry.activation_started = Some(cx.now.mono_ns);
        }
        self.change(cx, id, change);
        Ok(())
    }

    /// Gives a suspended subscriber back what he had.
    pub(super) fn resume(
        &mut self,
        cx: &mut Cx<'_>,
        selector: Selector,
        reply_to: ReplyTo,
    ) -> Result<(), CommandError> {
        let id = self.select(&selector)?;
        let Some(entry) = self.table.get(id) else {
            return Err(CommandError::NotFound {
                what: format!("id {id}"),
            });
        };
        if entry.operation.is_some() {
            return self.defer(id, Command::Resume(selector), reply_to);
        }
        let session = &entry.session;
        let record = self.activations.get(&session.identity).cloned();
        let origin = record.as_ref().map_or(ServiceOrigin::Aaa, |record| record.origin);
        let service = record
            .as_ref()
            .map_or_else(|| session.service.clone(), |r| r.service.clone());
        let trigger = match &session.binding {
            _ if origin == ServiceOrigin::Nobody => Trigger::ResumedToGarden,
            Some(binding) if binding.pool == service.pool => Trigger::ResumedInPlace,
            _ => Trigger::ResumedElsewhere,
        };
        let Ok(new_state) = session.state.after(trigger) else {
            return Err(CommandError::WrongState {
                state: session.state,
                wanted: State::Active,
            });
        };
        // Only an operator's own grant stays on record; otherwise AAA decides again.
        let record = match origin {
            ServiceOrigin::Operator => Some(Activation {
                identity: session.identity.clone(),
                ont_serial: session.access.ont_serial.clone(),
                service: service.clone(),
                status: ActivationStatus::Active,
                origin,
                line: record.and_then(|record| record.line),
                at: cx.now.wall_ms,
            }),
            ServiceOrigin::Aaa | ServiceOrigin::Nobody => None,
        };
        let wanted = match trigger {
            Trigger::ResumedToGarden => self.config.sessions.unknown_pool.as_str(),
            _ => &service.pool,
        };
        let olt = self.bounce(session, wanted, service.qos);
        let change = Change {
            trigger,
            service: service.clone(),
            record,
            leads: true,
            changed: changed(session, new_state, message(new_state)),
            reply_to: vec![reply_to],
            request: None,
            olt,
            at: cx.now.wall_s(),
        };
        self.change(cx, id, change);
        Ok(())
    }

    /// Begins a change: it is written first. From `active` the path closes until the new address is there, and that is not written first.
    fn change(&mut self, cx: &mut Cx<'_>, id: SessionId, change: Change) {
        let Some(entry) = self.table.get(id) else { return };
        let news = self.state_news(&entry.session, change.changed.new_state, cx.now, None);
        let closes = entry.session.state == State::Active && change.changed.new_state == State::Activating;
        if closes && let Some(image) = entry.published.clone() {
            let mut after = entry.session.clone();
            // Checked by who made the change.
            let _legal = change.apply(&mut after);
            let policy = self.policy(&after);
            if cx.world.set_policy(image.row, &policy).is_ok()
                && let Some(image) = self.table.get_mut(id).and_then(|e| e.published.as_mut())
            {
                image.policy = policy;
            }
        }
        let mut records = Vec::new();
        if change.leads {
            records.push(match &change.record {
                Some(record) => Record::PutActivation(record.clone()),
                None => Record::DeleteActivation(identity_of(self, id)),
            });
        }
        self.begin(cx, id, Operation::Change(Box::new(change)), records, vec![news]);
    }

    /// The change is durable: it is true, and its order with a restriction that came meanwhile is theirs to lose.
    pub(super) fn finish_change(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        change: Change,
        result: Result<(), String>,
    ) {
        let activation = change.request.is_some();
        let failed = match result {
            Err(e) => Some(CommandError::Unavailable(format!(
                "the store could not keep it: {e}"
            ))),
            Ok(()) => self.make_true(cx, id, &change).err(),
        };
        if let Some(error) = failed {
            if activation {
                self.counts.activation(result_label(&error));
            }
            for to in change.reply_to {
                cx.world.reply(to, Err(error.clone()));
            }
            self.refresh_policy(cx, id);
            return;
        }
        if activation {
            self.counts.activation("success");
        }
        for to in &change.reply_to {
            cx.world.reply(*to, Ok(Reply::Changed(change.changed.clone())));
        }
        if let Some(olt) = &change.olt {
            self.ask_olt(cx, id, olt.clone());
        }
        if change.leads {
            self.follow(cx, id, &change);
        }
    }

    fn make_true(&mut self, cx: &mut Cx<'_>, id: SessionId, change: &Change) -> Result<(), CommandError> {
        let gone = || CommandError::NotFound {
            what: format!("id {id}"),
        };
        let entry = self.table.get(id).ok_or_else(gone)?;
        let before = entry.session.clone();
        let moved = self
            .table
            .update(id, &self.pools, |session| change.apply(session))
            .ok_or_else(gone)?;
        if let Err(illegal) = moved {
            // Suspended or terminated while this was written; that record was written after this one's.
            return Err(CommandError::WrongState {
                state: illegal.from,
                wanted: change.changed.new_state,
            });
        }
        if let Err(e) = self.apply_policy(cx, id) {
            return Err(self.undo_change(cx, id, change, before, e));
        }
        if change.leads {
            let identity = before.identity;
            match &change.record {
                Some(record) => {
                    self.activations.insert(identity, record.clone());
                }
                None => {
                    self.activations.remove(&identity);
                }
            }
        }
        // An offer of the pool he leaves would only be refused when he takes it.
        let wanted = self
            .table
            .get(id)
            .and_then(|entry| self.wanted_pool(&entry.session));
        if let Some(entry) = self.table.get_mut(id) {
            if entry.offer.is_some_and(|offer| Some(offer.pool) != wanted) {
                self.lapse_offer(id);
            } else if entry.session.state == State::Active
                && let Some(started) = entry.activation_started.take()
            {
                let seconds = cx.now.mono_ns.saturating_sub(started) as f64 / 1e9;
                self.counts.activated_after(seconds);
            }
        }
        Ok(())
    }

    fn apply_policy(&mut self, cx: &mut Cx<'_>, id: SessionId) -> Result<(), super::TableError> {
        let Some(entry) = self.table.get(id) else {
            return Ok(());
        };
        let Some(published) = &entry.published else {
            return Ok(());
        };
        let policy = self.policy(&entry.session);
        if policy == published.policy {
            return Ok(());
        }
        cx.world.set_policy(published.row, &policy)?;
        if let Some(image) = self.table.get_mut(id).and_then(|e| e.published.as_mut()) {
            image.policy = policy;
        }
        Ok(())
    }

    /// The tables cannot hold it: what was before is written again.
    fn undo_change(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        change: &Change,
        before: Session,
        why: super::TableError,
    ) -> CommandError {
        let identity = before.identity.clone();
        self.table.update(id, &self.pools, |session| *session = before);
        let mut records = Vec::new();
        if change.leads {
            records.push(match self.activations.get(&identity) {
                Some(record) => Record::PutActivation(record.clone()),
                None => Record::DeleteActivation(identity),
            });
        }
        self.persist_in_force(cx, id, records);
        CommandError::Unavailable(why.to_string())
    }

    /// The other hosts of the subscriber go the same way, each as its own address asks.
    fn follow(&mut self, cx: &mut Cx<'_>, id: SessionId, change: &Change) {
        for other in self.siblings(id) {
            let Some(entry) = self.table.get(other) else {
                continue;
            };
            if entry.operation.is_some() {
                continue;
            }
            let session = &entry.session;
            let in_place = session
                .binding
                .as_ref()
                .is_some_and(|b| b.pool == change.service.pool);
            let trigger = match (change.trigger, in_place) {
                (Trigger::ActivatedInPlace | Trigger::ActivatedElsewhere, true) => Trigger::ActivatedInPlace,
                (Trigger::ActivatedInPlace | Trigger::ActivatedElsewhere, false) => {
                    Trigger::ActivatedElsewhere
                }
                (Trigger::ResumedInPlace | Trigger::ResumedElsewhere, true) => Trigger::ResumedInPlace,
                (Trigger::ResumedInPlace | Trigger::ResumedElsewhere, false) => Trigger::ResumedElsewhere,
                (trigger, _) => trigger,
            };
            let Ok(new_state) = session.state.after(trigger) else {
                continue;
            };
            let follower = Change {
                trigger,
                service: change.service.clone(),
                record: None,
                leads: false,
                changed: changed(session, new_state, String::new()),
                reply_to: Vec::new(),
                request: None,
                olt: None,
                at: cx.now.wall_s(),
            };
            self.change(cx, other, follower);
        }
    }

    /// The service an activation asks for, checked against the configuration.
    fn service_asked(&self, id: SessionId, activate: &Activate) -> Result<Service, CommandError> {
        let invalid = |field, problem: String| CommandError::Invalid { field, problem };
        if self.pools.id(&activate.pool).is_none() {
            let known: Vec<&str> = self.pools.ids().map(|id| self.pools.name(id)).collect();
            let problem = format!("no pool {:?}; there are {}", activate.pool, known.join(", "));
            return Err(invalid("pool", problem));
        }
        if let Err(e) = ServiceId::new(&activate.service_id) {
            return Err(invalid("service_id", e.to_string()));
        }
        for (field, rate) in [
            ("qos_download_bps", activate.qos_download_bps),
            ("qos_upload_bps", activate.qos_upload_bps),
        ] {
            if let Err(e) = Rates::new(rate, rate) {
                return Err(invalid(field, e.to_string()));
            }
        }
        for (field, tag) in [("s_vlan", activate.s_vlan), ("c_vlan", activate.c_vlan)] {
            if let Some(Err(e)) = tag.map(VlanId::new) {
                return Err(invalid(field, e.to_string()));
            }
        }
        if activate.s_vlan.is_some() || activate.c_vlan.is_some() {
            let line = self.table.get(id).and_then(|entry| entry.session.line);
            let line = line.ok_or_else(|| {
                let problem = "the ONT's present line is not known, so it cannot be moved".to_owned();
                invalid("c_vlan", problem)
            })?;
            let wanted = Line {
                port: line.port,
                s_vlan: activate.s_vlan.unwrap_or(line.s_vlan),
                c_vlan: activate.c_vlan.unwrap_or(line.c_vlan),
            };
            if self.line_model(wanted).is_none() {
                let problem = format!(
                    "no line with S-VLAN {} and C-VLAN {} is configured on the port",
                    wanted.s_vlan, wanted.c_vlan
                );
                return Err(invalid("c_vlan", problem));
            }
        }
        Ok(Service {
            pool: activate.pool.clone(),
            service_id: Some(activate.service_id.clone()),
            qos: Qos {
                download_bps: activate.qos_download_bps,
                upload_bps: activate.qos_upload_bps,
            },
        })
    }

    /// Whether the subscriber is what the activation would make of him.
    fn is_repeat(&self, session: &Session, service: &Service, activate: &Activate) -> bool {
        let record = self.activations.get(&session.identity);
        let same = record.is_some_and(|record| {
            record.status == ActivationStatus::Active
                && record.origin == ServiceOrigin::Operator
                && record.service == *service
        });
        let line = session.line;
        let there = |wanted: Option<u16>, is: Option<u16>| wanted.is_none() || wanted == is;
        same && matches!(session.state, State::Activating | State::Active)
            && there(activate.s_vlan, line.map(|line| line.s_vlan))
            && there(activate.c_vlan, line.map(|line| line.c_vlan))
    }

    /// The same activation is being written: it is answered with it.
    fn join(&mut self, id: SessionId, reply_to: ReplyTo) -> Result<(), CommandError> {
        if let Some(entry) = self.table.get_mut(id)
            && let Some(Operation::Change(change)) = &mut entry.operation
            && change.reply_to.len() < DEFERRED_MAX
        {
            change.reply_to.push(reply_to);
            return Ok(());
        }
        Err(busy())
    }
}

fn identity_of(engine: &Engine, id: SessionId) -> Identity {
    let identity = engine.table.get(id).map(|entry| entry.session.identity.clone());
    identity.unwrap_or_else(|| Identity(String::new()))
}

fn message(state: State) -> String {
    match state {
        State::Activating => "Waiting for DHCP renewal",
        State::Active => "Active",
        State::Wgar => "Back in the walled garden",
        _ => "",
    }
    .to_owned()
}
