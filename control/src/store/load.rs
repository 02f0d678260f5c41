//! Reading the whole store at start.

use std::fmt::Display;
use std::path::Path;

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use serde::de::DeserializeOwned;

use super::StoreError;
use super::committer::damaged;
use super::schema::{
    ACTIVATIONS, BINDINGS, DROPPED_EVENT, EVENTS, META, NEXT_EVENT, NEXT_SESSION, SESSIONS, TOMBSTONES,
};
use crate::engine::{BusEvent, Restored};
use crate::session::SessionId;

/// The newest events.
pub(super) struct Recent {
    /// Oldest first.
    pub events: Vec<BusEvent>,
    /// Sequence of the newest event before them, in the outbox or dropped from it; 0 when there was none.
    pub gone: u64,
}

/// Everything the engine wants to know, and the newest `recent` events.
pub(super) fn load(
    database: &Database,
    path: &Path,
    recent: usize,
) -> Result<(Restored, Recent), StoreError> {
    let read = database.begin_read().map_err(|e| damaged(path, e))?;
    let from = From { read, path };
    let restored = Restored {
        sessions: from.values(SESSIONS, "session", |id| SessionId(id).to_string())?,
        bindings: from.values(BINDINGS, "binding", |ip| std::net::Ipv4Addr::from(ip).to_string())?,
        activations: from.activations()?,
        next_session: from.number(NEXT_SESSION)?.unwrap_or(1),
        next_event: from.number(NEXT_EVENT)?.unwrap_or(1),
        tombstones: from.tombstones().map_err(|e| damaged(path, e))?,
    };
    let recent = from.recent_events(recent)?;
    Ok((restored, recent))
}

struct From<'a> {
    read: ReadTransaction,
    path: &'a Path,
}

impl From<'_> {
    /// All values of a table by number, in the order of their keys.
    fn values<K, T>(
        &self,
        table: TableDefinition<K, &[u8]>,
        what: &'static str,
        name: impl Fn(K) -> String,
    ) -> Result<Vec<T>, StoreError>
    where
        K: redb::Key + Copy + for<'a> redb::Value<SelfType<'a> = K> + 'static,
        T: DeserializeOwned,
    {
        let table = self.read.open_table(table).map_err(|e| damaged(self.path, e))?;
        let mut values = Vec::new();
        for entry in table.iter().map_err(|e| damaged(self.path, e))? {
            let (key, value) = entry.map_err(|e| damaged(self.path, e))?;
            values.push(self.decode(value.value(), what, || name(key.value()))?);
        }
        Ok(values)
    }

    fn activations<T: DeserializeOwned>(&self) -> Result<Vec<T>, StoreError> {
        let table = self
            .read
            .open_table(ACTIVATIONS)
            .map_err(|e| damaged(self.path, e))?;
        let mut values = Vec::new();
        for entry in table.iter().map_err(|e| damaged(self.path, e))? {
            let (key, value) = entry.map_err(|e| damaged(self.path, e))?;
            values.push(self.decode(value.value(), "activation", || key.value().to_owned())?);
        }
        Ok(values)
    }

    fn recent_events(&self, recent: usize) -> Result<Recent, StoreError> {
        let table = self.read.open_table(EVENTS).map_err(|e| damaged(self.path, e))?;
        let mut newest_first = table.iter().map_err(|e| damaged(self.path, e))?.rev();
        let mut events: Vec<BusEvent> = Vec::new();
        for entry in newest_first.by_ref().take(recent) {
            let (key, value) = entry.map_err(|e| damaged(self.path, e))?;
            events.push(self.decode(value.value(), "event", || key.value().to_string())?);
        }
        events.reverse();
        let gone = match newest_first.next() {
            Some(entry) => entry.map_err(|e| damaged(self.path, e))?.0.value(),
            None => self.number(DROPPED_EVENT)?.unwrap_or(0),
        };
        Ok(Recent { events, gone })
    }

    fn tombstones(&self) -> Result<Vec<(SessionId, u64)>, redb::Error> {
        let table = self.read.open_table(TOMBSTONES)?;
        let mut tombstones = Vec::new();
        for entry in table.iter()? {
            let (id, at) = entry?;
            tombstones.push((SessionId(id.value()), at.value()));
        }
        Ok(tombstones)
    }

    fn number(&self, name: &str) -> Result<Option<u64>, StoreError> {
        let number = || -> Result<Option<u64>, redb::Error> {
            let table = self.read.open_table(META)?;
            Ok(table.get(name)?.map(|value| value.value()))
        };
        number().map_err(|e| damaged(self.path, e))
    }

    fn decode<T: DeserializeOwned>(
        &self,
        bytes: &[u8],
        table: &'static str,
        key: impl FnOnce() -> String,
    ) -> Result<T, StoreError> {
        serde_json::from_slice(bytes)
            .map_err(|problem: serde_json::Error| self.unreadable(table, key(), &problem))
    }

    fn unreadable(&self, table: &'static str, key: String, problem: &impl Display) -> StoreError {
        StoreError::Record {
            path: self.path.to_owned(),
            table,
            key,
            problem: problem.to_string(),
        }
    }
}
