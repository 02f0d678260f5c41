//! Metrics in OpenMetrics text.
//!
//! ```text
//!  shared memory ──┐
//!  engine ─────────┼─► Scrape (one a request; reads, keeps nothing) ──┐
//!  configuration ──┘                                                  ├─► text
//!  Metrics (histograms that are filled as things happen) ─────────────┘
//! ```
//!
//! Every name is in [`list`], from which `docs/metrics.md` is made too. Base units, `_total` for counters, and never a label per subscriber:
//! the number of series is bounded by the configuration.

mod driver;
mod histogram;
pub mod list;
mod out;
mod scrape;
mod store;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::driver::DriverCounts;
use crate::store::StoreMetrics;

pub use scrape::Scrape;

type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// What is counted as it happens. Shared by all who count and by the scraper.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Histograms,
    activations: Histogram,
    /// Scrapes one after the other, so that what the engine gives once is counted once.
    scraping: Mutex<()>,
}

impl Metrics {
    /// Metrics of a control process whose store counts in `store` and whose driver in `driver`.
    pub fn new(store: Arc<StoreMetrics>, driver: Arc<DriverCounts>) -> Metrics {
        let mut registry = Registry::default();
        let requests = Histograms::new_with_constructor(request_buckets);
        let activations = activation_buckets();
        list::REST_REQUEST_SECONDS.register(&mut registry, requests.clone());
        registry.register_collector(Box::new(driver::Collected(driver)));
        registry.register_collector(Box::new(store::Collected(store)));
        list::ACTIVATION_SECONDS.register(&mut registry, activations.clone());
        Metrics {
            registry,
            requests,
            activations,
            scraping: Mutex::new(()),
        }
    }

    /// A request was answered.
    pub fn request(&self, method: &Method, route: &str, status: StatusCode, took: Duration) {
        // Methods are whatever a client sends; only known ones become a series.
        let known = [
            Method::GET,
            Method::POST,
            Method::HEAD,
            Method::PUT,
            Method::DELETE,
            Method::OPTIONS,
        ];
        let method = if known.contains(method) {
            method.as_str()
        } else {
            "other"
        };
        let labels = vec![
            ("method", method.to_owned()),
            ("route", route_label(route).to_owned()),
            ("status", status.as_u16().to_string()),
        ];
        self.requests.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Everything as text.
    pub fn render(&self, scrape: Scrape) -> Result<String, fmt::Error> {
        let _one_at_a_time = self.scraping.lock();
        if let Some(engine) = &scrape.engine {
            for seconds in &engine.activation_seconds {
                self.activations.observe(*seconds);
            }
        }
        let mut passing = Registry::default();
        passing.register_collector(Box::new(scrape));
        let mut text = String::new();
        encode_registry(&mut text, &passing)?;
        encode_registry(&mut text, &self.registry)?;
        encode_eof(&mut text)?;
        Ok(text)
    }
}

/// The page under `/docs` has a route of its own shape.
fn route_label(route: &str) -> &str {
    if route.starts_with("/docs") {
        "/docs"
    } else {
        route
    }
}

/// 50 µs to 26 s.
fn request_buckets() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 20))
}

/// 1 ms to 18 h: at once in the same pool, else when the client asks again.
fn activation_buckets() -> Histogram {
    Histogram::new(exponential_buckets(1e-3, 4.0, 14))
}
