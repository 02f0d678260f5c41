//! Fine log-linear buckets, those of workers and of control, as a histogram that Prometheus can take.
//!
//! Boundaries are powers of two, because those are boundaries of the fine buckets too: no count has to be guessed.

use shm_bridge::latency::bounds;

/// 2^9 ns = 512 ns …
const FIRST: u32 = 9;
/// … to 2^30 ns = 1.07 s.
const LAST: u32 = 30;

/// Counts by upper bound (seconds), not summed up; the last bound is infinite.
pub(super) struct Coarse {
    pub buckets: Vec<(f64, u64)>,
    pub count: u64,
    /// Seconds; each fine bucket counts by its middle, so this is right to within 1 %.
    pub sum: f64,
    pub max_seconds: f64,
}

impl Coarse {
    /// Of counts by fine bucket and the largest value (ns).
    pub(super) fn of(counts: &[u64], max_ns: u64) -> Coarse {
        let bound = |power: u32| (1u64 << power) as f64 / 1e9;
        let mut buckets: Vec<(f64, u64)> = (FIRST..=LAST).map(|power| (bound(power), 0)).collect();
        buckets.push((f64::INFINITY, 0));
        let (mut total, mut sum) = (0u64, 0.0);
        for (fine, count) in counts.iter().enumerate() {
            let (from, to) = bounds(fine);
            // `le` includes its bound, a fine bucket excludes its end: values of exactly a power of two are one bucket late.
            let power = to.next_power_of_two().trailing_zeros().clamp(FIRST, LAST + 1);
            if let Some((_, sum)) = buckets.get_mut((power - FIRST) as usize) {
                *sum = sum.wrapping_add(*count);
            }
            total = total.wrapping_add(*count);
            sum += *count as f64 * (from + to - 1) as f64 / 2e9;
        }
        Coarse {
            buckets,
            count: total,
            sum,
            max_seconds: max_ns as f64 / 1e9,
        }
    }
}
