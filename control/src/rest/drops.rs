//! Why packets ended: drops and punts by reason, in all and by lcore.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shm_bridge::counters::{Counter, LcoreCells};
use shm_bridge::sides::Tables;
use shm_bridge::{DropReason, PuntReason};
use utoipa::ToSchema;

use super::AppState;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct DropList {
    pub total: u64,
    /// Every reason there is, also those that never occurred.
    pub drops: Vec<ReasonCount>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PuntList {
    pub total: u64,
    /// Every reason there is, also those that never occurred.
    pub punts: Vec<ReasonCount>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ReasonCount {
    #[schema(example = "spoofed_address")]
    pub reason: String,
    pub packets: u64,
    #[schema(example = "The source IPv4 address is not the session's.")]
    pub meaning: String,
    /// Only lcores that counted any.
    pub lcores: Vec<LcoreCount>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LcoreCount {
    /// Slot in the segment.
    pub lcore: usize,
    pub packets: u64,
}

/// Drops by reason, since the segment was made.
#[utoipa::path(
    get, path = "/api/v1/drops", tag = "data plane",
    responses((status = 200, description = "Every drop reason with its count", body = DropList))
)]
pub async fn drops(State(state): State<AppState>) -> Json<DropList> {
    let reasons = DropReason::ALL.iter().map(|reason| {
        let count = |lcore: &LcoreCells| lcore.drop(*reason).get();
        reason_count(&state.tables, reason.label(), reason.meaning(), count)
    });
    let drops: Vec<ReasonCount> = reasons.collect();
    Json(DropList {
        total: total(&drops),
        drops,
    })
}

/// Punts by reason, since the segment was made.
#[utoipa::path(
    get, path = "/api/v1/punts", tag = "data plane",
    responses((status = 200, description = "Every punt reason with its count", body = PuntList))
)]
pub async fn punts(State(state): State<AppState>) -> Json<PuntList> {
    let reasons = PuntReason::ALL.iter().map(|reason| {
        let count = |lcore: &LcoreCells| Counter::get(lcore.punt(*reason));
        reason_count(&state.tables, reason.label(), reason.meaning(), count)
    });
    let punts: Vec<ReasonCount> = reasons.collect();
    Json(PuntList {
        total: total(&punts),
        punts,
    })
}

fn reason_count(
    tables: &Tables,
    reason: &str,
    meaning: &str,
    count: impl Fn(&LcoreCells) -> u64,
) -> ReasonCount {
    let counts = tables.lcores.used().map(|(lcore, cells)| LcoreCount {
        lcore,
        packets: count(cells),
    });
    let lcores: Vec<LcoreCount> = counts.filter(|count| count.packets != 0).collect();
    ReasonCount {
        reason: reason.to_owned(),
        packets: lcores
            .iter()
            .fold(0, |sum, count| sum.wrapping_add(count.packets)),
        meaning: meaning.to_owned(),
        lcores,
    }
}

fn total(reasons: &[ReasonCount]) -> u64 {
    reasons
        .iter()
        .fold(0, |sum, reason| sum.wrapping_add(reason.packets))
}
