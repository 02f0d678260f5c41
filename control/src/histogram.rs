//! A histogram of durations that one thread fills and any other reads, without a lock.
//!
//! Its buckets are those of the workers' latencies ([`shm_bridge::latency`]): log-linear, known to within 1.6 %.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use shm_bridge::latency::{self, BUCKETS, bucket};

/// Counts by bucket, with the sum and the largest value.
#[derive(Debug)]
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
    max_ns: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_ns: AtomicU64::new(0),
            max_ns: AtomicU64::new(0),
        }
    }
}

impl Histogram {
    pub fn record(&self, duration: Duration) {
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(ns)].fetch_add(1, Ordering::Relaxed);
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
        self.max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    /// The counts as they are now.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            counts: self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect(),
            sum_ns: self.sum_ns.load(Ordering::Relaxed),
            max_ns: self.max_ns.load(Ordering::Relaxed),
        }
    }
}

/// A histogram by value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// By bucket of [`shm_bridge::latency::bounds`].
    pub counts: Vec<u64>,
    pub sum_ns: u64,
    pub max_ns: u64,
}

impl Snapshot {
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The duration that `quantile` (0..=1) of all values do not exceed; zero when there are none.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let ns = latency::quantile(&self.counts, self.max_ns, quantile);
        Duration::from_nanos(ns.unwrap_or(0))
    }

    /// How many values were at most `limit`, to the width of a bucket: a cumulative bucket of Prometheus.
    pub fn at_most(&self, limit: Duration) -> u64 {
        let ns = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
        self.counts[..=bucket(ns)].iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_and_cumulative_counts_are_those_of_the_values() {
        let histogram = Histogram::default();
        for ms in 1..=1000 {
            histogram.record(Duration::from_millis(ms));
        }

        let seen = histogram.snapshot();

        assert_eq!(seen.count(), 1000);
        assert_eq!(seen.quantile(1.0), Duration::from_secs(1));
        let median = seen.quantile(0.5).as_secs_f64();
        assert!((0.49..0.51).contains(&median), "{median}");
        assert!(seen.at_most(Duration::from_millis(100)).abs_diff(100) <= 2);
        assert_eq!(Histogram::default().snapshot().quantile(0.99), Duration::ZERO);
    }
}
