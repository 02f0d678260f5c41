//! The hosts on a line: MAC addresses seen, and the address each has leased as snooped from DHCP.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::wire::MacAddr;

/// Hosts a line may have; a home gateway needs one, a bridged one a few.
pub const HOSTS_MAX: usize = 16;
/// A silent host is forgotten after this (IEEE 802.1Q's default ageing time).
pub const AGEING: Duration = Duration::from_secs(300);

#[derive(Clone, Debug)]
pub struct Host {
    pub mac: MacAddr,
    seen: Instant,
    lease: Option<Lease>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lease {
    address: Ipv4Addr,
    expires: Instant,
}

#[derive(Clone, Debug, Default)]
pub struct Hosts {
    hosts: Vec<Host>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    Known,
    New,
    /// The line is full; nothing was learnt.
    Full,
}

impl Hosts {
    pub fn see(&mut self, mac: MacAddr, now: Instant) -> Sighting {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.mac == mac) {
            host.seen = now;
            return Sighting::Known;
        }
        if self.hosts.len() >= HOSTS_MAX {
            self.hosts
                .retain(|host| now.duration_since(host.seen) < AGEING || host.leased(now).is_some());
        }
        if self.hosts.len() >= HOSTS_MAX {
            return Sighting::Full;
        }
        self.hosts.push(Host {
            mac,
            seen: now,
            lease: None,
        });
        Sighting::New
    }

    /// Was the MAC active here within the ageing time?
    pub fn has(&self, mac: MacAddr, now: Instant) -> bool {
        self.hosts
            .iter()
            .any(|host| host.mac == mac && now.duration_since(host.seen) < AGEING)
    }

    pub fn forget(&mut self, mac: MacAddr) {
        self.hosts.retain(|host| host.mac != mac);
    }

    pub fn clear(&mut self) {
        self.hosts.clear();
    }

    /// A server's ACK has passed: the address is this MAC's until the lease ends.
    pub fn leased(&mut self, mac: MacAddr, address: Ipv4Addr, seconds: u32, now: Instant) {
        self.see(mac, now);
        // An infinite lease (0xffff_ffff, RFC 2131 §3.3) is 136 years: no clock here overflows on it.
        let expires = now + Duration::from_secs(u64::from(seconds));
        if let Some(host) = self.hosts.iter_mut().find(|host| host.mac == mac) {
            host.lease = Some(Lease { address, expires });
        }
    }

    pub fn released(&mut self, mac: MacAddr) {
        if let Some(host) = self.hosts.iter_mut().find(|host| host.mac == mac) {
            host.lease = None;
        }
    }

    pub fn may_send_from(&self, mac: MacAddr, address: Ipv4Addr, now: Instant) -> bool {
        self.hosts
            .iter()
            .any(|host| host.mac == mac && host.leased(now) == Some(address))
    }

    /// Every host with its leased address.
    pub fn addresses(&self, now: Instant) -> Vec<(MacAddr, Option<Ipv4Addr>)> {
        self.hosts
            .iter()
            .map(|host| (host.mac, host.leased(now)))
            .collect()
    }
}

impl Host {
    fn leased(&self, now: Instant) -> Option<Ipv4Addr> {
        self.lease
            .filter(|lease| lease.expires > now)
            .map(|lease| lease.address)
    }
}
