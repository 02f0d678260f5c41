//! What was counted: traffic by session and pool, pools' use, and the answers to those who ask.
//!
//! Workers count per row and never set back; a session's totals are what its earlier rows counted, plus what its row counted since it
//! got it. For the pools' totals, and to find idle sessions, each tick looks at a slice of the sessions, so a million of them cost no more at
//! once than a few thousand.

use super::writing::{Purpose, plus, since};
use super::{
    BusEvent, Command, CommandError, Cx, Engine, ListSessions, PoolView, Reply, SessionView, Statistics,
};
use crate::pool::PoolId;
use crate::session::{SessionId, State, Totals};

/// Sessions looked at in one tick: 40,000 a second.
const SAMPLE: usize = 4096;
/// Sessions of a page at most.
pub const PAGE_MAX: usize = 1000;
/// An exhausted pool is an event again after this long.
const ALARM_AGAIN_NS: u64 = 60 * super::SECOND_NS;

#[derive(Debug)]
pub(super) struct Ledger {
    traffic: Vec<[Totals; 2]>,
    /// When each pool's exhaustion was told last.
    exhausted: Vec<Option<u64>>,
    /// Where the next slice begins.
    cursor: Option<SessionId>,
}

impl Ledger {
    pub fn new(pools: usize) -> Ledger {
        Ledger {
            traffic: vec![Default::default(); pools],
            exhausted: vec![None; pools],
            cursor: None,
        }
    }

    pub fn add(&mut self, pool: Option<PoolId>, traffic: [Totals; 2]) {
        if let Some(total) = pool.and_then(|pool| self.traffic.get_mut(usize::from(pool.0))) {
            *total = plus(*total, traffic);
        }
    }
}

impl Engine {
    /// Tells of a pool without addresses, once in a while.
    pub(super) fn exhausted(&mut self, cx: &mut Cx<'_>, pool: PoolId) {
        let Some(told) = self.ledger.exhausted.get_mut(usize::from(pool.0)) else {
            return;
        };
        if told.is_some_and(|at| cx.now.mono_ns < at.saturating_add(ALARM_AGAIN_NS)) {
            return;
        }
        *told = Some(cx.now.mono_ns);
        let name = self.pools.name(pool).to_owned();
        tracing::error!(pool = %name, "no address left");
        let news = BusEvent {
            sequence: 0,
            at_ms: cx.now.wall_ms,
            kind: "PoolExhausted".into(),
            session: None,
            ont_serial: None,
            circuit_id: None,
            old_state: None,
            new_state: None,
            ipv4: None,
            pool: Some(name),
            detail: None,
        };
        self.commit(cx, Purpose::News, Vec::new(), vec![news]);
    }

    /// Looks at the next slice of sessions: their traffic, and whether there was any.
    pub(super) fn sample(&mut self, cx: &mut Cx<'_>) {
        let ids = self.table.ids_after(self.ledger.cursor, SAMPLE);
        self.ledger.cursor = ids.last().copied().filter(|_| ids.len() == SAMPLE);
        for id in ids {
            self.sample_one(cx, id);
        }
    }

    fn sample_one(&mut self, cx: &mut Cx<'_>, id: SessionId) {
        let now = cx.now.mono_ns;
        let idle_timeout = self
            .config
            .sessions
            .idle_timeout
            .map(super::clockwork::duration_ns);
        let pool = self
            .table
            .get(id)
            .and_then(|entry| self.binding_pool(&entry.session));
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let Some(image) = &entry.published else { return };
        let live = since(cx.world.traffic(image.row), entry.session.baseline);
        let more = since(live, entry.sampled);
        entry.sampled = live;
        if more != [Totals::default(); 2] {
            entry.busy_at = now;
        }
        let idle = idle_timeout.is_some_and(|idle| now.saturating_sub(entry.busy_at) >= idle);
        let idle = idle && entry.operation.is_none();
        self.ledger.add(pool, more);
        if idle {
            let records = self.unbind(cx, id, super::withdrawal::Fate::Keep, "idle");
            self.persist_in_force(cx, id, records);
            self.arm(id);
        }
    }

    /// The session with its totals, those of rows that still retire included.
    pub(super) fn view(&self, cx: &Cx<'_>, id: SessionId) -> Option<SessionView> {
        let entry = self.table.get(id)?;
        let mut totals = entry.session.carried;
        for retiring in &entry.retiring {
            totals = plus(totals, since(cx.world.traffic(retiring.row), retiring.baseline));
        }
        if let Some(image) = &entry.published {
            totals = plus(totals, since(cx.world.traffic(image.row), entry.session.baseline));
        }
        Some(SessionView {
            session: entry.session.clone(),
            totals,
        })
    }

    /// Answers what only looks.
    pub(super) fn query(&mut self, cx: &mut Cx<'_>, command: &Command) -> Result<Reply, CommandError> {
        match command {
            Command::GetSession(id) => self
                .view(cx, *id)
                .map(|view| Reply::Session(Box::new(view)))
                .ok_or_else(|| CommandError::NotFound {
                    what: format!("id {id}"),
                }),
            Command::ListSessions(filter) => Ok(self.list(cx, filter)),
            Command::Pools => Ok(Reply::Pools(self.pool_views())),
            _ => Ok(Reply::Statistics(Box::new(self.statistics(cx)))),
        }
    }

    /// A page in the order of ids. Filters that name one thing go by its index; state and pool by their shelves.
    fn list(&self, cx: &Cx<'_>, filter: &ListSessions) -> Reply {
        let limit = filter.limit.clamp(1, PAGE_MAX);
        let pool = match &filter.pool {
            Some(name) => match self.pools.id(name) {
                Some(id) => Some(id),
                None => return none(),
            },
            None => None,
        };
        let narrow = self.narrow(filter);
        let mut found = match narrow {
            Some(mut ids) => {
                ids.retain(|id| filter.after.is_none_or(|after| *id > after) && self.fits(*id, filter, pool));
                ids.sort_unstable();
                ids
            }
            None if filter.state.is_none() && pool.is_none() => self.table.ids_after(filter.after, limit + 1),
            None => self.table.shelved(filter.state, pool, filter.after, limit + 1),
        };
        let more = found.len() > limit;
        found.truncate(limit);
        Reply::Sessions {
            sessions: found.iter().filter_map(|id| self.view(cx, *id)).collect(),
            more,
        }
    }

    /// The few sessions that one of the filters leaves; `None` where none of them does.
    fn narrow(&self, filter: &ListSessions) -> Option<Vec<SessionId>> {
        if let Some(address) = filter.ip {
            return Some(self.pools.session_of(address).into_iter().collect());
        }
        if let Some(serial) = &filter.ont_serial {
            return Some(self.table.of_ont(serial).to_vec());
        }
        if let Some(circuit) = &filter.circuit_id {
            return Some(self.table.of_circuit(circuit).to_vec());
        }
        filter.mac.map(|mac| self.table.of_mac(mac).to_vec())
    }

    fn fits(&self, id: SessionId, filter: &ListSessions, pool: Option<PoolId>) -> bool {
        let Some(entry) = self.table.get(id) else {
            return false;
        };
        let session = &entry.session;
        let same = |wanted: &Option<String>, has: &Option<String>| wanted.is_none() || wanted == has;
        filter.state.is_none_or(|state| session.state == state)
            && pool.is_none_or(|pool| self.binding_pool(session) == Some(pool))
            && same(&filter.circuit_id, &session.access.circuit_id)
            && same(&filter.ont_serial, &session.access.ont_serial)
            && filter.mac.is_none_or(|mac| session.mac == mac)
            && filter
                .ip
                .is_none_or(|ip| session.binding.as_ref().is_some_and(|b| b.ipv4 == ip))
    }

    fn pool_views(&self) -> Vec<PoolView> {
        let view = |id: PoolId| {
            let (config, counts) = (self.pools.config(id), self.pools.counts(id));
            PoolView {
                name: config.name.to_string(),
                network: config.network.to_string(),
                gateway: config.gateway.to_string(),
                size: counts.size,
                bound: counts.bound,
                offered: counts.offered,
                sticky: counts.sticky,
                quarantined: counts.quarantined,
                available: counts.available(),
                utilization: counts.utilization(),
            }
        };
        self.pools.ids().map(view).collect()
    }

    fn statistics(&mut self, cx: &mut Cx<'_>) -> Statistics {
        // A small table is looked at as a whole, so that what is shown is what is now.
        if self.table.len() <= SAMPLE {
            self.ledger.cursor = None;
            self.sample(cx);
        }
        let census: Vec<(State, u64, f64)> = self.table.census(cx.now.wall_s()).collect();
        let traffic = self
            .pools
            .ids()
            .map(|id| self.pools.name(id).to_owned())
            .zip(self.ledger.traffic.iter().copied());
        Statistics {
            sessions: census.iter().map(|(state, count, _)| (*state, *count)).collect(),
            session_seconds: census.iter().map(|(state, _, age)| (*state, *age)).collect(),
            pools: self.pool_views(),
            dhcp_requests: self.counts.requests(&self.pools),
            dhcp_replies: self.counts.replies(),
            dhcp_refused: self.counts.refused(),
            dhcp_noted: self.counts.noted(),
            traffic: traffic.collect(),
            activations: self.counts.activations(),
            activation_seconds: self.counts.take_activation_seconds(),
            outbox: self.writing.put_events(),
        }
    }
}

fn none() -> Reply {
    Reply::Sessions {
        sessions: Vec::new(),
        more: false,
    }
}
