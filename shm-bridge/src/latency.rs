//! Latency buckets: log-linear, 64 to an octave, so a value is known to within 1/64 (1.6 %).
//!
//! Values are nanoseconds from the receive of a burst to its transmit. Below 64 ns a bucket is one nanosecond wide; above,
//! each octave has 64 buckets. The last bucket holds everything from about 68 s on.

use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

const SUB_BITS: u32 = 6;
const SUB: u64 = 1 << SUB_BITS;
const OCTAVES: u64 = 30;
/// Buckets of a histogram.
pub const BUCKETS: usize = (SUB * (OCTAVES + 1)) as usize;

/// The bucket of a value.
#[inline(always)]
pub fn bucket(ns: u64) -> usize {
    if ns < SUB {
        return ns as usize;
    }
    let octave = u64::from(63 - ns.leading_zeros() - SUB_BITS);
    if octave >= OCTAVES {
        return BUCKETS - 1;
    }
    ((octave + 1) * SUB + ((ns >> octave) - SUB)) as usize
}

/// The smallest value of a bucket, and the first one above it (ns).
pub fn bounds(bucket: usize) -> (u64, u64) {
    let bucket = bucket.min(BUCKETS - 1) as u64;
    if bucket < SUB {
        return (bucket, bucket + 1);
    }
    let octave = bucket / SUB - 1;
    let low = (SUB + bucket % SUB) << octave;
    (low, low + (1 << octave))
}

/// The value that `quantile` (0..=1) of all values counted do not exceed, a bucket told by its end and none larger than `max_ns`; `None`
/// where nothing was counted. Never too small, and at most 1.6 % too large.
pub fn quantile(counts: &[u64], max_ns: u64, quantile: f64) -> Option<u64> {
    let total = counts.iter().fold(0u64, |sum, count| sum.saturating_add(*count));
    let rank = ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
    let mut below = 0u64;
    let found = counts.iter().position(|count| {
        below = below.saturating_add(*count);
        below >= rank
    })?;
    Some((bounds(found).1 - 1).min(max_ns))
}

/// A histogram of one lcore and direction in shared memory.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct HistogramCells {
    buckets: [AtomicU64; BUCKETS],
    max: AtomicU64,
    padding: [AtomicU64; 7],
}

// SAFETY: words only; the count is a multiple of eight, so the alignment adds no padding.
#[allow(unsafe_code)]
unsafe impl Cells for HistogramCells {}

#[cfg(not(loom))]
const _: () = assert!(size_of::<HistogramCells>() == (BUCKETS + 8) * 8);

impl HistogramCells {
    /// Owner lcore only: `packets` of one burst took `ns`.
    #[inline(always)]
    pub fn record(&self, ns: u64, packets: u64) {
        let cell = &self.buckets[bucket(ns)];
        cell.store(
            cell.load(Ordering::Relaxed).wrapping_add(packets),
            Ordering::Relaxed,
        );
        if ns > self.max.load(Ordering::Relaxed) {
            self.max.store(ns, Ordering::Relaxed);
        }
    }

    /// Copies the counts out, `BUCKETS` of them, and the largest value seen (ns).
    pub fn read(&self) -> (Vec<u64>, u64) {
        let counts = self
            .buckets
            .iter()
            .map(|cell| cell.load(Ordering::Relaxed))
            .collect();
        (counts, self.max.load(Ordering::Relaxed))
    }
}

/// The histograms of all lcores: `[lcore][direction]`.
#[derive(Clone, Debug)]
pub struct Latencies(pub(crate) Shared<[HistogramCells; 2]>);

impl Latencies {
    #[inline(always)]
    pub fn get(&self, lcore: usize, direction: crate::Direction) -> Option<&HistogramCells> {
        self.0.get(lcore).map(|pair| &pair[direction as usize])
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_the_error_is_within_two_percent() {
        let mut value = 1u64;
        while value < 60_000_000_000 {
            for v in [value - 1, value, value + 1, value + value / 3] {
                let (low, high) = bounds(bucket(v));
                assert!(low <= v && v < high, "{v} in {low}..{high}");
                assert!(
                    (high - low) as f64 <= 1.0f64.max(v as f64 * 0.0157),
                    "{v}: {low}..{high}"
                );
            }
            value = value * 5 / 4 + 1;
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_quantile_is_never_too_small_and_at_most_a_bucket_too_large() {
        let mut counts = vec![0; BUCKETS];
        for value in 1..=10_000 {
            counts[bucket(value)] += 1;
        }

        for (share, exact) in [(0.5, 5_000), (0.999, 9_990), (0.9999, 9_999), (1.0, 10_000)] {
            let told = quantile(&counts, 10_000, share).unwrap();
            assert!(told >= exact && told <= exact + exact / 60, "{share}: {told}");
        }
        assert_eq!(quantile(&vec![0; BUCKETS], 7, 0.5), None);
        assert_eq!(
            quantile(&[u64::MAX, u64::MAX], 7, 0.5),
            Some(0),
            "any noise is told something"
        );
    }

    #[test]
    fn buckets_join_without_gap() {
        for b in 1..BUCKETS {
            assert_eq!(bounds(b).0, bounds(b - 1).1);
        }
    }
}
