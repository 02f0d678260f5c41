//! Request bodies: JSON, bounded, and refused with the place and the member that is wrong.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::body::{Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::problem::Problem;

/// Longest request body, bytes: the longest legal command has a few hundred.
pub const BODY_MAX: usize = 64 * 1024;

/// A body read as JSON, with a digest of its bytes that tells a repeat from another request.
#[derive(Debug)]
pub struct JsonBody<T>(pub T, pub Digest);

/// Tells bodies apart; no more than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest(u64);

impl<T, S> FromRequest<S> for JsonBody<T>
where
    T: DeserializeOwned,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        check_content_type(request.headers())?;
        let bytes = read(request).await?;
        Ok(JsonBody(parse(&bytes)?, Digest::of(&bytes)))
    }
}

impl Digest {
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Digest(hasher.finish())
    }
}

/// Only JSON is JSON: a form posted by a web page is not (and a browser asks before it sends this type elsewhere).
fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let found = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
    let essence = found.map(|v| v.split(';').next().unwrap_or(v).trim().to_ascii_lowercase());
    match essence.as_deref() {
        Some("application/json") => Ok(()),
        _ => Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "urn:sluice:problem:media-type",
            "The body is not of a type that is read here",
            format!(
                "Content-Type is {}, want application/json",
                found.unwrap_or("absent")
            ),
        )
        .at("Content-Type")),
    }
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "urn:sluice:problem:too-large",
            "The body is too large",
            format!("a body may have {BODY_MAX} bytes"),
        )
    };
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > BODY_MAX) {
        return Err(too_large());
    }
    to_bytes(request.into_body(), BODY_MAX).await.map_err(|error| {
        let error = error.into_inner();
        if error.is::<http_body_util::LengthLimitError>() {
            too_large()
        } else {
            Problem::malformed(format!("the body broke off: {error}"))
        }
    })
}

/// JSON that cannot be read is 400, a value that cannot be is 422; both say where.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let parsed = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        problem(&path, error.into_inner())
    })?;
    json.end().map_err(|error| problem(".", error))?;
    Ok(parsed)
}

fn problem(path: &str, error: serde_json::Error) -> Problem {
    let detail = error.to_string();
    // A missing or unknown member is named in the message, not in the path.
    let named = ["missing field `", "unknown field `", "duplicate field `"]
        .iter()
        .find_map(|words| detail.split_once(words)?.1.split_once('`'))
        .map(|(member, _)| member.to_owned());
    let at = (path != "." && path != "?").then(|| path.to_owned());
    let field = match (at, named) {
        (Some(at), Some(member)) if !at.ends_with(&member) => Some(format!("{at}.{member}")),
        (at, named) => at.or(named),
    };
    let base = match error.classify() {
        Category::Data => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:sluice:problem:invalid",
            "A value cannot be accepted",
            detail,
        ),
        _ => Problem::malformed(detail),
    };
    Problem {
        field: field.map(String::into_boxed_str),
        line: u32::try_from(error.line()).ok(),
        column: u32::try_from(error.column()).ok(),
        ..base
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Activate;

    fn refused(json: &str) -> Problem {
        parse::<Activate>(json.as_bytes()).unwrap_err()
    }

    #[test]
    fn broken_json_is_refused_with_line_and_column() {
        let problem = refused("{\"ont_serial\": \"A\",\n \"pool\" \"x\"}");

        assert_eq!(
            (problem.status, problem.line, problem.column),
            (400, Some(2), Some(9))
        );
        assert!(problem.detail.contains("expected `:`"), "{}", problem.detail);
    }

    #[test]
    fn a_wrong_value_is_refused_with_its_member() {
        let member = |json| {
            let problem = refused(json);
            (problem.status, problem.field.unwrap_or_default().into_string())
        };

        assert_eq!(member("{\"ont_serial\": 5}"), (422, "ont_serial".into()));
        assert_eq!(member("{\"ont_serial\": \"A\"}"), (422, "service_id".into()));
        assert_eq!(member("{\"serial\": \"A\"}"), (422, "serial".into()));
        assert_eq!(
            member("{\"ont_serial\":\"A\",\"ont_serial\":\"B\"}"),
            (422, "ont_serial".into())
        );
        assert_eq!(
            member("{\"qos_download_bps\": -1}"),
            (422, "qos_download_bps".into())
        );
    }

    #[test]
    fn what_follows_the_value_and_what_is_no_object_is_refused() {
        let whole =
            r#"{"ont_serial":"A","service_id":"S","pool":"p","qos_download_bps":1,"qos_upload_bps":1}"#;
        assert!(parse::<Activate>(whole.as_bytes()).is_ok());

        assert_eq!(refused(&format!("{whole} x")).status, 400);
        assert_eq!(refused("").status, 400);
        assert_eq!(refused("[]").status, 422);
        assert_eq!(refused(&"[".repeat(60_000)).status, 422);
    }
}
