//! A worker on vhost ports, and the tester at their other ends as virtio_user: none lost at a rate that a busy machine carries.

use std::fs;

use sluice_bench::turn::Turn;
use sluice_tests::pair::{Ends, Pair};

#[test]
fn frames_pass_a_vhost_pair_whole_and_none_is_lost() {
    let pair = Pair::new();
    let (worker, tester) = ends(&pair);

    pair.passes_whole(&worker, &tester, "64,570,1518,imix");
}

/// For two cores and release builds; what it prints goes to bench/RESULTS.md. Worker and tester poll a core each, with the highest
/// weight against other sessions; what they lose to others shows as pauses of the tester, and in the latencies: what is in flight is
/// bounded, so that a pause of either fills no ring.
#[test]
#[ignore = "measures; asserts nothing"]
fn the_pairs_ndr_and_its_latency_under_load() {
    fs::write("/proc/self/autogroup", "-19").unwrap();
    let _turn = Turn::take().unwrap();
    let pair = Pair {
        idle: "poll",
        ..Pair::new()
    };
    let (worker, tester) = ends(&pair);
    for sizes in ["64", "imix"] {
        let arguments = format!(
            "--sizes {sizes} --rate 20M --in-flight 384 --seconds 2 --warm-up-seconds 0.5 --drain-ms 200 --retries 5 --best-of 3"
        );
        println!("{}", pair.test(&worker, &tester, &arguments).1);
    }
}

fn ends(pair: &Pair) -> (Ends, Ends) {
    let sockets = ["access.sock", "core.sock"].map(|name| pair.path(name));
    let worker = Ends {
        devices: ["net_vhost0", "net_vhost1"],
        arguments: sockets.each_ref().map(|path| format!("iface={}", path.display())),
    };
    let tester = Ends {
        devices: ["net_virtio_user0", "net_virtio_user1"],
        arguments: sockets.map(|path| format!("path={},queue_size=1024", path.display())),
    };
    (worker, tester)
}
