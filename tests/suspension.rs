//! A subscriber who does not pay: what he has running stops at once, both ways; he is led to the payment portal;
//! he pays and is back; he leaves for good.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::probes::Reach;
use olt_sim::lab::world::{World, WorldSpec};
use sluice_tests::gateway::{Conservation, session_of, state_of};
use sluice_tests::world::{RESIDENTIAL, WGAR, without_access_node};
use sluice_tests::{Drops, PATIENCE, SILENCE, activate, connect, eventually, start};

const PORT: u16 = 7000;
const UP: u32 = 1;
const DOWN: u32 = 2;
const PACKETS_PER_SECOND: u64 = 1000;
/// What may be between the worker and a counter at the far end when the command is answered: sockets and TAPs
/// hold frames that the worker had let through before.
const UNDER_WAY: Duration = Duration::from_millis(100);
const MOVE_PATIENCE: Duration = Duration::from_secs(15);
/// A download that would take minutes.
const ENDLESS: &str = "/bytes/100000000000";

#[test]
fn a_suspended_subscribers_flows_stop_and_he_finds_the_payment_portal_alone() {
    // What stops the flows shall be the BNG, not a dark line.
    let mut world = start(WorldSpec {
        edit_settings: |settings| without_access_node(&settings),
        ..WorldSpec::default()
    });
    let core = world.ground().core.config().clone();
    let (internet, portal, payment) = (
        SocketAddrV4::new(core.internet, 80),
        SocketAddrV4::new(core.portal, 80),
        SocketAddrV4::new(core.payment_portal, 80),
    );
    connect(&mut world, 0);
    let serial = world.subscriber(0).serial().to_owned();
    world
        .api()
        .activate(&serial, "isp-residential", 50_000_000, 50_000_000)
        .unwrap();
    world.subscriber(0).cpe().unwrap().renew().unwrap();
    let lease = world
        .subscriber(0)
        .wait_for_address_in(RESIDENTIAL, MOVE_PATIENCE)
        .unwrap();
    eventually("he is active", PATIENCE, || state_of(&world, &serial) == "active");
    let home = world.subscriber(0);

    // Numbered packets both ways, and a download.
    let received = home.receive_flows(PORT).unwrap();
    let spec = |flow| FlowSpec {
        flow,
        payload_bytes: 200,
        packets_per_second: PACKETS_PER_SECOND,
        packets: 0,
    };
    let sink = world.ground().core.sink().clone();
    let _up = home
        .send_flow(world.ground().core.sink_address(), spec(UP))
        .unwrap();
    let to_home = SocketAddrV4::new(lease.address, PORT);
    let _down = world.ground().core.send_flow(to_home, spec(DOWN)).unwrap();
    let download = home.download(internet, ENDLESS, PATIENCE).unwrap();
    assert!(sink.wait_for(UP, 200, PATIENCE) && received.meter.wait_for(DOWN, 200, PATIENCE));
    eventually("the download runs", PATIENCE, || download.bytes() > 1_000_000);

    let before = Drops::read(world.api());
    let asked = Instant::now();
    let answer = world.api().suspend(&serial).unwrap();
    let answered = Instant::now();
    assert_eq!(answer["session"]["old_state"], "active");
    assert_eq!(answer["session"]["new_state"], "suspended");
    std::thread::sleep(UNDER_WAY);
    let (up_end, down_end, bytes_end) = (
        sink.flow(UP).unwrap(),
        received.meter.flow(DOWN).unwrap(),
        download.bytes(),
    );
    std::thread::sleep(SILENCE);
    assert_eq!(sink.packets(UP), up_end.packets, "upstream goes on");
    assert_eq!(
        received.meter.packets(DOWN),
        down_end.packets,
        "downstream goes on"
    );
    assert_eq!(download.bytes(), bytes_end, "the download goes on");
    // The order was in force when it was answered: what arrived afterwards had been let through before.
    for (which, end) in [("upstream", &up_end), ("downstream", &down_end)] {
        let late = end.last_at.saturating_duration_since(answered);
        eprintln!(
            "suspend: {which} ended {:.2} ms after the request was sent, answered after {:.2} ms",
            end.last_at.saturating_duration_since(asked).as_secs_f64() * 1e3,
            (answered - asked).as_secs_f64() * 1e3
        );
        assert!(late < UNDER_WAY, "{which}: {late:?} after the answer");
    }
    // Both directions are refused by the garden, and each refusal is counted.
    let refused = Drops::read(world.api()).since(&before);
    let kept_out = refused.get("garden_destination").copied().unwrap_or(0);
    assert!(kept_out > PACKETS_PER_SECOND, "only {refused:?}");
    drop((_up, _down, download));

    // He asks again, gets an address of the garden and finds the payment portal, nothing else.
    home.cpe().unwrap().renew().unwrap();
    let lease = home.wait_for_address_in(WGAR, MOVE_PATIENCE).unwrap();
    assert_eq!(state_of(&world, &serial), "suspended");
    eventually("the payment portal answers", PATIENCE, || {
        home.http_get(payment, "/", PATIENCE).is_reached()
    });
    assert_eq!(
        world.ground().core.payment_portal().requests_from(lease.address),
        1
    );
    assert_eq!(home.http_get(portal, "/", SILENCE), Reach::Silent);
    assert_eq!(home.http_get(internet, "/", SILENCE), Reach::Silent);
    assert_eq!(world.ground().core.portal().requests_from(lease.address), 0);
    assert_eq!(world.ground().core.internet().requests_from(lease.address), 0);
    // Suspended already.
    assert_conflict(&world, "suspend", &serial, "suspended");

    // He pays.
    let answer = world.api().resume(&serial).unwrap();
    assert_eq!(answer["session"]["new_state"], "activating");
    home.cpe().unwrap().renew().unwrap();
    home.wait_for_address_in(RESIDENTIAL, MOVE_PATIENCE).unwrap();
    eventually("he is active again", PATIENCE, || {
        state_of(&world, &serial) == "active"
    });
    let reached = home.http_get(internet, "/", PATIENCE);
    assert!(reached.is_reached(), "{reached:?}");
    let service = &session_of(&world, &serial)["service"];
    assert_eq!(
        (&service["pool"], &service["qos_download_bps"]),
        (&"isp-residential".into(), &50_000_000.into())
    );

    // He leaves.
    let pinged = home.ping(core.internet, PATIENCE);
    assert!(pinged.is_reached(), "{pinged:?}");
    let answer = world.api().terminate(&serial).unwrap();
    assert_eq!(answer["session"]["new_state"], "terminated");
    for target in [core.internet, core.portal, core.payment_portal] {
        assert!(!home.ping(target, SILENCE).is_reached(), "{target} still answers");
    }
    assert_conflict(&world, "resume", &serial, "terminated");
    Conservation::at_rest(world.api()).assert_exact();
    world.stop().unwrap();
}

#[test]
fn with_an_access_node_that_bounces_the_line_his_client_follows_by_itself() {
    let mut world = start(WorldSpec::default());
    connect(&mut world, 0);
    activate(&world, 0);
    let serial = world.subscriber(0).serial().to_owned();

    world.api().suspend(&serial).unwrap();
    world
        .subscriber(0)
        .wait_for_address_in(WGAR, MOVE_PATIENCE)
        .unwrap();
    world.api().resume(&serial).unwrap();
    world
        .subscriber(0)
        .wait_for_address_in(RESIDENTIAL, MOVE_PATIENCE)
        .unwrap();

    eventually("he is active again", PATIENCE, || {
        state_of(&world, &serial) == "active"
    });
    let internet = world.ground().core.config().internet;
    assert!(world.subscriber(0).ping(internet, PATIENCE).is_reached());
    world.stop().unwrap();
}

#[track_caller]
fn assert_conflict(world: &World, command: &str, serial: &str, state: &str) {
    let body = serde_json::json!({"ont_serial": serial});
    let path = format!("/api/v1/{command}");
    let answer = world
        .api()
        .request(hyper::Method::POST, &path, Some(&body))
        .unwrap();
    assert_eq!(answer.status, hyper::StatusCode::CONFLICT, "{}", answer.text());
    assert!(answer.text().contains(state), "{}", answer.text());
}
