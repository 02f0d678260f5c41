//! Taking away on an operator's word: suspension and termination. In force when the call returns, answered when it is durable.

use super::command::changed;
use super::operation::Operation;
use super::writing::Purpose;
use super::{
    Activation, ActivationStatus, Changed, CommandError, Cx, Engine, Record, ReplyTo, Selector, ServiceOrigin,
};
use crate::session::{Qos, Session, SessionId, State, Trigger};

/// What an operator takes from a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restriction {
    Suspend,
    Terminate,
}

impl Engine {
    /// Suspends or terminates: in force when this returns, answered when it is durable.
    pub(super) fn take(
        &mut self,
        cx: &mut Cx<'_>,
        selector: &Selector,
        what: Restriction,
        reply_to: ReplyTo,
    ) -> Result<(), CommandError> {
        let id = self.select(selector)?;
        let Some(entry) = self.table.get(id) else {
            return Err(CommandError::NotFound {
                what: format!("id {id}"),
            });
        };
        let (trigger, wanted, status) = match what {
            Restriction::Suspend => (Trigger::Suspended, State::Suspended, ActivationStatus::Suspended),
            Restriction::Terminate => (
                Trigger::Terminated,
                State::Terminated,
                ActivationStatus::Terminated,
            ),
        };
        let before = entry.session.clone();
        let again = entry.unwritten && before.state == wanted;
        if before.state.after(trigger).is_err() && !again {
            return Err(CommandError::WrongState {
                state: before.state,
                wanted,
            });
        }
        let why = reason(selector, wanted);
        let pending = match &entry.operation {
            Some(Operation::Change(change)) => change.record.clone(),
            _ => None,
        };
        let record = self.restricted_record(cx, &before, pending, status);
        let mut records = vec![Record::PutActivation(record.clone())];
        self.activations.insert(before.identity.clone(), record);

        let mut everyone = self.siblings(id);
        everyone.push(id);
        for one in &everyone {
            let own = match what {
                _ if again => Vec::new(),
                Restriction::Suspend => self.suspend_one(cx, *one, &why),
                Restriction::Terminate => self.terminate_one(cx, *one, &why),
            };
            if *one == id {
                records.extend(own);
            } else {
                self.persist_in_force(cx, *one, own);
            }
            self.arm(*one);
        }

        let olt = match what {
            Restriction::Suspend => self.bounce(
                &before,
                self.config.sessions.suspended_pool.as_str(),
                Qos::default(),
            ),
            Restriction::Terminate => None,
        };
        let changed = Changed {
            message: why,
            ..changed(&before, wanted, String::new())
        };
        let purpose = Purpose::InForce {
            session: id,
            reply: Some((reply_to, changed)),
            olt,
        };
        self.persist(cx, id, records, purpose);
        Ok(())
    }

    fn suspend_one(&mut self, cx: &mut Cx<'_>, id: SessionId, why: &str) -> Vec<Record> {
        let Some(entry) = self.table.get(id) else {
            return Vec::new();
        };
        if entry.session.state.after(Trigger::Suspended).is_err() {
            return Vec::new();
        }
        let news = self.state_news(&entry.session, State::Suspended, cx.now, Some(why.to_owned()));
        let at = cx.now.wall_s();
        self.table.update(id, &self.pools, |session| {
            // Checked above.
            let _legal = super::operation::transition(session, Trigger::Suspended, at);
            session.activation_started_at = None;
        });
        self.refresh_policy(cx, id);
        self.add_news(id, news);
        if let Some(entry) = self.table.get_mut(id) {
            entry.activation_started = None;
        }
        Vec::new()
    }

    fn terminate_one(&mut self, cx: &mut Cx<'_>, id: SessionId, why: &str) -> Vec<Record> {
        let legal = self
            .table
            .get(id)
            .is_some_and(|entry| entry.session.state.after(Trigger::Terminated).is_ok());
        if legal {
            self.strip(cx, id, why)
        } else {
            Vec::new()
        }
    }

    /// What is kept of a suspended or terminated subscriber, so that he can be given back what he had.
    fn restricted_record(
        &self,
        cx: &Cx<'_>,
        session: &Session,
        pending: Option<Activation>,
        status: ActivationStatus,
    ) -> Activation {
        let known = || self.activations.get(&session.identity).cloned();
        if let Some(record) = pending.or_else(known) {
            return Activation {
                status,
                at: cx.now.wall_ms,
                ..record
            };
        }
        let origin = match session.state {
            State::Active | State::Activating | State::Suspended => ServiceOrigin::Aaa,
            State::Discovered | State::Wgar | State::Terminated => ServiceOrigin::Nobody,
        };
        Activation {
            identity: session.identity.clone(),
            ont_serial: session.access.ont_serial.clone(),
            service: session.service.clone(),
            status,
            origin,
            line: None,
            at: cx.now.wall_ms,
        }
    }
}

fn reason(selector: &Selector, state: State) -> String {
    let given = selector.reason.as_ref().filter(|reason| !reason.is_empty());
    let text = given.map_or_else(|| format!("{state} by an operator"), Clone::clone);
    // Shown in events and kept for ever: no longer than a line.
    text.chars().take(200).collect()
}
