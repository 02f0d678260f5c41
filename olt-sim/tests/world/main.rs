//! The order of things in a [`World`], with stand-ins for the BNG's two programs: `dpdk-testpmd`, which copies
//! frames between its ports, and a script that says it is ready and takes events.
//!
//! What the real programs do is told in the workspace's end-to-end tests.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use olt_sim::Tagging;
use olt_sim::lab::namespace::{can_run, wait_until};
use olt_sim::lab::world::{Settings, World, WorldSpec};
use olt_sim::lab::{Lab, WatchLink};

const PATIENCE: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);
/// The stand-in does not route: the subscriber lives in the core's own network.
const HOME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// Keeps EAL's arguments and drops ours.
const WORKER: &str = r#"#!/bin/bash
eal=()
for argument; do
    [ "$argument" = -- ] && break
    eal+=("$argument")
done
stdbuf -oL dpdk-testpmd "${eal[@]}" -- --total-num-mbufs=4096 --forward-mode=io --auto-start --stats-period=60 > >(
    while read -r line; do
        echo "$line"
        case $line in "io packet forwarding"*) echo "sluice-worker: ready" ;; esac
    done
) &
testpmd=$!
trap 'kill -INT $testpmd; wait $testpmd; exit 0' TERM
wait $testpmd
"#;

/// Serves /ready and the events on control.sock in the run_dir of --config.
const CONTROL: &str = r#"#!/usr/bin/python3
import http.server, os, re, signal, socketserver, sys
run = re.search(r'run_dir = "(.*)"', open(sys.argv[2]).read()).group(1)
path = run + "/control.sock"
if os.path.exists(path): os.remove(path)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.answer(200)
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        open(run + "/events", "ab").write(body + b"\n")
        self.answer(202)
    def answer(self, status):
        self.send_response(status); self.send_header("Content-Length", "0"); self.end_headers()
    def address_string(self): return "local"
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
socketserver.ThreadingUnixStreamServer(path, Handler).serve_forever()
"#;

fn program(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn a_world_is_built_survives_restarts_and_ends_in_order() {
    if !can_run("a_world_is_built_survives_restarts_and_ends_in_order") {
        return;
    }
    if Command::new("dpdk-testpmd").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dpdk-testpmd is not installed");
        return;
    }
    let programs = Lab::new().unwrap();
    let spec = WorldSpec {
        subscribers: 2,
        watch_link: WatchLink::No,
        settings: Settings {
            tagging: Tagging::Untagged,
            ..Settings::default()
        },
        lcores: "0,1".into(),
        worker: Some(program(programs.directory(), "worker", WORKER)),
        control: Some(program(programs.directory(), "control", CONTROL)),
        ..WorldSpec::default()
    };

    let mut world = World::start(spec).unwrap();
    world.olt().set_filter(false);
    world.connect_without_waiting(0).unwrap();
    // Nobody answers DHCP here: the client has tidied the interface and makes room for a fixed address.
    let tidied = || (!world.subscriber(0).cpe().unwrap().events().is_empty()).then_some(());
    assert!(wait_until(PATIENCE, tidied).is_some());
    drop(world.subscriber_mut(0).remove_cpe());
    let home = &world.subscriber(0).namespace;
    home.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]).unwrap();
    home.ip(&["route", "add", "default", "via", "192.0.2.1"]).unwrap();
    let portal = world.ground().core.config().portal;
    let reaches = |world: &World| {
        let asked = || {
            world
                .subscriber(0)
                .http_get(world.ground().core.http_address(portal), "/", SHORT)
                .reached()
        };
        wait_until(PATIENCE, asked).is_some()
    };

    assert!(reaches(&world), "{}", world.worker().unwrap().log_tail());
    world.kill_control().unwrap();
    assert!(!world.api().is_ready());
    assert!(reaches(&world), "forwarding does not need control");
    world.start_control().unwrap();
    world.connect_without_waiting(1).unwrap();
    world.kill_worker().unwrap();
    assert!(!world.subscriber(0).ping(portal, SHORT).is_reached());
    world.start_worker().unwrap();
    assert!(reaches(&world));
    world.stop_worker().unwrap();
    world.start_worker().unwrap();
    assert!(reaches(&world));
    assert!(world.ground().core.portal().requests_from(HOME) >= 4);
    assert!(world.ground().core.watch().packets_from(HOME) > 0);
    let heard = fs::read_to_string(world.ground().run_directory().join("events")).unwrap();
    assert!(
        heard.contains("ADTN00000002") && heard.contains("agg-01|1/1/1"),
        "{heard}"
    );
    let directory = world.ground().lab.directory().to_owned();
    world.stop().unwrap();
    assert!(!directory.exists());
}
