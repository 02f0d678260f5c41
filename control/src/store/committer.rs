//! The store's thread: takes all batches that wait, writes them in one transaction, and answers each.
//!
//! A commit that fails may have landed all the same: the error may have come after the last write. Each transaction therefore
//! carries a number. After an error the file is opened anew and the number tells; one that landed is made durable by another
//! commit on top of it before it is answered. While the file cannot be opened nobody knows, and its batches wait for their
//! answer; those that come later fail at once.

use std::fmt::Display;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use redb::{
    Database, DatabaseError, Durability, ReadableTable, ReadableTableMetadata, StorageError, Table,
    WriteTransaction,
};

use super::schema::{
    ACTIVATIONS, BINDINGS, DROPPED_EVENT, EVENTS, GROUP, META, NEXT_EVENT, NEXT_SESSION, SESSIONS, TOMBSTONES,
};
use super::{Limits, StoreError, StoreMetrics};
use crate::engine::{Record, Ticket};

/// Records of one transaction: above this a commit's time is in the writing, and those who wait first would wait for the rest.
const RECORDS_MAX: usize = 8192;
/// Memory for the file's pages: the working set of 65,536 sessions.
const CACHE_BYTES: usize = 64 << 20;
/// Between attempts to open a file that failed; batches fail meanwhile.
const REOPEN_EVERY: Duration = Duration::from_millis(100);

/// One batch on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub ticket: Ticket,
    pub batch: Vec<Record>,
    pub queued_at: Instant,
}

/// How the database is opened, at start and after an error.
pub(super) struct Medium {
    pub path: PathBuf,
    open: Box<dyn Fn() -> Result<Database, StoreError> + Send>,
}

impl Medium {
    pub fn file(path: &Path) -> Medium {
        let file = path.to_owned();
        Medium {
            path: path.to_owned(),
            open: Box::new(move || open_file(&file)),
        }
    }

    #[cfg(test)]
    pub fn custom(open: impl Fn() -> Result<Database, StoreError> + Send + 'static) -> Medium {
        Medium {
            path: PathBuf::from("test"),
            open: Box::new(open),
        }
    }

    pub fn open(&self) -> Result<Database, StoreError> {
        (self.open)()
    }
}

/// Opens or makes the file, readable by its owner alone: it says who lives where.
fn open_file(path: &Path) -> Result<Database, StoreError> {
    let io = |what| {
        move |source| StoreError::Io {
            what,
            path: path.to_owned(),
            source,
        }
    };
    let directory = path.parent().unwrap_or(Path::new("."));
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o750)
        .create(directory)
        .map_err(io("create the directory of store"))?;
    let is_new = !path.exists();
    let database = builder().create(path).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse {
            path: path.to_owned(),
        },
        DatabaseError::Storage(StorageError::Io(source))
            if source.kind() != std::io::ErrorKind::InvalidData =>
        {
            io("open store")(source)
        }
        other => damaged(path, other),
    })?;
    if is_new {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(io("protect store"))?;
        // Otherwise a power cut may lose the name of a file whose content is safe.
        let sync = fs::File::open(directory).and_then(|directory| directory.sync_all());
        sync.map_err(io("sync the directory of store"))?;
    }
    Ok(database)
}

pub(super) fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

pub(super) fn damaged(path: &Path, what: impl Display) -> StoreError {
    StoreError::Damaged {
        path: path.to_owned(),
        what: what.to_string(),
    }
}

pub(super) struct Committer {
    medium: Medium,
    /// `None` after an error, until it is opened anew.
    database: Option<Database>,
    reopen_at: Instant,
    last_error: String,
    group: u64,
    /// The batches of a transaction that ended in an error while the file could not be opened anew: nobody knows yet whether it landed.
    doubtful: Vec<Job>,
    limits: Limits,
    metrics: Arc<StoreMetrics>,
}

/// How a transaction failed.
enum Failure {
    /// Before its commit: it is not there.
    Certain(String),
    /// In its commit: it may be there.
    Doubtful(String),
}

impl Committer {
    pub fn new(
        medium: Medium,
        database: Database,
        limits: Limits,
        metrics: Arc<StoreMetrics>,
    ) -> Result<Committer, StoreError> {
        let group = last_group(&database).map_err(|e| damaged(&medium.path, e))?;
        Ok(Committer {
            medium,
            database: Some(database),
            reopen_at: Instant::now(),
            last_error: String::new(),
            group,
            doubtful: Vec::new(),
            limits,
            metrics,
        })
    }

    /// Until the queue is closed and empty.
    pub fn run(mut self, jobs: &Receiver<Job>, mut done: impl FnMut(Ticket, Result<(), String>)) {
        loop {
            let first = if self.doubtful.is_empty() {
                jobs.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                jobs.recv_timeout(REOPEN_EVERY)
            };
            match first {
                Ok(first) => {
                    let group = gather(first, jobs);
                    self.settle(&mut done);
                    self.write(group, &mut done);
                }
                Err(RecvTimeoutError::Timeout) => self.settle(&mut done),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let doubtful = std::mem::take(&mut self.doubtful);
        let cause = format!(
            "stopped before it was known whether it is durable: {}",
            self.last_error
        );
        self.answer(doubtful, Err(cause), &mut done);
    }

    /// Writes a group and answers it, unless that must wait.
    fn write(&mut self, group: Vec<Job>, done: &mut impl FnMut(Ticket, Result<(), String>)) {
        if !self.doubtful.is_empty() {
            let cause = format!("the store is closed after an error: {}", self.last_error);
            return self.answer(group, Err(cause), done);
        }
        let began = Instant::now();
        match self.commit(&group) {
            Ok(()) => {
                let records = group.iter().map(|job| job.batch.len() as u64).sum();
                self.metrics
                    .committed(began.elapsed(), group.len() as u64, records);
                self.answer(group, Ok(()), done);
            }
            Err(Failure::Certain(cause)) => {
                tracing::error!(batches = group.len(), %cause, "the store could not write");
                self.answer(group, Err(cause), done);
            }
            Err(Failure::Doubtful(cause)) => {
                tracing::error!(batches = group.len(), %cause, "the store failed in a commit");
                self.doubtful = group;
                self.settle(done);
            }
        }
    }

    fn answer(
        &self,
        group: Vec<Job>,
        result: Result<(), String>,
        done: &mut impl FnMut(Ticket, Result<(), String>),
    ) {
        self.metrics.unqueued(group.len() as u64);
        if result.is_err() {
            self.metrics.lost(group.len() as u64);
        }
        for job in group {
            self.metrics.wait.record(job.queued_at.elapsed());
            done(job.ticket, result.clone());
        }
    }

    /// All batches or none.
    fn commit(&mut self, group: &[Job]) -> Result<(), Failure> {
        self.ensure_open().map_err(Failure::Certain)?;
        let number = self.group.wrapping_add(1);
        let Some(database) = &self.database else {
            return Err(Failure::Certain(self.last_error.clone()));
        };
        match transact(database, number, group, self.limits) {
            Ok(dropped) => {
                self.group = number;
                self.metrics.dropped_events(dropped);
                Ok(())
            }
            Err(failure) => {
                let (Failure::Certain(cause) | Failure::Doubtful(cause)) = &failure;
                self.last_error.clone_from(cause);
                self.database = None;
                Err(failure)
            }
        }
    }

    /// Finds out what became of the doubtful transaction, if that can be found out now.
    fn settle(&mut self, done: &mut impl FnMut(Ticket, Result<(), String>)) {
        if self.doubtful.is_empty() {
            return;
        }
        let (number, cause) = (self.group.wrapping_add(1), self.last_error.clone());
        if self.ensure_open().is_err() {
            self.last_error = cause;
            return;
        }
        let result = if self.group == number {
            match self.confirm() {
                Ok(()) => Ok(()),
                Err(error) => {
                    // Asked again when the file could be opened again.
                    self.last_error = format!("{cause}; confirming it: {error}");
                    self.group = number.wrapping_sub(1);
                    self.database = None;
                    return;
                }
            }
        } else {
            Err(cause)
        };
        let group = std::mem::take(&mut self.doubtful);
        self.answer(group, result, done);
    }

    /// Makes what landed durable by a commit on top of it.
    fn confirm(&self) -> Result<(), String> {
        let database = self.database.as_ref().ok_or_else(|| self.last_error.clone())?;
        match transact(database, self.group, &[], self.limits) {
            Ok(_) => Ok(()),
            Err(Failure::Certain(cause) | Failure::Doubtful(cause)) => Err(cause),
        }
    }

    /// Opens the file anew after an error, since redb then refuses to go on.
    fn ensure_open(&mut self) -> Result<(), String> {
        if self.database.is_some() {
            return Ok(());
        }
        let wait = self.reopen_at.saturating_duration_since(Instant::now());
        if !wait.is_zero() {
            return Err(format!("the store is closed after an error: {}", self.last_error));
        }
        self.reopen_at = Instant::now() + REOPEN_EVERY;
        let opened = self.medium.open().and_then(|database| {
            let group = last_group(&database).map_err(|e| damaged(&self.medium.path, e))?;
            Ok((database, group))
        });
        let (database, group) = opened.map_err(|error| error.to_string())?;
        self.metrics.opened_anew();
        self.group = group;
        self.database = Some(database);
        Ok(())
    }
}

/// What waits, up to the size of a transaction.
fn gather(first: Job, jobs: &Receiver<Job>) -> Vec<Job> {
    let mut records = first.batch.len();
    let mut group = vec![first];
    while records < RECORDS_MAX
        && let Ok(job) = jobs.try_recv()
    {
        records += job.batch.len();
        group.push(job);
    }
    group
}

fn last_group(database: &Database) -> Result<u64, redb::Error> {
    use redb::ReadableDatabase;
    let read = database.begin_read()?;
    let meta = read.open_table(META)?;
    Ok(meta.get(GROUP)?.map_or(0, |value| value.value()))
}

/// One transaction; returns how many events had to leave the outbox.
fn transact(database: &Database, number: u64, group: &[Job], limits: Limits) -> Result<u64, Failure> {
    let (write, dropped) =
        prepare(database, number, group, limits).map_err(|e| Failure::Certain(e.to_string()))?;
    write.commit().map_err(|e| Failure::Doubtful(e.to_string()))?;
    Ok(dropped)
}

/// A transaction with everything in it but the commit.
fn prepare(
    database: &Database,
    number: u64,
    group: &[Job],
    limits: Limits,
) -> Result<(WriteTransaction, u64), redb::Error> {
    let mut write = database.begin_write()?;
    write.set_durability(Durability::Immediate)?;
    let mut dropped = 0;
    {
        let mut meta = write.open_table(META)?;
        meta.insert(GROUP, number)?;
        let mut sessions = write.open_table(SESSIONS)?;
        let mut bindings = write.open_table(BINDINGS)?;
        let mut activations = write.open_table(ACTIVATIONS)?;
        let mut events = write.open_table(EVENTS)?;
        let mut tombstones = write.open_table(TOMBSTONES)?;
        let mut buffer = Vec::new();
        for record in group.iter().flat_map(|job| &job.batch) {
            match record {
                Record::PutSession(session) => {
                    sessions.insert(session.id.0, encode(&mut buffer, session)?)?;
                    raise(&mut meta, NEXT_SESSION, session.id.0)?;
                }
                Record::EndSession { id, at } => {
                    sessions.remove(id.0)?;
                    tombstones.insert(id.0, at)?;
                    raise(&mut meta, NEXT_SESSION, id.0)?;
                }
                Record::PutBinding(binding) => {
                    bindings.insert(u32::from(binding.ipv4), encode(&mut buffer, binding)?)?;
                }
                Record::DeleteBinding(ipv4) => {
                    bindings.remove(u32::from(*ipv4))?;
                }
                Record::PutActivation(activation) => {
                    activations.insert(activation.identity.0.as_str(), encode(&mut buffer, activation)?)?;
                }
                Record::DeleteActivation(identity) => {
                    activations.remove(identity.0.as_str())?;
                }
                Record::PutEvent(event) => {
                    events.insert(event.sequence, encode(&mut buffer, event)?)?;
                    raise(&mut meta, NEXT_EVENT, event.sequence)?;
                }
            }
        }
        while events.len()? > limits.events
            && let Some((oldest, _)) = events.pop_first()?
        {
            meta.insert(DROPPED_EVENT, oldest.value())?;
            dropped += 1;
        }
        while tombstones.len()? > limits.tombstones && tombstones.pop_first()?.is_some() {}
    }
    Ok((write, dropped))
}

fn encode<'a, T: serde::Serialize>(buffer: &'a mut Vec<u8>, value: &T) -> Result<&'a [u8], redb::Error> {
    buffer.clear();
    serde_json::to_writer(&mut *buffer, value).map_err(|e| redb::Error::Io(e.into()))?;
    Ok(buffer)
}

/// The next number after `used` is what counts on from there.
fn raise(meta: &mut Table<'_, &'static str, u64>, name: &'static str, used: u64) -> Result<(), redb::Error> {
    let next = used.saturating_add(1);
    let known = meta.get(name)?.map_or(0, |value| value.value());
    if next > known {
        meta.insert(name, next)?;
    }
    Ok(())
}
