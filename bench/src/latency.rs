//! Latencies of a run: the worker's own histograms, from the receive of a burst to its transmit, as they grew during the starts.

use serde_json::{Value, json};
use shm_bridge::latency::{BUCKETS, bounds};
use shm_bridge::{ControlSide, Direction};

/// Counts by bucket of [`shm_bridge::latency`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    counts: Vec<u64>,
}

impl Default for Distribution {
    fn default() -> Distribution {
        Distribution {
            counts: vec![0; BUCKETS],
        }
    }
}

impl Distribution {
    /// What all lcores have counted so far in a direction.
    pub fn read(control: &ControlSide, direction: Direction) -> Distribution {
        let mut all = Distribution::default();
        for (slot, _) in control.tables.lcores.used() {
            if let Some(cells) = control.tables.latencies.get(slot, direction) {
                all.add(&Distribution {
                    counts: cells.read().0,
                });
            }
        }
        all
    }

    pub fn add(&mut self, other: &Distribution) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
    }

    /// What came since `before`.
    pub fn since(mut self, before: &Distribution) -> Distribution {
        for (count, before) in self.counts.iter_mut().zip(&before.counts) {
            *count = count.wrapping_sub(*before);
        }
        self
    }

    pub fn packets(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The time that a share of all packets did not exceed, in ns; `None` without packets.
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let rank = ((self.packets() as f64 * share.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut below = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return Some(bounds(bucket).1 - 1);
            }
        }
        None
    }

    pub fn to_json(&self) -> Value {
        json!({
            "packets": self.packets(),
            "p50": self.quantile(0.5), "p90": self.quantile(0.9), "p99": self.quantile(0.99),
            "p99.9": self.quantile(0.999), "p99.99": self.quantile(0.9999), "max": self.quantile(1.0),
        })
    }

    #[cfg(test)]
    pub fn of(values: &[(u64, u64)]) -> Distribution {
        let mut all = Distribution::default();
        for (ns, packets) in values {
            all.counts[shm_bridge::latency::bucket(*ns)] += packets;
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_packets_and_only_of_what_came_since() {
        let before = Distribution::of(&[(50, 1000)]);
        let mut after = Distribution::of(&[(10, 90), (30, 9), (60, 1)]);
        after.add(&before);

        let run = after.since(&before);

        assert_eq!(run.packets(), 100);
        let quantiles = [0.5, 0.9, 0.91, 0.99, 1.0].map(|share| run.quantile(share));
        assert_eq!(quantiles, [10, 10, 30, 30, 60].map(Some));
        assert_eq!(Distribution::default().quantile(0.5), None);
    }
}
