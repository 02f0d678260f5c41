//! Control dies by SIGKILL while subscribers' traffic flows: the workers go on as if nothing had happened. What
//! comes back has the sessions, leases and counters it had, and finds in shared memory what it would have put
//! there.

use std::net::SocketAddrV4;
use std::process::Command;
use std::time::Duration;

use olt_sim::lab::Process;
use olt_sim::lab::cpe::EventKind;
use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::{World, WorldSpec};
use serde_json::Value;
use sluice_tests::gateway::{Conservation, session_of, traffic};
use sluice_tests::{Drops, PATIENCE, SILENCE, activate, connect, eventually, start};

const PORT: u16 = 7000;
const UP: u32 = 1;
const DOWN: u32 = 2;
/// Each way.
const PACKETS_PER_SECOND: u64 = 500;
const RESTART_PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn nothing_is_lost_while_control_is_away_and_all_is_as_before_when_it_is_back() {
    let mut world = start(WorldSpec {
        subscribers: 3,
        ..WorldSpec::default()
    });
    // One is active, one in the garden, one suspended.
    for index in 0..3 {
        connect(&mut world, index);
    }
    let active = activate(&world, 0);
    activate(&world, 2);
    world.api().suspend(world.subscriber(2).serial()).unwrap();
    eventually(
        "the suspended one has an address of the garden",
        RESTART_PATIENCE,
        || session_of(&world, world.subscriber(2).serial())["pool"] == "wgar",
    );
    let core = world.ground().core.config().clone();
    let internet = SocketAddrV4::new(core.internet, 80);
    let portal = SocketAddrV4::new(core.portal, 80);

    let home = world.subscriber(0);
    let received = home.receive_flows(PORT).unwrap();
    let spec = |flow| FlowSpec {
        flow,
        payload_bytes: 200,
        packets_per_second: PACKETS_PER_SECOND,
        packets: 0,
    };
    let up = home
        .send_flow(world.ground().core.sink_address(), spec(UP))
        .unwrap();
    let to_home = SocketAddrV4::new(active.address, PORT);
    let down = world.ground().core.send_flow(to_home, spec(DOWN)).unwrap();
    let sink = world.ground().core.sink().clone();
    assert!(sink.wait_for(UP, 200, PATIENCE) && received.meter.wait_for(DOWN, 200, PATIENCE));

    let before = picture(&world);
    let drops = Drops::read(world.api());
    world.kill_control().unwrap();
    let (up_then, down_then) = (sink.packets(UP), received.meter.packets(DOWN));

    // Nobody answers REST, and nobody DHCP.
    assert!(world.api().get("/health").is_err(), "control is dead");
    let home = world.subscriber(0);
    let told = home.cpe().unwrap().events().len();
    home.cpe().unwrap().renew().unwrap();
    // But every subscriber has what he had.
    assert!(home.http_get(internet, "/", PATIENCE).is_reached());
    assert!(world.subscriber(1).http_get(portal, "/", PATIENCE).is_reached());
    assert!(!world.subscriber(1).http_get(internet, "/", SILENCE).is_reached());
    assert!(!world.subscriber(2).http_get(internet, "/", SILENCE).is_reached());
    assert!(sink.wait_for(UP, up_then + 500, PATIENCE), "upstream stopped");
    assert!(
        received.meter.wait_for(DOWN, down_then + 500, PATIENCE),
        "downstream stopped"
    );
    let answered = home.cpe().unwrap().events()[told..]
        .iter()
        .any(|event| matches!(event.kind, EventKind::Bound | EventKind::Renew));
    assert!(!answered, "DHCP was answered without control");

    world.start_control().unwrap();
    let after = picture(&world);
    assert_eq!(
        before.unchanging, after.unchanging,
        "sessions and leases are as before"
    );
    for (before, after) in before.traffic.iter().zip(&after.traffic) {
        let counted_on = before
            .iter()
            .zip(after)
            .all(|(before, after)| before.0 <= after.0 && before.1 <= after.1);
        assert!(counted_on, "a counter went back: {before:?}, then {after:?}");
    }
    // The client keeps what it has.
    let home = world.subscriber(0);
    home.cpe().unwrap().renew().unwrap();
    eventually("the lease is renewed", RESTART_PATIENCE, || {
        home.cpe().unwrap().events()[told..]
            .iter()
            .any(|event| matches!(event.kind, EventKind::Bound | EventKind::Renew))
    });
    assert_eq!(home.address(), Some(active.address));
    assert!(world.subscriber(1).http_get(portal, "/", PATIENCE).is_reached());
    assert!(!world.subscriber(1).http_get(internet, "/", SILENCE).is_reached());
    assert!(!world.subscriber(2).http_get(internet, "/", SILENCE).is_reached());

    // Every packet of both flows has arrived, once and in order.
    let (up, down) = (up.stop(), down.stop());
    assert!(
        sink.wait_for(UP, up.packets, PATIENCE),
        "{:?} of {up:?}",
        sink.flow(UP)
    );
    assert!(
        received.meter.wait_for(DOWN, down.packets, PATIENCE),
        "{:?} of {down:?}",
        received.meter.flow(DOWN)
    );
    for (count, sent) in [(sink.flow(UP), up), (received.meter.flow(DOWN), down)] {
        let count = count.expect("the flow arrived");
        assert_eq!((count.packets, sent.refused), (sent.packets, 0));
        assert_eq!((count.reordered, count.duplicates), (0, 0));
    }
    let counted = traffic(&session_of(&world, home.serial()));
    assert!(
        counted[0].0 >= up.packets && counted[1].0 >= down.packets,
        "{counted:?}"
    );
    // The worker lost nothing either. The garden refused something, as it should, and the clients' kernels told
    // the DHCP server that nobody listens once a client has closed its socket.
    let refused = Drops::read(world.api()).since(&drops);
    let expected = |reason: &str| ["garden_destination", "arp_ignored", "local_unserved"].contains(&reason);
    assert!(refused.keys().all(|reason| expected(reason)), "{refused:?}");
    let sum = Conservation::at_rest(world.api());
    sum.assert_exact();
    assert_eq!(sum.lost_in_flight, 0);
    eprintln!(
        "frames checked by number: {} up, {} down; {sum:?}",
        up.packets, down.packets
    );
    world.stop().unwrap();
}

/// All sessions: what must be equal before and after, and what may only have grown.
struct Picture {
    unchanging: Vec<Value>,
    traffic: Vec<[(u64, u64); 2]>,
}

fn picture(world: &World) -> Picture {
    let mut list = world.api().get("/api/v1/sessions").unwrap();
    let mut sessions = list["sessions"].as_array_mut().unwrap().clone();
    let traffic = sessions.iter().map(traffic).collect();
    for session in &mut sessions {
        session.as_object_mut().unwrap().remove("traffic");
    }
    assert_eq!(sessions.len(), 3);
    Picture {
        unchanging: sessions,
        traffic,
    }
}

#[test]
fn a_second_control_or_worker_refuses_to_start_and_names_the_lock() {
    let world = start(WorldSpec::default());
    let settings = world.ground().settings_path();

    let mut control = Command::new(olt_sim::lab::process::find_binary("sluice-control").unwrap());
    control.arg("--config").arg(&settings);
    let control = refused(&world, "second-control", control);
    assert!(control.contains("control.lock"), "{control}");

    let mut worker = Command::new(olt_sim::lab::process::find_binary("sluice-worker").unwrap());
    worker
        .args([
            "--no-huge",
            "-m",
            "256",
            "--no-pci",
            "--file-prefix",
            "second",
            "-l",
            "0",
            "--",
        ])
        .arg("--config")
        .arg(&settings)
        .env("RUNTIME_DIRECTORY", world.ground().run_directory());
    let worker = refused(&world, "second-worker", worker);
    assert!(worker.contains("worker.lock"), "{worker}");

    // The first ones have not noticed.
    assert!(world.api().is_ready());
    world.stop().unwrap();
}

/// What a process says that does not start.
#[track_caller]
fn refused(world: &World, name: &str, command: Command) -> String {
    let log = world.ground().log_path(name);
    let process = Process::start(name, command, world.ground().core_namespace.netns(), &log).unwrap();
    eventually(&format!("{name} ends"), RESTART_PATIENCE, || {
        process.exit_status().is_some()
    });
    assert!(!process.exit_status().unwrap().success());
    process.log()
}
