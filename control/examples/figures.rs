//! Figures of the store and the publisher on this machine: `cargo run --release -p sluice-control --example figures [-- STATE_DIR]`.
//!
//! The disk's figure is that of the directory given (default: the temporary directory); tables are on ordinary pages.

use std::error::Error;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use shm_bridge::{ControlSide, SessionIndex};
use sluice_config::Config;
use sluice_control::engine::{PolicyImage, Record, SessionImage, Ticket};
use sluice_control::publish::{Known, Publisher};
use sluice_control::session::{
    Access, Identity, Line, Mac, Qos, Service, Session, SessionBinding, SessionId, State,
};
use sluice_control::store::{Limits, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const SESSIONS: u32 = 60_000;
const PATIENCE: Duration = Duration::from_secs(1);

fn main() -> Outcome<()> {
    let dir = std::env::args_os()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("sluice-figures-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let measured = store(&dir).and_then(|()| tables(&dir));
    std::fs::remove_dir_all(&dir)?;
    measured
}

fn store(dir: &Path) -> Outcome<()> {
    let path = dir.join("store.redb");
    let (sender, answers) = channel();
    let done = move |ticket, result: Result<(), String>| drop(sender.send((ticket, result)));
    let opened = Store::open(&path, Limits::default(), 0, done)?;

    let mut alone = Vec::new();
    for id in 1..=500u64 {
        let began = Instant::now();
        opened.store.commit(Ticket(id), grant(id))?;
        answers.recv()?.1?;
        alone.push(began.elapsed());
    }
    print("store: one grant, commit to answer", &mut alone);

    let began = Instant::now();
    let last = 500 + u64::from(SESSIONS);
    for id in 501..=last {
        opened.store.commit(Ticket(id), grant(id))?;
    }
    for _ in 501..=last {
        answers.recv()?.1?;
    }
    let took = began.elapsed();
    let transactions = opened.store.metrics().transactions() - 500;
    println!(
        "store: {SESSIONS} grants at once: {:.0} a second in {transactions} transactions",
        f64::from(SESSIONS) / took.as_secs_f64()
    );

    // As many in flight as a busy DHCP server has.
    let began = Instant::now();
    let (mut sent, mut answered) = (0u64, 0u64);
    while answered < 20_000 {
        while sent < 20_000 && sent - answered < 64 {
            sent += 1;
            opened.store.commit(Ticket(sent), grant(sent))?;
        }
        answers.recv()?.1?;
        answered += 1;
    }
    println!(
        "store: 64 grants in flight: {:.0} a second",
        20_000.0 / began.elapsed().as_secs_f64()
    );
    drop(opened);

    let began = Instant::now();
    let again = Store::open(&path, Limits::default(), 0, |_, _| ())?;
    println!(
        "store: opening and reading {} sessions: {:?}; file {} MB",
        again.restored.sessions.len(),
        began.elapsed(),
        std::fs::metadata(&path)?.len() >> 20
    );
    Ok(())
}

/// What an ACK waits for: session and binding.
fn grant(id: u64) -> Vec<Record> {
    let image = image(id as u32);
    let pool = "isp-residential".to_owned();
    vec![Record::PutSession(Box::new(Session {
        id: SessionId(id),
        identity: Identity(format!("agg-01|1/1/{id}")),
        line: Some(image.line),
        access: Access {
            circuit_id: Some(format!("agg-01|1/1/{id}")),
            remote_id: Some(format!("ADTN{id:08}")),
            ont_serial: Some(format!("ADTN{id:08}")),
            access_node: Some("agg-01".into()),
        },
        mac: image.mac,
        client_id: None,
        state: State::Active,
        service: Service {
            pool: pool.clone(),
            service_id: Some("SVC-001".into()),
            qos: image.policy.qos,
        },
        binding: Some(SessionBinding {
            pool,
            ipv4: image.ipv4,
            expires_at: 1_800_000_000,
        }),
        row: id as u32,
        row_generation: 1,
        baseline: Default::default(),
        carried: Default::default(),
        created_at: 1_700_000_000,
        state_since: 1_700_000_000,
        activation_started_at: None,
    }))]
}

fn image(n: u32) -> SessionImage {
    let [_, b, c, d] = n.to_be_bytes();
    SessionImage {
        session: SessionId(n.into()),
        row: SessionIndex::new(n.max(1)).unwrap_or_else(|| unreachable!("at least 1")),
        line: Line {
            port: 0,
            s_vlan: 100 + (n / 4094) as u16,
            c_vlan: (n % 4094) as u16 + 1,
        },
        mac: Mac([2, 0, 0, b, c, d]),
        ipv4: Ipv4Addr::from(0x0a00_0100 + n),
        prefix_len: 12,
        policy: policy(u64::from(n % 7 + 1)),
    }
}

fn policy(rate: u64) -> PolicyImage {
    PolicyImage {
        state: State::Active,
        garden: None,
        qos: Qos {
            download_bps: rate * 100_000_000,
            upload_bps: rate * 10_000_000,
        },
        isolated: false,
    }
}

fn tables(dir: &Path) -> Outcome<()> {
    let config = format!(
        "[node]\nhugetlbfs = \"none\"\nrun_dir = {dir:?}\nstate_dir = {dir:?}\n{}",
        r#"
        [[ports]]
        name = "access0"
        role = "access"
        device = "a"
        mac = "02:00:5e:00:01:01"
        lines = [{ s_vlans = "100-130", c_vlans = "1-4094" }]
        [[ports]]
        name = "core0"
        role = "core"
        device = "c"
        mac = "02:00:5e:00:02:01"
        address = "192.0.2.2/24"
        gateway = "192.0.2.1"
        [pools.isp-residential]
        network = "10.0.0.0/12"
        "#
    );
    let config = Arc::new(Config::parse("figures", &config)?);
    let attach = |known: Vec<Known>| -> Outcome<Publisher> {
        let side = ControlSide::attach(&config.segment())?;
        let (count, began) = (known.len(), Instant::now());
        let attached = Publisher::attach(side, Arc::clone(&config), known, PATIENCE)?;
        println!(
            "tables: taken over in {:?}: {count} sessions, {} kept",
            began.elapsed(),
            attached.kept
        );
        Ok(attached.publisher)
    };
    let mut publisher = attach(Vec::new())?;

    let (mut known, mut published) = (Vec::new(), Vec::new());
    for n in 1..=SESSIONS {
        let mut image = image(n);
        let reserved = publisher.reserve_row()?;
        image.row = reserved.row;
        let began = Instant::now();
        publisher.publish(&image, None)?;
        published.push(began.elapsed());
        known.push(Known {
            image,
            generation: reserved.generation,
            baseline: reserved.baseline,
        });
    }
    print("tables: publish a session", &mut published);

    let mut stored = Vec::new();
    for (n, session) in known.iter_mut().enumerate() {
        let policy = policy(n as u64 % 5 + 1);
        let began = Instant::now();
        publisher.set_policy(session.image.row, &policy)?;
        stored.push(began.elapsed());
        session.image.policy = policy;
    }
    print("tables: change a policy", &mut stored);
    drop(publisher);

    let mut publisher = attach(known.clone())?;
    let mut withdrawn = Vec::new();
    for session in known.iter().take(10_000) {
        let began = Instant::now();
        publisher.withdraw(&session.image);
        withdrawn.push(began.elapsed());
    }
    print("tables: withdraw a session", &mut withdrawn);
    let began = Instant::now();
    println!(
        "tables: {} rows retired in {:?}",
        publisher.poll().len(),
        began.elapsed()
    );
    Ok(())
}

fn print(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |q: f64| times[((times.len() - 1) as f64 * q) as usize];
    println!("{what}: p50 {:?}, p99 {:?}, max {:?}", at(0.5), at(0.99), at(1.0));
}
