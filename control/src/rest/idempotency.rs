//! `Idempotency-Key`: a command repeated under the same key is answered and not carried out again.
//!
//! After draft-ietf-httpapi-idempotency-key-header: the same key with another body is 422, with the same body while the first is
//! still being carried out 409, afterwards the first answer with `Idempotent-Replayed: true`. Answers of 500 and above are not kept: the
//! caller shall try again. The memory is this process's; across a restart the commands themselves are idempotent.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use super::body::{BODY_MAX, Digest};
use super::problem::Problem;

/// Answers kept; the oldest goes first. At some 500 bytes each, 4 MB.
const KEPT_MAX: usize = 8192;
/// How long an answer is kept.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// Longest key.
const KEY_MAX: usize = 255;

const HEADER: &str = "idempotency-key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// What was answered under which key. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Idempotency(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    by_key: HashMap<Key, Entry>,
    /// Keys of answered entries, oldest first.
    answered: VecDeque<(Instant, Key)>,
}

/// The command and the caller's key.
type Key = (&'static str, String);

#[derive(Debug)]
struct Entry {
    digest: Digest,
    /// `None` while the command is carried out.
    answer: Option<Answer>,
}

#[derive(Clone, Debug)]
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

enum Begun {
    Run(Running),
    Replay(Answer),
}

/// A command being carried out; forgotten when it is dropped without an answer.
struct Running {
    kept: Idempotency,
    key: Key,
}

impl Idempotency {
    /// Carries `work` out, unless the key of `headers` says that it was already.
    pub async fn once(
        &self,
        command: &'static str,
        headers: &HeaderMap,
        digest: Digest,
        work: impl Future<Output = Result<Response, Problem>>,
    ) -> Result<Response, Problem> {
        let Some(key) = key(headers)? else {
            return work.await;
        };
        match self.begin((command, key), digest)? {
            Begun::Replay(answer) => Ok(answer.replayed()),
            Begun::Run(running) => {
                let response = work.await.unwrap_or_else(IntoResponse::into_response);
                running.finish(response).await
            }
        }
    }

    fn begin(&self, key: Key, digest: Digest) -> Result<Begun, Problem> {
        let mut kept = self.kept();
        kept.forget_old(Instant::now());
        let Some(entry) = kept.by_key.get(&key) else {
            let entry = Entry { digest, answer: None };
            kept.by_key.insert(key.clone(), entry);
            let kept = self.clone();
            return Ok(Begun::Run(Running { kept, key }));
        };
        if entry.digest != digest {
            let detail = format!("the key {:?} was used with another body", key.1);
            return Err(Problem::invalid("Idempotency-Key", detail));
        }
        match &entry.answer {
            Some(answer) => Ok(Begun::Replay(answer.clone())),
            None => Err(Problem::new(
                StatusCode::CONFLICT,
                "urn:sluice:problem:in-progress",
                "The first request is still being carried out",
                format!("the request with the key {:?} has no answer yet", key.1),
            )
            .at("Idempotency-Key")),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    async fn finish(self, response: Response) -> Result<Response, Problem> {
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, BODY_MAX)
            .await
            .map_err(|e| Problem::internal(format!("the answer could not be kept: {e}")))?;
        let answer = Answer {
            status: parts.status,
            headers: parts.headers,
            body,
        };
        if !answer.status.is_server_error() {
            let mut kept = self.kept.kept();
            if let Some(entry) = kept.by_key.get_mut(&self.key) {
                entry.answer = Some(answer.clone());
            }
            kept.answered.push_back((Instant::now(), self.key.clone()));
        }
        Ok(answer.into_response())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut kept = self.kept.kept();
        if kept
            .by_key
            .get(&self.key)
            .is_some_and(|entry| entry.answer.is_none())
        {
            kept.by_key.remove(&self.key);
        }
    }
}

impl Kept {
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, _)) = self.answered.front() {
            if self.answered.len() <= KEPT_MAX && now.duration_since(*at) < KEPT_FOR {
                return;
            }
            if let Some((_, key)) = self.answered.pop_front() {
                self.by_key.remove(&key);
            }
        }
    }
}

impl Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }

    fn replayed(self) -> Response {
        let mut response = self.into_response();
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(HEADER) else {
        return Ok(None);
    };
    match value.to_str() {
        Ok(text) if (1..=KEY_MAX).contains(&text.len()) => Ok(Some(text.to_owned())),
        _ => Err(
            Problem::malformed(format!("a key is 1 to {KEY_MAX} printable ASCII characters"))
                .at("Idempotency-Key"),
        ),
    }
}
