//! Commands on subscribers.

use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::run;

fn answer(_: &str, path: &str, body: &Value) -> (u16, String) {
    let serial = body["ont_serial"].as_str().unwrap_or("");
    let (status, json) = match serial {
        "TERMINATED" => (
            409,
            json!({"status": 409, "detail": "the session is terminated and cannot become active",
                "current_state": "terminated", "wanted_state": "active"}),
        ),
        "NOPOOL" => (
            422,
            json!({"status": 422, "field": "pool", "detail": "no \"gold\" is configured"}),
        ),
        "NOISE" => return (200, "<html>".into()),
        _ => (
            200,
            json!({"status": "success", "session": {
                "ont_serial": serial, "old_state": "wgar", "new_state": path.rsplit('/').next(),
                "old_ip": "10.255.1.100", "message": "Waiting for DHCP renewal"
            }}),
        ),
    };
    (status, json.to_string())
}

const SERVICE: [&str; 8] = [
    "--service-id",
    "SVC-001",
    "--pool",
    "isp-residential",
    "--download",
    "100M",
    "--upload",
    "20000000",
];

#[test]
fn an_activation_sends_what_was_said_and_tells_what_came_of_it() {
    let gateway = Gateway::new(answer);

    let outcome = run(gateway
        .sluice()
        .args(["activate", "ADTN12345678"])
        .args(SERVICE)
        .args(["--c-vlan", "7", "--no-bounce"]));

    assert_eq!(
        (outcome.code, outcome.out.as_str()),
        (
            0,
            "ADTN12345678: wgar → activate (had 10.255.1.100). Waiting for DHCP renewal\n"
        )
    );
    assert_eq!(
        gateway.asked(),
        [(
            "POST /api/v1/activate".into(),
            json!({
                "ont_serial": "ADTN12345678", "service_id": "SVC-001", "pool": "isp-residential",
                "qos_download_bps": 100_000_000, "qos_upload_bps": 20_000_000,
                "s_vlan": null, "c_vlan": 7, "bounce": false
            })
        )]
    );

    let json = run(gateway.sluice().args(["--json", "activate", "A"]).args(SERVICE));
    let json: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(json["session"]["old_state"], "wgar");
}

#[test]
fn the_other_commands_name_the_session_in_one_way() {
    let gateway = Gateway::new(answer);
    for (command, name, body) in [
        (
            "suspend",
            "ADTN00000001",
            json!({"ont_serial": "ADTN00000001", "reason": "payment failed"}),
        ),
        (
            "resume",
            "10.0.0.5",
            json!({"ip": "10.0.0.5", "reason": "payment failed"}),
        ),
        (
            "terminate",
            "agg-01|1/1/1",
            json!({"circuit_id": "agg-01|1/1/1", "reason": "payment failed"}),
        ),
    ] {
        let outcome = run(gateway
            .sluice()
            .args([command, name, "--reason", "payment failed"]));

        assert_eq!(outcome.code, 0, "{}", outcome.err);
        assert_eq!(gateway.asked(), [(format!("POST /api/v1/{command}"), body)]);
    }
}

#[test]
fn a_refusal_is_exit_code_one_and_names_what_is_wrong() {
    let gateway = Gateway::new(answer);
    let activate = |serial: &str| run(gateway.sluice().args(["activate", serial]).args(SERVICE));

    let state = activate("TERMINATED");
    assert_eq!(
        (state.code, state.err.as_str()),
        (
            1,
            "sluice: the session is terminated and cannot become active (409)\n"
        )
    );
    let pool = activate("NOPOOL");
    assert_eq!(
        (pool.code, pool.err.as_str()),
        (1, "sluice: pool: no \"gold\" is configured (422)\n")
    );
    let noise = activate("NOISE");
    assert_eq!(noise.code, 1);
    assert!(noise.err.contains("is no JSON"), "{}", noise.err);
}
