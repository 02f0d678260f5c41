//! `sluice show` and `sluice events`.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::check::CONFIG;
use crate::gateway::Gateway;
use crate::{run, sluice};

fn session(number: u64) -> Value {
    json!({
        "id": format!("{number:016x}"), "identity": format!("agg-01|1/1/{number}"), "state": "active",
        "state_since": 1_700_000_000, "created_at": 1_700_000_000, "ont_serial": format!("ADTN{number:08}"),
        "circuit_id": format!("agg-01|1/1/{number}"), "remote_id": null, "access_node": null,
        "port": "access0", "s_vlan": 100, "c_vlan": number, "mac": "02:00:00:00:00:01", "client_id": null,
        "ip": "10.0.0.5", "pool": "isp-residential", "expires_at": 1_700_000_600,
        "service": {"pool": "isp-residential", "service_id": "SVC-1", "qos_download_bps": 100_000_000u64, "qos_upload_bps": 0},
        "traffic": {
            "upstream": {"packets": 1200, "bytes": 1_234_567, "policed": 3},
            "downstream": {"packets": 0, "bytes": 0, "policed": 0}
        },
        "row": number
    })
}

/// The garden took so many ticks for ten of 100 packets; nobody else took any.
fn cost(garden: u64) -> Value {
    json!({
        "bursts": 5, "packets": 100, "packets_per_burst": 20.0, "tsc_per_packet": garden as f64 / 100.0,
        "driver_tsc_per_packet": 0.0, "own_tsc_per_packet": garden as f64 / 100.0,
        "stages": [
            {"stage": "garden", "kind": "stage", "meaning": "The walled garden's judgement.", "packets": 10, "tsc": garden,
                "tsc_per_packet": garden as f64 / 10.0, "tsc_per_received_packet": garden as f64 / 100.0},
            {"stage": "police", "kind": "stage", "meaning": "The session's rate enforced.", "packets": 0, "tsc": 0,
                "tsc_per_packet": null, "tsc_per_received_packet": 0.0}
        ]
    })
}

/// 2,500 sessions; two of them at 10.0.0.9.
fn answer(_: &str, path: &str, _: &Value) -> (u16, String) {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(found, _)| *found == name)
            .map(|(_, value)| value)
    };
    let json = match path {
        "/api/v1/sessions" if parameter("ip") == Some("10.0.0.9") => {
            json!({"sessions": [session(7), session(8)], "next_cursor": null})
        }
        "/api/v1/sessions" if parameter("ip") == Some("10.9.9.9") => {
            json!({"sessions": [], "next_cursor": null})
        }
        "/api/v1/sessions" if parameter("mac").is_some() => {
            json!({"sessions": [session(3)], "next_cursor": null})
        }
        "/api/v1/sessions" => {
            let after = parameter("cursor").map_or(0, |id| u64::from_str_radix(id, 16).unwrap());
            let limit: u64 = parameter("limit").unwrap().parse().unwrap();
            let last = (after + limit).min(2500);
            let next = (last < 2500).then(|| format!("{last:016x}"));
            json!({"sessions": (after + 1..=last).map(session).collect::<Vec<_>>(), "next_cursor": next})
        }
        "/api/v1/sessions/0000000000000001" => session(1),
        "/api/v1/pools" => json!({"pools": [{
            "name": "wgar", "network": "10.255.0.0/16", "gateway": "10.255.0.1", "size": 65_533, "bound": 4,
            "offered": 0, "sticky": 1, "quarantined": 0, "available": 65_529, "utilization": 0.000_061
        }]}),
        "/api/v1/drops" => json!({"total": 15, "drops": [
            {"reason": "spoofed_mac", "packets": 15, "meaning": "The source MAC address is not the session's.", "lcores": []},
            {"reason": "tx_full", "packets": 0, "meaning": "The port's transmit queue is full.", "lcores": []}
        ]}),
        "/api/v1/punts" => json!({"total": 3, "punts": [
            {"reason": "dhcp", "packets": 3, "meaning": "A DHCP message from an access line.", "lcores": []}
        ]}),
        "/api/v1/ports" => json!({"ports": [{
            "index": 0, "name": "access0", "role": "access", "device": "net_tap0", "mac": "02:00:5e:00:01:01", "mtu": 1500,
            "link": "up", "speed_mbps": 10_000,
            "pipeline": {"rx_packets": 1_000_000, "rx_bytes": 64_000_000, "tx_packets": 5, "tx_bytes": 320},
            "device_counts": {"rx_missed": 9, "rx_errors": 0, "rx_no_mbuf": 0},
            "mbufs_free": 16_000, "mbufs": 16_384
        }]}),
        "/api/v1/latency" => json!({
            "total": [{"lcore": null, "direction": "upstream", "count": 1000, "mean_ns": 2100.0, "p50_ns": 2000,
                "p90_ns": 3000, "p99_ns": 4000, "p99_9_ns": 5000, "p99_99_ns": 6000, "max_ns": 7654,
                "buckets": if parameter("buckets") == Some("true") {
                    json!([{"from_ns": 1984, "to_ns": 2016, "count": 750}, {"from_ns": 7616, "to_ns": 7680, "count": 250}])
                } else {
                    Value::Null
                }}],
            "lcores": [{"lcore": 0, "direction": "downstream", "count": 0, "mean_ns": null, "p50_ns": null,
                "p90_ns": null, "p99_ns": null, "p99_9_ns": null, "p99_99_ns": null, "max_ns": null}]
        }),
        "/api/v1/lcores" => json!({
            "worker": {"alive": true, "generation": 2, "uptime_seconds": 12.5},
            "lcores": [{"lcore": 0, "lcore_id": 1, "cpu": 1, "generation": 2, "online": true, "heartbeat_age_seconds": 0.001,
                "tsc_per_packet": 250.4, "tsc_hz": 2_500_000_000u64, "measure_one_in": 64, "clock_reading_tsc": 27,
                "cost": cost(4000), "recent": {"seconds": 10.0, "packets_per_second": 3_000_000.0, "packets_per_burst": 20.0,
                    "busy_share": 0.25, "tsc_per_packet": 208.3, "headroom_packets_per_second": 9_000_000.0, "cost": cost(400)},
                "handed_in": 0, "rx": 100, "injected": 1, "originated": 0, "tx": 90, "drops": 10, "punts": 1,
                "lost_in_flight": 0, "in_hand": 0}],
            "total": {"rx": 100, "injected": 1, "originated": 0, "tx": 90, "drops": 10, "punts": 1, "lost_in_flight": 0, "in_hand": 0}
        }),
        "/api/v1/events" => {
            let event = json!({
                "sequence": 5, "at_ms": 1_700_000_000_000u64, "kind": "NewONTDetected", "ont_serial": "ADTN00000001",
                "circuit_id": "agg-01|\u{1b}[31m", "detail": "seen\u{7}"
            });
            return (
                200,
                format!(
                    "event: missed\ndata: {{\"missed\":4}}\n\nid: 5\nevent: NewONTDetected\ndata: {event}\n\n"
                ),
            );
        }
        _ => {
            return (
                404,
                json!({"status": 404, "detail": format!("nothing is at {path}")}).to_string(),
            );
        }
    };
    (200, json.to_string())
}

#[test]
fn sessions_are_fetched_page_by_page() {
    let gateway = Gateway::new(answer);

    let all = run(gateway.sluice().args(["show", "sessions", "--state", "active"]));

    assert_eq!(all.code, 0, "{}", all.err);
    assert!(all.out.ends_with("2500 sessions\n"));
    assert_eq!(all.out.lines().count(), 1 + 2500 + 1);
    let row = all.out.lines().nth(1).unwrap();
    for cell in [
        "0000000000000001",
        "active",
        "ADTN00000001",
        "access0 100.1",
        "10.0.0.5",
        "1.23 MB",
    ] {
        assert!(row.contains(cell), "{cell}: {row}");
    }
    let asked: Vec<String> = gateway.asked().into_iter().map(|(request, _)| request).collect();
    assert_eq!(
        asked,
        [
            "GET /api/v1/sessions?limit=1000&state=active",
            "GET /api/v1/sessions?limit=1000&state=active&cursor=00000000000003e8",
            "GET /api/v1/sessions?limit=1000&state=active&cursor=00000000000007d0",
        ]
    );

    let few = run(gateway.sluice().args([
        "--json",
        "show",
        "sessions",
        "--limit",
        "2",
        "--circuit-id",
        "agg-01|1/1/1",
    ]));
    let json: Value = serde_json::from_str(&few.out).unwrap();
    assert_eq!(json["sessions"].as_array().unwrap().len(), 2);
    assert_eq!(
        gateway.asked()[0].0,
        "GET /api/v1/sessions?limit=2&circuit_id=agg-01%7C1%2F1%2F1"
    );
}

#[test]
fn one_session_is_found_by_whatever_names_it() {
    let gateway = Gateway::new(answer);
    let show = |name: &str| run(gateway.sluice().args(["show", "session", name]));

    let by_id = show("0000000000000001");
    assert_eq!(by_id.code, 0, "{}", by_id.err);
    for line in [
        "circuit-id  agg-01|1/1/1",
        "service     SVC-1 of pool isp-residential, 100 Mbit/s down, unlimited up",
        "upstream    1,200 packets, 1,234,567 bytes, 3 policed",
    ] {
        assert!(
            by_id.out.lines().any(|found| found == line),
            "{line}\n{}",
            by_id.out
        );
    }
    assert!(
        show("02:00:00:00:00:01")
            .out
            .starts_with("session     0000000000000003\n")
    );

    let several = show("ip=10.0.0.9");
    assert_eq!(several.code, 1);
    assert!(
        several
            .err
            .contains("name one by its id, 0000000000000007, 0000000000000008"),
        "{}",
        several.err
    );
    let nobody = show("10.9.9.9");
    assert_eq!(
        (nobody.code, nobody.err.as_str()),
        (1, "sluice: no session with ip 10.9.9.9\n")
    );
    let gone = show("00000000000000ff");
    assert_eq!(gone.code, 1);
    assert!(
        gone.err
            .contains("nothing is at /api/v1/sessions/00000000000000ff (404)")
    );
}

#[test]
fn every_noun_has_its_table_and_its_json() {
    let gateway = Gateway::new(answer);
    for (noun, expected) in [
        ("pools", "10.255.0.0/16"),
        ("ports", "1,000,000"),
        ("drops", "spoofed_mac"),
        ("punts", "A DHCP message from an access line."),
        ("latency", "7.654"),
        (
            "lcores",
            "rx 100 + injected 1 + originated 0 = tx 90 + drops 10 + punts 1 + lost 0 + in hand 0",
        ),
    ] {
        let table = run(gateway.sluice().args(["show", noun]));
        assert_eq!(table.code, 0, "{}", table.err);
        assert!(table.out.contains(expected), "{expected}\n{}", table.out);

        let json = run(gateway.sluice().args(["show", noun, "--json"]));
        let json: Value = serde_json::from_str(&json.out).unwrap();
        let (_, came) = answer("GET", &format!("/api/v1/{noun}"), &Value::Null);
        assert_eq!(json, serde_json::from_str::<Value>(&came).unwrap());
    }

    let lcores = run(gateway.sluice().args(["show", "lcores"])).out;
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let has = |wanted: &str| lcores.lines().any(|line| words(line) == words(wanted));
    assert!(has("0 10.0 25.0 3.000 9.000 20.0 208.3 250.4"), "{lcores}");
    assert!(
        has("garden stage 10 40.0 4.00 100.0 % The walled garden's judgement."),
        "{lcores}"
    );
    assert!(
        !lcores.contains("police"),
        "what took no time is not shown\n{lcores}"
    );

    let short = run(gateway.sluice().args(["show", "latency"])).out;
    assert!(!short.contains('#'), "{short}");
    let full = run(gateway.sluice().args(["show", "latency", "--buckets"])).out;
    let has = |wanted: &str| full.lines().any(|line| words(line) == words(wanted));
    assert!(has("upstream, all lcores: 1,000 packets"), "{full}");
    assert!(
        has(&format!("1.984 2.016 750 75.0000 % 75.0000 % {}", "#".repeat(40))),
        "{full}"
    );
    assert!(
        has(&format!(
            "7.616 7.680 250 25.0000 % 100.0000 % {}",
            "#".repeat(14)
        )),
        "{full}"
    );

    let drops = run(gateway.sluice().args(["show", "drops"])).out;
    assert!(!drops.contains("tx_full"));
    let drops = run(gateway.sluice().args(["show", "drops", "--all"])).out;
    assert!(drops.contains("tx_full"));
}

#[test]
fn events_are_lines_that_do_not_steer_the_terminal() {
    let gateway = Gateway::new(answer);

    let lines = run(gateway.sluice().args(["events", "--after", "0"]));

    assert_eq!(lines.code, 0, "{}", lines.err);
    assert_eq!(
        lines.out,
        "… 4 events are no longer kept\n\
         \u{20}    5 2023-11-14T22:13:20.000Z NewONTDetected       ADTN00000001 seen\\u{7}\n"
    );
    assert_eq!(gateway.asked()[0].0, "GET /api/v1/events?after=0&follow=false");

    let json = run(gateway.sluice().args(["events", "--json"]));
    let last: Value = serde_json::from_str(json.out.lines().last().unwrap()).unwrap();
    assert_eq!(last["sequence"], 5);
}

#[test]
fn a_gateway_that_is_not_there_is_exit_code_three() {
    let dir = tempfile::tempdir().unwrap();
    let nowhere = dir.path().join("control.sock");

    for arguments in [&["show", "pools"][..], &["events", "--follow"], &["suspend", "A"]] {
        let outcome = run(sluice().arg("--socket").arg(&nowhere).args(arguments));
        assert_eq!(outcome.code, 3, "{arguments:?}");
        assert!(
            outcome.err.contains(nowhere.to_str().unwrap())
                && outcome.err.contains("is sluice-control running?"),
            "{}",
            outcome.err
        );
    }
}

#[test]
fn the_socket_is_found_by_the_configuration() {
    let gateway = Gateway::new(answer);
    let file = gateway.dir.path().join("sluice.toml");
    let run_dir = gateway.dir.path().display();
    fs::write(&file, format!("[node]\nrun_dir = \"{run_dir}\"\n{CONFIG}")).unwrap();

    let outcome = run(sluice().arg("--config").arg(&file).args(["show", "pools"]));

    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(outcome.out.contains("wgar"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let gateway = Gateway::new(answer);
    let mut child = gateway
        .sluice()
        .args(["show", "sessions"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();

    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();

    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
}

/// The tables are made of these answers, so the answers have to be what the gateway's description promises.
#[test]
fn the_answers_of_these_tests_are_such_as_the_gateway_gives() {
    let description = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let description: Value = serde_json::from_str(&fs::read_to_string(description).unwrap()).unwrap();
    for (path, asked) in [
        ("/api/v1/sessions", "/api/v1/sessions?limit=1"),
        ("/api/v1/sessions/{id}", "/api/v1/sessions/0000000000000001"),
        ("/api/v1/pools", "/api/v1/pools"),
        ("/api/v1/ports", "/api/v1/ports"),
        ("/api/v1/drops", "/api/v1/drops"),
        ("/api/v1/punts", "/api/v1/punts"),
        ("/api/v1/latency", "/api/v1/latency?buckets=true"),
        ("/api/v1/lcores", "/api/v1/lcores"),
    ] {
        let (_, text) = answer("GET", asked, &Value::Null);
        let schema =
            &description["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        let given: Value = serde_json::from_str(&text).unwrap();
        assert_promised(&description, schema, &given, path);
    }
}

/// Every member of `given` is one that `schema` has.
#[track_caller]
fn assert_promised(description: &Value, schema: &Value, given: &Value, at: &str) {
    match given {
        Value::Object(members) => {
            for (name, member) in members {
                let at = format!("{at} {name}");
                let promised =
                    property(description, schema, name).unwrap_or_else(|| panic!("{at} is not promised"));
                assert_promised(description, promised, member, &at);
            }
        }
        Value::Array(items) => {
            let items_schema = &resolve(description, schema)["items"];
            for item in items {
                assert_promised(description, items_schema, item, at);
            }
        }
        _ => {}
    }
}

fn resolve<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => description.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

fn property<'a>(description: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
    let schema = resolve(description, schema);
    let own = schema["properties"].get(name);
    own.or_else(|| {
        // Of several together, or, what may be null, of one or the other.
        let parts = ["allOf", "oneOf"]
            .into_iter()
            .filter_map(|kind| schema[kind].as_array());
        parts.flatten().find_map(|part| property(description, part, name))
    })
}
