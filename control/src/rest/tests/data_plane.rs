//! What is read of shared memory: ports, drops, punts, latency, lcores, health, metrics.

use serde_json::{Value, json};
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

    let answer = gateway.get("/api/v1/latency").await.json();

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

    let short = gateway.get("/api/v1/latency?buckets=false").await.json();
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
