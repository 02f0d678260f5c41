//! A worker between two devices, and the tester at their other ends: QinQ upstream, plain IP downstream, every frame compared byte
//! by byte. No control runs: the tables are written here.

use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use olt_sim::lab::Lab;
use olt_sim::lab::namespace::{Namespace, wait_until};
use olt_sim::lab::process::{Process, find_binary};
use olt_sim::wire::MacAddr;
use serde_json::Value;
use shm_bridge::ControlSide;
use sluice_bench::layout::Layout;
use sluice_bench::tables;
use sluice_bench::traffic::network::subscriber;
use sluice_config::Config;

use crate::frames::Tags;
use crate::telemetry::Telemetry;
use crate::world::assert_root;

pub const SESSIONS: u32 = 256;
const CONFIG: &str = "sluice.toml";
const START: Duration = Duration::from_secs(20);
const MEMORY: [&str; 4] = ["--no-pci", "--no-huge", "-m", "256"];

/// The two ports of one of the two programs.
#[derive(Clone, Debug)]
pub struct Ends {
    /// DPDK's names of the access port and the core port.
    pub devices: [&'static str; 2],
    /// What follows each name after `--vdev`.
    pub arguments: [String; 2],
}

impl Ends {
    fn vdevs(&self) -> impl Iterator<Item = String> + '_ {
        self.devices
            .iter()
            .zip(&self.arguments)
            .map(|(device, arguments)| format!("--vdev={device},{arguments}"))
    }
}

/// A place for a worker and a tester, both in one network namespace.
#[derive(Debug)]
pub struct Pair {
    pub lab: Lab,
    pub namespace: Namespace,
    pub outer_tpid: u16,
    /// The worker's, as EAL's `-l` wants them.
    pub lcores: &'static str,
    /// Receive queues of each of the worker's ports.
    pub queues: u16,
    /// `worker.spread`.
    pub spread: &'static str,
    /// `worker.idle`.
    pub idle: &'static str,
}

/// The subscriber of a session.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    pub tags: Tags,
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
}

impl Line {
    /// As the tester makes session `index`.
    pub fn of(index: u32) -> Line {
        let subscriber = subscriber(index);
        Line {
            tags: Tags {
                s_vlan: subscriber.s_vlan,
                c_vlan: subscriber.c_vlan,
            },
            mac: MacAddr(subscriber.mac),
            ipv4: subscriber.ipv4.into(),
        }
    }
}

/// A worker that runs, and who was control when it started.
#[derive(Debug)]
pub struct Running {
    pub control: ControlSide,
    pub worker: Process,
    pub telemetry: Telemetry,
}

impl Pair {
    #[track_caller]
    pub fn new() -> Pair {
        assert_root();
        let lab = Lab::new().expect("a lab");
        let namespace = lab.namespace("pair").expect("a namespace");
        Pair {
            lab,
            namespace,
            outer_tpid: 0x88a8,
            lcores: "0",
            queues: 1,
            spread: "auto",
            idle: "adaptive",
        }
    }

    /// Where sockets of the devices may be.
    pub fn path(&self, name: &str) -> PathBuf {
        self.lab.directory().join(name)
    }

    /// Starts a worker on these devices.
    #[track_caller]
    pub fn start(&self, worker: &Ends) -> Running {
        fs::write(self.path(CONFIG), self.settings(worker)).expect("room for the settings");
        let control = self.control();
        let worker = self.worker(worker);
        let ready = worker.wait_ready(START, |worker| worker.has_said("sluice-worker: ready"));
        ready.unwrap_or_else(|error| panic!("{error}\n{}", worker.log_tail()));
        let telemetry = self.path("dpdk/worker/dpdk_telemetry.v2");
        Running {
            control,
            worker,
            telemetry: Telemetry::at(&telemetry),
        }
    }

    /// What a worker says that does not start on these devices.
    #[track_caller]
    pub fn refusal(&self, worker: &Ends) -> String {
        fs::write(self.path(CONFIG), self.settings(worker)).expect("room for the settings");
        let _control = self.control();
        let worker = self.worker(worker);
        let status = wait_until(START, || worker.exit_status());
        let log = worker.log();
        assert!(
            status.is_some_and(|status| !status.success()),
            "{status:?}\n{log}"
        );
        let said = log.lines().find_map(|line| line.strip_prefix("sluice-worker: "));
        said.unwrap_or_else(|| panic!("no reason: {log}")).to_owned()
    }

    fn worker(&self, ends: &Ends) -> Process {
        let config = self.path(CONFIG);
        let mut command = Command::new(find_binary("sluice-worker").expect("a worker"));
        command
            .args(["-l", self.lcores, "--file-prefix", "worker"])
            .args(MEMORY);
        command.args(ends.vdevs()).arg("--").arg("--config").arg(&config);
        // EAL keeps its files in the lab's directory, so that they go with it.
        command.env("RUNTIME_DIRECTORY", self.lab.directory());
        let log = self.path("worker.log");
        Process::start("worker", command, self.namespace.netns(), &log).expect("the worker starts")
    }

    /// Runs the tester against a worker; whether it was content, and what it printed.
    #[track_caller]
    pub fn test(&self, worker: &Ends, tester: &Ends, arguments: &str) -> (bool, String) {
        let Running {
            control: _control,
            worker,
            ..
        } = self.start(worker);
        let program = find_binary("sluice-ndr").expect("a tester");
        let mut command = self.namespace.command(&program.display().to_string());
        command
            .args(["-l", "1", "--single-file-segments", "--file-prefix", "tester"])
            .args(MEMORY);
        command.env("RUNTIME_DIRECTORY", self.lab.directory());
        command.args(tester.vdevs()).arg("--");
        for (option, value) in [
            ("--access", tester.devices[0]),
            ("--core", tester.devices[1]),
            ("--access-mac", "02:00:00:00:00:01"),
            ("--core-mac", "02:00:00:00:00:02"),
            ("--outer-tpid", &format!("{:x}", self.outer_tpid)),
            ("--sessions", &SESSIONS.to_string()),
        ] {
            command.args([option, value]);
        }
        let output = command
            .args(arguments.split(' '))
            .stdin(Stdio::null())
            .output()
            .expect("the tester runs");
        worker.stop().expect("the worker stops");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!printed.is_empty(), "{said}\n--- worker\n{}", worker.log_tail());
        (output.status.success(), printed)
    }

    /// Runs the tester at a modest rate: both directions, nothing lost, damaged, doubled or out of order, for each of these sizes.
    #[track_caller]
    pub fn passes_whole(&self, worker: &Ends, tester: &Ends, sizes: &str) {
        let arguments = format!("--sizes {sizes} --rate 5k --seconds 1 --warm-up-seconds 0.5 --fixed --json");
        let (clean, printed) = self.test(worker, tester, &arguments);
        let from = printed.find('{').unwrap_or_else(|| panic!("no JSON: {printed}"));
        let report: Value = serde_json::from_str(&printed[from..]).expect("a report");

        let results = report["results"].as_array().expect("results");
        assert_eq!(results.len(), sizes.split(',').count());
        for result in results {
            let flows = result["trial"]["flows"].as_array().expect("flows");
            assert_eq!(flows.len(), 2, "both directions");
            for flow in flows {
                let count = |name: &str| flow[name].as_u64().expect("a count");
                // A busy machine may keep the tester itself from sending most of them.
                assert!(count("received") > 100, "{result:#}");
                assert_eq!(count("received"), count("sent"), "{result:#}");
                for none in ["lost", "corrupt", "duplicated", "reordered"] {
                    assert_eq!(count(none), 0, "{none}: {result:#}");
                }
            }
        }
        assert!(clean);
    }

    /// The sessions that the tester makes frames of. Dropped, nobody is control any more.
    fn control(&self) -> ControlSide {
        let config = Config::load(&self.path(CONFIG)).expect("valid settings");
        let control = ControlSide::attach(&config.segment()).expect("a segment");
        tables::fill(&control, SESSIONS, Layout::One).expect("room for the sessions");
        control
    }

    fn settings(&self, worker: &Ends) -> String {
        let dir = self.lab.directory().display();
        let [access, core] = worker.devices;
        let (tpid, queues) = (self.outer_tpid, self.queues);
        let (spread, idle) = (self.spread, self.idle);
        format!(
            r#"[node]
id = "pair"
run_dir = "{dir}"
state_dir = "{dir}"
hugetlbfs = "none"

[limits]
sessions = 512
tbl8_groups = 64

[worker]
mbufs = 8192
spread = "{spread}"
idle = "{idle}"

[[ports]]
name = "access0"
role = "access"
device = "{access}"
tagging = "qinq"
outer_tpids = [{tpid:#x}]
outer_tpid_tx = {tpid:#x}
queues = {queues}
mac = "02:00:00:00:00:01"
[[ports.lines]]
s_vlans = "1-256"
c_vlans = "1-4094"

[[ports]]
name = "core0"
role = "core"
device = "{core}"
queues = {queues}
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
"#
        )
    }
}

impl Default for Pair {
    fn default() -> Self {
        Pair::new()
    }
}
