//! Going on from what the store held.
//!
//! Guarantee: whatever is in the store, no two sessions come back with one address or one line, no ended session comes back at all, and a
//! binding lasts no longer than its pool allows, however the wall clock was set meanwhile. Clocks: what is stored is Unix time, what
//! runs is monotonic.

use std::collections::HashSet;

use sluice_config::LineModel;

use super::caller::Ont;
use super::clockwork::{LINGER_NS, binding_time, duration_ns};
use super::entry::{Aaa, Entry};
use super::{Binding, BindingState, Engine, Now, Restored, SECOND_NS, holder_of};
use crate::pool::Holder;
use crate::session::{Session, SessionId, State};

impl Engine {
    pub(super) fn restore(&mut self, restored: Restored, now: Now) {
        let ended: HashSet<SessionId> = restored.tombstones.iter().map(|(id, _)| *id).collect();
        let newest = restored.sessions.iter().map(|session| session.id);
        let newest = newest.chain(ended.iter().copied()).map(|id| id.0).max();
        self.next_session = self.next_session.max(newest.map_or(1, |id| id.saturating_add(1)));

        for activation in restored.activations {
            if let Some(line) = activation.line {
                self.aliases.insert(line, activation.identity.clone());
            }
            self.activations.insert(activation.identity.clone(), activation);
        }
        let mut sessions = restored.sessions;
        // The newest claim to an address or a line is the one that was acknowledged last.
        sessions.sort_by_key(|session| std::cmp::Reverse(claim(session)));
        for session in sessions {
            if !ended.contains(&session.id) && self.table.get(session.id).is_none() {
                self.restore_session(session, now);
            }
        }
        for binding in restored.bindings {
            self.restore_binding(binding, now);
        }
    }

    fn restore_session(&mut self, mut session: Session, now: Now) {
        let before = session.clone();
        let id = session.id;
        let shared = session
            .line
            .and_then(|line| self.line_model(line))
            .is_some_and(|model| model == LineModel::ManyToOne);
        if session.state == State::Terminated {
            session.binding = None;
        }
        let mut until = 0;
        if let Some(binding) = &session.binding {
            let pool = self
                .pools
                .id(&binding.pool)
                .filter(|pool| self.pools.id_of(binding.ipv4) == Some(*pool));
            let bound = pool.is_some() && self.pools.bind(binding.ipv4, holder_of(&session), id);
            match pool.filter(|_| bound) {
                Some(pool) => {
                    let most = duration_ns(binding_time(self.pools.config(pool)));
                    let left = binding
                        .expires_at
                        .saturating_mul(1000)
                        .saturating_sub(now.wall_ms);
                    until = now.mono_ns + left.saturating_mul(1_000_000).min(most);
                }
                // The configuration lost the pool, or somebody else has the address.
                None => session.binding = None,
            }
        }
        if session.binding.is_none() {
            super::operation::clear_row(&mut session);
        }

        let access_loop = self.restored_loop(&session, shared);
        let mut entry = Entry::new(session, shared, access_loop.clone(), now.mono_ns);
        entry.stored = true;
        entry.aaa = match entry.session.state {
            State::Discovered => Aaa::Never,
            _ => Aaa::Answered {
                fresh_until: now.mono_ns,
            },
        };
        entry.bound_until = until;
        entry.stored_until = until;
        if entry.session.binding.is_none() {
            entry.linger_until = Some(now.mono_ns + LINGER_NS);
        }
        if let Some(started) = entry.session.activation_started_at {
            let ago = now.wall_s().saturating_sub(started).saturating_mul(SECOND_NS);
            entry.activation_started = Some(now.mono_ns.saturating_sub(ago));
        }
        entry.published = self.image(&entry.session).filter(|image| {
            // A line that is no longer configured has no place in the workers' index.
            let key = (image.line, shared.then_some(image.mac));
            self.line_model(image.line).is_some() && !self.published.contains_key(&key)
        });
        match &entry.published {
            Some(image) => {
                self.published
                    .insert((image.line, shared.then_some(image.mac)), id);
            }
            None => super::operation::clear_row(&mut entry.session),
        }
        if entry.session != before {
            self.writing.owe(id);
        }
        self.restore_ont(&entry.session);
        let pool = self.binding_pool(&entry.session);
        self.loops.entry(access_loop).or_default().sessions += 1;
        self.table.insert(entry, pool);
        self.arm(id);
    }

    /// Until its access node reports again, an ONT is where its session was.
    fn restore_ont(&mut self, session: &Session) {
        if let Some(serial) = &session.access.ont_serial {
            let ont = Ont {
                circuit_id: session.access.circuit_id.clone(),
                access_node: session.access.access_node.clone(),
                line: session.line,
                connected: false,
            };
            self.onts.report(serial, ont);
        }
        let Some(line) = session.line else { return };
        let by_tags = session.access.circuit_id.is_none();
        if by_tags && self.line_model(line) == Some(LineModel::OneToOne) {
            self.aliases
                .entry(line)
                .or_insert_with(|| session.identity.clone());
        }
    }

    fn restored_loop(&self, session: &Session, shared: bool) -> String {
        let host = format!("/{}", session.mac);
        match session.identity.0.strip_suffix(&host) {
            Some(access_loop) if shared => access_loop.to_owned(),
            _ => session.identity.0.clone(),
        }
    }

    fn restore_binding(&mut self, binding: Binding, now: Now) {
        let holder = Holder {
            identity: binding.identity,
            mac: binding.mac,
            client_id: binding.client_id,
        };
        match binding.state {
            BindingState::Declined => {
                let left = binding.until.saturating_sub(now.wall_s());
                let rest = self.config.dhcp.decline_quarantine.as_secs();
                if left > 0 && self.pools.slot(binding.ipv4).is_none() {
                    self.pools.quarantine(binding.ipv4, holder);
                    let until = now.mono_ns + left.min(rest).saturating_mul(SECOND_NS);
                    self.clockwork
                        .quarantine(binding.ipv4, until, binding.until, None);
                }
            }
            BindingState::Sticky => {
                self.pools
                    .restore_sticky(binding.ipv4, holder, binding.until.min(now.wall_s()))
            }
            // A session that has it took it already; without one it was written and never came true.
            BindingState::Bound => {
                self.pools
                    .restore_sticky(binding.ipv4, holder, binding.until.min(now.wall_s()))
            }
        }
    }
}

/// Which of two sessions spoke last.
fn claim(session: &Session) -> (u64, u64) {
    let bound = session.binding.as_ref().map_or(0, |binding| binding.expires_at);
    (bound, session.id.0)
}
