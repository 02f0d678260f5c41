//! Who reached a service, and with how much.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// All that came from one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub requests: u64,
    /// Payload bytes the service took and gave.
    pub bytes: u64,
    pub last_at: Instant,
}

#[derive(Clone, Debug, Default)]
pub struct Arrivals {
    by_source: Arc<Mutex<HashMap<Ipv4Addr, Arrival>>>,
}

impl Arrivals {
    pub fn from(&self, source: Ipv4Addr) -> Option<Arrival> {
        self.by_source().get(&source).copied()
    }

    /// Requests from this address; 0 if it never came.
    pub fn requests_from(&self, source: Ipv4Addr) -> u64 {
        self.from(source).map_or(0, |arrival| arrival.requests)
    }

    pub fn all(&self) -> Vec<(Ipv4Addr, Arrival)> {
        let mut all: Vec<_> = self
            .by_source()
            .iter()
            .map(|(source, arrival)| (*source, *arrival))
            .collect();
        all.sort_by_key(|(source, _)| *source);
        all
    }

    pub fn is_empty(&self) -> bool {
        self.by_source().is_empty()
    }

    pub fn clear(&self) {
        self.by_source().clear();
    }

    pub(super) fn record(&self, source: IpAddr, bytes: usize) {
        self.add(source, 1, bytes);
    }

    pub(super) fn add(&self, source: IpAddr, requests: u64, bytes: usize) {
        let IpAddr::V4(source) = source else { return };
        let now = Instant::now();
        let mut by_source = self.by_source();
        let arrival = by_source.entry(source).or_insert(Arrival {
            requests: 0,
            bytes: 0,
            last_at: now,
        });
        arrival.requests += requests;
        arrival.bytes += bytes as u64;
        arrival.last_at = now;
    }

    fn by_source(&self) -> MutexGuard<'_, HashMap<Ipv4Addr, Arrival>> {
        self.by_source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
