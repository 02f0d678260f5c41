//! The client of the access node's management: `POST /v1/onts/{serial}/reconfigure` over its Unix socket.
//!
//! An OLT that is restarting is asked again a few times; one that answers "no" is not.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;

use crate::engine::{OltLine, OltRequest};

/// One attempt, from connect to the last byte.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Waits between attempts; there is one attempt more than waits.
const WAITS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// The largest answer that is read, bytes.
const ANSWER_MAX: usize = 64 * 1024;

/// An access node's management socket.
#[derive(Clone, Debug)]
pub struct OltClient {
    socket: PathBuf,
}

/// Why the OLT did not do it.
#[derive(Debug, thiserror::Error)]
pub enum OltError {
    #[error("OLT at {}: {source}", socket.display())]
    Unreachable { socket: PathBuf, source: std::io::Error },
    #[error("OLT at {}: {source}", socket.display())]
    Protocol { socket: PathBuf, source: hyper::Error },
    #[error("OLT at {}: no answer within {} s", socket.display(), ATTEMPT.as_secs())]
    TimedOut { socket: PathBuf },
    #[error("OLT refuses ONT {ont_serial}: {status}: {body}")]
    Refused {
        ont_serial: String,
        status: StatusCode,
        body: String,
    },
    #[error("OLT's answer for ONT {ont_serial} is not understood: {what}")]
    Answer { ont_serial: String, what: String },
}

impl OltError {
    /// Whether the same question may have another answer in a moment.
    fn is_passing(&self) -> bool {
        match self {
            OltError::Unreachable { .. } | OltError::Protocol { .. } | OltError::TimedOut { .. } => true,
            OltError::Refused { status, .. } => status.is_server_error(),
            OltError::Answer { .. } => false,
        }
    }
}

impl OltClient {
    pub fn new(socket: &Path) -> OltClient {
        OltClient {
            socket: socket.to_owned(),
        }
    }

    /// Has an ONT reconfigured. Doing it twice is doing it once, so it is tried again when the answer is lost.
    pub async fn reconfigure(&self, request: &OltRequest) -> Result<OltLine, OltError> {
        let mut waits = WAITS.iter();
        loop {
            let attempt = tokio::time::timeout(ATTEMPT, self.attempt(request)).await;
            let error = match attempt {
                Ok(Ok(line)) => return Ok(line),
                Ok(Err(error)) => error,
                Err(_) => OltError::TimedOut {
                    socket: self.socket.clone(),
                },
            };
            match waits.next() {
                Some(wait) if error.is_passing() => tokio::time::sleep(*wait).await,
                _ => return Err(error),
            }
        }
    }

    async fn attempt(&self, request: &OltRequest) -> Result<OltLine, OltError> {
        let protocol = |source| OltError::Protocol {
            socket: self.socket.clone(),
            source,
        };
        let answer = |what: String| OltError::Answer {
            ont_serial: request.ont_serial.clone(),
            what,
        };
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| OltError::Unreachable {
                socket: self.socket.clone(),
                source,
            })?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(protocol)?;
        // The connection ends with the sender; its error reaches the request below.
        let connection = tokio::spawn(connection);

        let body = serde_json::to_vec(request).map_err(|error| answer(error.to_string()))?;
        let path = format!("/v1/onts/{}/reconfigure", escaped(&request.ont_serial));
        let post = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::HOST, "olt")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(body)))
            .map_err(|error| answer(error.to_string()))?;
        let response = sender.send_request(post).await.map_err(protocol)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| answer(error.to_string()))?.to_bytes();
        connection.abort();
        if status != StatusCode::OK {
            let body = String::from_utf8_lossy(&body).chars().take(200).collect();
            return Err(OltError::Refused {
                ont_serial: request.ont_serial.clone(),
                status,
                body,
            });
        }
        serde_json::from_slice(&body).map_err(|error| answer(error.to_string()))
    }
}

/// A serial as a path segment (RFC 3986, section 2.1): a subscriber's device chose it.
fn escaped(serial: &str) -> String {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    serial
        .bytes()
        .map(|byte| {
            if unreserved(byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests;
