//! Address pools and their use.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::AppState;
use super::problem::Problem;
use crate::engine::{Command, PoolView, Reply};

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PoolList {
    pub pools: Vec<PoolView>,
}

/// All pools with their use.
#[utoipa::path(
    get, path = "/api/v1/pools", tag = "sessions",
    responses((status = 200, description = "All pools", body = PoolList))
)]
pub async fn list(State(state): State<AppState>) -> Result<Json<PoolList>, Problem> {
    match state.ask(Command::Pools).await? {
        Reply::Pools(pools) => Ok(Json(PoolList { pools })),
        other => Err(Problem::internal(format!("pools were asked for, {other:?} came"))),
    }
}
