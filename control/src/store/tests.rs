use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use redb::{ReadableDatabase, StorageBackend, WriteTransaction};

use super::*;
use crate::engine::{Activation, ActivationStatus, Binding, BindingState};
use crate::session::{Access, Identity, Line, Mac, Qos, Service, Session, SessionBinding, SessionId, State};

type Answers = Receiver<(Ticket, Result<(), String>)>;

const PATIENCE: Duration = Duration::from_secs(20);

fn session(id: u64) -> Session {
    Session {
        id: SessionId(id),
        identity: Identity(format!("agg-01|1/1/{id}")),
        line: Some(Line {
            port: 0,
            s_vlan: 100,
            c_vlan: id as u16 % 4094 + 1,
        }),
        access: Access {
            circuit_id: Some(format!("agg-01|1/1/{id}")),
            remote_id: Some("ADTN00000001".into()),
            ont_serial: Some("ADTN00000001".into()),
            access_node: Some("agg-01".into()),
        },
        mac: Mac([2, 0, 0, 0, 0, id as u8]),
        client_id: Some(vec![1, 2, 3]),
        state: State::Wgar,
        service: Service {
            pool: "wgar".into(),
            service_id: None,
            qos: Qos::default(),
        },
        binding: Some(SessionBinding {
            pool: "wgar".into(),
            ipv4: Ipv4Addr::from(0x0aff_0000 | id as u32),
            expires_at: 1_700_000_600,
        }),
        row: id as u32,
        row_generation: 7,
        baseline: Default::default(),
        carried: Default::default(),
        created_at: 1_700_000_000,
        state_since: 1_700_000_000,
        activation_started_at: None,
    }
}

fn put(id: u64) -> Record {
    Record::PutSession(Box::new(session(id)))
}

fn event(sequence: u64) -> Record {
    Record::PutEvent(BusEvent {
        sequence,
        at_ms: sequence,
        kind: "SessionDiscovered".into(),
        session: None,
        ont_serial: None,
        circuit_id: None,
        old_state: None,
        new_state: None,
        ipv4: None,
        pool: None,
        detail: None,
    })
}

fn open_with(medium: Medium, limits: Limits) -> (Opened, Answers) {
    let (sender, answers) = channel();
    let done = move |ticket, result| drop(sender.send((ticket, result)));
    (Store::start(medium, limits, 16, done).unwrap(), answers)
}

fn open(path: &Path) -> (Opened, Answers) {
    open_with(Medium::file(path), Limits::default())
}

fn error_of(path: &Path) -> StoreError {
    Store::open(path, Limits::default(), 0, |_, _| ()).unwrap_err()
}

#[test]
fn what_was_committed_is_there_after_a_restart_and_what_was_deleted_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state/store.redb");
    let binding = Binding {
        ipv4: Ipv4Addr::new(10, 255, 1, 2),
        pool: "wgar".into(),
        identity: Identity("line".into()),
        mac: Mac([2; 6]),
        client_id: None,
        session: Some(SessionId(2)),
        state: BindingState::Sticky,
        until: 9,
    };
    let activation = Activation {
        identity: Identity("agg-01|1/1/2".into()),
        ont_serial: None,
        service: session(2).service,
        status: ActivationStatus::Suspended,
        origin: crate::engine::ServiceOrigin::Operator,
        line: None,
        at: 5,
    };
    let gone = Binding {
        ipv4: Ipv4Addr::new(10, 255, 1, 3),
        ..binding.clone()
    };
    let left = Activation {
        identity: Identity("left".into()),
        ..activation.clone()
    };

    let (opened, answers) = open(&path);
    assert_eq!(
        opened.restored,
        Restored {
            next_session: 1,
            next_event: 1,
            ..Default::default()
        }
    );
    assert_eq!((opened.events.len(), opened.events_gone), (0, 0));
    let first = vec![
        put(1),
        put(2),
        Record::PutBinding(binding.clone()),
        Record::PutBinding(gone.clone()),
        Record::PutActivation(activation.clone()),
        Record::PutActivation(left.clone()),
        event(41),
    ];
    let second = vec![
        Record::EndSession {
            id: SessionId(1),
            at: 77,
        },
        Record::DeleteBinding(gone.ipv4),
        Record::DeleteActivation(left.identity.clone()),
        event(42),
    ];
    opened.store.commit(Ticket(1), first).unwrap();
    opened.store.commit(Ticket(2), second).unwrap();
    assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(1), Ok(()))));
    assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(2), Ok(()))));
    drop(opened);

    let (again, _) = open(&path);
    assert_eq!(
        again.restored,
        Restored {
            sessions: vec![session(2)],
            bindings: vec![binding],
            activations: vec![activation],
            next_session: 3,
            next_event: 43,
            tombstones: vec![(SessionId(1), 77)],
        }
    );
    let sequences: Vec<u64> = again.events.iter().map(|e| e.sequence).collect();
    assert_eq!(sequences, [41, 42]);
}

#[test]
fn batches_that_wait_share_a_transaction_and_are_answered_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let (opened, answers) = open(&dir.path().join("store.redb"));

    for id in 1..=500 {
        opened.store.commit(Ticket(id), vec![put(id)]).unwrap();
    }

    for id in 1..=500 {
        assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(id), Ok(()))));
    }
    let metrics = opened.store.metrics();
    assert_eq!(
        (metrics.batches(), metrics.records(), metrics.waiting()),
        (500, 500, 0)
    );
    assert!(
        metrics.transactions() < 250,
        "{} transactions",
        metrics.transactions()
    );
    assert_eq!(metrics.commit.snapshot().count(), metrics.transactions());
    assert_eq!(metrics.wait.snapshot().count(), 500);
}

#[test]
fn dropping_the_store_writes_what_was_queued() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (opened, _answers) = open(&path);
    for id in 1..=50 {
        opened.store.commit(Ticket(id), vec![put(id)]).unwrap();
    }

    drop(opened);

    assert_eq!(open(&path).0.restored.sessions.len(), 50);
}

#[test]
fn outbox_and_tombstones_keep_the_newest_up_to_their_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let limits = Limits {
        events: 10,
        tombstones: 3,
        ..Limits::default()
    };
    let (opened, answers) = open_with(Medium::file(&path), limits);

    let batch = (1..=25)
        .flat_map(|n| {
            [
                event(n),
                Record::EndSession {
                    id: SessionId(n),
                    at: n,
                },
            ]
        })
        .collect();
    opened.store.commit(Ticket(1), batch).unwrap();
    assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(1), Ok(()))));
    assert_eq!(opened.store.metrics().events_dropped(), 15);
    drop(opened);

    let (again, _) = open(&path);
    let sequences: Vec<u64> = again.events.iter().map(|e| e.sequence).collect();
    assert_eq!(sequences, (16..=25).collect::<Vec<_>>());
    assert_eq!(again.events_gone, 15);
    let ended: Vec<u64> = again.restored.tombstones.iter().map(|(id, _)| id.0).collect();
    assert_eq!(ended, [23, 24, 25]);
    assert_eq!((again.restored.next_session, again.restored.next_event), (26, 26));
    drop(again);

    // Whoever asks for fewer is told of those that are kept, but not handed out.
    let fewer = Store::open(&path, limits, 4, |_, _| ()).unwrap();
    assert_eq!((fewer.events.len(), fewer.events_gone), (4, 21));
}

#[test]
fn a_store_in_use_and_a_file_that_is_no_store_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (_opened, _) = open(&path);
    assert!(matches!(error_of(&path), StoreError::InUse { .. }));

    let other = dir.path().join("other.redb");
    fs_write(&other, &[b'x'; 9000]);
    let error = error_of(&other);
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");

    let error = error_of(Path::new("/proc/store.redb"));
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
}

#[test]
fn a_store_of_a_later_version_and_a_record_that_cannot_be_read_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    drop(open(&path));
    {
        let database = redb::Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(schema::SESSIONS)
            .unwrap()
            .insert(5, &b"{\"id\":"[..])
            .unwrap();
        write.commit().unwrap();
    }
    let error = error_of(&path).to_string();
    assert!(
        error.contains("session 0000000000000005 cannot be read: EOF"),
        "{error}"
    );

    {
        let database = redb::Database::open(&path).unwrap();
        let write = database.begin_write().unwrap();
        write
            .open_table(schema::META)
            .unwrap()
            .insert("schema_version", 9)
            .unwrap();
        write.commit().unwrap();
    }
    let error = error_of(&path).to_string();
    assert!(
        error.ends_with("is of schema version 9, this program knows up to 1"),
        "{error}"
    );
}

#[test]
fn an_older_store_is_brought_up_to_date_in_one_transaction() {
    fn rename_pools(write: &WriteTransaction) -> Result<(), redb::Error> {
        write.open_table(schema::META)?.insert("renamed", 1)?;
        Ok(())
    }
    fn fail(write: &WriteTransaction) -> Result<(), redb::Error> {
        write.open_table(schema::META)?.insert("half", 1)?;
        Err(redb::Error::Corrupted("on purpose".into()))
    }
    let meta = |database: &redb::Database, name: &str| {
        let read = database.begin_read().unwrap();
        let table = read.open_table(schema::META).unwrap();
        table.get(name).unwrap().map(|v| v.value())
    };
    let database = committer::builder()
        .create_with_backend(redb::backends::InMemoryBackend::new())
        .unwrap();
    let path = Path::new("memory");
    schema::prepare(&database, path, schema::CURRENT).unwrap();

    let bad = schema::Schema {
        migrations: &[rename_pools, fail],
    };
    assert!(
        schema::prepare(&database, path, bad)
            .unwrap_err()
            .to_string()
            .contains("on purpose")
    );
    assert_eq!(
        (meta(&database, "renamed"), meta(&database, "half")),
        (None, None)
    );
    assert_eq!(meta(&database, "schema_version"), Some(1));

    let good = schema::Schema {
        migrations: &[rename_pools],
    };
    schema::prepare(&database, path, good).unwrap();
    assert_eq!(
        (meta(&database, "renamed"), meta(&database, "schema_version")),
        (Some(1), Some(2))
    );
    assert!(schema::prepare(&database, path, schema::CURRENT).is_err());
}

/// A byte changed anywhere in a closed store is an error or is not noticed, but no panic; and no record is ever read wrong
/// without its JSON being so.
#[test]
fn damage_anywhere_never_panics() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let (opened, answers) = open(&path);
    for id in 1..=200 {
        opened.store.commit(Ticket(id), vec![put(id), event(id)]).unwrap();
    }
    for _ in 1..=200 {
        answers.recv_timeout(PATIENCE).unwrap().1.unwrap();
    }
    drop(opened);
    let whole = std::fs::read(&path).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 33) as usize % below
    };

    let broken = dir.path().join("broken.redb");
    let mut refused = 0;
    for round in 0..120 {
        let mut bytes = whole.clone();
        match round % 3 {
            0 => bytes.truncate(random(whole.len())),
            // The header and the first pages are where damage is most interesting.
            1 => bytes[random(4096)] ^= 1 << random(8),
            _ => {
                for _ in 0..16 {
                    bytes[random(whole.len())] ^= 0xff;
                }
            }
        }
        fs_write(&broken, &bytes);
        match Store::open(&broken, Limits::default(), 16, |_, _| ()) {
            Ok(opened) => assert!(opened.restored.sessions.len() <= 200),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 30, "{refused} of 120");
}

fn fs_write(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
}

/// A disk in memory that can be told to fail. Its content outlives the database that uses it.
#[derive(Clone, Debug, Default)]
struct Disk(Arc<DiskState>);

#[derive(Debug, Default)]
struct DiskState {
    bytes: Mutex<Vec<u8>>,
    /// Writes and syncs left before everything fails; negative: no limit.
    left: AtomicI64,
    syncs_fail_after_writing: AtomicUsize,
}

impl Disk {
    fn new() -> Disk {
        let disk = Disk::default();
        disk.0.left.store(-1, Ordering::SeqCst);
        disk
    }

    fn medium(&self) -> Medium {
        let disk = self.clone();
        Medium::custom(move || {
            committer::builder()
                .create_with_backend(disk.clone())
                .map_err(|e| committer::damaged(Path::new("disk"), e))
        })
    }

    fn spend(&self) -> io::Result<()> {
        let left = self.0.left.load(Ordering::SeqCst);
        if left == 0 {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        if left > 0 {
            self.0.left.store(left - 1, Ordering::SeqCst);
        }
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.bytes.lock().unwrap().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.bytes.lock().unwrap();
        let end = offset as usize + out.len();
        out.copy_from_slice(
            bytes
                .get(offset as usize..end)
                .ok_or(io::ErrorKind::UnexpectedEof)?,
        );
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.spend()?;
        self.0.bytes.lock().unwrap().resize(len as usize, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        if self.0.syncs_fail_after_writing.load(Ordering::SeqCst) > 0 {
            self.0.syncs_fail_after_writing.fetch_sub(1, Ordering::SeqCst);
            return Err(io::Error::other("the disk lost its power"));
        }
        self.spend()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.spend()?;
        self.0.bytes.lock().unwrap()[offset as usize..offset as usize + data.len()].copy_from_slice(data);
        Ok(())
    }
}

#[test]
fn a_full_disk_fails_batches_with_the_cause_and_later_ones_succeed() {
    let disk = Disk::new();
    let (opened, answers) = open_with(disk.medium(), Limits::default());
    opened.store.commit(Ticket(1), vec![put(1)]).unwrap();
    assert_eq!(answers.recv_timeout(PATIENCE), Ok((Ticket(1), Ok(()))));

    // Wherever in a transaction the disk fills up.
    for (n, budget) in (0..24).enumerate() {
        let ticket = Ticket(100 + n as u64);
        disk.0.left.store(budget, Ordering::SeqCst);
        opened.store.commit(ticket, vec![put(ticket.0)]).unwrap();
        // What nobody can know yet is answered when the disk works again.
        let early = answers.recv_timeout(Duration::from_millis(150)).ok();
        disk.0.left.store(-1, Ordering::SeqCst);
        let (answered, result) = early.unwrap_or_else(|| answers.recv_timeout(PATIENCE).unwrap());
        assert_eq!(answered, ticket);
        std::thread::sleep(Duration::from_millis(110));

        let after = Ticket(1000 + n as u64);
        opened.store.commit(after, vec![put(after.0)]).unwrap();
        assert_eq!(answers.recv_timeout(PATIENCE), Ok((after, Ok(()))));
        if let Err(cause) = &result {
            assert!(cause.contains("no storage space"), "{cause}");
        }
        // What was said is what is there.
        let bytes = disk.0.bytes.lock().unwrap().clone();
        let copy = Disk::new();
        *copy.0.bytes.lock().unwrap() = bytes;
        let (seen, _) = open_with(copy.medium(), Limits::default());
        let has = |id: u64| seen.restored.sessions.iter().any(|s| s.id.0 == id);
        assert_eq!(has(ticket.0), result.is_ok(), "budget {budget}: {result:?}");
        assert!(has(after.0));
    }
    assert!(opened.store.metrics().failed() > 0);
    assert!(opened.store.metrics().reopened() > 0);
}

#[test]
fn a_commit_whose_sync_failed_is_answered_as_what_it_became() {
    let disk = Disk::new();
    let (opened, answers) = open_with(disk.medium(), Limits::default());

    for n in 1..=6 {
        disk.0.syncs_fail_after_writing.store(1, Ordering::SeqCst);
        opened.store.commit(Ticket(n), vec![put(n)]).unwrap();
        let (_, result) = answers.recv_timeout(PATIENCE).unwrap();
        disk.0.syncs_fail_after_writing.store(0, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(110));

        let copy = Disk::new();
        *copy.0.bytes.lock().unwrap() = disk.0.bytes.lock().unwrap().clone();
        let (seen, _) = open_with(copy.medium(), Limits::default());
        assert_eq!(seen.restored.sessions.iter().any(|s| s.id.0 == n), result.is_ok());
    }
}

#[test]
fn a_full_queue_refuses_and_says_how_far_behind() {
    let dir = tempfile::tempdir().unwrap();
    let (go, gate) = channel::<()>();
    let limits = Limits {
        queue: 4,
        ..Limits::default()
    };
    let opened = Store::open(&dir.path().join("store.redb"), limits, 0, move |_, _| {
        gate.recv().ok();
    })
    .unwrap();

    let refused = (1..=20).find_map(|n| opened.store.commit(Ticket(n), vec![put(n)]).err());

    assert_eq!(refused, Some(CommitRefused::Full(4)));
    drop(go);
}

const CHILD: &str = "SLUICE_STORE_CHILD";

/// Commits for ever and prints what was acknowledged. Runs only as the child of the test below.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else {
        return;
    };
    let (sender, answers) = channel();
    let done = move |ticket: Ticket, result| drop(sender.send((ticket, result)));
    let opened = Store::open(Path::new(&path), Limits::default(), 0, done).unwrap();
    let start = opened.restored.next_session;
    let mut next = start;
    loop {
        // Bursts, so that transactions hold several batches.
        for _ in 0..(next % 7 + 1) {
            opened
                .store
                .commit(Ticket(next), vec![put(next), event(next)])
                .unwrap();
            next += 1;
        }
        while let Ok((ticket, result)) = answers.try_recv() {
            result.unwrap();
            println!("acknowledged {}", ticket.0);
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

#[test]
fn everything_acknowledged_before_a_kill_is_there_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.redb");
    let mut acknowledged = BTreeMap::new();

    for round in 0..12u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "store::tests::child_that_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Killed in the middle of whatever it does once it has acknowledged so many.
        let enough = 1 + round * 37 % 400;
        let mut seen = 0;
        for line in lines.map_while(Result::ok) {
            // libtest prints the test's name without an end of line before the first.
            if let Some((_, id)) = line.rsplit_once("acknowledged ") {
                acknowledged.insert(id.parse::<u64>().unwrap(), round);
                seen += 1;
                if seen == enough {
                    child.kill().unwrap();
                }
            }
        }
        child.wait().unwrap();

        let (opened, _) = open(&path);
        let there: std::collections::HashSet<u64> = opened.restored.sessions.iter().map(|s| s.id.0).collect();
        for (id, round) in &acknowledged {
            assert!(there.contains(id), "session {id} of round {round} is lost");
        }
        let last = opened.restored.sessions.last().map_or(0, |s| s.id.0);
        assert_eq!(opened.restored.next_session, last + 1);
        assert_eq!(there.len() as u64, last, "a batch is missing before a later one");
    }
    assert!(acknowledged.len() > 500);
}
