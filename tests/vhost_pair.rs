//! A worker on vhost ports, and the tester at their other ends as virtio_user: QinQ upstream, plain IP downstream, every frame
//! compared byte by byte, none lost at a rate that a busy machine carries. No control runs: the tables are written here.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use olt_sim::lab::Lab;
use olt_sim::lab::process::{Process, find_binary};
use serde_json::Value;
use shm_bridge::access::{AccessKey, AccessWriter, LineModel};
use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::layout::Geometry;
use shm_bridge::segment::{Pages, SegmentConfig};
use shm_bridge::session::{Policy, Row, RowState, mac_bits};
use shm_bridge::{ControlSide, SessionIndex};
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
    let (clean, printed) = test(arguments);
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

/// For a quiet machine of two cores and release builds; what it prints goes to bench/RESULTS.md.
#[test]
#[ignore = "measures; asserts nothing"]
fn the_pairs_ndr_and_its_latency_under_load() {
    let arguments = "--sizes 64 --rate 4M --resolution 2 --seconds 1 --warm-up-seconds 0.3 --drain-ms 200";
    println!("{}", test(arguments).1);
}

/// Runs the tester against a worker with these sessions; whether it was content, and what it printed.
fn test(arguments: &str) -> (bool, String) {
    assert_root();
    let lab = Lab::new().unwrap();
    let dir = lab.directory();
    let namespace = lab.namespace("pair").unwrap();
    let control = ControlSide::attach(&SegmentConfig {
        name: "vhost".to_owned(),
        run_dir: dir.to_owned(),
        pages: Pages::Ordinary,
        geometry: Geometry {
            sessions: 512,
            tbl8_groups: 64,
            ..Geometry::default()
        },
    })
    .unwrap();
    fill(&control);
    let (access, core) = (dir.join("access.sock"), dir.join("core.sock"));
    let config = dir.join("sluice.toml");
    fs::write(&config, settings(dir)).unwrap();

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
        .args([
            "--access-mac",
            "02:00:00:00:00:01",
            "--core-mac",
            "02:00:00:00:00:02",
        ])
        .args(["--sessions", "256"])
        .args(arguments.split(' '));
    let output = tester.stdin(Stdio::null()).output().unwrap();
    worker.stop().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!printed.is_empty(), "{said}");
    (output.status.success(), printed)
}

/// Session `i` as the tester makes it; a default route to the tester.
fn fill(control: &ControlSide) {
    let tables = &control.tables;
    let mut access = AccessWriter::attach(tables.access.clone());
    let mut fib = FibWriter::attach(tables.fib.clone());
    let tester = NextHop {
        mac: [2, 0, 0, 0, 0, 3],
        port: 1,
    };
    tables
        .adjacencies
        .set(AdjacencyIndex(0), Ipv4Addr::new(192, 0, 2, 1), Some(tester));
    fib.load(
        Prefix::new(Ipv4Addr::UNSPECIFIED, 0),
        Leaf::Adjacency(AdjacencyIndex(0)),
    );
    access.configure(0, 1, Some(LineModel::OneToOne));
    for index in 0..SESSIONS {
        let [a, b, c, d] = index.to_be_bytes();
        let mac = [0x02, 0x01, a, b, c, d];
        let key = AccessKey {
            port: 0,
            s_vlan: 1,
            c_vlan: 1 + index as u16,
            mac: mac_bits(mac),
        };
        let ipv4 = Ipv4Addr::from(0x6440_0000 + index);
        let session = SessionIndex::new(index + 1).unwrap();
        let mut row = Row::ipv4(ipv4, 10, key.port, key.s_vlan, key.c_vlan, mac);
        row.policy = Policy::new(RowState::Active);
        tables.rows.get(session).unwrap().fill(&row);
        access.set(&key, session, &tables.rows).unwrap();
        fib.load(Prefix::host(ipv4), Leaf::Session(session));
    }
    fib.reconcile().unwrap();
}

fn settings(dir: &Path) -> String {
    format!(
        r#"[node]
id = "vhost"
run_dir = "{dir}"
state_dir = "{dir}"
hugetlbfs = "none"

[limits]
sessions = 512
tbl8_groups = 64

[worker]
mbufs = 8192

[[ports]]
name = "access0"
role = "access"
device = "net_vhost0"
tagging = "qinq"
outer_tpids = [0x88a8]
mac = "02:00:00:00:00:01"
[[ports.lines]]
s_vlans = "1"
c_vlans = "1-4094"

[[ports]]
name = "core0"
role = "core"
device = "net_vhost1"
mac = "02:00:00:00:00:02"
address = "192.0.2.2/24"
gateway = "192.0.2.1"

[dhcp]
server_id = "100.127.255.1"

[pools.isp-residential]
network = "100.64.0.0/10"
gateway = "100.127.255.1"
binding_seconds = 86400
dns = ["1.1.1.1"]

[sessions]
unknown_pool = "isp-residential"
suspended_pool = "isp-residential"
"#,
        dir = dir.display()
    )
}
