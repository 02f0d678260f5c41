//! Starting once, ending in any order.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use sluice_worker::dpdk::{Eal, EalError, StopFlag};

use crate::story::{frames, in_own_process, open, pool, start, start_with};

#[test]
fn what_follows_the_separator_is_returned() {
    in_own_process("lifetime::what_follows_the_separator_is_returned", || {
        let line =
            "worker --no-huge -m 32 --no-shconf --no-pci --lcores 0@0 -- --config /etc/sluice/sluice.toml";

        let (eal, ours) = Eal::init(line.split(' ').map(str::to_owned)).expect("EAL");

        assert_eq!(ours, ["--config", "/etc/sluice/sluice.toml"]);
        assert!(!eal.has_hugepages());
        assert!(eal.version().starts_with("DPDK 22.11"));
        assert!(eal.worker_lcores().is_empty());
    });
}

#[test]
fn a_wrong_argument_is_an_error_and_eal_starts_once() {
    in_own_process(
        "lifetime::a_wrong_argument_is_an_error_and_eal_starts_once",
        || {
            let start = || Eal::init("worker --no-huge --no-such-option".split(' ').map(str::to_owned));

            let wrong = start().expect_err("an error");
            let again = start().expect_err("an error");

            assert!(wrong.to_string().contains("--no-such-option"), "{wrong}");
            assert!(matches!(again, EalError::AlreadyStarted));
        },
    );
}

#[test]
fn an_mbuf_that_outlives_its_eal_is_still_good_memory() {
    in_own_process(
        "lifetime::an_mbuf_that_outlives_its_eal_is_still_good_memory",
        || {
            let eal = start(&["net_ring0"]);
            let pool = pool(&eal, "ring");
            let opened = open(&eal, "net_ring0", &pool).expect("net_ring0");
            let mut burst = frames(&eal.main_lcore(), &pool, 3);

            drop((opened, pool));
            drop(eal);

            assert_eq!(burst[2].frame(), [2; 60]);
        },
    );
}

#[test]
fn queues_that_outlive_their_eal_still_work() {
    in_own_process("lifetime::queues_that_outlive_their_eal_still_work", || {
        let eal = start(&["net_ring0"]);
        let lcore = eal.main_lcore();
        let pool = pool(&eal, "ring");
        let (_port, mut rx, mut tx) = open(&eal, "net_ring0", &pool).expect("net_ring0");

        drop(eal);

        assert_eq!(tx.send(&mut frames(&lcore, &pool, 5)), 5);
        assert_eq!(crate::story::receive(&lcore, &mut rx, 5).len(), 5);
    });
}

#[test]
fn a_clean_end_closes_the_sockets() {
    in_own_process("lifetime::a_clean_end_closes_the_sockets", || {
        let prefix = format!("sluice-test-{}", std::process::id());
        let eal = start_with(&["--file-prefix", &prefix], &["net_ring0"]);
        let directory = eal.runtime_dir();
        let pool = pool(&eal, "ring");
        let opened = open(&eal, "net_ring0", &pool).expect("net_ring0");
        assert!(directory.join("mp_socket").exists(), "{}", directory.display());

        drop((opened, pool));
        drop(eal);

        assert!(!directory.join("mp_socket").exists());
        // DPDK leaves the directory and its configuration file, and unlinks the telemetry socket at exit.
        std::fs::remove_dir_all(&directory).expect("remove what EAL leaves");
    });
}

#[test]
fn the_first_signal_asks_and_the_second_ends() {
    const CHILD: &str = "SLUICE_STOP_CHILD";
    if std::env::var_os(CHILD).is_some() {
        let stop = StopFlag::on_signals().expect("handlers");
        assert!(!stop.is_set());
        kill_process(getpid(), Signal::TERM).expect("a signal");
        // Any thread may be the one that takes it.
        let taken = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            stop.is_set()
        });
        assert!(taken);
        kill_process(getpid(), Signal::INT).expect("a signal");
        std::thread::sleep(Duration::from_secs(5));
        panic!("the second signal should have ended the process");
    }

    let status = Command::new(std::env::current_exe().expect("this test"))
        .args(["lifetime::the_first_signal_asks_and_the_second_ends", "--exact"])
        .env(CHILD, "1")
        .status()
        .expect("the child");

    assert_eq!((status.code(), status.signal()), (Some(128 + 2), None));
}
