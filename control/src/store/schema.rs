//! Tables of the store, their version, and how an older store becomes a present one.

use std::path::Path;

use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

use super::StoreError;
use super::committer::damaged;

/// Session id → session.
pub(super) const SESSIONS: TableDefinition<u64, &[u8]> = TableDefinition::new("sessions");
/// IPv4 address → binding.
pub(super) const BINDINGS: TableDefinition<u32, &[u8]> = TableDefinition::new("bindings");
/// Identity → what it was activated to.
pub(super) const ACTIVATIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("activations");
/// Sequence → event.
pub(super) const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");
/// Id of a session that ended → when, Unix ms.
pub(super) const TOMBSTONES: TableDefinition<u64, u64> = TableDefinition::new("tombstones");
/// Numbers by name.
pub(super) const META: TableDefinition<&str, u64> = TableDefinition::new("meta");

/// Number of the last transaction: tells after an error whether it had landed.
pub(super) const GROUP: &str = "group";
pub(super) const NEXT_SESSION: &str = "next_session";
pub(super) const NEXT_EVENT: &str = "next_event";
/// The newest event that left the outbox because it was full; absent while none has.
pub(super) const DROPPED_EVENT: &str = "dropped_event";
const VERSION: &str = "schema_version";

/// Rewrites what version `n` holds into what version `n + 1` wants, inside the transaction that raises the version.
pub(super) type Migration = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// A schema: its version is one more than the number of migrations that lead to it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Schema {
    pub migrations: &'static [Migration],
}

/// The schema this program reads and writes. A field that gets a serde default needs no migration.
pub(super) const CURRENT: Schema = Schema { migrations: &[] };

impl Schema {
    pub fn version(self) -> u64 {
        self.migrations.len() as u64 + 1
    }
}

/// Makes the tables of a new store, or brings an older one up to the schema. All or nothing.
pub(super) fn prepare(database: &Database, path: &Path, schema: Schema) -> Result<(), StoreError> {
    let write = database.begin_write().map_err(|e| damaged(path, e))?;
    let found = create_tables(&write).map_err(|e| damaged(path, e))?;
    let known = schema.version();
    let found = match found {
        // A new store begins at the present version.
        None => known,
        Some(found) if found == 0 || found > known => {
            return Err(StoreError::Version {
                path: path.to_owned(),
                found,
                known,
            });
        }
        Some(found) => found,
    };
    for migration in &schema.migrations[found as usize - 1..] {
        migration(&write).map_err(|e| damaged(path, e))?;
    }
    if found != known {
        tracing::info!(
            from = found,
            to = known,
            "the store was brought to this program's schema"
        );
    }
    set_version(&write, known).map_err(|e| damaged(path, e))?;
    write.commit().map_err(|e| damaged(path, e))
}

/// Makes what is not there; gives the version that is.
fn create_tables(write: &WriteTransaction) -> Result<Option<u64>, redb::Error> {
    write.open_table(SESSIONS)?;
    write.open_table(BINDINGS)?;
    write.open_table(ACTIVATIONS)?;
    write.open_table(EVENTS)?;
    write.open_table(TOMBSTONES)?;
    let meta = write.open_table(META)?;
    let version = meta.get(VERSION)?.map(|value| value.value());
    Ok(version)
}

fn set_version(write: &WriteTransaction, version: u64) -> Result<(), redb::Error> {
    write.open_table(META)?.insert(VERSION, version)?;
    Ok(())
}
