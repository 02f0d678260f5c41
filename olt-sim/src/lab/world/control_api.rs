//! The BNG's REST interface over its Unix socket, for code that is not async.

use std::io;
use std::path::{Path, PathBuf};

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::unix_http::{self, Answer};

#[derive(Clone, Debug)]
pub struct ControlApi {
    socket: PathBuf,
}

impl ControlApi {
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Any request; the answer whatever its status.
    pub fn request(&self, method: Method, path: &str, body: Option<&Value>) -> io::Result<Answer> {
        unix_http::request_blocking(&self.socket, method, path, body).map_err(io::Error::other)
    }

    /// The JSON at `path`; an error unless the status says success.
    pub fn get(&self, path: &str) -> io::Result<Value> {
        expect_success(path, &self.request(Method::GET, path, None)?)
    }

    pub fn text(&self, path: &str) -> io::Result<String> {
        let answer = self.request(Method::GET, path, None)?;
        expect_success(path, &answer)?;
        Ok(answer.text())
    }

    pub fn post(&self, path: &str, body: &Value) -> io::Result<Value> {
        expect_success(path, &self.request(Method::POST, path, Some(body))?)
    }

    pub fn is_ready(&self) -> bool {
        self.request(Method::GET, "/ready", None)
            .is_ok_and(|answer| answer.status == StatusCode::OK)
    }

    pub fn activate(
        &self,
        serial: &str,
        pool: &str,
        download_bps: u64,
        upload_bps: u64,
    ) -> io::Result<Value> {
        let body = json!({
            "ont_serial": serial,
            "service_id": format!("SVC-{serial}"),
            "pool": pool,
            "qos_download_bps": download_bps,
            "qos_upload_bps": upload_bps,
        });
        self.post("/api/v1/activate", &body)
    }

    pub fn suspend(&self, serial: &str) -> io::Result<Value> {
        self.post("/api/v1/suspend", &json!({"ont_serial": serial}))
    }

    pub fn resume(&self, serial: &str) -> io::Result<Value> {
        self.post("/api/v1/resume", &json!({"ont_serial": serial}))
    }

    pub fn terminate(&self, serial: &str) -> io::Result<Value> {
        self.post("/api/v1/terminate", &json!({"ont_serial": serial}))
    }
}

fn expect_success(path: &str, answer: &Answer) -> io::Result<Value> {
    if answer.status.is_success() {
        return Ok(answer.json());
    }
    Err(io::Error::other(format!(
        "{path}: {}: {}",
        answer.status,
        answer.text()
    )))
}
