//! Who gets the segment, who is refused, and how a death is told.

mod common;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Barrier;
use std::thread;

use common::{RunDir, config_in, small};
use shm_bridge::epoch;
use shm_bridge::layout::{Geometry, segment_bytes};
use shm_bridge::segment::{Pages, Role, SegmentConfig, SegmentError};
use shm_bridge::sides::{ControlSide, ObserverSide, WorkerSide};

#[test]
fn the_first_makes_the_segment_and_the_second_finds_it() {
    let dir = RunDir::new();

    let worker = WorkerSide::attach(&dir.config(), 5).unwrap();
    let control = ControlSide::attach(&dir.config()).unwrap();

    assert!(worker.about.created && !control.about.created);
    assert_eq!(control.tables.worker_generation(), 1);
    assert_eq!(control.tables.worker_started_ns(), 5);
    assert_eq!(worker.tables.control_generation(), 1);
    control.beat(77);
    assert_eq!(worker.tables.control_heartbeat_ns(), 77);
}

#[test]
fn of_many_that_start_at_once_one_of_each_role_gets_in() {
    for _ in 0..5 {
        let dir = RunDir::new();
        let config = dir.config();
        let barrier = Barrier::new(12);
        let (controls, workers) = thread::scope(|scope| {
            let controls: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        ControlSide::attach(&config)
                    })
                })
                .collect();
            let workers: Vec<_> = (0..6)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        WorkerSide::attach(&config, 0)
                    })
                })
                .collect();
            let controls: Vec<_> = controls.into_iter().map(|t| t.join().unwrap()).collect();
            let workers: Vec<_> = workers.into_iter().map(|t| t.join().unwrap()).collect();
            (controls, workers)
        });

        assert_eq!(controls.iter().filter(|c| c.is_ok()).count(), 1);
        assert_eq!(workers.iter().filter(|w| w.is_ok()).count(), 1);
        for error in controls.into_iter().filter_map(Result::err) {
            assert!(
                matches!(
                    error,
                    SegmentError::AlreadyRunning {
                        role: Role::Control,
                        ..
                    }
                ),
                "{error}"
            );
        }
    }
}

#[test]
fn after_an_upgrade_both_may_start_at_once() {
    for round in 0..20 {
        let dir = RunDir::new();
        let old = SegmentConfig {
            geometry: Geometry {
                sessions: 64,
                ..small()
            },
            ..dir.config()
        };
        drop(ControlSide::attach(&old).unwrap());
        let barrier = Barrier::new(2);

        let (control, worker) = thread::scope(|scope| {
            let control = scope.spawn(|| {
                barrier.wait();
                ControlSide::attach(&dir.config())
            });
            let worker = scope.spawn(|| {
                barrier.wait();
                WorkerSide::attach(&dir.config(), 0)
            });
            (control.join().unwrap(), worker.join().unwrap())
        });

        let (control, worker) = (control.unwrap(), worker.unwrap());
        assert!(control.about.created != worker.about.created, "round {round}");
        assert_eq!(control.tables.worker_generation(), 1);
    }
}

#[test]
fn another_layout_is_refused_by_name_while_somebody_is_on_it_and_replaced_afterwards() {
    let dir = RunDir::new();
    let other = SegmentConfig {
        geometry: Geometry {
            adjacencies: 99,
            ..small()
        },
        ..dir.config()
    };
    let control = ControlSide::attach(&dir.config()).unwrap();

    let error = WorkerSide::attach(&other, 0).unwrap_err();
    assert!(error.to_string().contains("limits.adjacencies"), "{error}");
    let error = ObserverSide::attach(&other).unwrap_err();
    assert!(error.to_string().contains("limits.adjacencies"), "{error}");

    drop(control);
    let error = ObserverSide::attach(&other).unwrap_err();
    assert!(
        matches!(error, SegmentError::Layout { .. }),
        "an observer throws nothing away: {error}"
    );
    assert!(WorkerSide::attach(&other, 0).unwrap().about.created);
}

#[test]
fn a_segment_left_half_made_is_made_anew() {
    let dir = RunDir::new();
    let path = dir.path().join("test.seg");
    for len in [0, 100, 4096, segment_bytes(&small()) as u64] {
        fs::File::create(&path).unwrap().set_len(len).unwrap();

        assert!(ControlSide::attach(&dir.config()).unwrap().about.created);
    }
}

#[test]
fn pages_are_reserved_so_that_a_full_file_system_is_an_error_now_and_no_signal_later() {
    let dir = RunDir::new();

    let _control = ControlSide::attach(&dir.config()).unwrap();

    let file = fs::metadata(dir.path().join("test.seg")).unwrap();
    assert_eq!(file.len(), segment_bytes(&small()) as u64);
    assert!(file.blocks() * 512 >= file.len(), "{} blocks", file.blocks());
}

#[test]
fn a_removed_lock_file_proves_no_death() {
    let dir = RunDir::new();
    let control = ControlSide::attach(&dir.config()).unwrap();
    let worker = WorkerSide::attach(&dir.config(), 0).unwrap();
    epoch::go_online(worker.tables.epoch(), &worker.tables.lcores.get(0).unwrap().epoch);

    fs::remove_file(dir.path().join("worker.lock")).unwrap();

    assert!(control.presence().is_alive(Role::Worker));
    let opened = control.advance_epoch();
    assert!(!control.epoch_reached(opened));
    let second = WorkerSide::attach(&dir.config(), 0).unwrap_err();
    assert!(
        matches!(
            second,
            SegmentError::AlreadyRunning {
                role: Role::Worker,
                ..
            }
        ),
        "{second}"
    );
    drop(worker);
    assert!(!control.presence().is_alive(Role::Worker));
    assert!(control.epoch_reached(opened));
}

#[test]
fn one_segment_is_not_shared_by_two_installations() {
    let (here, there) = (RunDir::new(), RunDir::new());
    let control = ControlSide::attach(&here.config()).unwrap();
    fs::hard_link(here.path().join("test.seg"), there.path().join("test.seg")).unwrap();

    let second = ControlSide::attach(&there.config()).unwrap_err();

    assert!(
        matches!(
            second,
            SegmentError::AlreadyRunning {
                role: Role::Control,
                ..
            }
        ),
        "{second}"
    );
    drop(control);
    ControlSide::attach(&there.config()).unwrap();
}

#[test]
fn nobody_makes_a_second_segment_beside_a_running_one() {
    let dir = RunDir::new();
    let worker = WorkerSide::attach(&dir.config(), 0).unwrap();

    fs::remove_file(dir.path().join("test.seg")).unwrap();

    let error = ControlSide::attach(&dir.config()).unwrap_err();
    assert!(
        matches!(
            error,
            SegmentError::Elsewhere {
                role: Role::Worker,
                ..
            }
        ),
        "{error}"
    );
    drop(worker);
    ControlSide::attach(&dir.config()).unwrap();
}

#[test]
fn a_worker_that_runs_before_any_control_is_not_taken_for_asleep() {
    let dir = RunDir::new();
    let worker = WorkerSide::attach(&dir.config(), 0).unwrap();
    let slot = &worker.tables.lcores.get(0).unwrap().epoch;
    epoch::quiesce(worker.tables.epoch(), slot);

    let control = ControlSide::attach(&dir.config()).unwrap();
    let opened = control.advance_epoch();

    assert!(!control.epoch_reached(opened));
    epoch::quiesce(worker.tables.epoch(), slot);
    assert!(control.epoch_reached(opened));
}

#[test]
fn an_observer_leaves_no_trace_and_sees_who_lives() {
    let dir = RunDir::new();
    let absent = dir.path().join("never");

    let error = ObserverSide::attach(&config_in(&absent)).unwrap_err();
    assert!(matches!(error, SegmentError::Absent { .. }), "{error}");
    assert!(!absent.exists());

    let control = ControlSide::attach(&dir.config()).unwrap();
    let observer = ObserverSide::attach(&dir.config()).unwrap();
    assert!(observer.presence.is_alive(Role::Control));
    assert!(!observer.presence.is_alive(Role::Worker));
    drop(control);
    assert!(!observer.presence.is_alive(Role::Control));
}

#[test]
fn ordinary_pages_are_not_sold_as_huge_ones() {
    let dir = RunDir::new();
    let config = SegmentConfig {
        pages: Pages::Mount(dir.path().to_owned()),
        ..dir.config()
    };

    let error = ControlSide::attach(&config).unwrap_err();

    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.contains("not a hugetlbfs"), "{error}: {cause}");
    assert!(!dir.path().join("sluice").exists());
}

/// Where the machine has huge pages for it: a mount of our own would need privileges and pages that others count on.
#[test]
fn on_huge_pages_both_sides_meet_and_locks_hold() {
    let dir = RunDir::new();
    let config = SegmentConfig {
        name: format!("test-{}", std::process::id()),
        pages: Pages::Auto,
        ..dir.config()
    };
    let control = ControlSide::attach(&config).unwrap();
    let path = control.about.path.clone().unwrap();
    if !control.about.huge_pages {
        assert_eq!(path.parent(), Some(dir.path()));
        let warning = control.about.warning.as_deref().unwrap_or_default();
        assert!(!warning.is_empty(), "ordinary pages where huge ones were wanted");
        println!("no huge pages here: {warning}");
        return;
    }

    let worker = WorkerSide::attach(&config, 0).unwrap();

    assert!(worker.about.huge_pages && !worker.about.created);
    assert_eq!(control.tables.worker_generation(), 1);
    assert!(control.presence().is_alive(Role::Worker));
    assert!(WorkerSide::attach(&config, 0).is_err());
    drop(worker);
    assert!(!control.presence().is_alive(Role::Worker));
    drop(control);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_killed_generation_that_stored_departures_first_loses_nothing_it_never_had() {
    let dir = RunDir::new();
    let worker = WorkerSide::attach(&dir.config(), 0).unwrap();
    let (ahead, behind) = (
        worker.tables.lcores.get(0).unwrap(),
        worker.tables.lcores.get(1).unwrap(),
    );
    ahead.tx.add(32);
    behind.rx.add(32);
    behind.tx.add(30);
    drop(worker);

    let worker = WorkerSide::attach(&dir.config(), 0).unwrap();

    let (ahead, behind) = (
        worker.tables.lcores.get(0).unwrap(),
        worker.tables.lcores.get(1).unwrap(),
    );
    assert_eq!(
        (ahead.rx.get(), ahead.lost_in_flight.get(), ahead.in_hand()),
        (32, 0, 0)
    );
    assert_eq!(
        (behind.rx.get(), behind.lost_in_flight.get(), behind.in_hand()),
        (32, 2, 0)
    );
}

#[test]
fn a_killed_generation_that_handed_packets_over_loses_what_was_between_its_lcores_and_no_more() {
    let dir = RunDir::new();
    let worker = WorkerSide::attach(&dir.config(), 0).unwrap();
    let (from, to) = (
        worker.tables.lcores.get(0).unwrap(),
        worker.tables.lcores.get(1).unwrap(),
    );
    from.rx.add(1_000_000);
    from.handed_out.add(1_000_000);
    // Three are in the ring, and two the receiver has in hand.
    to.handed_in.add(999_997);
    to.tx.add(999_995);
    drop(worker);

    for _ in 0..2 {
        let worker = WorkerSide::attach(&dir.config(), 0).unwrap();

        let (from, to) = (
            worker.tables.lcores.get(0).unwrap(),
            worker.tables.lcores.get(1).unwrap(),
        );
        assert_eq!(
            (from.rx.get(), from.lost_in_flight.get(), from.in_hand()),
            (1_000_000, 5, 0)
        );
        assert_eq!((to.rx.get(), to.lost_in_flight.get(), to.in_hand()), (0, 0, 0));
    }
}
