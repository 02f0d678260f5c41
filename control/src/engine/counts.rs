//! What happened, in numbers, for metrics.

use std::collections::HashMap;

use crate::dhcp::{Kind, Notice, Refusal, ReplyKind};
use crate::pool::{PoolId, Pools};

/// Durations kept between two looks at the statistics.
const DURATIONS_MAX: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Counts {
    /// By pool (the last is "none yet") and kind.
    requests: Vec<[u64; Kind::ALL.len()]>,
    replies: [u64; ReplyKind::ALL.len()],
    refused: HashMap<Refusal, u64>,
    noted: HashMap<Notice, u64>,
    activations: HashMap<&'static str, u64>,
    activation_seconds: Vec<f64>,
}

impl Counts {
    pub fn new(pools: usize) -> Counts {
        Counts {
            requests: vec![[0; Kind::ALL.len()]; pools + 1],
            ..Counts::default()
        }
    }

    pub fn requested(&mut self, pool: Option<PoolId>, kind: Kind) {
        let none = self.requests.len() - 1;
        let row = pool.map_or(none, |pool| usize::from(pool.0).min(none));
        self.requests[row][kind as usize] += 1;
    }

    pub fn replied(&mut self, kind: ReplyKind) {
        self.replies[kind as usize] += 1;
    }

    pub fn refuse(&mut self, why: Refusal) {
        *self.refused.entry(why).or_default() += 1;
    }

    pub fn note(&mut self, what: Notice) {
        *self.noted.entry(what).or_default() += 1;
    }

    pub fn activation(&mut self, result: &'static str) {
        *self.activations.entry(result).or_default() += 1;
    }

    pub fn activated_after(&mut self, seconds: f64) {
        if self.activation_seconds.len() < DURATIONS_MAX {
            self.activation_seconds.push(seconds);
        }
    }

    pub fn requests(&self, pools: &Pools) -> Vec<(String, &'static str, u64)> {
        let name = |row: usize| {
            let id = u16::try_from(row)
                .ok()
                .map(PoolId)
                .filter(|_| row + 1 < self.requests.len());
            id.map_or_else(String::new, |id| pools.name(id).to_owned())
        };
        let counted = self.requests.iter().enumerate().flat_map(|(row, kinds)| {
            Kind::ALL
                .into_iter()
                .map(move |kind| (row, kind, kinds[kind as usize]))
        });
        counted
            .filter(|(_, _, count)| *count > 0)
            .map(|(row, kind, count)| (name(row), kind.label(), count))
            .collect()
    }

    pub fn replies(&self) -> Vec<(&'static str, u64)> {
        ReplyKind::ALL
            .into_iter()
            .map(|kind| (kind.label(), self.replies[kind as usize]))
            .collect()
    }

    pub fn refused(&self) -> Vec<(&'static str, u64)> {
        let count = |why| self.refused.get(why).copied().unwrap_or(0);
        Refusal::ALL.iter().map(|why| (why.label(), count(why))).collect()
    }

    pub fn noted(&self) -> Vec<(&'static str, u64)> {
        let count = |what| self.noted.get(what).copied().unwrap_or(0);
        Notice::ALL
            .iter()
            .map(|what| (what.label(), count(what)))
            .collect()
    }

    pub fn activations(&self) -> Vec<(&'static str, u64)> {
        let results = ["success", "not_found", "wrong_state", "invalid", "unavailable"];
        let count = |result| self.activations.get(result).copied().unwrap_or(0);
        results
            .into_iter()
            .map(|result| (result, count(result)))
            .collect()
    }

    pub fn take_activation_seconds(&mut self) -> Vec<f64> {
        std::mem::take(&mut self.activation_seconds)
    }
}
