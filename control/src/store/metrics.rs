//! What the store counts.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::histogram::Histogram;

/// Written by the store's thread and its callers, read by metrics.
#[derive(Debug, Default)]
pub struct StoreMetrics {
    /// One transaction with its fsync.
    pub commit: Histogram,
    /// From [`Store::commit`](super::Store::commit) to the answer.
    pub wait: Histogram,
    waiting: AtomicU64,
    transactions: AtomicU64,
    batches: AtomicU64,
    records: AtomicU64,
    failed: AtomicU64,
    reopened: AtomicU64,
    events_dropped: AtomicU64,
}

impl StoreMetrics {
    /// Batches not yet answered.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    pub fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Batches that became durable.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// Records that became durable.
    pub fn records(&self) -> u64 {
        self.records.load(Ordering::Relaxed)
    }

    /// Batches that did not become durable.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// How often the file was opened anew after an error.
    pub fn reopened(&self) -> u64 {
        self.reopened.load(Ordering::Relaxed)
    }

    /// Events that left the outbox because it was full.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped.load(Ordering::Relaxed)
    }

    pub(super) fn queued(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn unqueued(&self, batches: u64) {
        self.waiting.fetch_sub(batches, Ordering::Relaxed);
    }

    pub(super) fn committed(&self, took: Duration, batches: u64, records: u64) {
        self.commit.record(took);
        self.transactions.fetch_add(1, Ordering::Relaxed);
        self.batches.fetch_add(batches, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn lost(&self, batches: u64) {
        self.failed.fetch_add(batches, Ordering::Relaxed);
    }

    pub(super) fn opened_anew(&self) {
        self.reopened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn dropped_events(&self, count: u64) {
        self.events_dropped.fetch_add(count, Ordering::Relaxed);
    }
}
