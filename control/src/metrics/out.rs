//! Writes metrics of the list under their names, types and helps.

use std::fmt::Error;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::Labels;
use super::histogram::Coarse;
use super::list::Metric;

/// Writes families of the list.
pub(super) struct Out<'a>(pub DescriptorEncoder<'a>);

impl Out<'_> {
    pub(super) fn begin(&mut self, metric: &Metric) -> Result<MetricEncoder<'_>, Error> {
        let help = format!("{}.", metric.help);
        self.0
            .encode_descriptor(metric.base(), &help, None, metric.metric_type())
    }

    /// A counter without labels.
    pub(super) fn counter(&mut self, metric: &Metric, value: u64) -> Result<(), Error> {
        ConstCounter::new(value).encode(self.begin(metric)?)
    }

    pub(super) fn counters(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = (Labels, u64)>,
    ) -> Result<(), Error> {
        let mut encoder = self.begin(metric)?;
        for (labels, value) in series {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A gauge without labels.
    pub(super) fn gauge(&mut self, metric: &Metric, value: f64) -> Result<(), Error> {
        ConstGauge::new(value).encode(self.begin(metric)?)
    }

    pub(super) fn gauges(
        &mut self,
        metric: &Metric,
        series: impl IntoIterator<Item = (Labels, f64)>,
    ) -> Result<(), Error> {
        let mut encoder = self.begin(metric)?;
        for (labels, value) in series {
            ConstGauge::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// A histogram without labels.
    pub(super) fn histogram(&mut self, metric: &Metric, coarse: &Coarse) -> Result<(), Error> {
        self.begin(metric)?
            .encode_histogram::<NoLabelSet>(coarse.sum, coarse.count, &coarse.buckets, None)
    }

    pub(super) fn histograms(&mut self, metric: &Metric, series: &[(Labels, Coarse)]) -> Result<(), Error> {
        let mut encoder = self.begin(metric)?;
        for (labels, coarse) in series {
            encoder.encode_family(labels)?.encode_histogram::<NoLabelSet>(
                coarse.sum,
                coarse.count,
                &coarse.buckets,
                None,
            )?;
        }
        Ok(())
    }
}
