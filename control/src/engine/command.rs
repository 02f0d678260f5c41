//! What operators ask: activate, suspend, resume, terminate, and look.
//!
//! A command is about a subscriber, so it holds for all sessions of the identity (the hosts of one line), and is answered with the one it
//! named. Its record outlives them: the next session of the identity begins with it.
//!
//! | command | gives | takes | order |
//! |---|---|---|---|
//! | activate, resume | a service, an open path | | write, then policy, then answer |
//! | suspend, terminate | | the path, the address | policy, then write, then answer |

use std::net::Ipv4Addr;

use super::operation::Deferred;
use super::restriction::Restriction;
use super::{Changed, Command, CommandError, Cx, Engine, OltRequest, ReplyTo, Selector};
use crate::session::{Qos, Session, SessionId, State};

/// Commands of one session that wait for what is being written.
pub(super) const DEFERRED_MAX: usize = 16;

impl Engine {
    pub(super) fn command(&mut self, cx: &mut Cx<'_>, command: Command, reply_to: ReplyTo) {
        let activation = matches!(command, Command::Activate(_));
        let done = match command {
            Command::Activate(activate) => self.activate(cx, activate, reply_to),
            Command::Suspend(selector) => self.take(cx, &selector, Restriction::Suspend, reply_to),
            Command::Terminate(selector) => self.take(cx, &selector, Restriction::Terminate, reply_to),
            Command::Resume(selector) => self.resume(cx, selector, reply_to),
            looking => {
                let answer = self.query(cx, &looking);
                cx.world.reply(reply_to, answer);
                Ok(())
            }
        };
        if let Err(error) = done {
            if activation {
                self.counts.activation(result_label(&error));
            }
            cx.world.reply(reply_to, Err(error));
        }
    }

    /// Has the line taken down and up, where the client must change its address.
    pub(super) fn bounce(&self, session: &Session, pool: &str, qos: Qos) -> Option<OltRequest> {
        let ont_serial = session.access.ont_serial.clone()?;
        let changes = session
            .binding
            .as_ref()
            .is_some_and(|binding| binding.pool != pool);
        changes.then(|| OltRequest {
            ont_serial,
            pool: pool.to_owned(),
            qos_download_bps: qos.download_bps,
            qos_upload_bps: qos.upload_bps,
            s_vlan: None,
            c_vlan: None,
            bounce: true,
        })
    }

    pub(super) fn defer(
        &mut self,
        id: SessionId,
        command: Command,
        reply_to: ReplyTo,
    ) -> Result<(), CommandError> {
        match self.table.get_mut(id) {
            Some(entry) if entry.deferred.len() < DEFERRED_MAX => {
                entry.deferred.push_back(Deferred { command, reply_to });
                Ok(())
            }
            _ => Err(busy()),
        }
    }

    /// Goes on with commands that waited for what is now written.
    pub(super) fn run_deferred(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        while let Some(entry) = self.table.get_mut(id) {
            if entry.operation.is_some() {
                return;
            }
            let Some(Deferred { command, reply_to }) = entry.deferred.pop_front() else {
                return;
            };
            self.command(cx, command, reply_to);
        }
    }

    /// The session a selector names.
    pub(super) fn select(&self, selector: &Selector) -> Result<SessionId, CommandError> {
        let given = [
            selector.ont_serial.is_some(),
            selector.session_id.is_some(),
            selector.circuit_id.is_some(),
            selector.ip.is_some(),
            selector.mac.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            return Err(CommandError::Invalid {
                field: "selector",
                problem: "give exactly one of ont_serial, session_id, circuit_id, ip, mac".into(),
            });
        }
        if let Some(id) = selector.session_id {
            let known = self.table.get(id).map(|_| id);
            return known.ok_or_else(|| CommandError::NotFound {
                what: format!("id {id}"),
            });
        }
        if let Some(serial) = &selector.ont_serial {
            return self.one_of(self.table.of_ont(serial), || format!("ont_serial {serial}"));
        }
        if let Some(circuit) = &selector.circuit_id {
            return self.one_of(self.table.of_circuit(circuit), || format!("circuit_id {circuit}"));
        }
        if let Some(mac) = selector.mac {
            return self.one_of(self.table.of_mac(mac), || format!("mac {mac}"));
        }
        let address = selector.ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let holder = self.pools.session_of(address).filter(|id| {
            let binding = self
                .table
                .get(*id)
                .and_then(|entry| entry.session.binding.as_ref());
            binding.is_some_and(|binding| binding.ipv4 == address)
        });
        holder.ok_or_else(|| CommandError::NotFound {
            what: format!("ip {address}"),
        })
    }

    /// The one subscriber that `ids` are of, by its oldest live session.
    pub(super) fn one_of(
        &self,
        ids: &[SessionId],
        what: impl Fn() -> String,
    ) -> Result<SessionId, CommandError> {
        let entries = || {
            ids.iter()
                .filter_map(|id| self.table.get(*id).map(|entry| (*id, &entry.session)))
        };
        let live = entries().filter(|(_, session)| session.state != State::Terminated);
        let chosen = live
            .min_by_key(|(id, _)| *id)
            .or_else(|| entries().max_by_key(|(id, _)| *id));
        let Some((id, session)) = chosen else {
            return Err(CommandError::NotFound { what: what() });
        };
        let of_others = entries()
            .filter(|(_, other)| other.state != State::Terminated && other.identity != session.identity)
            .count();
        if of_others > 0 {
            return Err(CommandError::Ambiguous {
                what: what(),
                count: of_others + 1,
            });
        }
        Ok(id)
    }

    /// The other live sessions of the same subscriber.
    pub(super) fn siblings(&self, id: SessionId) -> Vec<SessionId> {
        let Some(entry) = self.table.get(id) else {
            return Vec::new();
        };
        let all = self.table.of_identity(&entry.session.identity).iter().copied();
        all.filter(|other| {
            *other != id
                && self
                    .table
                    .get(*other)
                    .is_some_and(|entry| entry.session.state != State::Terminated)
        })
        .collect()
    }
}

pub(super) fn changed(session: &Session, new_state: State, message: String) -> Changed {
    Changed {
        id: session.id,
        ont_serial: session.access.ont_serial.clone(),
        old_state: session.state,
        new_state,
        old_ip: session.binding.as_ref().map(|binding| binding.ipv4),
        message,
    }
}

pub(super) fn result_label(error: &CommandError) -> &'static str {
    match error {
        CommandError::NotFound { .. } => "not_found",
        CommandError::WrongState { .. } | CommandError::Ambiguous { .. } => "wrong_state",
        CommandError::Invalid { .. } => "invalid",
        CommandError::Unavailable(_) => "unavailable",
    }
}

pub(super) fn busy() -> CommandError {
    CommandError::Unavailable("too many commands wait for this session: try again".into())
}
