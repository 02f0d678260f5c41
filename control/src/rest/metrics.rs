//! `GET /metrics`: OpenMetrics text, see [`crate::metrics`].

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::problem::Problem;
use crate::engine::{Command, Reply};
use crate::metrics::Scrape;

/// A scrape does not wait for a busy engine longer than this: what shared memory knows is worth having without it.
const ENGINE_PATIENCE: Duration = Duration::from_secs(2);
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics.
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text"))
)]
pub async fn metrics(State(state): State<AppState>) -> Result<Response, Problem> {
    let asked = state.handle.command(Command::Statistics);
    let engine = match tokio::time::timeout(ENGINE_PATIENCE, asked).await {
        Ok(Ok(Reply::Statistics(statistics))) => Some(statistics),
        _ => None,
    };
    let scrape = Scrape {
        tables: state.tables.clone(),
        presence: state.presence.clone(),
        config: state.config.clone(),
        engine,
        now_ns: super::monotonic_ns(),
    };
    let text = state
        .metrics
        .render(scrape)
        .map_err(|_| Problem::internal("metrics could not be written"))?;
    Ok(([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response())
}
