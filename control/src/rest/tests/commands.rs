//! Activate, suspend, resume, terminate, and the access node's events.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use super::*;
use crate::engine::{Activate, OltEventKind, Selector};

fn activation() -> Value {
    json!({
        "ont_serial": "ADTN12345678", "service_id": "SVC-001", "pool": "isp-residential",
        "qos_download_bps": 100_000_000u64, "qos_upload_bps": 20_000_000u64
    })
}

fn with(mut body: Value, member: &str, value: Value) -> Value {
    body[member] = value;
    body
}

#[tokio::test]
async fn an_activation_is_answered_in_the_promised_form() {
    let gateway = Gateway::new();

    let answer = gateway.post("/api/v1/activate", activation()).await;

    assert_eq!(answer.status, 200);
    assert_eq!(
        answer.json(),
        json!({"status": "success", "session": {
            "ont_serial": "ADTN12345678", "old_state": "wgar", "new_state": "activating",
            "old_ip": "10.255.1.100", "message": "Waiting for DHCP renewal"
        }})
    );
    assert_eq!(
        answer.header("link"),
        "</api/v1/sessions/000000000000002a>; rel=\"item\""
    );
    assert_eq!(
        gateway.commands(),
        [Command::Activate(Activate {
            ont_serial: "ADTN12345678".into(),
            service_id: "SVC-001".into(),
            pool: "isp-residential".into(),
            qos_download_bps: 100_000_000,
            qos_upload_bps: 20_000_000,
            s_vlan: None,
            c_vlan: None,
            bounce: true,
        })]
    );
}

#[tokio::test]
async fn what_the_engine_refuses_is_told_with_field_and_states() {
    let gateway = Gateway::new();
    let activate = |member: &'static str, value: Value| {
        let body = with(activation(), member, value);
        let gateway = &gateway;
        async move { gateway.post("/api/v1/activate", body).await }
    };

    activate("ont_serial", json!("UNKNOWN")).await.problem(404);
    let wrong_state = activate("ont_serial", json!("TERMINATED")).await.problem(409);
    assert_eq!(wrong_state["current_state"], "terminated");
    assert_eq!(wrong_state["wanted_state"], "activating");
    let pool = activate("pool", json!("gold")).await.problem(422);
    assert_eq!(pool["field"], "pool");
    let disk = activate("ont_serial", json!("DISKFULL")).await;
    disk.problem(503);
    assert_eq!(disk.header("retry-after"), "1");
    activate("ont_serial", json!("SILENT")).await.problem(503);
}

#[tokio::test]
async fn what_is_wrong_in_itself_does_not_reach_the_engine() {
    let gateway = Gateway::new();
    for (member, value) in [
        ("ont_serial", json!("")),
        ("ont_serial", json!("A\nB")),
        ("ont_serial", json!("x".repeat(64))),
        ("service_id", json!("")),
        ("pool", json!("../etc")),
        ("qos_download_bps", json!(-1)),
        ("qos_upload_bps", json!("fast")),
        ("s_vlan", json!(4095)),
        ("c_vlan", json!(0)),
        ("bounce", json!("yes")),
    ] {
        let answer = gateway
            .post("/api/v1/activate", with(activation(), member, value))
            .await;
        assert_eq!(answer.problem(422)["field"], member);
    }
    let unknown = gateway
        .post("/api/v1/activate", with(activation(), "speed", json!(1)))
        .await;
    assert_eq!(unknown.problem(422)["field"], "speed");

    let malformed = gateway
        .post("/api/v1/activate", "{\n  \"ont_serial\": oops}")
        .await;
    let malformed = malformed.problem(400);
    assert_eq!(
        (&malformed["line"], &malformed["column"]),
        (&json!(2), &json!(17))
    );

    assert_eq!(gateway.commands(), []);
}

#[tokio::test]
async fn a_body_of_another_type_or_size_is_refused_before_it_is_read() {
    let gateway = Gateway::new();
    let form = Request::post("/api/v1/activate")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("ont_serial=A"))
        .unwrap();
    let untyped = Request::post("/api/v1/activate").body(Body::from("{}")).unwrap();

    assert_eq!(gateway.send(form).await.problem(415)["field"], "Content-Type");
    gateway.send(untyped).await.problem(415);
    let large = with(activation(), "service_id", json!("x".repeat(70_000)));
    gateway.post("/api/v1/activate", large).await.problem(413);
}

#[tokio::test]
async fn each_command_goes_its_way() {
    let gateway = Gateway::new();
    for (path, new_state) in [
        ("suspend", "suspended"),
        ("resume", "active"),
        ("terminate", "terminated"),
    ] {
        let body = json!({"ont_serial": "ADTN00000001", "reason": "payment failed"});
        let answer = gateway.post(&format!("/api/v1/{path}"), body).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.json()["session"]["new_state"], new_state);
    }
    let selector = Selector {
        ont_serial: Some("ADTN00000001".into()),
        reason: Some("payment failed".into()),
        ..Selector::default()
    };
    assert_eq!(
        gateway.commands(),
        [
            Command::Suspend(selector.clone()),
            Command::Resume(selector.clone()),
            Command::Terminate(selector)
        ]
    );
}

#[tokio::test]
async fn a_selector_names_one_session_in_one_way() {
    let gateway = Gateway::new();
    let suspend = async |body: Value| gateway.post("/api/v1/suspend", body).await;

    assert_eq!(suspend(json!({})).await.problem(422)["field"], "ont_serial");
    let two = suspend(json!({"ont_serial": "A", "ip": "10.0.0.2"})).await;
    assert_eq!(two.problem(422)["field"], "ip");
    assert_eq!(suspend(json!({"ip": "10.0.0"})).await.problem(422)["field"], "ip");
    assert_eq!(
        suspend(json!({"mac": "02:00"})).await.problem(422)["field"],
        "mac"
    );
    assert_eq!(
        suspend(json!({"session_id": "7"})).await.problem(422)["field"],
        "session_id"
    );
    let long = suspend(json!({"ip": "10.0.0.2", "reason": "x".repeat(1025)})).await;
    assert_eq!(long.problem(422)["field"], "reason");
    assert_eq!(gateway.commands(), []);

    let several = suspend(json!({"circuit_id": "agg-01|1/1/1"})).await;
    assert_eq!(several.problem(409)["matches"], 2);
}

#[tokio::test]
async fn a_repeat_under_the_same_key_is_answered_and_not_carried_out() {
    let gateway = Gateway::new();
    let keyed = |key: &str, body: &Value| {
        let mut request = post("/api/v1/activate", body);
        request
            .headers_mut()
            .insert("idempotency-key", key.parse().unwrap());
        request
    };

    let first = gateway.send(keyed("k-1", &activation())).await;
    let again = gateway.send(keyed("k-1", &activation())).await;

    assert_eq!((again.status, &again.text), (first.status, &first.text));
    assert_eq!(again.header("content-type"), "application/json");
    assert_eq!(
        (
            first.header("idempotent-replayed"),
            again.header("idempotent-replayed")
        ),
        ("", "true")
    );
    assert_eq!(gateway.commands().len(), 1);

    let other_body = with(activation(), "bounce", json!(false));
    let misused = gateway.send(keyed("k-1", &other_body)).await;
    assert_eq!(misused.problem(422)["field"], "Idempotency-Key");
    assert_eq!(gateway.send(keyed("k-2", &activation())).await.status, 200);
    assert_eq!(gateway.commands().len(), 1);

    // A refusal is an answer like others; a failure of ours is not kept.
    for (serial, carried_out) in [("TERMINATED", 1), ("DISKFULL", 2)] {
        let body = with(activation(), "ont_serial", json!(serial));
        let first = gateway.send(keyed(serial, &body)).await;
        let again = gateway.send(keyed(serial, &body)).await;
        assert_eq!(first.text, again.text);
        assert_eq!(gateway.commands().len(), carried_out, "{serial}");
    }
    gateway.send(keyed("", &activation())).await.problem(400);
}

#[tokio::test]
async fn a_repeat_while_the_first_is_carried_out_is_told_to_wait() {
    let kept = super::super::idempotency::Idempotency::default();
    let mut headers = HeaderMap::new();
    headers.insert("idempotency-key", "k".parse().unwrap());
    let digest = crate::rest::body::Digest::of(b"{}");

    let (release, released) = tokio::sync::oneshot::channel::<()>();
    let first = {
        let (kept, headers) = (kept.clone(), headers.clone());
        tokio::spawn(async move {
            kept.once("activate", &headers, digest, async {
                released.await.ok();
                Ok(axum::response::IntoResponse::into_response("done"))
            })
            .await
        })
    };
    tokio::task::yield_now().await;
    let early = kept
        .once("activate", &headers, digest, std::future::pending())
        .await
        .unwrap_err();
    release.send(()).unwrap();

    assert_eq!(early.status, 409);
    assert_eq!(first.await.unwrap().unwrap().status(), 200);
    // Another command has keys of its own.
    let other = kept
        .once("suspend", &headers, digest, async {
            Ok(axum::response::IntoResponse::into_response("other"))
        })
        .await;
    assert!(other.is_ok());
}

#[tokio::test]
async fn an_access_nodes_event_is_taken_and_handed_on() {
    let gateway = Gateway::new();
    let event = json!({
        "type": "NewONTDetected", "access_node": "agg-01", "port": "1/1/3", "ont_serial": "ADTN00000003",
        "circuit_id": "agg-01|1/1/3", "bng_port": "access0", "s_vlan": 100, "c_vlan": 3
    });

    let answer = gateway.post("/api/v1/olt/events", &event).await;

    assert_eq!(answer.status, 202);
    assert_eq!(answer.json(), json!({"status": "accepted"}));
    let left = json!({"type": "ONTDisconnected", "ont_serial": "ADTN00000003"});
    assert_eq!(gateway.post("/api/v1/olt/events", left).await.status, 202);
    tokio::task::yield_now().await;
    let heard = std::mem::take(&mut gateway.heard.lock().unwrap().olt);
    assert_eq!(
        heard.iter().map(|event| event.kind).collect::<Vec<_>>(),
        [OltEventKind::NewONTDetected, OltEventKind::ONTDisconnected]
    );
    assert_eq!(heard[0].c_vlan, Some(3));

    for (member, value) in [
        ("type", json!("ONTExploded")),
        ("ont_serial", json!("")),
        ("bng_port", json!("core0")),
        ("bng_port", json!("nowhere")),
        ("bng_port", Value::Null),
        ("s_vlan", json!(4095)),
        ("c_vlan", json!(70_000)),
        ("circuit_id", json!("x".repeat(64))),
        ("colour", json!("red")),
    ] {
        let refused = gateway
            .post("/api/v1/olt/events", with(event.clone(), member, value))
            .await;
        assert_eq!(refused.problem(422)["field"], member);
    }
}
