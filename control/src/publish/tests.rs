use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashSet};
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use shm_bridge::access::Found;
use shm_bridge::epoch::{go_online, quiesce};
use shm_bridge::garden::{Flow, Judgement};
use shm_bridge::sides::Tables;
use shm_bridge::{ControlSide, WorkerSide};

use super::*;
use crate::session::{Line, Mac, Qos};

const PATIENCE: Duration = Duration::from_millis(200);

const CONFIG: &str = r#"
    [limits]
    sessions = 64
    adjacencies = 8
    policer_profiles = 8
    garden_rules = 16
    svlan_blocks = 4
    tbl8_groups = 16
    lcores = 2
    punt_ring_slots = 64
    [[ports]]
    name = "access0"
    role = "access"
    device = "a"
    mac = "02:00:5e:00:01:01"
    lines = [
        { s_vlans = "100-101", c_vlans = "1-4094" },
        { s_vlans = "200", c_vlans = "1-4094", model = "n:1" },
    ]
    [[ports]]
    name = "core0"
    role = "core"
    device = "c"
    mac = "02:00:5e:00:02:01"
    address = "192.0.2.2/24"
    gateway = "192.0.2.1"
    routes = [{ prefix = "198.51.100.0/24", via = "192.0.2.3" }]
    [dhcp]
    server_id = "10.255.0.1"
    [pools.wgar]
    network = "10.255.0.0/16"
    dns = ["8.8.8.8"]
    [pools.isp-residential]
    network = "10.0.0.0/12"
    [gardens.unactivated]
    permit = [
        { destination = "8.8.8.8/32", protocol = "udp", ports = 53 },
        { destination = "198.51.100.80/32", protocol = "tcp", ports = "80,443" },
    ]
    [gardens.suspended]
    permit = [
        { destination = "8.8.8.8/32", protocol = "udp", ports = 53 },
        { destination = "198.51.100.81/32", protocol = "any" },
    ]
    [sessions]
    unactivated_garden = "unactivated"
    suspended_garden = "suspended"
"#;

type Hook = Box<dyn FnMut(&Tables)>;

thread_local! {
    static HOOK: RefCell<Option<Hook>> = const { RefCell::new(None) };
}

/// Called by the publisher between its stores.
pub(super) fn step(tables: &Tables) {
    // Taken out while it runs: a hook that panics must not leave itself behind.
    let hook = HOOK.with(|hook| hook.borrow_mut().take());
    if let Some(mut hook) = hook {
        hook(tables);
        HOOK.with(|place| *place.borrow_mut() = Some(hook));
    }
}

fn set_hook(hook: impl FnMut(&Tables) + 'static) {
    HOOK.with(|place| *place.borrow_mut() = Some(Box::new(hook)));
}

fn clear_hook() {
    HOOK.with(|place| *place.borrow_mut() = None);
}

/// A gateway's segment in a directory of its own.
struct Lab {
    config: Arc<Config>,
    _dir: tempfile::TempDir,
}

impl Lab {
    fn new() -> Lab {
        Lab::with(CONFIG)
    }

    fn with(text: &str) -> Lab {
        let dir = tempfile::tempdir().unwrap();
        Lab {
            config: config(&dir, text),
            _dir: dir,
        }
    }

    fn reconfigure(&mut self, text: &str) {
        self.config = config(&self._dir, text);
    }

    fn side(&self) -> ControlSide {
        ControlSide::attach(&self.config.segment()).unwrap()
    }

    fn worker(&self) -> WorkerSide {
        WorkerSide::attach(&self.config.segment(), 1).unwrap()
    }

    fn attach(&self, known: &[Known]) -> Attached {
        Publisher::attach(self.side(), Arc::clone(&self.config), known.to_vec(), PATIENCE).unwrap()
    }
}

fn config(dir: &tempfile::TempDir, text: &str) -> Arc<Config> {
    let node = format!(
        "[node]\nhugetlbfs = \"none\"\nrun_dir = {:?}\nstate_dir = {:?}\n",
        dir.path(),
        dir.path()
    );
    Arc::new(Config::parse("test.toml", &format!("{node}{text}")).unwrap())
}

fn row(number: u32) -> SessionIndex {
    SessionIndex::new(number).unwrap()
}

fn line(s_vlan: u16, c_vlan: u16) -> Line {
    Line {
        port: 0,
        s_vlan,
        c_vlan,
    }
}

fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn in_garden() -> PolicyImage {
    PolicyImage {
        state: State::Wgar,
        garden: Some("unactivated".into()),
        qos: Qos::default(),
        isolated: false,
    }
}

fn active(download_bps: u64, upload_bps: u64) -> PolicyImage {
    PolicyImage {
        state: State::Active,
        garden: None,
        qos: Qos {
            download_bps,
            upload_bps,
        },
        isolated: false,
    }
}

fn image(session: u64, line: Line, host: u8, address: &str) -> SessionImage {
    SessionImage {
        session: SessionId(session),
        row: row(1),
        line,
        mac: Mac([2, 0, 0, 0, 0, host]),
        ipv4: ip(address),
        prefix_len: 16,
        policy: in_garden(),
    }
}

/// Reserves a row and publishes, as the engine does for a new session.
fn publish(publisher: &mut Publisher, image: &mut SessionImage, previous: Option<&SessionImage>) -> Known {
    let reserved = publisher.reserve_row().unwrap();
    image.row = reserved.row;
    publisher.publish(image, previous).unwrap();
    Known {
        image: image.clone(),
        generation: reserved.generation,
        baseline: reserved.baseline,
    }
}

/// What a worker finds for a frame from a line: the row's host and address.
fn upstream(tables: &Tables, line: Line, mac: Mac) -> Option<(Mac, Ipv4Addr)> {
    match tables.access.lookup(&lines::key(line, mac), &tables.rows) {
        Found::Session(index) => {
            let row = tables.rows.get(index)?.read();
            (row.policy.state() != RowState::Free).then_some((Mac(row.mac), row.ipv4))
        }
        _ => None,
    }
}

/// What a worker finds for a packet to an address: the line and host to send it to.
fn downstream(tables: &Tables, address: Ipv4Addr) -> Option<(Line, Mac)> {
    let Leaf::Session(index) = tables.fib.lookup(u32::from(address)) else {
        return None;
    };
    let row = tables.rows.get(index)?.read();
    let is_its_own = row.ipv4 == address && row.policy.state() != RowState::Free;
    is_its_own.then_some((
        Line {
            port: row.port,
            s_vlan: row.s_vlan,
            c_vlan: row.c_vlan,
        },
        Mac(row.mac),
    ))
}

#[test]
fn a_published_session_is_found_by_line_and_by_address_and_a_withdrawn_one_by_neither() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let tables = publisher.tables().clone();
    let mut a = image(1, line(100, 7), 1, "10.255.1.1");

    publish(&mut publisher, &mut a, None);
    assert_eq!(upstream(&tables, a.line, a.mac), Some((a.mac, a.ipv4)));
    assert_eq!(downstream(&tables, a.ipv4), Some((a.line, a.mac)));
    assert_eq!(publisher.side().intent.read(), None);
    let found = tables.rows.get(a.row).unwrap().read();
    assert_eq!((found.generation, found.mtu, found.prefix_len), (1, 1500, 16));
    assert!(tables.rows.get(a.row).unwrap().is_sealed());

    publisher.withdraw(&a);
    assert_eq!(upstream(&tables, a.line, a.mac), None);
    assert_eq!(tables.fib.lookup(u32::from(a.ipv4)), Leaf::Discard);
}

#[test]
fn a_row_rests_until_no_worker_reads_it_and_its_counters_were_taken() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let worker = lab.worker();
    let lcore = worker.tables.lcores.get(0).unwrap();
    go_online(worker.tables.epoch(), &lcore.epoch);
    let mut a = image(1, line(100, 7), 1, "10.255.1.1");
    publish(&mut publisher, &mut a, None);
    let state = worker.tables.states.get(a.row).unwrap();
    state.direction(Direction::Upstream).account(3, 300);

    publisher.withdraw(&a);
    assert_eq!(publisher.poll(), []);
    assert!(publisher.is_waiting());
    let slots: Vec<usize> = publisher.lagging().into_iter().map(|(slot, _)| slot).collect();
    assert_eq!(slots, [0]);
    // A burst that began before the withdrawal still counts.
    state.direction(Direction::Downstream).account(1, 50);
    quiesce(worker.tables.epoch(), &lcore.epoch);

    let totals = |packets, bytes| Totals {
        packets,
        bytes,
        policed: 0,
    };
    let retired = RetiredRow {
        session: a.session,
        row: a.row,
        traffic: [totals(3, 300), totals(1, 50)],
    };
    assert_eq!(publisher.poll(), [retired]);
    assert!(!publisher.is_waiting());

    // Not before it was given back; and then counters go on from where they were.
    let mut reserved = HashSet::new();
    while let Ok(row) = publisher.reserve_row() {
        assert!(row.row != a.row);
        reserved.insert(row.row);
    }
    assert_eq!(reserved.len(), 62);
    publisher.release_row(a.row);
    let again = publisher.reserve_row().unwrap();
    assert_eq!((again.row, again.generation), (a.row, 2));
    assert_eq!(again.baseline, [totals(3, 300), totals(1, 50)]);
    assert_eq!(publisher.reserve_row(), Err(TableError::NoRow(63)));
}

#[test]
fn a_policy_is_one_store_and_equal_rates_share_a_policer() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let tables = publisher.tables().clone();
    let (mut a, mut b) = (
        image(1, line(100, 7), 1, "10.255.1.1"),
        image(2, line(100, 8), 2, "10.255.1.2"),
    );
    publish(&mut publisher, &mut a, None);
    publish(&mut publisher, &mut b, None);
    let policy = |image: &SessionImage| tables.rows.get(image.row).unwrap().policy();
    assert_eq!(
        (policy(&a).state(), policy(&a).policer(Direction::Upstream)),
        (RowState::Wgar, 0)
    );
    let flow = |far: &str, protocol, port| Flow {
        far_address: u32::from(ip(far)),
        protocol,
        far_port: Some(port),
    };
    let judge = |flow| tables.gardens.judge(policy(&a).garden(), &flow);
    assert_eq!(judge(flow("198.51.100.80", 6, 443)), Judgement::Permitted);
    assert_eq!(judge(flow("198.51.100.81", 6, 443)), Judgement::Refused);

    publisher
        .set_policy(a.row, &active(100_000_000, 20_000_000))
        .unwrap();
    publisher
        .set_policy(b.row, &active(20_000_000, 20_000_000))
        .unwrap();
    assert_eq!((policy(&a).state(), policy(&a).garden()), (RowState::Active, 0));
    assert_eq!(
        policy(&a).policer(Direction::Upstream),
        policy(&b).policer(Direction::Downstream)
    );
    assert_ne!(
        policy(&a).policer(Direction::Upstream),
        policy(&a).policer(Direction::Downstream)
    );
    assert_eq!(publisher.usage().policers, 2);

    // Seven distinct rates fit; the eighth is refused and changes nothing.
    for rate in 3..=7u64 {
        let policy = PolicyImage {
            isolated: true,
            ..active(20_000_000, rate * 1_000_000)
        };
        publisher.set_policy(b.row, &policy).unwrap();
        assert!(tables.rows.get(b.row).unwrap().policy().is_isolated());
    }
    publisher.poll();
    publisher.set_policy(b.row, &active(0, 0)).unwrap();
    publisher.poll();
    assert_eq!(publisher.usage().policers, 2);
    let before = policy(&a);
    assert_eq!(
        publisher.set_policy(
            a.row,
            &PolicyImage {
                garden: Some("nowhere".into()),
                ..in_garden()
            }
        ),
        Err(TableError::NoGarden("nowhere".into()))
    );
    assert_eq!(policy(&a), before);
    assert_eq!(
        publisher.set_policy(row(60), &in_garden()),
        Err(TableError::NotPublished(60))
    );
}

#[test]
fn a_policer_number_means_nothing_else_while_a_worker_may_read_it() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let worker = lab.worker();
    let lcore = worker.tables.lcores.get(1).unwrap();
    go_online(worker.tables.epoch(), &lcore.epoch);
    let mut a = image(1, line(100, 7), 1, "10.255.1.1");
    a.policy = active(1_000_000, 0);
    publish(&mut publisher, &mut a, None);
    let number = worker
        .tables
        .rows
        .get(a.row)
        .unwrap()
        .policy()
        .policer(Direction::Downstream);
    let profile = worker.tables.policers.get(number);

    for rate in 2..=7 {
        publisher.set_policy(a.row, &active(rate * 1_000_000, 0)).unwrap();
    }
    publisher.poll();
    assert_eq!(worker.tables.policers.get(number), profile);
    let full = publisher.set_policy(a.row, &active(8_000_000, 0));
    assert_eq!(full, Err(TableError::NoPolicer(7)));
    // A rate that was given up and not yet reused is taken up again.
    publisher.set_policy(a.row, &active(1_000_000, 0)).unwrap();

    quiesce(worker.tables.epoch(), &lcore.epoch);
    publisher.poll();
    publisher.set_policy(a.row, &active(8_000_000, 0)).unwrap();
    assert_eq!(worker.tables.policers.get(number), profile);
}

#[test]
fn the_configuration_s_routes_stand_from_the_start() {
    let lab = Lab::new();
    let publisher = lab.attach(&[]).publisher;
    let fib = &publisher.tables().fib;
    let lookup = |address: &str| fib.lookup(u32::from(ip(address)));

    assert_eq!(lookup("10.255.77.1"), Leaf::Discard);
    assert_eq!(lookup("10.255.0.1"), Leaf::Local);
    assert_eq!(lookup("10.0.0.1"), Leaf::Local);
    assert_eq!(lookup("192.0.2.2"), Leaf::Local);
    assert_eq!(lookup("192.0.2.77"), Leaf::Glean(1));
    assert_eq!(lookup("192.0.2.255"), Leaf::Discard);
    let (Leaf::Adjacency(default), Leaf::Adjacency(via)) = (lookup("8.8.8.8"), lookup("198.51.100.9")) else {
        panic!("no adjacency");
    };
    assert_eq!(
        publisher.tables().adjacencies.address(default),
        Some(ip("192.0.2.1"))
    );
    assert_eq!(publisher.tables().adjacencies.address(via), Some(ip("192.0.2.3")));
    assert_eq!(publisher.tables().adjacencies.get(via), Some(None));
    assert_eq!(
        lookup("192.0.2.1"),
        Leaf::Adjacency(default),
        "a next hop is a host, too"
    );
    assert_eq!(lookup("192.0.2.3"), Leaf::Adjacency(via));
}

#[test]
fn next_hops_and_neighbours_stay_resolved_over_a_restart() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let hop = |address: &str| Hop {
        port: 1,
        address: ip(address),
    };
    publisher.resolve(hop("192.0.2.1"), Some([2, 0, 0, 0, 9, 1]));
    publisher
        .add_neighbour(hop("192.0.2.50"), [2, 0, 0, 0, 9, 50])
        .unwrap();
    publisher
        .add_neighbour(hop("192.0.2.51"), [2, 0, 0, 0, 9, 51])
        .unwrap();
    publisher.remove_neighbour(hop("192.0.2.51"));
    let before = publisher.tables().fib.lookup(u32::from(ip("192.0.2.50")));
    assert!(matches!(before, Leaf::Adjacency(_)));
    assert_eq!(
        publisher.tables().fib.lookup(u32::from(ip("192.0.2.51"))),
        Leaf::Glean(1)
    );
    drop(publisher);

    let attached = lab.attach(&[]);

    assert_eq!(attached.leaves_changed, 0);
    let known: BTreeMap<_, _> = attached.neighbours.into_iter().collect();
    assert_eq!(known[&hop("192.0.2.1")], Some([2, 0, 0, 0, 9, 1]));
    assert_eq!(known[&hop("192.0.2.3")], None);
    assert_eq!(known[&hop("192.0.2.50")], Some([2, 0, 0, 0, 9, 50]));
    assert_eq!(
        attached
            .publisher
            .tables()
            .fib
            .lookup(u32::from(ip("192.0.2.50"))),
        before
    );

    let mut publisher = attached.publisher;
    publisher.poll();
    let mut added = 0;
    for host in 60..80 {
        let hop = hop(&format!("192.0.2.{host}"));
        added += usize::from(publisher.add_neighbour(hop, [2, 0, 0, 0, 9, host]).is_ok());
    }
    assert_eq!(added, 5, "eight adjacencies, two next hops and one host");
}

#[test]
fn what_cannot_be_linked_leaves_nothing_behind() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let tables = publisher.tables().clone();
    let mut a = image(1, line(102, 7), 1, "10.255.1.1");
    let reserved = publisher.reserve_row().unwrap();
    a.row = reserved.row;
    a.policy = active(5_000_000, 0);

    let error = publisher.publish(&a, None).unwrap_err();
    assert!(matches!(error, TableError::Access(_)), "{error}");
    assert_eq!(tables.fib.lookup(u32::from(a.ipv4)), Leaf::Discard);
    assert_eq!(publisher.usage().policers, 0);
    publisher.release_row(a.row);
    publisher.poll();
    assert_eq!(publisher.usage().rows_free, 63);

    // A session that moves to a line that is not there stays where it is.
    let mut b = image(2, line(100, 7), 2, "10.255.1.2");
    publish(&mut publisher, &mut b, None);
    let moved = SessionImage {
        line: line(102, 1),
        row: publisher.reserve_row().unwrap().row,
        ..b.clone()
    };
    assert!(publisher.publish(&moved, Some(&b)).is_err());
    assert_eq!(upstream(&tables, b.line, b.mac), Some((b.mac, b.ipv4)));
    assert_eq!(downstream(&tables, b.ipv4), Some((b.line, b.mac)));

    // The seventeenth /24 finds no group.
    let mut refused = None;
    for net in 3..40u16 {
        let mut c = image(
            100 + u64::from(net),
            line(100, 100 + net),
            net as u8,
            &format!("10.255.{net}.1"),
        );
        c.row = publisher.reserve_row().unwrap().row;
        if let Err(error) = publisher.publish(&c, None) {
            publisher.release_row(c.row);
            refused = Some(error);
            break;
        }
    }
    assert!(matches!(refused, Some(TableError::Fib(_))), "{refused:?}");
}

#[test]
fn hosts_of_a_shared_line_are_told_apart_by_their_mac_address() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let tables = publisher.tables().clone();
    let shared = line(200, 5);
    let mut hosts: Vec<SessionImage> = (1..=20)
        .map(|n| image(n, shared, n as u8, &format!("10.255.1.{n}")))
        .collect();
    for host in &mut hosts {
        publish(&mut publisher, host, None);
    }

    publisher.withdraw(&hosts[3]);

    for (n, host) in hosts.iter().enumerate() {
        let there = (n != 3).then_some((host.mac, host.ipv4));
        assert_eq!(upstream(&tables, shared, host.mac), there);
    }
    assert_eq!(upstream(&tables, line(200, 6), hosts[0].mac), None);
}

#[test]
fn a_restart_touches_nothing_of_a_session_that_is_as_it_should_be() {
    let lab = Lab::new();
    let worker = lab.worker();
    let mut publisher = lab.attach(&[]).publisher;
    let mut known = Vec::new();
    for n in 1..=30u8 {
        let mut session = image(u64::from(n), line(100, n.into()), n, &format!("10.255.1.{n}"));
        session.policy = active(u64::from(n % 3 + 1) * 1_000_000, 1_000_000);
        known.push(publish(&mut publisher, &mut session, None));
        worker
            .tables
            .states
            .get(session.row)
            .unwrap()
            .direction(Direction::Upstream)
            .account(5, 500);
    }
    drop(publisher);
    let words: Vec<_> = known
        .iter()
        .map(|k| worker.tables.rows.get(k.image.row).unwrap().read())
        .collect();
    // Not one moment without them.
    let watched = known.clone();
    set_hook(move |tables| {
        for session in &watched {
            assert_eq!(
                downstream(tables, session.image.ipv4),
                Some((session.image.line, session.image.mac))
            );
            assert!(upstream(tables, session.image.line, session.image.mac).is_some());
        }
    });

    let attached = lab.attach(&known);

    clear_hook();
    assert_eq!((attached.kept, attached.leaves_changed), (30, 0));
    assert_eq!((attached.rebased.len(), attached.unplaced.len()), (0, 0));
    let after: Vec<_> = known
        .iter()
        .map(|k| worker.tables.rows.get(k.image.row).unwrap().read())
        .collect();
    assert_eq!(words, after);
    let mut publisher = attached.publisher;
    assert_eq!(publisher.usage().policers, 3);
    assert_eq!(publisher.traffic(known[0].image.row)[0].packets, 5);
    // What is withdrawn now counts from when the session got its row, before the restart.
    publisher.withdraw(&known[0].image);
    assert_eq!(publisher.poll()[0].traffic[0].bytes, 500);
}

#[test]
fn a_restart_applies_policies_that_the_dead_control_did_not_and_takes_out_who_is_gone() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let (mut a, mut b) = (
        image(1, line(100, 7), 1, "10.255.1.1"),
        image(2, line(100, 8), 2, "10.255.1.2"),
    );
    a.policy = active(9_000_000, 9_000_000);
    b.policy = active(9_000_000, 9_000_000);
    let mut known = publish(&mut publisher, &mut a, None);
    publish(&mut publisher, &mut b, None);
    drop(publisher);

    known.image.policy = PolicyImage {
        state: State::Suspended,
        garden: Some("suspended".into()),
        ..active(1_000_000, 9_000_000)
    };
    let attached = lab.attach(std::slice::from_ref(&known));

    let mut publisher = attached.publisher;
    let tables = publisher.tables().clone();
    let policy = tables.rows.get(a.row).unwrap().policy();
    assert_eq!(policy.state(), RowState::Suspended);
    assert_ne!(policy.garden(), 0);
    assert_eq!(attached.kept, 1);
    assert_eq!(upstream(&tables, b.line, b.mac), None);
    assert_eq!(tables.fib.lookup(u32::from(b.ipv4)), Leaf::Discard);
    // Nobody asked for the row's counters: it is free without a word.
    assert_eq!(publisher.poll(), []);
    assert_eq!(publisher.usage().rows_free, 62);
    assert_eq!(tables.rows.get(b.row).unwrap().policy(), FREE);
    assert_eq!(publisher.usage().policers, 2);
    drop(publisher);
    assert_eq!(lab.attach(&[known]).publisher.usage().policers, 2);
}

#[test]
fn a_fresh_segment_is_filled_from_the_store_and_counts_from_zero() {
    let known: Vec<Known> = (1..=20u8)
        .map(|n| Known {
            image: SessionImage {
                row: row(u32::from(n) + 40),
                ..image(u64::from(n), line(100, n.into()), n, &format!("10.255.1.{n}"))
            },
            generation: 9,
            baseline: [Totals {
                packets: 1,
                bytes: 2,
                policed: 3,
            }; 2],
        })
        .collect();
    let lab = Lab::new();

    let attached = lab.attach(&known);

    assert_eq!((attached.kept, attached.rebased.len()), (0, 20));
    for (session, (id, reserved)) in known.iter().zip(&attached.rebased) {
        assert_eq!(session.image.session, *id);
        assert_eq!(reserved.row, session.image.row, "its own row was free");
        assert_eq!((reserved.generation, reserved.baseline), (1, Default::default()));
        let tables = attached.publisher.tables();
        assert_eq!(
            downstream(tables, session.image.ipv4),
            Some((session.image.line, session.image.mac))
        );
    }
}

#[test]
fn a_full_table_of_strangers_is_swept_before_the_known_are_placed() {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    for n in 1..=63u8 {
        publish(
            &mut publisher,
            &mut image(n.into(), line(101, n.into()), n, &format!("10.255.1.{n}")),
            None,
        );
    }
    drop(publisher);
    let known = Known {
        image: image(900, line(100, 9), 9, "10.255.1.9"),
        generation: 1,
        baseline: Default::default(),
    };

    let attached = lab.attach(std::slice::from_ref(&known));

    assert_eq!((attached.rebased.len(), attached.unplaced.len()), (1, 0));
    assert_eq!(
        downstream(attached.publisher.tables(), known.image.ipv4),
        Some((known.image.line, known.image.mac))
    );
    assert_eq!(attached.publisher.usage().rows_free, 62);
}

#[test]
fn a_garden_that_changed_gets_a_number_of_its_own_and_policy_words_follow() {
    let mut lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let mut a = image(1, line(100, 7), 1, "10.255.1.1");
    let known = publish(&mut publisher, &mut a, None);
    drop(publisher);
    let garden = |tables: &Tables| tables.rows.get(row(1)).unwrap().policy().garden();
    let kept = lab.attach(std::slice::from_ref(&known));
    let before = garden(kept.publisher.tables());
    drop(kept);

    // The two gardens change places in the file, and one changes its rules.
    lab.reconfigure(&CONFIG.replace("ports = \"80,443\"", "ports = \"80\""));
    let attached = lab.attach(&[known]);

    let tables = attached.publisher.tables();
    assert_ne!(garden(tables), before);
    let to = |port| Flow {
        far_address: u32::from(ip("198.51.100.80")),
        protocol: 6,
        far_port: Some(port),
    };
    assert_eq!(
        tables.gardens.judge(garden(tables), &to(80)),
        Judgement::Permitted
    );
    assert_eq!(tables.gardens.judge(garden(tables), &to(443)), Judgement::Refused);
    // A worker with the old word in hand still finds the old rules.
    assert_eq!(tables.gardens.judge(before, &to(443)), Judgement::Permitted);
}

#[test]
fn while_gardens_change_a_session_is_judged_by_its_old_rules_or_the_new_and_never_by_none() {
    let mut lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let mut a = image(1, line(100, 7), 1, "10.255.1.1");
    let known = publish(&mut publisher, &mut a, None);
    drop(publisher);
    let seen = std::rc::Rc::new(RefCell::new(Vec::new()));
    let watch = std::rc::Rc::clone(&seen);
    lab.reconfigure(&CONFIG.replace("ports = \"80,443\"", "ports = \"443,8080\""));
    let worker = lab.worker();
    set_hook(move |_| {
        let tables = &worker.tables;
        let garden = tables.rows.get(row(1)).unwrap().policy().garden();
        let judge = |far_port| {
            let flow = Flow {
                far_address: u32::from(ip("198.51.100.80")),
                protocol: 6,
                far_port: Some(far_port),
            };
            tables.gardens.judge(garden, &flow)
        };
        watch.borrow_mut().push([80, 443, 8080].map(judge));
    });

    let attached = lab.attach(std::slice::from_ref(&known));
    clear_hook();

    use Judgement::{Permitted, Refused};
    let (old, new) = ([Permitted, Permitted, Refused], [Refused, Permitted, Permitted]);
    let mut seen = seen.take();
    seen.dedup();
    assert_eq!(seen, [old, new]);
    // At the next restart its garden keeps its number, and the one that nobody names any more is gone.
    let before = attached.publisher.tables().gardens.read_all();
    assert_eq!(before.len(), 3);
    drop(attached);
    let publisher = lab.attach(&[known]).publisher;
    let tables = publisher.tables();
    let garden = tables.rows.get(row(1)).unwrap().policy().garden();
    assert_eq!(tables.gardens.read_all().len(), 2);
    assert_eq!(tables.gardens.read(garden).as_ref(), before.get(&garden));
}

#[test]
fn gardens_that_do_not_fit_beside_the_old_ones_take_their_place() {
    let ports = |from: u16| {
        let ports: Vec<String> = (0..14).map(|n| (from + 2 * n).to_string()).collect();
        CONFIG
            .replace("ports = \"80,443\"", &format!("ports = \"{}\"", ports.join(",")))
            .replace(", protocol = \"any\" }", ", protocol = \"icmp\" }")
            .replace("garden_rules = 16", "garden_rules = 18")
    };
    let mut lab = Lab::with(&ports(1000));
    let mut publisher = lab.attach(&[]).publisher;
    let mut a = image(1, line(100, 7), 1, "10.255.1.1");
    let known = publish(&mut publisher, &mut a, None);
    drop(publisher);

    lab.reconfigure(&ports(2000));
    let attached = lab.attach(&[known]);

    assert_eq!((attached.kept, attached.unplaced.len()), (1, 0));
    let tables = attached.publisher.tables();
    let garden = tables.rows.get(row(1)).unwrap().policy().garden();
    let to = |far_port| Flow {
        far_address: u32::from(ip("198.51.100.80")),
        protocol: 6,
        far_port: Some(far_port),
    };
    assert_eq!(tables.gardens.judge(garden, &to(2000)), Judgement::Permitted);
    assert_eq!(tables.gardens.judge(garden, &to(1000)), Judgement::Refused);
}

#[test]
fn a_line_that_the_configuration_no_longer_has_is_named_and_its_session_not_reachable() {
    let mut lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    let mut a = image(1, line(101, 7), 1, "10.255.1.1");
    let known = publish(&mut publisher, &mut a, None);
    drop(publisher);

    lab.reconfigure(&CONFIG.replace("100-101", "100"));
    let attached = lab.attach(&[known]);

    assert_eq!(attached.unplaced.len(), 1);
    assert_eq!(downstream(attached.publisher.tables(), a.ipv4), None);
    let mut publisher = attached.publisher;
    publisher.poll();
    assert_eq!(publisher.usage().rows_free, 63);
}

#[test]
fn a_worker_that_stands_still_keeps_a_successor_from_reusing_anything() {
    let lab = Lab::new();
    let worker = lab.worker();
    let lcore = worker.tables.lcores.get(1).unwrap();
    go_online(worker.tables.epoch(), &lcore.epoch);

    let stalled = Publisher::attach(
        lab.side(),
        Arc::clone(&lab.config),
        Vec::new(),
        Duration::from_millis(5),
    );
    let error = stalled.unwrap_err();
    assert!(
        matches!(&error, PublishError::Stalled { slots } if slots == &[1]),
        "{error}"
    );

    // Dead is another thing than slow: the lock proves it.
    drop(worker);
    lab.attach(&[]);
}

/// What the sessions are, before or after an operation: by id.
type Truth = BTreeMap<u64, Known>;

/// An operation that is stopped at each of its steps.
struct Story {
    name: &'static str,
    run: fn(&mut Publisher, &Truth) -> Truth,
}

const STORIES: &[Story] = &[
    Story {
        name: "a new session",
        run: |publisher, before| {
            let mut after = before.clone();
            let mut new = image(9, line(100, 90), 90, "10.255.9.90");
            let reserved = publisher.reserve_row().unwrap();
            new.row = reserved.row;
            after.insert(9, known(&new, reserved));
            announce(&after);
            publisher.publish(&new, None).unwrap();
            after
        },
    },
    Story {
        name: "another address for a session",
        run: |publisher, before| replace(publisher, before, 1, |image| image.ipv4 = ip("10.0.7.1")),
    },
    Story {
        name: "an address in a /24 that has others",
        run: |publisher, before| replace(publisher, before, 1, |image| image.ipv4 = ip("10.255.1.200")),
    },
    Story {
        name: "a session moves to another line",
        run: |publisher, before| replace(publisher, before, 1, |image| image.line = line(101, 55)),
    },
    Story {
        name: "another host takes over line and address",
        run: |publisher, before| replace(publisher, before, 2, |image| image.mac = Mac([2, 0, 0, 0, 7, 7])),
    },
    Story {
        name: "a host of a shared line gets another address",
        run: |publisher, before| replace(publisher, before, 3, |image| image.ipv4 = ip("10.0.7.3")),
    },
    Story {
        name: "a session ends",
        run: |publisher, before| {
            let mut after = before.clone();
            let gone = after.remove(&1).unwrap();
            announce(&after);
            publisher.withdraw(&gone.image);
            after
        },
    },
    Story {
        name: "another session displaces the one on the line and inherits its address",
        run: |publisher, before| {
            let mut after = before.clone();
            let old = after.remove(&1).unwrap();
            let mut new = image(9, old.image.line, 99, "10.255.1.1");
            let reserved = publisher.reserve_row().unwrap();
            new.row = reserved.row;
            after.insert(9, known(&new, reserved));
            announce(&after);
            publisher.publish(&new, None).unwrap();
            publisher.withdraw(&old.image);
            after
        },
    },
];

thread_local! {
    static AFTER: RefCell<Option<Truth>> = const { RefCell::new(None) };
}

/// An operation says what will be true before its first store, so that a stop in it leaves both truths to judge by.
fn announce(after: &Truth) {
    AFTER.with(|place| *place.borrow_mut() = Some(after.clone()));
}

fn known(image: &SessionImage, reserved: ReservedRow) -> Known {
    Known {
        image: image.clone(),
        generation: reserved.generation,
        baseline: reserved.baseline,
    }
}

fn replace(publisher: &mut Publisher, before: &Truth, id: u64, change: fn(&mut SessionImage)) -> Truth {
    let mut after = before.clone();
    let old = before[&id].image.clone();
    let mut new = old.clone();
    change(&mut new);
    let reserved = publisher.reserve_row().unwrap();
    new.row = reserved.row;
    after.insert(id, known(&new, reserved));
    announce(&after);
    publisher.publish(&new, Some(&old)).unwrap();
    after
}

/// Whatever a worker finds belongs to who has it now or had it a moment ago, and what both truths agree on is found.
fn check(tables: &Tables, before: &Truth, after: &Truth) {
    let images = || before.values().chain(after.values()).map(|known| &known.image);
    let addresses: HashSet<Ipv4Addr> = images().map(|image| image.ipv4).collect();
    for address in addresses {
        let owner = |truth: &Truth| {
            truth
                .values()
                .find(|k| k.image.ipv4 == address)
                .map(|k| (k.image.line, k.image.mac))
        };
        let (found, was, is) = (downstream(tables, address), owner(before), owner(after));
        assert!(
            found == was || found == is || found.is_none(),
            "{address}: {found:?}, was {was:?}, is {is:?}"
        );
        if was.is_some() && is.is_some() {
            assert!(found.is_some(), "{address} leads nowhere for a moment");
        }
    }
    let hosts: HashSet<(Line, Mac)> = images().map(|image| (image.line, image.mac)).collect();
    for (line, mac) in hosts {
        // On a 1:1 line the worker finds the line's session and drops a wrong source itself.
        let owner = |truth: &Truth| {
            let mut of_line = truth.values().filter(|k| k.image.line == line);
            of_line
                .find(|k| line.s_vlan != 200 || k.image.mac == mac)
                .map(|k| (k.image.mac, k.image.ipv4))
        };
        let (found, was, is) = (upstream(tables, line, mac), owner(before), owner(after));
        assert!(
            found == was || found == is || found.is_none(),
            "{line:?}: {found:?}, was {was:?}, is {is:?}"
        );
        if was.is_some() && is.is_some() {
            assert!(found.is_some(), "{line:?} is without a session for a moment");
        }
    }
}

fn first_state(publisher: &mut Publisher) -> Truth {
    let images = [
        image(1, line(100, 1), 1, "10.255.1.1"),
        image(2, line(100, 2), 2, "10.255.1.2"),
        image(3, line(200, 1), 3, "10.255.1.3"),
        image(4, line(200, 1), 4, "10.255.1.4"),
    ];
    let publish = |mut image: SessionImage| (image.session.0, publish(publisher, &mut image, None));
    images.into_iter().map(publish).collect()
}

/// Runs a story up to step `stop_at`; gives the truths, and whether it was stopped.
fn run_until(publisher: &mut Publisher, story: &Story, before: &Truth, stop_at: usize) -> (Truth, bool) {
    announce(before);
    let count = Cell::new(0);
    let base = before.clone();
    set_hook(move |tables| {
        let after = AFTER.with(|place| place.borrow().clone()).unwrap();
        check(tables, &base, &after);
        if count.get() == stop_at {
            std::panic::resume_unwind(Box::new("stopped"));
        }
        count.set(count.get() + 1);
    });
    let outcome = catch_unwind(AssertUnwindSafe(|| (story.run)(publisher, before)));
    clear_hook();
    let after = AFTER.with(|place| place.borrow_mut().take()).unwrap();
    match outcome {
        Ok(_) => (after, false),
        // A failed check carries its own message; only our stop is expected here.
        Err(panic) if panic.downcast_ref::<&str>() == Some(&"stopped") => (after, true),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The successor has set things right: gives its publisher and what is true now.
fn settled(truth: &Truth, attached: Attached) -> (Publisher, Truth) {
    assert!(attached.unplaced.is_empty());
    let mut publisher = attached.publisher;
    let mut truth = truth.clone();
    for (session, reserved) in &attached.rebased {
        let known = truth.get_mut(&session.0).unwrap();
        known.image.row = reserved.row;
        known.generation = reserved.generation;
        known.baseline = reserved.baseline;
    }
    publisher.poll();
    assert_eq!(publisher.side().intent.read(), None);
    let usage = publisher.usage();
    assert_eq!(
        (usage.rows_published, usage.rows_free),
        (truth.len(), 63 - truth.len())
    );
    check(publisher.tables(), &truth, &truth);
    // Rows of nobody are free in the segment, too.
    let rows = &publisher.tables().rows;
    let live = rows
        .indexes()
        .filter(|i| rows.get(*i).unwrap().policy().state() != RowState::Free);
    assert_eq!(live.count(), truth.len());
    (publisher, truth)
}

/// Takes every session away again.
fn empty(publisher: &mut Publisher, truth: &Truth) {
    for known in truth.values() {
        publisher.withdraw(&known.image);
    }
    for retired in publisher.poll() {
        publisher.release_row(retired.row);
    }
    assert_eq!(publisher.usage().rows_free, 63);
}

/// An operation, stopped at every step; the store had either truth; the successor sets right what it finds.
fn control_may_die_between_any_two_stores_of(story: &Story) {
    let lab = Lab::new();
    let mut publisher = lab.attach(&[]).publisher;
    for stop_at in 0.. {
        println!("{}, stopped at step {stop_at}", story.name);
        let mut stopped = false;
        for store_has_it in [true, false] {
            let before = first_state(&mut publisher);
            let (after, was_stopped) = run_until(&mut publisher, story, &before, stop_at);
            stopped = was_stopped;
            drop(publisher);
            let stored = if store_has_it { &after } else { &before };
            let known: Vec<Known> = stored.values().cloned().collect();

            let watched = (before.clone(), after.clone());
            set_hook(move |tables| check(tables, &watched.0, &watched.1));
            let attached = lab.attach(&known);
            clear_hook();
            let truth;
            (publisher, truth) = settled(stored, attached);
            if !stopped {
                // Another restart finds nothing to do.
                drop(publisher);
                let known: Vec<Known> = truth.values().cloned().collect();
                let again = lab.attach(&known);
                assert_eq!((again.kept, again.leaves_changed), (truth.len(), 0));
                publisher = again.publisher;
            }
            empty(&mut publisher, &truth);
        }
        if !stopped {
            assert!(stop_at >= 5, "only {stop_at} steps");
            return;
        }
    }
}

macro_rules! stories_cut_short {
    ($($test:ident: $index:literal,)*) => {$(
        #[test]
        fn $test() {
            control_may_die_between_any_two_stores_of(&STORIES[$index]);
        }
    )*};
}

stories_cut_short! {
    control_may_die_while_a_session_is_new: 0,
    control_may_die_while_an_address_changes: 1,
    control_may_die_while_an_address_changes_within_a_group: 2,
    control_may_die_while_a_session_moves: 3,
    control_may_die_while_another_host_takes_over: 4,
    control_may_die_while_a_shared_line_s_host_changes: 5,
    control_may_die_while_a_session_ends: 6,
    control_may_die_while_a_session_is_displaced: 7,
}

/// The successor dies, too, at each of its steps, and so on until one comes through.
#[test]
fn the_successor_may_die_as_well() {
    // A new address and another line: all of a publication; the displacement: two in a row.
    for story in [&STORIES[1], &STORIES[7]] {
        let lab = Lab::new();
        let mut publisher = lab.attach(&[]).publisher;
        let before = first_state(&mut publisher);
        let (after, stopped) = run_until(&mut publisher, story, &before, 4);
        assert!(stopped);
        drop(publisher);
        let known: Vec<Known> = after.values().cloned().collect();
        let mut attempts = 0;
        let attached = loop {
            let side = lab.side();
            let (config, known) = (Arc::clone(&lab.config), known.clone());
            let (watched, count) = ((before.clone(), after.clone()), Cell::new(0));
            set_hook(move |tables| {
                check(tables, &watched.0, &watched.1);
                if count.get() == attempts {
                    std::panic::resume_unwind(Box::new("stopped"));
                }
                count.set(count.get() + 1);
            });
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                Publisher::attach(side, config, known, PATIENCE)
            }));
            clear_hook();
            match outcome {
                Ok(attached) => break attached.unwrap(),
                Err(panic) if panic.downcast_ref::<&str>() == Some(&"stopped") => attempts += 1,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        };
        assert!(attempts >= 4, "{attempts}");
        settled(&after, attached);
    }
}
