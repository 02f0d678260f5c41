//! Two processes on one segment: control changes it as fast as it can, workers look at it as fast as they can, and either is
//! killed. `SLUICE_STRESS_SECONDS` makes the first test longer (3 by default).

mod child;
#[path = "../common/mod.rs"]
mod common;
mod frames;
mod gardens;
mod lcores;
mod publisher;
mod subscribers;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use child::Other;
use common::{Random, RunDir};
use lcores::{Pace, Report};
use publisher::{Grace, Publisher};
use shm_bridge::segment::{Role, SegmentConfig, SegmentError};
use shm_bridge::sides::{ControlSide, WorkerSide};

fn config(run_dir: &Path) -> SegmentConfig {
    SegmentConfig {
        geometry: subscribers::GEOMETRY,
        ..common::config_in(run_dir)
    }
}

fn control(dir: &RunDir, grace: Grace) -> Publisher {
    Publisher::attach(ControlSide::attach(&config(dir.path())).unwrap(), grace, 1)
}

/// Not a story: the other process of the ones below.
#[test]
fn child_process() {
    child::act();
}

#[test]
fn no_worker_reaches_another_subscriber_while_rows_and_groups_are_reused() {
    let seconds = std::env::var("SLUICE_STRESS_SECONDS")
        .ok()
        .and_then(|s| s.parse().ok())
        .unwrap_or(3);
    let dir = RunDir::new();
    let mut control = control(&dir, Grace::Kept);
    let worker = Other::start("worker", dir.path(), 1);

    control.run(Duration::from_secs(seconds));

    let report = worker.stop();
    println!("control {:?}\nworker {report:?}", control.counts);
    report.assert_clean();
    let counts = control.counts;
    assert!(counts.gardens > 20, "{counts:?}");
    assert!(
        counts.reused > 500 && counts.moved > 100 && counts.epochs > 50,
        "{counts:?}"
    );
    assert!(
        report.slept > 0 && report.frames > 0 && counts.frames > 0,
        "{counts:?} {report:?}"
    );
    assert_eq!(control.bad_frames(), 0);
}

#[test]
fn without_grace_periods_the_same_watch_finds_mixed_up_subscribers() {
    let dir = RunDir::new();
    let mut control = control(&dir, Grace::Skipped);
    let worker = Other::start("dawdling worker", dir.path(), 1);

    control.run(Duration::from_millis(500));

    let report = worker.stop();
    assert!(report.mixed > 0 && report.garden_mixed > 0, "{report:?}");
}

#[test]
fn a_killed_worker_blocks_nothing_and_its_successor_goes_on() {
    let dir = RunDir::new();
    let mut control = control(&dir, Grace::Kept);
    let mut random = Random::new(7);
    for round in 1..=4 {
        control.worker_is_new();
        let worker = Other::start("worker", dir.path(), round);
        assert_eq!(control.side.tables.worker_generation(), round);
        assert!(control.side.presence().is_alive(Role::Worker));
        let second = WorkerSide::attach(&config(dir.path()), 0).unwrap_err();
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
        control.run(Duration::from_millis(100 + random.below(50)));

        worker.kill();

        let stuck = control
            .side
            .tables
            .lcores
            .epochs()
            .any(|slot| slot.load(Ordering::Relaxed) != 0);
        assert!(stuck, "an lcore died in the middle of a burst");
        assert!(!control.side.presence().is_alive(Role::Worker));
        let epoch = control.side.advance_epoch();
        assert!(control.side.epoch_reached(epoch));
        control.run(Duration::from_millis(20));
    }

    control.worker_is_new();
    let worker = Other::start("worker", dir.path(), 9);
    control.run(Duration::from_millis(200));
    worker.stop().assert_clean();
    assert_eq!(control.bad_frames(), 0);
}

#[test]
fn workers_forward_through_every_death_of_control_and_a_successor_completes_its_work() {
    let dir = RunDir::new();
    let first = Other::start("control", dir.path(), 1);
    let mut side = WorkerSide::attach(&config(dir.path()), 0).unwrap();
    let (tables, presence) = (side.tables.clone(), side.presence());
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let lcores = scope.spawn(|| lcores::run(&mut side, Pace::Quick, &stop));
        // Whatever fails here must not leave the lcores running.
        let _ends = Ends(&stop);
        let mut random = Random::new(3);
        let mut control = first;
        for round in 2..=8 {
            std::thread::sleep(Duration::from_micros(30_000 + random.below(60_000)));
            assert!(presence.is_alive(Role::Control));
            let second = ControlSide::attach(&config(dir.path())).unwrap_err();
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

            control.kill();

            assert!(!presence.is_alive(Role::Control));
            let before = bursts(&tables);
            let waited = Instant::now();
            while bursts(&tables) < before + 100 {
                assert!(
                    waited.elapsed() < Duration::from_secs(20),
                    "the workers stand still"
                );
                std::thread::yield_now();
            }
            control = Other::start("control", dir.path(), round);
            assert_eq!(tables.control_generation(), round);
        }
        control.kill();
        stop.store(true, Ordering::Relaxed);
        lcores.join().unwrap()
    });

    // The dead controls' numbers of frames are not the next one's, so the rings are the first story's matter.
    Report {
        bad_frames: 0,
        ..report
    }
    .assert_clean();
}

fn bursts(tables: &shm_bridge::sides::Tables) -> u64 {
    tables.lcores.sum(|lcore| &lcore.bursts)
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
