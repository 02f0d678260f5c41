//! HTTP/1.1 over the control process's Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::error::CliError;

/// A little longer than the gateway's own deadline, so that its answer is what is seen.
const PATIENCE: Duration = Duration::from_secs(35);
/// More than a page of sessions.
const ANSWER_MAX: usize = 64 << 20;

/// Asks one control process.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    pub fn new(socket: PathBuf) -> Client {
        Client { socket }
    }

    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The JSON at `path`.
    pub async fn get(&self, path: &str) -> Result<Value, CliError> {
        self.ask(Method::GET, path, None).await
    }

    /// What the gateway answers to `body`.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, CliError> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, CliError> {
        let asked = async {
            let response = self.send(method, path, body).await?;
            read(response).await
        };
        tokio::time::timeout(PATIENCE, asked).await.map_err(|_| {
            self.unreachable(io::Error::new(
                io::ErrorKind::TimedOut,
                format!("no answer within {} s", PATIENCE.as_secs()),
            ))
        })?
    }

    /// The answer as it comes, for what does not end.
    pub async fn stream(&self, path: &str) -> Result<Incoming, CliError> {
        let response = self.send(Method::GET, path, None).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        Err(match read(response).await {
            Err(refused) => refused,
            Ok(_) => CliError::failed("the gateway gave no events"),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, CliError> {
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|cause| self.unreachable(cause))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        tokio::spawn(connection);
        let bytes = body.map(Value::to_string).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))
            .map_err(|error| CliError::failed(format!("{path} cannot be asked for: {error}")))?;
        sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(&error))
    }

    fn unreachable(&self, cause: io::Error) -> CliError {
        CliError::Unreachable {
            socket: self.socket.clone(),
            cause,
        }
    }

    fn broken(&self, error: &hyper::Error) -> CliError {
        self.unreachable(io::Error::other(format!("the conversation broke off: {error}")))
    }
}

async fn read(response: Response<Incoming>) -> Result<Value, CliError> {
    let status = response.status();
    let body = http_body_util::Limited::new(response.into_body(), ANSWER_MAX);
    let bytes = body
        .collect()
        .await
        .map_err(|error| CliError::failed(format!("the answer broke off: {error}")))?
        .to_bytes();
    let json = serde_json::from_slice::<Value>(&bytes);
    match json {
        Ok(json) if status.is_success() => Ok(json),
        Ok(problem) => Err(CliError::refused(status.as_u16(), &problem)),
        Err(error) => Err(CliError::failed(not_json(status, &error))),
    }
}

fn not_json(status: StatusCode, error: &serde_json::Error) -> String {
    format!("the answer ({status}) is no JSON: {error}; is this the socket of sluice-control?")
}

/// `text` for a query: everything but RFC 3986's unreserved characters as `%XX`.
pub fn percent(text: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(encode).collect()
}
