//! Closures on lcores, and packets from one lcore to another.

use std::time::Duration;

use sluice_worker::dpdk::{LaunchError, MbufBurst, StopFlag, Timebase, handoff};

use crate::story::{frames, in_own_process, open, pool, receive, start};

#[test]
fn a_closure_runs_on_its_lcore_and_returns_its_value() {
    in_own_process(
        "lcores::a_closure_runs_on_its_lcore_and_returns_its_value",
        || {
            let eal = start(&[]);
            let workers = eal.worker_lcores();
            assert_eq!(workers.iter().map(|lcore| lcore.get()).collect::<Vec<_>>(), [1]);

            for round in 0..3 {
                let handle = eal
                    .launch(workers[0], move |lcore| (lcore.id(), round))
                    .expect("a launch");
                assert_eq!(handle.join().expect("a value"), (workers[0], round));
            }
        },
    );
}

#[test]
fn a_busy_lcore_and_the_main_one_are_refused() {
    in_own_process("lcores::a_busy_lcore_and_the_main_one_are_refused", || {
        let eal = start(&[]);
        let worker = eal.worker_lcores()[0];
        let stop = StopFlag::default();
        let until = stop.clone();
        let handle = eal
            .launch(worker, move |_| {
                while !until.is_set() {
                    std::thread::yield_now();
                }
            })
            .expect("a launch");
        assert!(!handle.is_finished());

        let busy = eal.launch(worker, |_| ()).expect_err("busy");
        let main = eal.launch(eal.main_lcore().id(), |_| ()).expect_err("main");

        assert_eq!(
            busy.to_string(),
            "lcore 1: cannot launch: Device or resource busy (EBUSY)"
        );
        assert!(matches!(main, LaunchError::Main(_)));
        stop.set();
        handle.join().expect("the end of it");
    });
}

#[test]
fn a_panic_is_an_error_that_says_what() {
    in_own_process("lcores::a_panic_is_an_error_that_says_what", || {
        let eal = start(&[]);
        let worker = eal.worker_lcores()[0];

        let panicked = eal
            .launch(worker, |_| panic!("no {}", "way"))
            .expect("a launch")
            .join()
            .expect_err("a panic");

        assert_eq!(panicked.to_string(), "lcore 1 panicked: no way");
        assert_eq!(
            eal.launch(worker, |_| 7)
                .expect("a launch")
                .join()
                .expect("alive"),
            7,
            "and the lcore lives on"
        );
    });
}

#[test]
fn queues_work_on_the_lcore_they_were_moved_to() {
    in_own_process("lcores::queues_work_on_the_lcore_they_were_moved_to", || {
        let eal = start(&["net_ring0"]);
        let pool = pool(&eal, "ring");
        let (_port, mut rx, mut tx) = open(&eal, "net_ring0", &pool).expect("net_ring0");
        let from = pool.clone();

        let handle = eal.launch(eal.worker_lcores()[0], move |lcore| {
            let sent = tx.send(&mut frames(lcore, &from, 10));
            (sent, receive(lcore, &mut rx, 10).len())
        });

        assert_eq!(handle.expect("a launch").join().expect("a value"), (10, 10));
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn a_handoff_keeps_order_and_loses_nothing() {
    in_own_process("lcores::a_handoff_keeps_order_and_loses_nothing", || {
        const PACKETS: u32 = 100_000;
        let eal = start(&[]);
        let pool = pool(&eal, "handed");
        let (mut sender, mut receiver) = handoff(&eal, "spread0", 256, None).expect("a ring");

        let consumer = eal
            .launch(eal.worker_lcores()[0], move |lcore| {
                let mut burst = MbufBurst::new(lcore);
                let mut next = 0u32;
                while next < PACKETS {
                    if receiver.receive(&mut burst) == 0 {
                        std::thread::yield_now();
                    }
                    for mut mbuf in burst.drain() {
                        assert_eq!(mbuf.frame(), next.to_le_bytes());
                        next += 1;
                    }
                }
                next
            })
            .expect("a launch");
        let lcore = eal.main_lcore();
        let mut burst = MbufBurst::with_limit(&lcore, 32);
        let mut next = 0u32;
        while next < PACKETS || !burst.is_empty() {
            while next < PACKETS && burst.room() > 0 {
                let Some(mut mbuf) = pool.allocate_one(&lcore) else {
                    break;
                };
                assert!(mbuf.fill(&next.to_le_bytes()));
                assert!(burst.push(mbuf).is_ok());
                next += 1;
            }
            if sender.send(&mut burst) == 0 {
                std::thread::yield_now();
            }
        }

        assert_eq!(consumer.join().expect("the count"), PACKETS);
        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn a_handoff_that_is_dropped_frees_what_it_holds() {
    in_own_process("lcores::a_handoff_that_is_dropped_frees_what_it_holds", || {
        let eal = start(&[]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "handed");
        let (mut sender, receiver) = handoff(&eal, "spread0", 32, None).expect("a ring");
        let mut burst = frames(&lcore, &pool, 40);

        assert_eq!(sender.send(&mut burst), 31, "one slot stays empty");
        assert_eq!((receiver.len(), burst.len()), (31, 9));
        drop((sender, receiver, burst));

        assert_eq!(pool.in_use(), 0);
    });
}

#[test]
fn clocks_of_two_lcores_agree() {
    in_own_process("lcores::clocks_of_two_lcores_agree", || {
        let eal = start(&[]);
        let timebase = Timebase::calibrate();
        let (mut here, mut there) = (timebase.clock(), timebase.clock());
        let before = here.now_ns();

        let on_lcore = eal
            .launch(eal.worker_lcores()[0], move |_| {
                std::thread::sleep(Duration::from_millis(5));
                there.now_ns()
            })
            .expect("a launch")
            .join()
            .expect("a time");

        let after = here.now_ns();
        assert!(
            before + 5_000_000 <= on_lcore && on_lcore <= after,
            "{before} {on_lcore} {after}"
        );
        assert!(timebase.tsc_hz() > 100_000_000);
    });
}
