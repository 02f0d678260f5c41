//! What the driver counts.

use std::fmt::Error;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::list;
use super::out::Out;
use crate::driver::DriverCounts;

#[derive(Debug)]
pub(super) struct Collected(pub Arc<DriverCounts>);

impl Collector for Collected {
    fn encode(&self, encoder: DescriptorEncoder) -> Result<(), Error> {
        let lost = self
            .0
            .read()
            .into_iter()
            .map(|(reason, count)| (vec![("reason", reason)], count));
        Out(encoder).counters(&list::CONTROL_LOST, lost)
    }
}
