//! All sessions, and the ways to find one.
//!
//! [`Table::update`] is the only way to change the stored part of an [`Entry`], so the indexes are always right; none of them is walked for
//! an event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use super::entry::Entry;
use crate::pool::PoolId;
use crate::session::{Identity, Line, Mac, Session, SessionId, State};

/// By what a session can be listed without walking the others.
type Shelf = (State, Option<PoolId>);

/// Every session, by id and by what it is asked for.
#[derive(Debug, Default)]
pub(super) struct Table {
    entries: BTreeMap<SessionId, Entry>,
    by_identity: HashMap<Identity, Vec<SessionId>>,
    by_mac: HashMap<Mac, Vec<SessionId>>,
    by_ont: HashMap<String, Vec<SessionId>>,
    by_circuit: HashMap<String, Vec<SessionId>>,
    by_line: HashMap<Line, Vec<SessionId>>,
    shelves: BTreeMap<Shelf, BTreeSet<SessionId>>,
    /// Summed Unix time of the last change of state, by state: the ages follow from it.
    since: HashMap<State, u64>,
}

/// The parts of a session that indexes are made of.
#[derive(PartialEq)]
struct Keys {
    mac: Mac,
    line: Option<Line>,
    ont: Option<String>,
    circuit: Option<String>,
    shelf: Shelf,
    since: u64,
}

impl Table {
    /// Room for `sessions` from the start: a table that grows moves everything in it while a subscriber waits.
    pub fn for_sessions(sessions: usize) -> Table {
        Table {
            by_identity: HashMap::with_capacity(sessions),
            by_mac: HashMap::with_capacity(sessions),
            by_ont: HashMap::with_capacity(sessions),
            by_circuit: HashMap::with_capacity(sessions),
            by_line: HashMap::with_capacity(sessions),
            ..Table::default()
        }
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn get(&self, id: SessionId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// For everything but `session`, which is changed by [`Table::update`].
    pub fn get_mut(&mut self, id: SessionId) -> Option<&mut Entry> {
        self.entries.get_mut(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = (SessionId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, entry))
    }

    /// At most `count` ids after `after`.
    pub fn ids_after(&self, after: Option<SessionId>, count: usize) -> Vec<SessionId> {
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.entries.range(range).map(|(id, _)| *id).take(count).collect()
    }

    pub fn insert(&mut self, entry: Entry, pool: Option<PoolId>) {
        let id = entry.session.id;
        let keys = Keys::of(&entry.session, pool);
        push(&mut self.by_identity, entry.session.identity.clone(), id);
        self.index(id, &keys);
        self.entries.insert(id, entry);
    }

    /// `pool` is the pool of the session's address.
    pub fn remove(&mut self, id: SessionId, pool: Option<PoolId>) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        let keys = Keys::of(&entry.session, pool);
        self.unindex(id, &keys);
        pull(&mut self.by_identity, &entry.session.identity, id);
        Some(entry)
    }

    /// Changes the session and brings the indexes along; `pools` says which pool an address is of.
    pub fn update<R>(
        &mut self,
        id: SessionId,
        pools: &crate::pool::Pools,
        change: impl FnOnce(&mut Session) -> R,
    ) -> Option<R> {
        let entry = self.entries.get_mut(&id)?;
        let pool = |session: &Session| {
            let binding = session.binding.as_ref()?;
            pools.id(&binding.pool)
        };
        let before = Keys::of(&entry.session, pool(&entry.session));
        let result = change(&mut entry.session);
        let after = Keys::of(&entry.session, pool(&entry.session));
        if before != after {
            self.unindex(id, &before);
            self.index(id, &after);
        }
        Some(result)
    }

    pub fn of_identity(&self, identity: &Identity) -> &[SessionId] {
        self.by_identity.get(identity).map_or(&[], Vec::as_slice)
    }

    pub fn of_mac(&self, mac: Mac) -> &[SessionId] {
        self.by_mac.get(&mac).map_or(&[], Vec::as_slice)
    }

    pub fn of_ont(&self, serial: &str) -> &[SessionId] {
        self.by_ont.get(serial).map_or(&[], Vec::as_slice)
    }

    pub fn of_circuit(&self, circuit: &str) -> &[SessionId] {
        self.by_circuit.get(circuit).map_or(&[], Vec::as_slice)
    }

    pub fn of_line(&self, line: Line) -> &[SessionId] {
        self.by_line.get(&line).map_or(&[], Vec::as_slice)
    }

    /// At most `count` ids after `after`, of a state and with an address of a pool.
    pub fn shelved(
        &self,
        state: Option<State>,
        pool: Option<PoolId>,
        after: Option<SessionId>,
        count: usize,
    ) -> Vec<SessionId> {
        let range = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        let wanted = |shelf: &Shelf| {
            state.is_none_or(|state| shelf.0 == state) && pool.is_none_or(|pool| shelf.1 == Some(pool))
        };
        let mut ids: Vec<SessionId> = self
            .shelves
            .iter()
            .filter(|(shelf, _)| wanted(shelf))
            .flat_map(|(_, ids)| ids.range(range).take(count).copied())
            .collect();
        ids.sort_unstable();
        ids.truncate(count);
        ids
    }

    /// How many sessions are in each state, and their summed age in it, seconds.
    pub fn census(&self, wall_s: u64) -> impl Iterator<Item = (State, u64, f64)> + '_ {
        State::ALL.into_iter().map(move |state| {
            let shelves = self.shelves.iter().filter(|((s, _), _)| *s == state);
            let count = shelves.map(|(_, ids)| ids.len() as u64).sum::<u64>();
            let since = self.since.get(&state).copied().unwrap_or(0);
            let age = count as f64 * wall_s as f64 - since as f64;
            (state, count, age.max(0.0))
        })
    }

    fn index(&mut self, id: SessionId, keys: &Keys) {
        if keys.mac != Mac::UNKNOWN {
            push(&mut self.by_mac, keys.mac, id);
        }
        if let Some(line) = keys.line {
            push(&mut self.by_line, line, id);
        }
        if let Some(ont) = &keys.ont {
            push(&mut self.by_ont, ont.clone(), id);
        }
        if let Some(circuit) = &keys.circuit {
            push(&mut self.by_circuit, circuit.clone(), id);
        }
        self.shelves.entry(keys.shelf).or_default().insert(id);
        *self.since.entry(keys.shelf.0).or_default() += keys.since;
    }

    fn unindex(&mut self, id: SessionId, keys: &Keys) {
        pull(&mut self.by_mac, &keys.mac, id);
        if let Some(line) = &keys.line {
            pull(&mut self.by_line, line, id);
        }
        if let Some(ont) = &keys.ont {
            pull(&mut self.by_ont, ont, id);
        }
        if let Some(circuit) = &keys.circuit {
            pull(&mut self.by_circuit, circuit, id);
        }
        if let Some(ids) = self.shelves.get_mut(&keys.shelf) {
            ids.remove(&id);
            if ids.is_empty() {
                self.shelves.remove(&keys.shelf);
            }
        }
        if let Some(since) = self.since.get_mut(&keys.shelf.0) {
            *since = since.saturating_sub(keys.since);
        }
    }
}

impl Keys {
    fn of(session: &Session, pool: Option<PoolId>) -> Keys {
        Keys {
            mac: session.mac,
            line: session.line,
            ont: session.access.ont_serial.clone(),
            circuit: session.access.circuit_id.clone(),
            shelf: (session.state, pool),
            since: session.state_since,
        }
    }
}

fn push<K: Eq + std::hash::Hash>(index: &mut HashMap<K, Vec<SessionId>>, key: K, id: SessionId) {
    index.entry(key).or_default().push(id);
}

fn pull<K: Eq + std::hash::Hash>(index: &mut HashMap<K, Vec<SessionId>>, key: &K, id: SessionId) {
    if let Some(ids) = index.get_mut(key) {
        ids.retain(|other| *other != id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}
