//! A hundred subscribers are activated at the same moment: each becomes active, no two get one address, each is told
//! once. And what an activation answers to a repeat and to nonsense.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use hyper::{Method, StatusCode};
use olt_sim::lab::world::{World, WorldSpec};
use serde_json::{Value, json};
use sluice_tests::gateway::{Conservation, events, metric, state_of};
use sluice_tests::homes::Homes;
use sluice_tests::world::{RESIDENTIAL, WGAR, is_in};
use sluice_tests::{connect, eventually, sessions, start};

const HOMES: u16 = 100;
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_hundred_at_once_all_become_active_with_an_address_of_their_own() {
    let world = start(WorldSpec {
        subscribers: 0,
        ..WorldSpec::default()
    });
    let begun = Instant::now();
    let homes = Homes::connect(&world, HOMES);
    eventually("all are in the garden", PATIENCE, || {
        let leases = homes.leases();
        leases.len() == usize::from(HOMES) && leases.values().all(|address| is_in(*address, WGAR))
    });
    eprintln!(
        "{HOMES} homes got their first lease in {:.2} s",
        begun.elapsed().as_secs_f64()
    );

    let begun = Instant::now();
    let answers: Vec<Value> = std::thread::scope(|scope| {
        let asked: Vec<_> = homes
            .serials()
            .iter()
            .map(|serial| {
                let api = world.api();
                scope.spawn(move || api.activate(serial, "isp-residential", 10_000_000, 5_000_000))
            })
            .collect();
        let answered = asked.into_iter().map(|asked| asked.join().expect("no panic"));
        answered.map(|answer| answer.expect("it is activated")).collect()
    });
    eprintln!(
        "{HOMES} activations were answered in {:.3} s",
        begun.elapsed().as_secs_f64()
    );
    for answer in &answers {
        assert_eq!(
            (&answer["session"]["old_state"], &answer["session"]["new_state"]),
            (&"wgar".into(), &"activating".into())
        );
    }
    eventually("all have moved", PATIENCE, || {
        let moved = homes.leases();
        moved.values().all(|address| is_in(*address, RESIDENTIAL))
    });
    eventually("all are active", PATIENCE, || {
        active(&world).len() == usize::from(HOMES)
    });
    eprintln!(
        "{HOMES} were active {:.2} s after the first request",
        begun.elapsed().as_secs_f64()
    );

    // What each client was told is what the BNG holds, and nobody else's.
    let leases = homes.leases();
    let held = active(&world);
    let distinct: BTreeSet<&str> = held.iter().filter_map(|session| session["ip"].as_str()).collect();
    assert_eq!(distinct.len(), usize::from(HOMES), "an address is held twice");
    for session in &held {
        let serial = session["ont_serial"].as_str().expect("an ONT");
        assert_eq!(session["ip"], leases[serial].to_string());
        assert_eq!(session["service"]["qos_download_bps"], 10_000_000);
    }
    let residential = pool(&world, "isp-residential");
    assert_eq!(
        (&residential["bound"], &residential["offered"]),
        (&100.into(), &0.into())
    );
    assert_eq!(pool(&world, "wgar")["bound"], 0);

    // Each step of each is told once.
    let events = events(world.api());
    let mut steps: BTreeMap<(String, String), u32> = BTreeMap::new();
    let mut sequence = 0;
    for event in &events {
        let number = event["sequence"]
            .as_u64()
            .unwrap_or_else(|| panic!("no event: {event}"));
        assert!(number > sequence, "event {number} after {sequence}");
        sequence = number;
        if event["kind"] == "SessionStateChanged" {
            let step = format!("{} to {}", event["old_state"], event["new_state"]).replace('"', "");
            let serial = event["ont_serial"].as_str().unwrap_or_default().to_owned();
            *steps.entry((serial, step)).or_default() += 1;
        }
    }
    for serial in homes.serials() {
        for step in ["discovered to wgar", "wgar to activating", "activating to active"] {
            let told = steps.remove(&(serial.clone(), step.to_owned())).unwrap_or(0);
            assert_eq!(told, 1, "{serial}: {step}");
        }
    }
    assert!(steps.is_empty(), "steps nobody took: {steps:?}");
    assert_eq!(
        metric(world.api(), r#"bng_activations_total{result="success"}"#),
        Some(f64::from(HOMES))
    );
    Conservation::at_rest(world.api()).assert_exact();
    drop(homes);
    world.stop().unwrap();
}

#[test]
fn a_repeat_changes_nothing_and_nonsense_is_refused_with_its_reason() {
    let mut world = start(WorldSpec::default());
    connect(&mut world, 0);
    let serial = world.subscriber(0).serial().to_owned();
    let order = |serial: &str, pool: &str, rate: u64| json!({"ont_serial": serial, "service_id": "SVC-001", "pool": pool, "qos_download_bps": rate, "qos_upload_bps": rate});
    let ask = |body: &Value| {
        let answer = world
            .api()
            .request(Method::POST, "/api/v1/activate", Some(body))
            .unwrap();
        (answer.status, answer.json())
    };

    let (status, problem) = ask(&order("ADTN99999999", "isp-residential", 1_000_000));
    assert_eq!(status, StatusCode::NOT_FOUND, "{problem}");
    assert!(
        problem["detail"].as_str().unwrap().contains("ADTN99999999"),
        "{problem}"
    );
    let (status, problem) = ask(&order(&serial, "isp-nowhere", 1_000_000));
    assert_eq!(
        (status, &problem["field"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &"pool".into()),
        "{problem}"
    );
    let (status, problem) = ask(&order(&serial, "isp-residential", 999_999_999_999_999));
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{problem}");
    assert_eq!(problem["field"], "qos_download_bps", "{problem}");
    assert_eq!(state_of(&world, &serial), "wgar", "nothing of that did anything");

    // Good, and good again, before and after he has moved.
    let (status, first) = ask(&order(&serial, "isp-residential", 1_000_000));
    assert_eq!(status, StatusCode::OK, "{first}");
    assert_eq!(first["session"]["old_state"], "wgar");
    assert_eq!(first["session"]["message"], "Waiting for DHCP renewal");
    let (status, again) = ask(&order(&serial, "isp-residential", 1_000_000));
    assert_eq!(status, StatusCode::OK, "{again}");
    eventually("he is active", PATIENCE, || state_of(&world, &serial) == "active");
    let told = events(world.api()).len();
    let before = sessions(&world, "");
    let (status, again) = ask(&order(&serial, "isp-residential", 1_000_000));
    assert_eq!(
        (status, &again["session"]["new_state"]),
        (StatusCode::OK, &"active".into()),
        "{again}"
    );
    let steady = |mut session: Value| {
        session.as_object_mut().unwrap().remove("traffic");
        session
    };
    let after: Vec<Value> = sessions(&world, "").into_iter().map(steady).collect();
    assert_eq!(before.into_iter().map(steady).collect::<Vec<_>>(), after);
    assert_eq!(events(world.api()).len(), told, "a repeat is no news");

    // Not in this state.
    world.api().terminate(&serial).unwrap();
    let (status, problem) = ask(&order(&serial, "isp-residential", 1_000_000));
    assert_eq!(status, StatusCode::CONFLICT, "{problem}");
    let detail = problem.to_string();
    assert!(
        detail.contains("terminated") && detail.contains("activ"),
        "{detail}"
    );
    world.stop().unwrap();
}

fn active(world: &World) -> Vec<Value> {
    sessions(world, "state=active&limit=1000")
}

fn pool(world: &World, name: &str) -> Value {
    let pools = world.api().get("/api/v1/pools").unwrap();
    let found = pools["pools"]
        .as_array()
        .unwrap()
        .iter()
        .find(|pool| pool["name"] == name);
    found
        .cloned()
        .unwrap_or_else(|| panic!("no pool {name} in {pools}"))
}
