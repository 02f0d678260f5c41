//! Latency from receive to transmit: percentiles and buckets by lcore and direction, and over all lcores.
//!
//! Workers keep log-linear buckets in shared memory; here they are poured into an HDR histogram, each bucket at its upper end, so that a
//! percentile is never told too small, and at most 2 % too large.

use axum::Json;
use axum::extract::State;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use shm_bridge::Direction;
use shm_bridge::latency::{HistogramCells, bounds};
use shm_bridge::sides::Tables;
use utoipa::ToSchema;

use super::AppState;
use super::params::Params;
use super::problem::Problem;

/// The shared buckets end at about 68 s.
const HIGHEST_NS: u64 = 1 << 37;
/// 0.1 %, far below the shared buckets' own 1.6 %.
const SIGNIFICANT_DIGITS: u8 = 3;

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LatencyReport {
    /// By direction, over all lcores.
    pub total: Vec<LatencyJson>,
    /// By lcore and direction.
    pub lcores: Vec<LatencyJson>,
}

#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LatencyJson {
    /// Slot in the segment; null for all together.
    pub lcore: Option<usize>,
    #[schema(example = "upstream")]
    pub direction: String,
    /// Packets measured.
    pub count: u64,
    /// Nanoseconds; all null before the first packet.
    pub mean_ns: Option<f64>,
    pub p50_ns: Option<u64>,
    pub p90_ns: Option<u64>,
    pub p99_ns: Option<u64>,
    pub p99_9_ns: Option<u64>,
    pub p99_99_ns: Option<u64>,
    /// Exact.
    pub max_ns: Option<u64>,
    /// Only those that counted any, ascending; absent without `buckets=true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buckets: Option<Vec<BucketJson>>,
}

/// Packets whose latency was from `from_ns` to below `to_ns`.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct BucketJson {
    pub from_ns: u64,
    pub to_ns: u64,
    pub count: u64,
}

/// Latency since the segment was made.
#[utoipa::path(
    get, path = "/api/v1/latency", tag = "data plane",
    params(("buckets" = Option<bool>, Query, description = "true adds the buckets; false if not given")),
    responses(
        (status = 200, description = "Percentiles and buckets", body = LatencyReport),
        (status = 400, description = "An unknown or unreadable parameter", body = Problem, content_type = "application/problem+json"),
    )
)]
pub async fn latency(State(state): State<AppState>, params: Params) -> Result<Json<LatencyReport>, Problem> {
    let with_buckets = params.only(&["buckets"])?.get("buckets")?.unwrap_or(false);
    let detail = if with_buckets {
        Detail::Buckets
    } else {
        Detail::Percentiles
    };
    let used: Vec<usize> = state.tables.lcores.used().map(|(lcore, _)| lcore).collect();
    let mut report = LatencyReport {
        total: Vec::new(),
        lcores: Vec::new(),
    };
    for direction in Direction::ALL {
        let mut total = Latency::new()?;
        for lcore in &used {
            let Some(one) = Latency::read(&state.tables, *lcore, direction)? else {
                continue;
            };
            total.add(&one)?;
            report.lcores.push(one.describe(Some(*lcore), direction, detail));
        }
        report.total.push(total.describe(None, direction, detail));
    }
    Ok(Json(report))
}

#[derive(Clone, Copy)]
enum Detail {
    Buckets,
    Percentiles,
}

/// Measured packets of one direction, of one lcore or of several.
struct Latency {
    histogram: Histogram<u64>,
    /// By shared bucket.
    counts: Vec<u64>,
    max_ns: u64,
}

impl Latency {
    fn new() -> Result<Latency, Problem> {
        Ok(Latency {
            histogram: Histogram::new_with_max(HIGHEST_NS, SIGNIFICANT_DIGITS).map_err(fault)?,
            counts: vec![0; shm_bridge::latency::BUCKETS],
            max_ns: 0,
        })
    }

    fn read(tables: &Tables, lcore: usize, direction: Direction) -> Result<Option<Latency>, Problem> {
        tables
            .latencies
            .get(lcore, direction)
            .map(Latency::from_cells)
            .transpose()
    }

    fn from_cells(cells: &HistogramCells) -> Result<Latency, Problem> {
        let mut latency = Latency::new()?;
        (latency.counts, latency.max_ns) = cells.read();
        for (bucket, count) in latency.counts.iter().enumerate() {
            if *count != 0 {
                let (_, end) = bounds(bucket);
                latency.histogram.saturating_record_n(end - 1, *count);
            }
        }
        Ok(latency)
    }

    fn add(&mut self, other: &Latency) -> Result<(), Problem> {
        self.histogram.add(&other.histogram).map_err(fault)?;
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum = sum.wrapping_add(*count);
        }
        self.max_ns = self.max_ns.max(other.max_ns);
        Ok(())
    }

    fn describe(&self, lcore: Option<usize>, direction: Direction, detail: Detail) -> LatencyJson {
        let measured = !self.histogram.is_empty();
        // The bucket's end may lie above the largest value that was in it.
        let at = |quantile| measured.then(|| self.histogram.value_at_quantile(quantile).min(self.max_ns));
        LatencyJson {
            lcore,
            direction: direction.label().to_owned(),
            count: self.histogram.len(),
            mean_ns: measured.then(|| self.histogram.mean()),
            p50_ns: at(0.5),
            p90_ns: at(0.9),
            p99_ns: at(0.99),
            p99_9_ns: at(0.999),
            p99_99_ns: at(0.9999),
            max_ns: measured.then_some(self.max_ns),
            buckets: match detail {
                Detail::Buckets => Some(self.buckets()),
                Detail::Percentiles => None,
            },
        }
    }

    fn buckets(&self) -> Vec<BucketJson> {
        let filled = self.counts.iter().enumerate().filter(|(_, count)| **count != 0);
        filled
            .map(|(bucket, count)| {
                let (from_ns, to_ns) = bounds(bucket);
                BucketJson {
                    from_ns,
                    to_ns,
                    count: *count,
                }
            })
            .collect()
    }
}

fn fault(error: impl std::fmt::Display) -> Problem {
    Problem::internal(format!("latency histograms: {error}"))
}
