//! A worker on vhost ports, and the tester at their other ends as virtio_user: QinQ upstream, plain IP downstream, every frame
//! compared byte by byte, none lost at a rate that a busy machine carries. No control runs: the tables are written here.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use olt_sim::lab::Lab;
use olt_sim::lab::process::{Process, find_binary};
use serde_json::Value;
use shm_bridge::ControlSide;
use sluice_bench::layout::Layout;
use sluice_bench::settings::{HugePages, Settings, mac};
use sluice_bench::tables;
use sluice_bench::traffic::network::HARNESS;
use sluice_bench::turn::Turn;
use sluice_config::{Config, Idle};
use sluice_tests::world::assert_root;

const SESSIONS: u32 = 256;
const START: Duration = Duration::from_secs(20);
const MEMORY: [&str; 6] = [
    "--no-pci",
    "--no-huge",
    "--no-shconf",
    "-m",
    "256",
    "--no-telemetry",
];

#[test]
fn frames_pass_a_vhost_pair_whole_and_none_is_lost() {
    let arguments = "--sizes 64,570,1518,imix --rate 5k --seconds 1 --warm-up-seconds 0.5 --fixed --json";
    let (clean, printed) = test(Idle::Adaptive, arguments);
    let from = printed.find('{').unwrap_or_else(|| panic!("no JSON: {printed}"));
    let report: Value = serde_json::from_str(&printed[from..]).unwrap();

    let results = report["results"].as_array().unwrap();
    assert_eq!(results.len(), 4);
    for result in results {
        let flows = result["trial"]["flows"].as_array().unwrap();
        assert_eq!(flows.len(), 2, "both directions");
        for flow in flows {
            let count = |name: &str| flow[name].as_u64().unwrap();
            assert!(count("received") > 1000, "{result:#}");
            for none in ["lost", "corrupt", "duplicated", "reordered"] {
                assert_eq!(count(none), 0, "{none}: {result:#}");
            }
        }
    }
    assert!(clean);
}

/// For two cores and release builds; what it prints goes to bench/RESULTS.md. Worker and tester poll a core each, with the highest
/// weight against other sessions; what they lose to others
/// shows as pauses of the tester, and in the latencies: what is in flight is bounded, so that a pause of either fills no ring.
#[test]
#[ignore = "measures; asserts nothing"]
fn the_pairs_ndr_and_its_latency_under_load() {
    fs::write("/proc/self/autogroup", "-19").unwrap();
    let _turn = Turn::take().unwrap();
    for sizes in ["64", "imix"] {
        let arguments = format!(
            "--sizes {sizes} --rate 20M --in-flight 384 --seconds 2 --warm-up-seconds 0.5 --drain-ms 200 --retries 5 --best-of 3"
        );
        println!("{}", test(Idle::Poll, &arguments).1);
    }
}

/// Runs the tester against a worker with these sessions; whether it was content, and what it printed.
fn test(idle: Idle, arguments: &str) -> (bool, String) {
    assert_root();
    let lab = Lab::new().unwrap();
    let dir = lab.directory();
    let namespace = lab.namespace("pair").unwrap();
    let config = dir.join("sluice.toml");
    let settings = Settings {
        name: "vhost".to_owned(),
        dir: dir.to_owned(),
        pages: HugePages::Never,
        idle,
        sessions: SESSIONS,
        mbufs: 8192,
        access: vec!["net_vhost0".to_owned()],
        core: vec!["net_vhost1".to_owned()],
    };
    fs::write(&config, settings.to_toml()).unwrap();
    let control = ControlSide::attach(&Config::load(&config).unwrap().segment()).unwrap();
    tables::fill(&control, SESSIONS, Layout::One).unwrap();
    let (access, core) = (dir.join("access.sock"), dir.join("core.sock"));

    let mut worker = Command::new(find_binary("sluice-worker").unwrap());
    worker.args(["-l", "0"]).args(MEMORY);
    for (number, socket) in [&access, &core].into_iter().enumerate() {
        worker.arg(format!("--vdev=net_vhost{number},iface={}", socket.display()));
    }
    worker.arg("--").arg("--config").arg(&config);
    let worker = Process::start("worker", worker, namespace.netns(), &dir.join("worker.log")).unwrap();
    worker
        .wait_ready(START, |worker| worker.has_said("sluice-worker: ready"))
        .unwrap();

    let mut tester = Command::new(find_binary("sluice-ndr").unwrap());
    tester.args(["-l", "1", "--single-file-segments"]).args(MEMORY);
    for (number, socket) in [&access, &core].into_iter().enumerate() {
        tester.arg(format!(
            "--vdev=net_virtio_user{number},path={},queue_size=1024",
            socket.display()
        ));
    }
    tester
        .args(["--", "--access", "net_virtio_user0", "--core", "net_virtio_user1"])
        .args(["--access-mac", &mac(HARNESS.access_mac)])
        .args(["--core-mac", &mac(HARNESS.core_mac)])
        .args(["--sessions", &SESSIONS.to_string()])
        .args(arguments.split(' '));
    let output = tester.stdin(Stdio::null()).output().unwrap();
    worker.stop().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!printed.is_empty(), "{said}");
    (output.status.success(), printed)
}
