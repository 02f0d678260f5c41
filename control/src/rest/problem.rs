//! Errors as RFC 9457 problem documents (`application/problem+json`): a kind, a sentence, and the field or states concerned.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::CommandError;
use crate::session::State;

/// A request that was not carried out, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Problem {
    /// What kind of problem: `urn:sluice:problem:` and a word.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "urn:sluice:problem:wrong-state")]
    pub kind: &'static str,
    #[schema(value_type = String, example = "The session's state does not allow it")]
    pub title: &'static str,
    #[schema(example = 409)]
    pub status: u16,
    #[schema(example = "the session is terminated and cannot become active")]
    pub detail: String,
    /// The member of the body, query parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub field: Option<Box<str>>,
    /// Where in the body, counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<u32>,
    /// The state the session is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub current_state: Option<State>,
    /// The state it was asked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub wanted_state: Option<State>,
    /// How many sessions fit where one was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matches: Option<u32>,
}

impl Problem {
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            kind,
            title,
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            line: None,
            column: None,
            current_state: None,
            wanted_state: None,
            matches: None,
        }
    }

    /// 400: the request cannot be read.
    pub fn malformed(detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "urn:sluice:problem:malformed",
            "The request cannot be read",
            detail,
        )
    }

    /// 404
    pub fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::NOT_FOUND,
            "urn:sluice:problem:not-found",
            "There is no such thing",
            detail,
        )
    }

    /// 422: readable, but a value cannot be.
    pub fn invalid(field: impl Into<Box<str>>, detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "urn:sluice:problem:invalid",
            "A value cannot be accepted",
            detail,
        )
        .at(field)
    }

    /// 503: later, perhaps.
    pub fn unavailable(detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "urn:sluice:problem:unavailable",
            "The gateway cannot do this now",
            detail,
        )
    }

    /// 500: an answer that does not fit the question. A fault of ours.
    pub fn internal(detail: impl Into<String>) -> Problem {
        Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "urn:sluice:problem:internal",
            "The gateway made a mistake",
            detail,
        )
    }

    /// Names what is wrong.
    pub fn at(mut self, field: impl Into<Box<str>>) -> Problem {
        self.field = Some(field.into());
        self
    }

    pub fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Problem {
        let detail = error.to_string();
        match error {
            CommandError::NotFound { .. } => Problem::not_found(detail),
            CommandError::WrongState { state, wanted } => Problem {
                current_state: Some(state),
                wanted_state: Some(wanted),
                ..Problem::new(
                    StatusCode::CONFLICT,
                    "urn:sluice:problem:wrong-state",
                    "The session's state does not allow it",
                    detail,
                )
            },
            CommandError::Ambiguous { count, .. } => Problem {
                matches: u32::try_from(count).ok(),
                ..Problem::new(
                    StatusCode::CONFLICT,
                    "urn:sluice:problem:ambiguous",
                    "Several sessions fit",
                    detail,
                )
            },
            CommandError::Invalid { field, .. } => Problem::invalid(field, detail),
            CommandError::Unavailable(_) => Problem::unavailable(detail),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status_code();
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            // RFC 9110 section 15.5.2: a 401 says how to authenticate.
            StatusCode::UNAUTHORIZED => {
                headers.insert(
                    header::WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer realm=\"sluice\""),
                );
            }
            _ => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_state_names_both_states() {
        let problem = Problem::from(CommandError::WrongState {
            state: State::Terminated,
            wanted: State::Active,
        });

        assert_eq!(problem.status, 409);
        assert_eq!(problem.current_state, Some(State::Terminated));
        assert_eq!(problem.wanted_state, Some(State::Active));
    }

    #[test]
    fn a_problem_says_nothing_of_what_does_not_concern_it() {
        let json =
            serde_json::to_value(Problem::invalid("pool", "pool: no pool \"x\" is configured")).unwrap();

        assert_eq!(
            json,
            serde_json::json!({
                "type": "urn:sluice:problem:invalid",
                "title": "A value cannot be accepted",
                "status": 422,
                "detail": "pool: no pool \"x\" is configured",
                "field": "pool"
            })
        );
    }
}
