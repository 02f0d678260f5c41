//! What is read of shared memory: ports, drops, punts, latency, lcores, health, metrics.

use serde_json::{Value, json};
use shm_bridge::cost::Stage;
use shm_bridge::ports::{LinkState, PortStatus};
use shm_bridge::{Direction, DropReason, PuntReason};

use super::*;
use crate::rest::monotonic_ns;

/// A worker that ran lcore 1 and received 100 packets.
fn run(gateway: &Gateway) {
    let lcore = gateway.worker.tables.lcores.get(1).unwrap();
    lcore.generation.set(gateway.worker.generation());
    lcore.lcore_id.set(3);
    lcore.cpu.set(7);
    lcore.heartbeat_ns.set(monotonic_ns());
    lcore.rx.set(100);
    lcore.originated.set(2);
    lcore.tx.set(80);
    lcore.busy_tsc.set(5000);
    lcore.drop(DropReason::SpoofedAddress).set(15);
    lcore.drop(DropReason::GardenDestination).set(4);
    lcore.punt(PuntReason::Dhcp).set(3);
    lcore.forwarded[Direction::Downstream as usize].set(60);
    lcore.port(0).unwrap().rx_packets.set(100);
    lcore.port(1).unwrap().tx_bytes.set(8000);
}

#[tokio::test]
async fn drops_and_punts_are_counted_by_reason_and_lcore() {
    let gateway = Gateway::new();
    run(&gateway);

    let drops = gateway.get("/api/v1/drops").await.json();
    let punts = gateway.get("/api/v1/punts").await.json();

    assert_eq!(drops["total"], 19);
    let all = drops["drops"].as_array().unwrap();
    assert_eq!(all.len(), DropReason::ALL.len());
    let spoofed = all
        .iter()
        .find(|drop| drop["reason"] == "spoofed_address")
        .unwrap();
    assert_eq!(
        spoofed,
        &json!({
            "reason": "spoofed_address", "packets": 15,
            "meaning": "The source IPv4 address is not the session's.",
            "lcores": [{"lcore": 1, "packets": 15}]
        })
    );
    assert_eq!(punts["total"], 3);
    assert_eq!(punts["punts"][0]["reason"], "dhcp");
}

#[tokio::test]
async fn the_sum_of_law_two_is_shown_by_lcore_and_in_all() {
    let gateway = Gateway::new();
    run(&gateway);

    let answer = gateway.get("/api/v1/lcores").await.json();

    assert_eq!(answer["worker"]["alive"], true);
    assert_eq!(answer["worker"]["generation"], 1);
    let lcore = &answer["lcores"][0];
    assert_eq!(
        (&lcore["lcore"], &lcore["lcore_id"], &lcore["cpu"]),
        (&json!(1), &json!(3), &json!(7))
    );
    assert_eq!(lcore["tsc_per_packet"], 50.0);
    assert_eq!(lcore["forwarded"], json!({"upstream": 0, "downstream": 60}));
    assert_eq!(lcore["online"], false);
    assert_eq!(
        answer["total"],
        json!({
            "rx": 100, "injected": 0, "originated": 2, "tx": 80, "drops": 19, "punts": 3,
            "lost_in_flight": 0, "in_hand": 0
        })
    );
}

#[tokio::test]
async fn an_lcore_tells_what_each_stage_costs_and_how_much_more_it_could_take() {
    let gateway = Gateway::new();
    run(&gateway);
    let tables = &gateway.worker.tables;
    let (lcore, cost) = (tables.lcores.get(1).unwrap(), tables.costs.get(1).unwrap());
    let stage = |stage: Stage, packets, tsc| {
        cost.stage(stage).packets.add(packets);
        cost.stage(stage).tsc.add(tsc);
    };
    cost.one_in.set(64);
    cost.clock_tsc.set(27);
    stage(Stage::Garden, 10, 5000);
    cost.packets.set(100);
    let before = gateway.get("/api/v1/lcores").await.json();
    assert_eq!(
        before["lcores"][0]["recent"],
        Value::Null,
        "nothing was noted yet"
    );

    // Ten seconds ago, by what was noted; since then a fifth of them was busy with 1,000 packets more in 50 bursts.
    gateway
        .state
        .recent
        .note(tables, monotonic_ns().saturating_sub(10_000_000_000));
    cost.tsc_hz.set(1_000_000);
    lcore.rx.add(200);
    lcore.handed_in.add(800);
    lcore.bursts.add(50);
    lcore.busy_tsc.add(2_000_000);
    cost.bursts.add(1);
    cost.packets.add(20);
    stage(Stage::Receive, 20, 400);
    stage(Stage::Garden, 5, 1000);
    stage(Stage::Transmit, 20, 200);
    let answer = gateway.get("/api/v1/lcores").await.json();

    let lcore = &answer["lcores"][0];
    let near = |at: &str, wanted: f64| {
        let told = lcore.pointer(at).and_then(Value::as_f64).unwrap();
        assert!((told - wanted).abs() < wanted / 50.0, "{at}: {told} for {wanted}");
    };
    assert_eq!(
        (&lcore["measure_one_in"], &lcore["clock_reading_tsc"]),
        (&json!(64), &json!(27))
    );
    near("/recent/seconds", 10.0);
    near("/recent/packets_per_second", 100.0);
    near("/recent/packets_per_burst", 20.0);
    near("/recent/busy_share", 0.2);
    near("/recent/tsc_per_packet", 2000.0);
    // 0.8 of a million ticks, 2,000 each.
    near("/recent/headroom_packets_per_second", 400.0);
    near("/recent/cost/tsc_per_packet", 80.0);
    near("/recent/cost/driver_tsc_per_packet", 30.0);
    near("/recent/cost/own_tsc_per_packet", 50.0);
    let place = |label: &str| Stage::LABELS.iter().position(|found| *found == label).unwrap();
    let garden = format!("/recent/cost/stages/{}", place("garden"));
    assert_eq!(lcore.pointer(&garden).unwrap()["stage"], "garden");
    near(&format!("{garden}/tsc_per_packet"), 200.0);
    near(&format!("{garden}/tsc_per_received_packet"), 50.0);
    // Since the segment was made.
    near(&format!("/cost/stages/{}/tsc_per_packet", place("garden")), 400.0);
    let parse = format!("/recent/cost/stages/{}", place("parse"));
    assert_eq!(lcore.pointer(&parse).unwrap()["tsc_per_packet"], Value::Null);
}

#[tokio::test]
async fn noise_in_the_workers_region_is_told_and_harms_nobody() {
    let gateway = Gateway::new();
    run(&gateway);
    let tables = &gateway.worker.tables;
    gateway
        .state
        .recent
        .note(tables, monotonic_ns().saturating_sub(1_000_000));
    let cost = tables.costs.get(1).unwrap();
    for cell in [
        &cost.one_in,
        &cost.tsc_hz,
        &cost.clock_tsc,
        &cost.bursts,
        &cost.packets,
    ] {
        cell.set(u64::MAX);
    }
    for stage in Stage::ALL {
        cost.stage(*stage).tsc.set(u64::MAX - 1);
        cost.stage(*stage).packets.set(u64::MAX);
    }
    tables.lcores.get(1).unwrap().busy_tsc.set(u64::MAX);

    let answer = gateway.get("/api/v1/lcores").await;

    assert_eq!(answer.status, 200);
    assert!(
        answer.json()["lcores"][0]["recent"]["busy_share"]
            .as_f64()
            .unwrap()
            <= 1.0
    );
    assert_eq!(gateway.get("/metrics").await.status, 200);
}

#[tokio::test]
async fn ports_show_what_the_pipeline_and_the_device_counted() {
    let gateway = Gateway::new();
    run(&gateway);
    gateway.worker.tables.ports.get(0).unwrap().set(&PortStatus {
        link: LinkState::Up,
        speed_mbps: 10_000,
        rx_missed: 5,
        mbufs: 16_384,
        mbufs_free: 16_000,
        ..PortStatus::default()
    });

    let answer = gateway.get("/api/v1/ports").await.json();

    let (access, core) = (&answer["ports"][0], &answer["ports"][1]);
    assert_eq!(
        (&access["name"], &access["role"], &access["link"]),
        (&json!("access0"), &json!("access"), &json!("up"))
    );
    assert_eq!(access["pipeline"]["rx_packets"], 100);
    assert_eq!(access["device_counts"]["rx_missed"], 5);
    assert_eq!(
        (&core["role"], &core["link"], &core["speed_mbps"]),
        (&json!("core"), &json!("absent"), &Value::Null)
    );
    assert_eq!(core["pipeline"]["tx_bytes"], 8000);
}

#[tokio::test]
async fn percentiles_are_right_to_within_two_percent_and_never_too_small() {
    let gateway = Gateway::new();
    run(&gateway);
    let other = gateway.worker.tables.lcores.get(2).unwrap();
    other.generation.set(1);
    let record = |lcore, values: std::ops::Range<u64>| {
        let cells = gateway
            .worker
            .tables
            .latencies
            .get(lcore, Direction::Upstream)
            .unwrap();
        for value in values {
            cells.record(value * 1000, 1);
        }
    };
    // 1 … 10,000 µs, over two lcores.
    record(1, 1..5001);
    record(2, 5001..10_001);

    let answer = gateway.get("/api/v1/latency?buckets=true").await.json();

    let total = &answer["total"][0];
    assert_eq!(
        (&total["direction"], &total["count"]),
        (&json!("upstream"), &json!(10_000))
    );
    assert_eq!(total["max_ns"], 10_000_000);
    for (name, exact) in [
        ("p50_ns", 5_000_000u64),
        ("p90_ns", 9_000_000),
        ("p99_ns", 9_900_000),
        ("p99_9_ns", 9_990_000),
        ("p99_99_ns", 9_999_000),
    ] {
        let told = total[name].as_u64().unwrap();
        assert!(
            told >= exact && told <= exact + exact / 50,
            "{name}: {told} for {exact}"
        );
    }
    let counted: u64 = total["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bucket| bucket["count"].as_u64().unwrap())
        .sum();
    assert_eq!(counted, 10_000);
    assert_eq!(answer["lcores"].as_array().unwrap().len(), 4);
    assert_eq!(answer["total"][1]["p50_ns"], Value::Null);

    let short = gateway.get("/api/v1/latency").await.json();
    assert_eq!(short["total"][0].get("buckets"), None);
    assert_eq!(
        gateway.get("/api/v1/latency?buckets=some").await.problem(400)["field"],
        "buckets"
    );
}

#[tokio::test]
async fn the_gateway_is_ready_when_engine_worker_and_lcores_are() {
    let gateway = Gateway::new();
    let health = gateway.get("/health").await;
    assert_eq!(
        (health.status.as_u16(), &health.json()["status"]),
        (200, &json!("ok"))
    );

    let failing = async |name: &str| {
        let answer = gateway.get("/ready").await;
        assert_eq!(answer.status, 503);
        let checks = answer.json()["checks"].as_array().unwrap().clone();
        let failed = checks.into_iter().find(|check| check["ok"] == false).unwrap();
        assert_eq!(failed["name"], name);
        failed["detail"].as_str().unwrap().to_owned()
    };
    assert_eq!(failing("lcores").await, "none is running");

    run(&gateway);
    let ready = gateway.get("/ready").await;
    assert_eq!(
        (ready.status.as_u16(), &ready.json()["status"]),
        (200, &json!("ready"))
    );

    let stalled = monotonic_ns().saturating_sub(9_000_000_000);
    let lcore = gateway.worker.tables.lcores.get(1).unwrap();
    lcore.heartbeat_ns.set(stalled);
    assert!(failing("lcores").await.starts_with("lcore 1 did not turn for 9."));
}

#[tokio::test]
async fn metrics_are_scraped_with_and_without_the_engine() {
    let gateway = Gateway::new();
    run(&gateway);

    let answer = gateway.get("/metrics").await;

    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.header("content-type"),
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    for line in [
        "bng_sessions_total{state=\"active\"} 6.0",
        "bng_walled_garden_drops_total{reason=\"garden_destination\"} 4",
        "bng_lcore_rx_packets_total{lcore=\"1\"} 100",
        "bng_engine_up 1.0",
    ] {
        assert!(
            answer.text.lines().any(|found| found == line),
            "{line}\n{}",
            answer.text
        );
    }
    assert!(answer.text.ends_with("# EOF\n"));

    let (handle, inbox) = channel();
    drop(inbox);
    let mut state = gateway.state.clone();
    state.handle = handle;
    let without = super::answer(
        &router(state),
        Request::get("/metrics").body(Body::empty()).unwrap(),
    )
    .await;
    assert!(without.text.contains("bng_engine_up 0.0"));
    assert!(!without.text.contains("bng_sessions_total{"));
    assert!(
        without
            .text
            .contains("bng_drops_total{reason=\"spoofed_address\"} 15")
    );
    // The first scrape's request was timed.
    assert!(without.text.contains(
        "bng_rest_request_duration_seconds_count{method=\"GET\",route=\"/metrics\",status=\"200\"} 1"
    ));
    drop(gateway.control);
}
