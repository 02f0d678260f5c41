//! The event stream.

use axum::body::Body;
use axum::http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;
use crate::engine::BusEvent;
use crate::rest::FOLLOWERS_MAX;

fn event(sequence: u64) -> BusEvent {
    BusEvent {
        sequence,
        at_ms: 1_700_000_000_000,
        kind: "SessionStateChanged".into(),
        session: Some(SessionId(1)),
        ont_serial: Some("ADTN00000001".into()),
        circuit_id: None,
        old_state: Some(State::Wgar),
        new_state: Some(State::Active),
        ipv4: None,
        pool: None,
        detail: None,
    }
}

fn ids(text: &str) -> Vec<&str> {
    text.lines()
        .filter_map(|line| line.strip_prefix("id: "))
        .collect()
}

#[tokio::test]
async fn what_is_kept_is_told_once_and_the_stream_ends_where_nobody_follows() {
    let gateway = Gateway::new();
    for sequence in 1..=3 {
        gateway.state.bus.publish(event(sequence));
    }

    let answer = gateway.get("/api/v1/events?after=0&follow=false").await;

    assert_eq!(answer.header("content-type"), "text/event-stream");
    assert_eq!(ids(&answer.text), ["1", "2", "3"]);
    let data = answer
        .text
        .lines()
        .find_map(|line| line.strip_prefix("data: "))
        .unwrap();
    assert_eq!(serde_json::from_str::<BusEvent>(data).unwrap(), event(1));
    assert!(answer.text.contains("event: SessionStateChanged\n"));
}

#[tokio::test]
async fn a_client_that_comes_back_goes_on_where_it_was_or_is_told_what_it_missed() {
    let gateway = Gateway::new();
    for sequence in 1..=20 {
        gateway.state.bus.publish(event(sequence));
    }
    let back = async |id: &str| {
        let request = Request::get("/api/v1/events?follow=false")
            .header("last-event-id", id)
            .body(Body::empty())
            .unwrap();
        gateway.send(request).await
    };

    assert_eq!(ids(&back("18").await.text), ["19", "20"]);
    // The ring keeps 16: 3 and 4 are gone.
    let late = back("2").await.text;
    assert!(
        late.starts_with("event: missed\ndata: {\"missed\":2}\n\nid: 5\n"),
        "{late}"
    );
    let anew = back("5000").await.text;
    assert!(
        anew.starts_with("event: restarted\ndata: {}\n\nid: 5\n"),
        "{anew}"
    );
    assert_eq!(back("x").await.problem(400)["field"], "Last-Event-ID");
    assert_eq!(
        gateway.get("/api/v1/events?after=-1").await.problem(400)["field"],
        "after"
    );
}

#[tokio::test]
async fn a_live_follower_gets_what_comes_until_the_gateway_stops() {
    let gateway = Gateway::new();
    gateway.state.bus.publish(event(1));
    let request = Request::get("/api/v1/events").body(Body::empty()).unwrap();
    let mut body = gateway.router.clone().oneshot(request).await.unwrap().into_body();

    gateway.state.bus.publish(event(2));
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(ids(std::str::from_utf8(&frame).unwrap()), ["2"]);

    gateway.state.bus.close();
    assert!(body.frame().await.is_none());
}

#[tokio::test]
async fn one_follower_too_many_is_refused_until_another_leaves() {
    let gateway = Gateway::new();
    let follow = async || {
        let request = Request::get("/api/v1/events").body(Body::empty()).unwrap();
        gateway.router.clone().oneshot(request).await.unwrap()
    };
    let mut following = Vec::new();
    for _ in 0..FOLLOWERS_MAX {
        following.push(follow().await);
    }

    assert_eq!(follow().await.status(), 503);
    following.pop();
    assert_eq!(follow().await.status(), 200);
}
