//! What the store counts.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::histogram::Coarse;
use super::list;
use super::out::Out;
use crate::histogram::Histogram;
use crate::store::StoreMetrics;

#[derive(Debug)]
pub(super) struct Collected(pub Arc<StoreMetrics>);

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let store = &self.0;
        let mut out = Out(encoder);
        out.histogram(&list::STORE_COMMIT_SECONDS, &coarse(&store.commit))?;
        out.histogram(&list::STORE_WAIT_SECONDS, &coarse(&store.wait))?;
        out.gauge(&list::STORE_WAITING, store.waiting() as f64)?;
        out.counter(&list::STORE_TRANSACTIONS, store.transactions())?;
        out.counter(&list::STORE_BATCHES, store.batches())?;
        out.counter(&list::STORE_RECORDS, store.records())?;
        out.counter(&list::STORE_FAILED, store.failed())?;
        out.counter(&list::STORE_REOPENED, store.reopened())?;
        out.counter(&list::STORE_EVENTS_DROPPED, store.events_dropped())
    }
}

fn coarse(histogram: &Histogram) -> Coarse {
    let seen = histogram.snapshot();
    Coarse {
        sum: seen.sum_ns as f64 / 1e9,
        ..Coarse::of(&seen.counts, seen.max_ns)
    }
}
