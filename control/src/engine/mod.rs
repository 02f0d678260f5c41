//! The engine: decides everything, touches nothing.
//!
//! [`Engine::handle`] takes one [`Event`] at a time, with the time it happened, and tells a [`World`] what is to be done. The same
//! events at the same times give the same calls, so tests and simulations replay it.
//!
//! ```text
//!  DHCP ──► conversation ──► authorization (AAA, records) ──► offer / grant ─┐
//!  REST ──► command ────────────────────────────────► change, restriction ───┼─► operation: commit, publish, answer
//!  OLT  ──► access_node ─────────────────────────────► discovery, move ──────┘
//!  time ──► clockwork: offers lapse, bindings expire, sessions end
//! ```
//!
//! Law 5 in two sentences: what gives a subscriber more is an `operation` that becomes true when its batch is durable; what
//! takes something from him is in force before it is written. Work per event does not grow with the number of sessions, and
//! everything that a stranger can make grow has a limit.

pub mod api;

mod access_node;
mod authorization;
mod caller;
mod change;
mod clockwork;
mod command;
mod conversation;
mod counts;
mod entry;
mod grant;
mod intake;
mod ledger;
mod operation;
mod owed;
mod restore;
mod restriction;
mod table;
mod withdrawal;
mod writing;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use api::*;

use std::collections::{HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use sluice_config::{Config, SubscriberToSubscriber};

use crate::dhcp::{Answer, Request};
use crate::pool::{Holder, PoolId, Pools};
use crate::session::{Access, Identity, Line, Mac, Qos, Service, Session, SessionId, State, Totals};
use authorization::LastKnown;
use caller::Onts;
use clockwork::Clockwork;
use counts::Counts;
use entry::{Asking, Entry};
use ledger::Ledger;
use table::Table;
use writing::Writing;

/// All sessions, pools and conversations of one gateway.
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    pools: Pools,
    table: Table,
    /// What operators said of subscribers; outlives their sessions.
    activations: HashMap<Identity, Activation>,
    /// Lines that activations moved subscribers to who are known by the tags of another line.
    aliases: HashMap<Line, Identity>,
    onts: Onts,
    loops: HashMap<String, AccessLoop>,
    /// Who is published on a line; the MAC address only where hosts share it.
    published: HashMap<(Line, Option<Mac>), SessionId>,
    relays: HashSet<Ipv4Addr>,
    writing: Writing,
    clockwork: Clockwork,
    known: LastKnown,
    counts: Counts,
    ledger: Ledger,
    next_session: u64,
}

/// The time of an event, and where its consequences go.
struct Cx<'a> {
    now: Now,
    world: &'a mut dyn World,
}

/// What an access loop has in use of what a line may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct AccessLoop {
    sessions: u32,
    offers: u16,
    quarantined: u16,
}

const SECOND_NS: u64 = 1_000_000_000;

impl Now {
    /// Unix seconds, rounded down.
    pub fn wall_s(self) -> u64 {
        self.wall_ms / 1000
    }
}

impl Engine {
    /// An engine that goes on from what the store held.
    pub fn new(config: Arc<Config>, restored: Restored, now: Now) -> Engine {
        let sessions = config.limits.sessions as usize;
        let mut engine = Engine {
            pools: Pools::new(config.clone()),
            table: Table::for_sessions(sessions),
            activations: HashMap::new(),
            aliases: HashMap::new(),
            onts: Onts::default(),
            loops: HashMap::with_capacity(sessions),
            published: HashMap::with_capacity(sessions),
            relays: config.dhcp.relays.iter().copied().collect(),
            writing: Writing::new(restored.next_event),
            clockwork: Clockwork::default(),
            known: LastKnown::new(sessions),
            counts: Counts::new(config.pools.len()),
            ledger: Ledger::new(config.pools.len()),
            next_session: restored.next_session.max(1),
            config,
        };
        engine.restore(restored, now);
        engine
    }

    /// Takes note of one event.
    pub fn handle(&mut self, now: Now, event: Event, world: &mut impl World) {
        let cx = &mut Cx { now, world };
        self.catch_up(cx);
        match event {
            Event::Dhcp(message) => self.dhcp(cx, message),
            Event::Aaa { ticket, answer } => self.authorized(cx, ticket, answer),
            Event::Committed { ticket, result } => self.committed(cx, ticket, result),
            Event::RowRetired {
                session,
                row,
                traffic,
            } => self.row_retired(cx, session, row, traffic),
            Event::Olt(event) => self.reported(cx, event),
            Event::OltAnswered { ticket, result } => self.olt_answered(cx, ticket, result),
            Event::Command { command, reply_to } => self.command(cx, command, reply_to),
            Event::Tick => self.tick(cx),
        }
    }

    /// Every session that workers should see, with the row it had. For the driver, before the first event.
    pub fn images(&self) -> Vec<SessionImage> {
        self.table
            .iter()
            .filter_map(|(_, entry)| entry.published.clone())
            .collect()
    }

    /// The session's row is another one, or its counters began anew. For the driver, before the first event.
    pub fn rebase(&mut self, session: SessionId, row: ReservedRow) {
        self.table.update(session, &self.pools, |session| {
            operation::set_row(session, row);
        });
        if let Some(entry) = self.table.get_mut(session) {
            if let Some(image) = &mut entry.published {
                image.row = row.row;
            }
            entry.sampled = [Totals::default(); 2];
            self.writing.owe(session);
        }
    }

    /// The pool the session's next address comes from; `None` where it gets none.
    fn wanted_pool(&self, session: &Session) -> Option<PoolId> {
        let name = match session.state {
            State::Discovered | State::Terminated => return None,
            State::Wgar => self.config.sessions.unknown_pool.as_str(),
            State::Activating | State::Active => &session.service.pool,
            State::Suspended => self.config.sessions.suspended_pool.as_str(),
        };
        self.pools.id(name)
    }

    fn binding_pool(&self, session: &Session) -> Option<PoolId> {
        self.pools.id(&session.binding.as_ref()?.pool)
    }

    /// What workers are to do with the session's packets in its present state.
    fn policy(&self, session: &Session) -> PolicyImage {
        let sessions = &self.config.sessions;
        let garden = match session.state {
            State::Active => None,
            State::Discovered | State::Wgar | State::Activating => Some(&sessions.unactivated_garden),
            State::Suspended | State::Terminated => Some(&sessions.suspended_garden),
        };
        let qos = match session.state {
            // Nothing was granted yet.
            State::Discovered | State::Wgar => Qos::default(),
            _ => session.service.qos,
        };
        PolicyImage {
            state: session.state,
            garden: garden.map(ToString::to_string),
            qos,
            isolated: sessions.subscriber_to_subscriber == SubscriberToSubscriber::Dropped,
        }
    }

    /// How workers should see the session; `None` where they should not.
    fn image(&self, session: &Session) -> Option<SessionImage> {
        let binding = session.binding.as_ref()?;
        if session.state == State::Terminated {
            return None;
        }
        let pool = self.pools.id(&binding.pool)?;
        Some(SessionImage {
            session: session.id,
            row: shm_bridge::SessionIndex::new(session.row)?,
            line: session.line?,
            mac: session.mac,
            ipv4: binding.ipv4,
            prefix_len: self.pools.config(pool).network.prefix_len(),
            policy: self.policy(session),
        })
    }

    /// The service of whom nobody knows.
    fn garden_service(&self) -> Service {
        Service {
            pool: self.config.sessions.unknown_pool.to_string(),
            service_id: None,
            qos: Qos::default(),
        }
    }

    /// A new session in state `discovered`, in memory only.
    fn discover(
        &mut self,
        cx: &Cx<'_>,
        caller: &caller::Caller,
        line: Option<Line>,
        host: Option<&Request>,
    ) -> SessionId {
        let id = SessionId(self.next_session);
        self.next_session += 1;
        let at = cx.now.wall_s();
        let session = Session {
            id,
            identity: caller.identity.clone(),
            line,
            access: caller.access.clone(),
            mac: host.map_or(Mac::UNKNOWN, |request| request.chaddr),
            client_id: host.and_then(|request| request.client_id.clone()),
            state: State::Discovered,
            service: self.garden_service(),
            binding: None,
            row: 0,
            row_generation: 0,
            baseline: Default::default(),
            carried: Default::default(),
            created_at: at,
            state_since: at,
            activation_started_at: None,
        };
        let mut entry = Entry::new(session, caller.shared, caller.access_loop.clone(), cx.now.mono_ns);
        entry
            .news
            .push(self.news("SessionDiscovered", &entry.session, cx.now));
        entry.linger_until = Some(cx.now.mono_ns + clockwork::LINGER_NS);
        self.loops.entry(caller.access_loop.clone()).or_default().sessions += 1;
        self.table.insert(entry, None);
        self.arm(id);
        id
    }

    /// Sends an answer and counts it.
    fn send(&mut self, cx: &mut Cx<'_>, answer: Answer<'_>, asking: &Asking) {
        let server_id = self.config.dhcp.server_id;
        match answer.to(&asking.request, asking.line, server_id) {
            Some(message) => {
                self.counts.replied(answer.kind());
                cx.world.send(message);
            }
            None => self.counts.refuse(crate::dhcp::Refusal::Unencodable),
        }
    }

    /// Changes what a loop has in use; one that has nothing is forgotten.
    fn use_loop(&mut self, access_loop: &str, change: impl FnOnce(&mut AccessLoop)) {
        if let Some(usage) = self.loops.get_mut(access_loop) {
            change(usage);
            if *usage == AccessLoop::default() {
                self.loops.remove(access_loop);
            }
            return;
        }
        let mut usage = AccessLoop::default();
        change(&mut usage);
        if usage != AccessLoop::default() {
            self.loops.insert(access_loop.to_owned(), usage);
        }
    }

    fn loop_of(&self, access_loop: &str) -> AccessLoop {
        self.loops.get(access_loop).copied().unwrap_or_default()
    }
}

/// Whose the address is that `request` asks for.
fn holder(identity: &Identity, request: &Request) -> Holder {
    Holder {
        identity: identity.clone(),
        mac: request.chaddr,
        client_id: request.client_id.clone(),
    }
}

/// Whose the session's address is.
fn holder_of(session: &Session) -> Holder {
    Holder {
        identity: session.identity.clone(),
        mac: session.mac,
        client_id: session.client_id.clone(),
    }
}

fn access_is_empty(access: &Access) -> bool {
    *access == Access::default()
}
