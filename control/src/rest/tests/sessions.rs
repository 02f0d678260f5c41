//! Lists of sessions, one session, pools.

use std::collections::HashSet;

use serde_json::json;

use super::*;

#[tokio::test]
async fn a_session_is_shown_with_its_line_its_service_and_its_live_counters() {
    let gateway = Gateway::new();

    let answer = gateway.get("/api/v1/sessions/0000000000000001").await;

    assert_eq!(
        answer.json(),
        json!({
            "id": "0000000000000001", "identity": "agg-01|1/1/1", "state": "wgar",
            "state_since": 1_700_000_100, "created_at": 1_700_000_000,
            "ont_serial": "ADTN00000001", "circuit_id": "agg-01|1/1/1", "remote_id": null, "access_node": "agg-01",
            "port": "access0", "s_vlan": 100, "c_vlan": 2, "mac": "02:00:00:00:00:01", "client_id": "01ab",
            "ip": "10.255.0.1", "pool": "wgar", "expires_at": 1_700_000_600,
            "service": {
                "pool": "isp-residential", "service_id": "SVC-001",
                "qos_download_bps": 100_000_000, "qos_upload_bps": 20_000_000
            },
            "traffic": {
                "upstream": {"packets": 10, "bytes": 1000, "policed": 0},
                "downstream": {"packets": 11, "bytes": 1001, "policed": 1}
            },
            "row": 1
        })
    );
}

#[tokio::test]
async fn a_session_that_is_not_there_and_an_id_that_is_none_are_told_apart() {
    let gateway = Gateway::new();

    gateway
        .get("/api/v1/sessions/00000000ffffffff")
        .await
        .problem(404);
    let malformed = gateway.get("/api/v1/sessions/seven").await.problem(400);
    assert_eq!(malformed["field"], "id");
}

#[tokio::test]
async fn ten_thousand_sessions_are_listed_page_by_page_each_once() {
    let gateway = Gateway::new();
    let mut seen = HashSet::new();
    let mut pages = 0;
    let mut uri = "/api/v1/sessions?limit=1000".to_owned();
    loop {
        let answer = gateway.get(&uri).await;
        let page = answer.json();
        for session in page["sessions"].as_array().unwrap() {
            assert!(seen.insert(session["id"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(answer.header("link"), "");
            break;
        };
        uri = format!("/api/v1/sessions?limit=1000&cursor={cursor}");
        assert_eq!(answer.header("link"), format!("<{uri}>; rel=\"next\""));
    }
    assert_eq!((seen.len() as u64, pages), (SESSIONS, 10));
}

#[tokio::test]
async fn filters_reach_the_engine_and_the_next_pages_link() {
    let gateway = Gateway::new();

    let answer = gateway
        .get("/api/v1/sessions?state=active&pool=wgar&circuit_id=agg-01%7C1%2F1%2F2&mac=02:00:00:00:00:02&ip=10.255.0.2&limit=1")
        .await;

    assert_eq!(
        gateway.commands(),
        [Command::ListSessions(ListSessions {
            state: Some(State::Active),
            pool: Some("wgar".into()),
            circuit_id: Some("agg-01|1/1/2".into()),
            ont_serial: None,
            ip: Some(Ipv4Addr::new(10, 255, 0, 2)),
            mac: Some(Mac([2, 0, 0, 0, 0, 2])),
            after: None,
            limit: 1,
        })]
    );
    assert_eq!(
        answer.header("link"),
        "</api/v1/sessions?state=active&pool=wgar&circuit_id=agg-01%7C1%2F1%2F2&ip=10.255.0.2&mac=02%3A00%3A00%3A00%3A00%3A02&limit=1&cursor=0000000000000002>; rel=\"next\""
    );
    let none = gateway.get("/api/v1/sessions?ont_serial=NOBODY").await;
    assert_eq!(none.json(), json!({"sessions": [], "next_cursor": null}));
}

#[tokio::test]
async fn a_wrong_filter_is_refused_by_name() {
    let gateway = Gateway::new();
    for (query, field) in [
        ("state=asleep", "state"),
        ("ip=10.0.0.300", "ip"),
        ("mac=zz", "mac"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("cursor=1", "cursor"),
        ("serial=A", "serial"),
        ("state=active&state=wgar", "state"),
    ] {
        let answer = gateway.get(&format!("/api/v1/sessions?{query}")).await;
        assert_eq!(answer.problem(400)["field"], field, "{query}");
    }
    assert_eq!(gateway.commands(), []);
}

#[tokio::test]
async fn pools_are_shown_with_their_use() {
    let answer = Gateway::new().get("/api/v1/pools").await;

    let pool = &answer.json()["pools"][0];
    assert_eq!(pool["name"], "wgar");
    assert_eq!((&pool["bound"], &pool["available"]), (&json!(4), &json!(65_528)));
}
