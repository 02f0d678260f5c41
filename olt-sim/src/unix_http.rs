//! HTTP over a Unix socket: one request, one answer, JSON both ways.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

/// Answers are small documents; a page of sessions is the largest.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// For the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(15);

#[derive(Debug, thiserror::Error)]
#[error("{method} {path} on {socket}: {reason}")]
pub struct Unanswered {
    method: Method,
    path: String,
    socket: String,
    reason: String,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON; `Null` when it is empty or no JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or(Value::Null)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Sends one request and reads the whole answer.
pub async fn request(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, Unanswered> {
    let unanswered = |reason: String| Unanswered {
        method: method.clone(),
        path: path.to_owned(),
        socket: socket.display().to_string(),
        reason,
    };
    let exchange = exchange(socket, method.clone(), path, body);
    match tokio::time::timeout(TIMEOUT, exchange).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(unanswered(error)),
        Err(_) => Err(unanswered(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

/// The same for code that is not async; also right when called on a thread of a runtime.
pub fn request_blocking(
    socket: &Path,
    method: Method,
    path: &str,
    body: Option<&Value>,
) -> Result<Answer, Unanswered> {
    let failed = |reason: String| Unanswered {
        method: method.clone(),
        path: path.to_owned(),
        socket: socket.display().to_string(),
        reason,
    };
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| failed(error.to_string()))?;
            runtime.block_on(request(socket, method.clone(), path, body))
        });
        asked
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

async fn exchange(socket: &Path, method: Method, path: &str, body: Option<&Value>) -> Result<Answer, String> {
    let stream = UnixStream::connect(socket)
        .await
        .map_err(|error| error.to_string())?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| error.to_string())?;
    let driver = tokio::spawn(connection);
    let bytes = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(bytes))
        .map_err(|error| error.to_string())?;
    let answer = sender
        .send_request(request)
        .await
        .map_err(|error| error.to_string())?;
    let status = answer.status();
    let collected = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
        .collect()
        .await
        .map_err(|error| error.to_string())?;
    driver.abort();
    Ok(Answer {
        status,
        body: collected.to_bytes(),
    })
}
