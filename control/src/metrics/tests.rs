//! The text is what Prometheus reads: names, types and values to the letter.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use shm_bridge::cost::Stage;
use shm_bridge::layout::Geometry;
use shm_bridge::sides::{WorkerSide, in_memory};
use shm_bridge::{Direction, DropReason};
use sluice_config::Config;

use super::list::{ALL, Kind};
use super::{Metrics, Scrape};
use crate::engine::{PoolView, Statistics};
use crate::session::{State, Totals};
use crate::store::StoreMetrics;

fn statistics() -> Statistics {
    let totals = |packets, bytes, policed| Totals {
        packets,
        bytes,
        policed,
    };
    Statistics {
        sessions: vec![(State::Wgar, 3), (State::Active, 6)],
        session_seconds: vec![(State::Wgar, 30.5)],
        pools: vec![PoolView {
            name: "wgar".into(),
            network: "10.255.0.0/16".into(),
            gateway: "10.255.0.1".into(),
            size: 100,
            bound: 25,
            offered: 1,
            sticky: 2,
            quarantined: 0,
            available: 74,
            utilization: 0.25,
        }],
        dhcp_requests: vec![
            (String::new(), "discover", 10),
            ("wgar".into(), "request", 4),
            ("wgar".into(), "discover", 1),
        ],
        dhcp_replies: vec![("offer", 11)],
        dhcp_refused: vec![("option82_untrusted", 2)],
        dhcp_noted: vec![("tags_disagree", 1)],
        traffic: vec![("wgar".into(), [totals(7, 700, 1), totals(9, 9000, 0)])],
        activations: vec![("success", 7)],
        activation_seconds: vec![0.002, 3.5],
        outbox: 5,
    }
}

fn scraped(metrics: &Metrics, touch: impl Fn(&WorkerSide)) -> String {
    let (control, worker) = in_memory(&Geometry::default()).unwrap();
    let lcore = worker.tables.lcores.get(0).unwrap();
    lcore.generation.set(1);
    lcore.heartbeat_ns.set(1_000_000_000);
    touch(&worker);
    let config = "
        [[ports]]
        name = \"access0\"
        role = \"access\"
        device = \"net_tap0\"
        mac = \"02:00:5e:00:01:01\"
        lines = [{ s_vlans = \"100\", c_vlans = \"1\" }]
        [[ports]]
        name = \"core0\"
        role = \"core\"
        device = \"net_tap1\"
        mac = \"02:00:5e:00:02:01\"
        address = \"192.0.2.2/24\"
        gateway = \"192.0.2.1\"
        [pools.wgar]
        network = \"10.255.0.0/16\"
    ";
    metrics
        .render(Scrape {
            presence: control.presence(),
            tables: control.tables,
            config: Arc::new(Config::parse("sluice.toml", config).unwrap()),
            engine: Some(Box::new(statistics())),
            now_ns: 3_500_000_000,
        })
        .unwrap()
}

#[test]
fn the_promised_names_are_rendered_to_the_letter() {
    let text = scraped(&Metrics::new(Arc::default(), Arc::default()), |worker| {
        let lcore = worker.tables.lcores.get(0).unwrap();
        lcore.drop(DropReason::GardenFragment).set(3);
        lcore.drop(DropReason::NoSession).set(4);
    });

    for expected in [
        "# TYPE bng_sessions_total gauge\nbng_sessions_total{state=\"wgar\"} 3.0\nbng_sessions_total{state=\"active\"} 6.0\n",
        "# TYPE bng_session_duration_seconds gauge\nbng_session_duration_seconds{state=\"wgar\"} 30.5\n",
        "# TYPE bng_dhcp_requests counter\nbng_dhcp_requests_total{pool=\"none\"} 10\nbng_dhcp_requests_total{pool=\"wgar\"} 5\n",
        "# TYPE bng_dhcp_received counter\nbng_dhcp_received_total{type=\"discover\"} 11\nbng_dhcp_received_total{type=\"request\"} 4\n",
        "\nbng_dhcp_pool_utilization{pool=\"wgar\"} 0.25\n",
        "\nbng_dhcp_pool_available_ips{pool=\"wgar\"} 74.0\n",
        "\nbng_dhcp_pool_addresses{pool=\"wgar\",use=\"sticky\"} 2.0\n",
        "# TYPE bng_traffic_bytes counter\nbng_traffic_bytes_total{direction=\"upstream\",pool=\"wgar\"} 700\n\
         bng_traffic_bytes_total{direction=\"downstream\",pool=\"wgar\"} 9000\n",
        "\nbng_traffic_packets_total{direction=\"downstream\",pool=\"wgar\"} 9\n",
        "\nbng_activations_total{result=\"success\"} 7\n",
        "# TYPE bng_activation_duration_seconds histogram\nbng_activation_duration_seconds_sum 3.502\nbng_activation_duration_seconds_count 2\n",
        "\nbng_walled_garden_drops_total{reason=\"garden_fragment\"} 3\n",
        "\nbng_drops_total{reason=\"no_session\"} 4\n",
        "# TYPE bng_build info\nbng_build_info{version=\"",
        "\nbng_lcore_heartbeat_age_seconds{lcore=\"0\"} 2.5\n",
        "\nbng_port_link_up{port=\"access0\"} 0.0\n",
        "\nbng_outbox_events 5.0\n",
    ] {
        assert!(text.contains(expected), "{expected}\n---\n{text}");
    }
    // Only the garden's reasons are the garden's.
    assert!(!text.contains("bng_walled_garden_drops_total{reason=\"no_session\"}"));
    assert!(text.ends_with("# EOF\n"));
}

#[test]
fn everything_in_the_list_is_rendered_as_listed_and_nothing_else_is() {
    let metrics = Metrics::new(Arc::default(), Arc::default());
    metrics.request(&Method::GET, "/ready", StatusCode::OK, Duration::from_millis(1));

    let text = scraped(&metrics, |_| {});

    let types: BTreeSet<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .collect();
    let listed: BTreeSet<(&str, &str)> = ALL
        .iter()
        .map(|metric| {
            let kind = match metric.kind {
                Kind::Counter => "counter",
                Kind::Gauge => "gauge",
                Kind::Histogram => "histogram",
                Kind::Info => "info",
            };
            (metric.base(), kind)
        })
        .collect();
    assert_eq!(types, listed);
    for metric in ALL {
        let series = text.lines().find(|line| {
            !line.starts_with('#')
                && line.starts_with(metric.name)
                && line[metric.name.len()..].starts_with(['{', ' ', '_'])
        });
        let series = series.unwrap_or_else(|| panic!("{} has no series\n{text}", metric.name));
        for label in metric.labels {
            assert!(series.contains(&format!("{label}=\"")), "{series}");
        }
    }
}

#[test]
fn nothing_is_labelled_by_subscriber() {
    for metric in ALL {
        for label in metric.labels {
            let bounded = [
                "state",
                "pool",
                "type",
                "reason",
                "kind",
                "use",
                "direction",
                "result",
                "lcore",
                "stage",
                "port",
                "method",
                "route",
                "status",
                "version",
            ];
            assert!(bounded.contains(label), "{}: {label}", metric.name);
        }
    }
}

#[test]
fn latency_is_a_histogram_in_seconds_that_adds_up() {
    let text = scraped(&Metrics::new(Arc::default(), Arc::default()), |worker| {
        let cells = worker.tables.latencies.get(0, Direction::Upstream).unwrap();
        cells.record(600, 10);
        cells.record(1_500, 5);
        cells.record(3_000_000_000, 1);
    });

    let series = |name: &str| {
        let start = format!("bng_latency_seconds_{name}");
        let line = text
            .lines()
            .find(|line| line.starts_with(&start))
            .unwrap_or_else(|| panic!("{start}\n{text}"));
        line.rsplit_once(' ').unwrap().1.to_owned()
    };
    let bucket = |le: &str| {
        series(&format!(
            "bucket{{le=\"{le}\",lcore=\"0\",direction=\"upstream\"}}"
        ))
    };
    assert_eq!(bucket("5.12e-7"), "0");
    assert_eq!(bucket("0.000001024"), "10");
    assert_eq!(bucket("0.000002048"), "15");
    assert_eq!(bucket("1.073741824"), "15");
    assert_eq!(bucket("+Inf"), "16");
    assert_eq!(series("count{lcore=\"0\",direction=\"upstream\"}"), "16");
    let sum: f64 = series("sum{lcore=\"0\",direction=\"upstream\"}").parse().unwrap();
    assert!((sum - 3.0).abs() < 0.03, "{sum}");
    assert!(text.contains("bng_latency_max_seconds{lcore=\"0\",direction=\"upstream\"} 3.0\n"));
}

#[test]
fn what_a_stage_costs_is_counted_by_lcore() {
    let text = scraped(&Metrics::new(Arc::default(), Arc::default()), |worker| {
        let cells = worker.tables.costs.get(0).unwrap();
        cells.bursts.set(2);
        cells.packets.set(40);
        cells.tsc_hz.set(2_500_000_000);
        cells.stage(Stage::Garden).packets.set(3);
        cells.stage(Stage::Garden).tsc.set(900);
    });

    for line in [
        "bng_lcore_stage_tsc_total{lcore=\"0\",stage=\"garden\"} 900",
        "bng_lcore_stage_packets_total{lcore=\"0\",stage=\"garden\"} 3",
        "bng_lcore_stage_tsc_total{lcore=\"0\",stage=\"parse\"} 0",
        "bng_lcore_measured_bursts_total{lcore=\"0\"} 2",
        "bng_lcore_measured_packets_total{lcore=\"0\"} 40",
        "bng_lcore_tsc_hertz{lcore=\"0\"} 2500000000.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}

#[test]
fn what_the_engine_gives_once_is_summed_over_scrapes() {
    let metrics = Metrics::new(Arc::default(), Arc::default());

    scraped(&metrics, |_| {});
    let text = scraped(&metrics, |_| {});

    assert!(text.contains("bng_activation_duration_seconds_count 4\n"));
}

#[test]
fn the_stores_commits_are_timed() {
    let store = Arc::new(StoreMetrics::default());
    store.commit.record(Duration::from_micros(700));
    store.commit.record(Duration::from_millis(4));

    let text = scraped(&Metrics::new(store, Arc::default()), |_| {});

    for line in [
        "bng_store_commit_duration_seconds_sum 0.0047",
        "bng_store_commit_duration_seconds_bucket{le=\"0.000524288\"} 0",
        "bng_store_commit_duration_seconds_bucket{le=\"0.001048576\"} 1",
        "bng_store_commit_duration_seconds_bucket{le=\"+Inf\"} 2",
        "bng_store_waiting_batches 0.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
}
