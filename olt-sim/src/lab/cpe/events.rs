//! The lines that the clients' script writes.

use std::net::Ipv4Addr;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// A new lease.
    Bound,
    /// The same lease again.
    Renew,
    Nak,
    /// No server answered.
    LeaseFail,
    /// The interface has no address (any more).
    Deconfig,
}

/// A lease as the client understood it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    pub address: Ipv4Addr,
    pub prefix: u8,
    pub router: Option<Ipv4Addr>,
    pub resolvers: Vec<Ipv4Addr>,
    pub lease_seconds: Option<u32>,
    pub server: Option<Ipv4Addr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpeEvent {
    /// Since the epoch.
    pub at: Duration,
    pub kind: EventKind,
    /// With `Bound` and `Renew`.
    pub lease: Option<Lease>,
}

impl CpeEvent {
    /// `None` for a line that is not (yet) whole.
    pub fn parse(line: &str) -> Option<Self> {
        let [at, kind, address, router, resolvers, lease, server] =
            line.split_whitespace().collect::<Vec<_>>()[..]
        else {
            return None;
        };
        let at = Duration::try_from_secs_f64(at.parse().ok()?).ok()?;
        let kind = match kind {
            "bound" => EventKind::Bound,
            "renew" => EventKind::Renew,
            "nak" => EventKind::Nak,
            "leasefail" => EventKind::LeaseFail,
            "deconfig" => EventKind::Deconfig,
            _ => return None,
        };
        let lease = address.split_once('/').and_then(|(address, prefix)| {
            Some(Lease {
                address: address.parse().ok()?,
                prefix: prefix.parse().ok()?,
                router: router.parse().ok(),
                resolvers: resolvers
                    .split(',')
                    .filter_map(|resolver| resolver.parse().ok())
                    .collect(),
                lease_seconds: lease.parse().ok(),
                server: server.parse().ok(),
            })
        });
        Some(Self { at, kind, lease })
    }
}

/// The lease after all these events: a failed attempt to get another one does not end it, a deconfiguration
/// or a NAK does.
pub(super) fn current_lease(events: &[CpeEvent]) -> Option<Lease> {
    let mut lease = None;
    for event in events {
        match event.kind {
            EventKind::Bound | EventKind::Renew => lease = event.lease.clone(),
            EventKind::Nak | EventKind::Deconfig => lease = None,
            EventKind::LeaseFail => {}
        }
    }
    lease
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_word_on_the_lease_counts() {
        let text = "1760000000.5 deconfig - - - - -\n\
                    1760000001.5 bound 10.255.1.7/16 10.255.0.1 8.8.8.8,8.8.4.4 600 10.255.0.1\n\
                    1760000002.5 leasefail - - - - -\nhalf a li";
        let events: Vec<_> = text.lines().filter_map(CpeEvent::parse).collect();

        assert_eq!(events.len(), 3);
        let lease = current_lease(&events).unwrap();
        assert_eq!((lease.address, lease.prefix), (Ipv4Addr::new(10, 255, 1, 7), 16));
        assert_eq!(lease.resolvers.len(), 2);
        assert_eq!(lease.lease_seconds, Some(600));
        assert_eq!(current_lease(&events[..1]), None);
    }
}
