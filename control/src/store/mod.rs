//! The store: what must survive the process and the power cut. One redb file behind one module.
//!
//! ```text
//!  driver ── commit(ticket, batch) ──► bounded queue ──► store thread: all that waits = one transaction, one fsync
//!     ▲                                                        │
//!     └────────────── done(ticket, result), in order ◄─────────┘
//! ```
//!
//! Guarantees:
//! - A batch is durable as a whole before it is answered `Ok`, and batches are durable in the order of the calls. One that is answered
//!   `Err` is not there and will not be; one of which that is not known yet (the disk failed in the commit) is answered when it is.
//! - Nobody waits for the disk but the store's own thread. A full queue refuses a batch at once.
//! - A failed transaction fails its batches with the cause; the file is then opened anew, and later batches may succeed.
//! - What is damaged, of another version or in use by someone else is a named error, never a panic and never an empty store.
//!
//! Values are JSON and not a binary form: a field that a later version adds is read from older records by its serde default, a
//! store can be looked at with ordinary tools, and encoding a session (some 2 µs) is nothing beside the commit it waits for.

mod committer;
mod load;
mod metrics;
mod schema;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::engine::{BusEvent, Record, Restored, Ticket};

use committer::{Committer, Job, Medium};
pub use metrics::StoreMetrics;

/// What the store keeps at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Events of the outbox; the oldest go first.
    pub events: u64,
    /// Ids of sessions that ended; the oldest go first. Ids are never given out twice, so this guards only against what was
    /// under way when a session ended.
    pub tombstones: u64,
    /// Batches that may wait for the disk.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            // Some 20 MB: a day of a busy gateway for whoever collects them.
            events: 65_536,
            tombstones: 65_536,
            // A second of the slowest disk we expect (4 ms a commit) at 250 batches a commit.
            queue: 65_536,
        }
    }
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {what} {}", path.display())]
    Io {
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    #[error("store {} is in use by another process", path.display())]
    InUse { path: PathBuf },
    #[error("store {} is damaged: {what}; restore it or move it away", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error("store {} is of schema version {found}, this program knows up to {known}", path.display())]
    Version { path: PathBuf, found: u64, known: u64 },
    #[error("store {}: {table} {key} cannot be read: {problem}", path.display())]
    Record {
        path: PathBuf,
        table: &'static str,
        key: String,
        problem: String,
    },
}

/// The queue before the disk is full, or the store has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitRefused {
    #[error("the store is {0} batches behind")]
    Full(usize),
    #[error("the store has stopped")]
    Stopped,
}

/// What a start finds.
#[derive(Debug)]
pub struct Opened {
    pub restored: Restored,
    /// The newest events of the outbox, oldest first, for those who come back.
    pub events: Vec<BusEvent>,
    /// Sequence of the newest event that is not among `events`, although there was one; 0 when they are all there ever were.
    pub events_gone: u64,
    pub store: Store,
}

/// The store, opened. Dropping it writes what is queued and closes the file.
#[derive(Debug)]
pub struct Store {
    queue: Option<SyncSender<Job>>,
    thread: Option<JoinHandle<()>>,
    metrics: Arc<StoreMetrics>,
    limits: Limits,
}

/// Runs what reads the file for the first time. redb 4.4 asserts some of what it finds in its own pages instead of returning an error;
/// whatever it was holding then is dropped here, so nothing half-done is seen afterwards. Where the program is built to abort on a
/// panic, the message is all there is.
fn without_panic<T>(path: &Path, read: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let what = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("an assertion failed");
        Err(StoreError::Damaged {
            path: path.to_owned(),
            what: what.to_owned(),
        })
    })
}

impl Store {
    /// Opens the file at `path`, makes it if need be, and reads all of it. `done` is called from the store's thread.
    pub fn open(
        path: &Path,
        limits: Limits,
        recent_events: usize,
        done: impl FnMut(Ticket, Result<(), String>) + Send + 'static,
    ) -> Result<Opened, StoreError> {
        Store::start(Medium::file(path), limits, recent_events, done)
    }

    fn start(
        medium: Medium,
        limits: Limits,
        recent_events: usize,
        done: impl FnMut(Ticket, Result<(), String>) + Send + 'static,
    ) -> Result<Opened, StoreError> {
        let path = medium.path.clone();
        let (medium, database, restored, recent) = without_panic(&path, move || {
            let database = medium.open()?;
            schema::prepare(&database, &medium.path, schema::CURRENT)?;
            let (restored, recent) = load::load(&database, &medium.path, recent_events)?;
            Ok((medium, database, restored, recent))
        })?;
        let metrics = Arc::new(StoreMetrics::default());
        let committer = Committer::new(medium, database, limits, Arc::clone(&metrics))?;

        let (queue, jobs) = sync_channel(limits.queue);
        let thread = std::thread::Builder::new()
            .name("store".into())
            .spawn(move || committer.run(&jobs, done))
            .map_err(|source| StoreError::Io {
                what: "start a thread for",
                path: PathBuf::from("the store"),
                source,
            })?;
        Ok(Opened {
            restored,
            events: recent.events,
            events_gone: recent.gone,
            store: Store {
                queue: Some(queue),
                thread: Some(thread),
                metrics,
                limits,
            },
        })
    }

    /// Queues a batch; `done` tells how it went. Never waits.
    pub fn commit(&self, ticket: Ticket, batch: Vec<Record>) -> Result<(), CommitRefused> {
        let job = Job {
            ticket,
            batch,
            queued_at: Instant::now(),
        };
        let queue = self.queue.as_ref().ok_or(CommitRefused::Stopped)?;
        // Counted first: the thread counts down, and must never find less than what it took.
        self.metrics.queued();
        queue.try_send(job).map_err(|error| {
            self.metrics.unqueued(1);
            match error {
                TrySendError::Full(_) => CommitRefused::Full(self.limits.queue),
                TrySendError::Disconnected(_) => CommitRefused::Stopped,
            }
        })
    }

    pub fn metrics(&self) -> Arc<StoreMetrics> {
        Arc::clone(&self.metrics)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the store's thread had panicked");
        }
    }
}
