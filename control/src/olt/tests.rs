//! An OLT that answers, refuses, stumbles or is not there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::Json;
use axum::extract::{Path as UrlPath, State};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::*;

fn request(serial: &str) -> OltRequest {
    OltRequest {
        ont_serial: serial.to_owned(),
        pool: "isp-residential".to_owned(),
        qos_download_bps: 100_000_000,
        qos_upload_bps: 20_000_000,
        s_vlan: None,
        c_vlan: Some(77),
        bounce: true,
    }
}

/// Fails `failures` times with 503, then echoes what it was asked.
async fn olt(dir: &Path, failures: u32) -> (OltClient, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let handler = move |State(asked): State<Arc<AtomicU32>>,
                        UrlPath(serial): UrlPath<String>,
                        Json(body): Json<Value>| async move {
        if asked.fetch_add(1, Ordering::SeqCst) < failures {
            return (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"title": "busy"})));
        }
        if serial == "STRANGER" {
            return (StatusCode::NOT_FOUND, Json(json!({"title": "no such ONT"})));
        }
        (
            StatusCode::OK,
            Json(json!({"ont_serial": serial, "s_vlan": 100, "c_vlan": body["c_vlan"]})),
        )
    };
    let router = axum::Router::new()
        .route("/v1/onts/{serial}/reconfigure", post(handler))
        .with_state(Arc::clone(&asked));
    let socket = dir.join("olt.sock");
    let listener = UnixListener::bind(&socket).expect("a socket in a fresh directory");
    tokio::spawn(async move { axum::serve(listener, router).await });
    (OltClient::new(&socket), asked)
}

#[tokio::test]
async fn the_tags_of_the_answer_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let (client, _) = olt(dir.path(), 0).await;

    let line = client.reconfigure(&request("ADTN 1/2")).await.unwrap();

    assert_eq!(
        line,
        OltLine {
            ont_serial: "ADTN 1/2".to_owned(),
            s_vlan: Some(100),
            c_vlan: Some(77)
        }
    );
}

#[tokio::test]
async fn an_olt_that_stumbles_is_asked_again_and_one_that_refuses_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (client, asked) = olt(dir.path(), 2).await;

    assert!(client.reconfigure(&request("ADTN1")).await.is_ok());
    assert_eq!(asked.load(Ordering::SeqCst), 3);

    let error = client.reconfigure(&request("STRANGER")).await.unwrap_err();
    assert_eq!(asked.load(Ordering::SeqCst), 4);
    assert!(
        error.to_string().contains("STRANGER") && error.to_string().contains("404"),
        "{error}"
    );
}

#[tokio::test]
async fn an_olt_that_is_not_there_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let client = OltClient::new(&dir.path().join("nowhere.sock"));

    let error = client.reconfigure(&request("ADTN1")).await.unwrap_err();

    assert!(
        matches!(error, OltError::Unreachable { .. }) && error.to_string().contains("nowhere.sock"),
        "{error}"
    );
}
