//! Models under loom: every interleaving of small cases, with the memory model's freedoms.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p shm-bridge --release --lib models`
//!
//! Each shows one promise of the crate. Where the promise rests on one line, a second model leaves the line out and must fail:
//! that shows that the first can.
//!
//! What loom does not explore: a load that is delayed past a later store of its own thread. That the release stores of
//! [`epoch::quiesce`] and of a ring's tail keep earlier loads before them rests on the memory model alone.

use std::net::Ipv4Addr;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};
use loom::thread;

use crate::access::{AccessIndex, AccessKey, AccessWriter, Found, LineModel};
use crate::adjacency::AdjacencyIndex;
use crate::epoch;
use crate::fib::{Fib, FibWriter, Leaf, Prefix};
use crate::garden::index::Half;
use crate::garden::plan::Plan;
use crate::garden::{Flow, GardenWriter, Gardens, Judgement, Rule};
use crate::intent::{Intent, IntentCell, Stage};
use crate::policer::{Profile, Profiles, Rate};
use crate::ring;
use crate::session::{Policy, Row, RowCells, RowState, Rows, SessionIndex};
use crate::shared::Shared;

fn index(number: u32) -> SessionIndex {
    SessionIndex::new(number).unwrap()
}

/// One row that a slot leads to, the global epoch, and one lcore.
struct Lane {
    /// 0 = leads nowhere.
    slot: AtomicU64,
    /// What stands in the row: 1 the first subscriber, 2 the next.
    row: AtomicU64,
    epoch: AtomicU64,
    lcore: AtomicU64,
}

impl Lane {
    fn new(lcore: u64) -> Arc<Lane> {
        Arc::new(Lane {
            slot: AtomicU64::new(1),
            row: AtomicU64::new(1),
            epoch: AtomicU64::new(epoch::FIRST),
            lcore: AtomicU64::new(lcore),
        })
    }

    /// A burst: whoever finds the slot must find the subscriber it was for, until the burst is over.
    fn burst(&self) {
        if self.slot.load(Ordering::Acquire) == 1 {
            assert_eq!(
                self.row.load(Ordering::Relaxed),
                1,
                "a row was reused under a reader"
            );
        }
    }

    /// Control: unlink, and reuse only what a grace period has freed.
    fn reuse(&self) {
        self.slot.store(0, Ordering::Release);
        let opened = epoch::advance(&self.epoch);
        if epoch::all_reached(opened, [&self.lcore]) {
            self.row.store(2, Ordering::Relaxed);
        }
    }
}

#[test]
fn a_row_is_not_reused_under_a_polling_lcore() {
    loom::model(|| {
        let lane = Lane::new(epoch::FIRST);
        let worker = {
            let lane = lane.clone();
            thread::spawn(move || {
                for _ in 0..2 {
                    epoch::quiesce(&lane.epoch, &lane.lcore);
                    lane.burst();
                }
            })
        };
        lane.reuse();
        worker.join().unwrap();
    });
}

#[test]
fn a_row_is_not_reused_under_an_lcore_that_wakes() {
    loom::model(|| {
        let lane = Lane::new(epoch::OFFLINE);
        let worker = {
            let lane = lane.clone();
            thread::spawn(move || {
                epoch::go_online(&lane.epoch, &lane.lcore);
                lane.burst();
                epoch::go_offline(&lane.lcore);
            })
        };
        lane.reuse();
        worker.join().unwrap();
    });
}

#[test]
fn a_row_is_not_reused_under_an_lcore_that_slept_between_two_bursts() {
    loom::model(|| {
        let lane = Lane::new(epoch::FIRST);
        let worker = {
            let lane = lane.clone();
            thread::spawn(move || {
                lane.burst();
                epoch::go_offline(&lane.lcore);
                epoch::go_online(&lane.epoch, &lane.lcore);
                lane.burst();
            })
        };
        lane.reuse();
        worker.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "a row was reused under a reader")]
fn without_the_fence_a_waking_lcore_reads_a_reused_row() {
    loom::model(|| {
        let lane = Lane::new(epoch::OFFLINE);
        let worker = {
            let lane = lane.clone();
            thread::spawn(move || {
                let now = lane.epoch.load(Ordering::Acquire).max(epoch::FIRST);
                lane.lcore.store(now, Ordering::Release);
                lane.burst();
            })
        };
        lane.reuse();
        worker.join().unwrap();
    });
}

/// The scheme that looks as good: each lcore counts its own rounds, and control reuses when the count has moved on.
#[test]
#[should_panic(expected = "a row was reused under a reader")]
fn counting_the_lcores_own_rounds_is_not_enough() {
    loom::model(|| {
        let lane = Lane::new(0);
        let worker = {
            let lane = lane.clone();
            thread::spawn(move || {
                for round in 1..3 {
                    lane.lcore.store(round, Ordering::Release);
                    lane.burst();
                }
            })
        };
        lane.slot.store(0, Ordering::Release);
        let before = lane.lcore.load(Ordering::Acquire);
        if lane.lcore.load(Ordering::Acquire) > before {
            lane.row.store(2, Ordering::Relaxed);
        }
        worker.join().unwrap();
    });
}

#[test]
fn a_frame_comes_out_whole_and_in_order_while_the_ring_wraps() {
    loom::model(|| {
        let (mut producer, mut consumer, _) = ring::on_heap(2);
        let worker = thread::spawn(move || {
            let mut sent = 0;
            for number in 1..=3u8 {
                let about = ring::About {
                    session: u32::from(number),
                    ..ring::About::default()
                };
                if producer.push(&about, &[number; 12]).is_ok() {
                    sent += 1;
                }
            }
            (sent, producer)
        });
        let mut out = Vec::new();
        let (mut last, mut got) = (0, 0);
        let mut take = |consumer: &mut ring::Consumer| {
            if let Some(about) = consumer.pop(&mut out) {
                assert!(about.session > last);
                assert_eq!(out, [about.session as u8; 12]);
                (last, got) = (about.session, got + 1);
            }
            got
        };
        take(&mut consumer);
        take(&mut consumer);
        let (sent, _producer) = worker.join().unwrap();
        take(&mut consumer);
        assert_eq!(take(&mut consumer).max(take(&mut consumer)), sent);
        assert_eq!(consumer.corrupt(), 0);
    });
}

/// Access line 0/0 of port 0 and the tables around it.
struct Tables {
    index: AccessIndex,
    rows: Rows,
    profiles: Profiles,
}

fn tables() -> Tables {
    Tables {
        index: AccessIndex {
            directory: Shared::on_heap(2, || AtomicU32::new(0)),
            blocks: Shared::on_heap(1, || core::array::from_fn(|_| AtomicU32::new(0))),
            buckets: Shared::on_heap(2, Default::default),
            seed: 0,
        },
        rows: Rows(Shared::on_heap(3, RowCells::default)),
        profiles: Profiles(Shared::on_heap(2, Default::default)),
    }
}

/// A host on S-VLAN 0.
fn row_of(subscriber: u8) -> (AccessKey, Row) {
    row_on(0, subscriber)
}

fn row_on(s_vlan: u16, subscriber: u8) -> (AccessKey, Row) {
    let mac = [2, 0, 0, 0, 0, subscriber];
    let key = AccessKey {
        port: 0,
        s_vlan,
        c_vlan: 0,
        mac: crate::session::mac_bits(mac),
    };
    let mut row = Row::ipv4(Ipv4Addr::new(10, 0, 0, subscriber), 24, 0, s_vlan, 0, mac);
    row.generation = u32::from(subscriber);
    (key, row)
}

/// What a burst does with one packet of `subscriber`: whatever it reaches must be his, whole, and stay so.
fn packet(index: &AccessIndex, rows: &Rows, subscriber: u8) -> Found {
    let (key, wanted) = row_of(subscriber);
    let found = index.lookup(&key, rows);
    if let Found::Session(reached) = found {
        let cells = rows.get(reached).unwrap();
        assert_eq!(cells.mac_bits(), key.mac, "reached another's row");
        assert_eq!(cells.ipv4(), u32::from(wanted.ipv4), "reached half a row");
    }
    found
}

#[test]
fn a_published_row_is_found_whole_or_not_at_all() {
    loom::model(|| {
        let Tables { index, rows, .. } = tables();
        let mut writer = AccessWriter::attach(index.clone());
        writer.configure(0, 0, Some(LineModel::ManyToOne));
        let worker = {
            let (index, rows) = (index.clone(), rows.clone());
            thread::spawn(move || {
                packet(&index, &rows, 1);
            })
        };
        let (key, row) = row_of(1);
        rows.get(self::index(1)).unwrap().fill(&row);
        writer.set(&key, self::index(1), &rows).unwrap();
        worker.join().unwrap();
        assert_eq!(packet(&index, &rows, 1), Found::Session(self::index(1)));
    });
}

#[test]
fn a_moved_session_is_always_found_and_its_old_row_serves_the_next_after_the_grace_period() {
    loom::model(|| {
        let Tables { index, rows, .. } = tables();
        let mut writer = AccessWriter::attach(index.clone());
        writer.configure(0, 0, Some(LineModel::ManyToOne));
        let (key, row) = row_of(1);
        rows.get(self::index(1)).unwrap().fill(&row);
        writer.set(&key, self::index(1), &rows).unwrap();
        let global = Arc::new(AtomicU64::new(epoch::FIRST));
        let lcore = Arc::new(AtomicU64::new(epoch::FIRST));
        let worker = {
            let (index, rows, global, lcore) = (index.clone(), rows.clone(), global.clone(), lcore.clone());
            thread::spawn(move || {
                epoch::quiesce(&global, &lcore);
                assert!(
                    matches!(packet(&index, &rows, 1), Found::Session(_)),
                    "lost on the move"
                );
            })
        };

        rows.get(self::index(2)).unwrap().fill(&row);
        writer.set(&key, self::index(2), &rows).unwrap();
        let opened = epoch::advance(&global);
        if epoch::all_reached(opened, [&*lcore]) {
            rows.get(self::index(1)).unwrap().fill(&row_of(2).1);
        }

        worker.join().unwrap();
        assert_eq!(packet(&index, &rows, 1), Found::Session(self::index(2)));
    });
}

#[test]
#[should_panic(expected = "reached half a row")]
fn without_the_grace_period_the_moved_session_is_lost_or_anothers() {
    loom::model(|| {
        let Tables { index, rows, .. } = tables();
        let mut writer = AccessWriter::attach(index.clone());
        writer.configure(0, 0, Some(LineModel::ManyToOne));
        let (key, row) = row_of(1);
        rows.get(self::index(1)).unwrap().fill(&row);
        writer.set(&key, self::index(1), &rows).unwrap();
        let worker = {
            let (index, rows) = (index.clone(), rows.clone());
            thread::spawn(move || {
                assert!(
                    matches!(packet(&index, &rows, 1), Found::Session(_)),
                    "lost on the move"
                );
            })
        };

        rows.get(self::index(2)).unwrap().fill(&row);
        writer.set(&key, self::index(2), &rows).unwrap();
        rows.get(self::index(1)).unwrap().fill(&row_of(2).1);

        worker.join().unwrap();
    });
}

#[test]
fn a_block_serves_another_s_vlan_at_once_because_lookups_verify() {
    loom::model(|| {
        let Tables { index, rows, .. } = tables();
        let mut writer = AccessWriter::attach(index.clone());
        writer.configure(0, 0, Some(LineModel::OneToOne));
        let (key, row) = row_on(0, 1);
        rows.get(self::index(1)).unwrap().fill(&row);
        writer.set(&key, self::index(1), &rows).unwrap();
        let worker = {
            let (index, rows) = (index.clone(), rows.clone());
            thread::spawn(move || packet(&index, &rows, 1))
        };

        writer.configure(0, 0, None);
        writer.configure(0, 1, Some(LineModel::OneToOne));
        let (key, row) = row_on(1, 2);
        rows.get(self::index(2)).unwrap().fill(&row);
        writer.set(&key, self::index(2), &rows).unwrap();

        worker.join().unwrap();
        assert_eq!(index.lookup(&key, &rows), Found::Session(self::index(2)));
    });
}

#[test]
fn who_sees_a_policy_sees_the_profile_it_names() {
    loom::model(|| {
        let Tables { rows, profiles, .. } = tables();
        let profile = Profile::new(Rate::with_default_burst(1_000_000));
        let worker = {
            let (rows, profiles) = (rows.clone(), profiles.clone());
            thread::spawn(move || {
                let policy = rows.get(index(1)).unwrap().policy();
                if policy.state() == RowState::Active {
                    let number = policy.policer(crate::Direction::Upstream);
                    assert_eq!(profiles.get(number), Some(profile));
                }
            })
        };
        profiles.fill(1, profile);
        let policy = Policy::new(RowState::Active).with_policers(1, 1);
        rows.get(index(1)).unwrap().set_policy(policy);
        worker.join().unwrap();
    });
}

#[test]
fn an_intent_is_never_half_one_and_half_the_next() {
    loom::model(|| {
        let cell = IntentCell(Shared::on_heap(2, || AtomicU64::new(0)));
        let first = Intent {
            stage: Stage::Retire,
            old: Some(index(1)),
            new: Some(index(2)),
        };
        let second = Intent {
            stage: Stage::Fill,
            old: None,
            new: Some(index(1)),
        };
        let successor = {
            let cell = cell.clone();
            thread::spawn(move || {
                let read = cell.read();
                assert!(
                    read.is_none_or(|intent| intent == first || intent == second),
                    "{read:?}"
                );
            })
        };
        cell.begin(first);
        cell.begin(second);
        cell.clear();
        successor.join().unwrap();
    });
}

fn fib() -> Fib {
    Fib {
        tbl24: Shared::on_heap(2, || AtomicU32::new(0)),
        tbl8: Shared::on_heap(1, || core::array::from_fn(|_| AtomicU32::new(0))),
        default: Shared::on_heap(1, || AtomicU64::new(0)),
    }
}

fn leaf(number: u32) -> Leaf {
    Leaf::Adjacency(AdjacencyIndex(number))
}

const FIRST_24: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 0);
const SECOND_24: Ipv4Addr = Ipv4Addr::new(0, 0, 1, 0);

/// A /24 with one route longer than it, which has the only group.
fn linked_fib() -> FibWriter {
    let mut writer = FibWriter::attach(fib());
    writer.set(Prefix::new(FIRST_24, 24), leaf(1)).unwrap();
    writer.set(Prefix::host(FIRST_24), leaf(2)).unwrap();
    writer
}

#[test]
fn a_group_is_seen_filled_and_a_host_route_as_the_old_leaf_or_the_new() {
    loom::model(|| {
        let mut writer = FibWriter::attach(fib());
        writer.set(Prefix::new(FIRST_24, 24), leaf(1)).unwrap();
        let worker = {
            let fib = writer.fib().clone();
            thread::spawn(move || {
                let host = fib.lookup(0);
                assert!(host == leaf(1) || host == leaf(2), "{host:?}");
                assert_eq!(fib.lookup(1), leaf(1), "the neighbour");
            })
        };
        writer.set(Prefix::host(FIRST_24), leaf(2)).unwrap();
        writer.remove(Prefix::host(FIRST_24));
        worker.join().unwrap();
    });
}

#[test]
fn a_group_serves_another_network_only_after_its_grace_period() {
    loom::model(|| {
        let mut writer = linked_fib();
        let global = Arc::new(AtomicU64::new(epoch::FIRST));
        let lcore = Arc::new(AtomicU64::new(epoch::FIRST));
        let worker = {
            let (fib, global, lcore) = (writer.fib().clone(), global.clone(), lcore.clone());
            thread::spawn(move || {
                epoch::quiesce(&global, &lcore);
                assert_eq!(fib.lookup(1), leaf(1), "another network's leaf");
            })
        };
        writer.remove(Prefix::host(FIRST_24));
        writer.retire(epoch::advance(&global));
        writer.reclaim(|opened| epoch::all_reached(opened, [&*lcore]));
        // Without a group this is refused, which is the point.
        let _ = writer.set(Prefix::host(SECOND_24), leaf(3));
        worker.join().unwrap();
    });
}

#[test]
#[should_panic(expected = "another network's leaf")]
fn without_the_grace_period_a_reused_group_misleads() {
    loom::model(|| {
        let mut writer = linked_fib();
        let worker = {
            let fib = writer.fib().clone();
            thread::spawn(move || assert_eq!(fib.lookup(1), leaf(1), "another network's leaf"))
        };
        writer.remove(Prefix::host(FIRST_24));
        writer.retire(epoch::FIRST);
        writer.reclaim(|_| true);
        writer.set(Prefix::host(SECOND_24), leaf(3)).unwrap();
        worker.join().unwrap();
    });
}

/// Gardens of one root word and one rule.
fn gardens() -> Gardens {
    let half = || Half {
        profiles: Shared::on_heap(1, || AtomicU64::new(0)),
        root: Shared::on_heap(1, || AtomicU32::new(0)),
        nodes: Shared::on_heap(0, || core::array::from_fn(|_| AtomicU32::new(0))),
        lone: Shared::on_heap(1, || core::array::from_fn(|_| AtomicU32::new(0))),
        rules: Shared::on_heap(4, || AtomicU64::new(0)),
    };
    Gardens {
        live: Shared::on_heap(1, || AtomicU64::new(0)),
        halves: [half(), half()],
    }
}

/// Profile 1 permits TCP to one port of the first network.
fn only(port: u16) -> Plan {
    Plan::of_one_run(
        1,
        &Rule {
            network: Ipv4Addr::UNSPECIFIED,
            prefix_len: 20,
            protocol: Some(6),
            ports: Some((port, port)),
        },
    )
}

/// A burst: the garden permits one of the two ports, the same throughout, and is never missing.
fn judged(gardens: &Gardens) -> u16 {
    let index = gardens.index();
    let to = |port| {
        index.judge(
            1,
            &Flow {
                far_address: 0,
                protocol: 6,
                far_port: Some(port),
            },
        )
    };
    match (to(80), to(443)) {
        (Judgement::Permitted, Judgement::Refused) => 80,
        (Judgement::Refused, Judgement::Permitted) => 443,
        mixture => panic!("a garden of two: {mixture:?}"),
    }
}

#[test]
fn a_burst_is_judged_by_the_old_gardens_or_by_the_new() {
    loom::model(|| {
        let mut writer = GardenWriter::attach(gardens());
        writer.publish_plan(&only(80)).unwrap();
        let global = Arc::new(AtomicU64::new(epoch::FIRST));
        let lcore = Arc::new(AtomicU64::new(epoch::FIRST));
        let worker = {
            let (gardens, global, lcore) = (writer.gardens().clone(), global.clone(), lcore.clone());
            thread::spawn(move || {
                epoch::quiesce(&global, &lcore);
                judged(&gardens);
            })
        };
        writer.retire(epoch::FIRST);
        writer.reclaim(|_| true);
        writer.publish_plan(&only(443)).unwrap();
        writer.retire(epoch::advance(&global));
        writer.reclaim(|opened| epoch::all_reached(opened, [&*lcore]));
        // While the half rests this is refused, which is the point.
        let again = writer.publish_plan(&only(80));
        worker.join().unwrap();
        assert_eq!(judged(writer.gardens()), if again.is_ok() { 80 } else { 443 });
    });
}

#[test]
#[should_panic(expected = "a garden of two")]
fn without_the_grace_period_a_burst_is_judged_by_a_mixture() {
    loom::model(|| {
        let mut writer = GardenWriter::attach(gardens());
        writer.publish_plan(&only(80)).unwrap();
        let worker = {
            let gardens = writer.gardens().clone();
            thread::spawn(move || judged(&gardens))
        };
        for port in [443, 8080] {
            writer.retire(epoch::FIRST);
            writer.reclaim(|_| true);
            writer.publish_plan(&only(port)).unwrap();
        }
        worker.join().unwrap();
    });
}

/// The models' own instrument under test: without release and acquire a flag is seen before its data.
#[test]
#[should_panic(expected = "seen before it was there")]
fn the_checker_does_reorder_relaxed_stores() {
    loom::model(|| {
        let cells = Arc::new((AtomicU64::new(0), AtomicBool::new(false)));
        let reader = {
            let cells = cells.clone();
            thread::spawn(move || {
                if cells.1.load(Ordering::Relaxed) {
                    assert_eq!(cells.0.load(Ordering::Relaxed), 1, "seen before it was there");
                }
            })
        };
        cells.0.store(1, Ordering::Relaxed);
        cells.1.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        reader.join().unwrap();
    });
}
