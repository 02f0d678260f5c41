//! `[pools.NAME]`: the subnets subscribers get their addresses from.
//!
//! ```text
//! network 10.255.0.0/16   .0.0        .0.1     .0.2 ... .0.255   .1.0 ... .255.254   .255.255
//!                         network     gateway  excluded          assignable          broadcast
//! ```

use crate::dhcp::LEASE_SECONDS;
use crate::names::PoolName;
use crate::problem::ProblemKind;
use crate::reader::Section;
use crate::value::{Value, text};
use ipnet::Ipv4Net;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;
use toml::de::DeValue;

/// A metric label each, and a discard leaf in the FIB.
pub const POOLS_MAX: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    pub name: PoolName,
    pub network: Ipv4Net,
    /// The subscribers' default router: an address of ours inside the network.
    pub gateway: Ipv4Addr,
    /// How long the address stays the subscriber's after his last word.
    pub binding: Duration,
    /// What the client is told (option 51); never longer than the binding.
    pub lease: Duration,
    /// DNS servers (option 6), in order of preference.
    pub dns: Vec<Ipv4Addr>,
    /// Addresses never given out, besides network, broadcast and gateway.
    pub exclusions: Vec<AddressRange>,
}

/// Addresses from `first` to `last`, both included; `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressRange {
    first: Ipv4Addr,
    last: Ipv4Addr,
}

impl Pool {
    /// A router and one subscriber need four addresses.
    pub const PREFIX_LEN_MAX: u8 = 30;
    /// 16 million addresses; the next shorter prefix is no IPv4 plan's subscriber network.
    pub const PREFIX_LEN_MIN: u8 = 8;
    /// More would be a list of subscribers, not of exceptions.
    pub const EXCLUSIONS_MAX: usize = 4096;
    /// What an OFFER carries without crowding out other options.
    pub const DNS_MAX: usize = 8;
    const BINDING_DEFAULT: Duration = Duration::from_secs(86_400);

    pub(crate) fn read_all(root: &Section<'_>, default_lease: Duration) -> Vec<Pool> {
        let named = root.named_sections::<PoolName>("pools");
        if named.is_empty() {
            root.missing("pools", "at least one [pools.NAME] table with a network");
        }
        named
            .iter()
            .filter_map(|(name, section)| Pool::read(name.clone(), section, default_lease))
            .collect()
    }

    fn read(name: Option<PoolName>, section: &Section<'_>, default_lease: Duration) -> Option<Pool> {
        let network = section.required::<Ipv4Net>("network", "the pool's addresses, such as \"10.0.0.0/12\"");
        let gateway = section.get::<Ipv4Addr>("gateway");
        let binding = section
            .seconds("binding_seconds", LEASE_SECONDS)
            .unwrap_or(Pool::BINDING_DEFAULT);
        let lease = section.seconds("lease_seconds", LEASE_SECONDS);
        let dns = section.list("dns").unwrap_or_default();
        let exclusions = section.list("exclude").unwrap_or_default();
        section.finish();

        let network = network?;
        Some(Pool {
            name: name?,
            network,
            gateway: gateway.unwrap_or_else(|| first_host(network)),
            binding,
            lease: lease.unwrap_or(default_lease.min(binding)),
            dns,
            exclusions,
        })
    }

    /// Whether a subscriber may get this address.
    pub fn is_assignable(&self, address: Ipv4Addr) -> bool {
        self.network.contains(&address)
            && address != self.network.network()
            && address != self.network.broadcast()
            && address != self.gateway
            && !self.exclusions.iter().any(|range| range.contains(address))
    }

    /// How many addresses subscribers may get.
    pub fn capacity(&self) -> u64 {
        let own = |address| AddressRange {
            first: address,
            last: address,
        };
        let mut taken: Vec<AddressRange> = self.exclusions.clone();
        taken.extend([self.network.network(), self.network.broadcast(), self.gateway].map(own));
        taken.sort_by_key(|range| range.first);

        let (start, end) = (
            u64::from(self.network.network().to_bits()),
            u64::from(self.network.broadcast().to_bits()),
        );
        let (mut free, mut next) = (0, start);
        for range in taken {
            let (first, last) = (u64::from(range.first.to_bits()), u64::from(range.last.to_bits()));
            free += first.min(end + 1).saturating_sub(next);
            next = next.max(last + 1);
        }
        free + (end + 1).saturating_sub(next)
    }

    /// The addresses subscribers may get, ascending.
    pub fn assignable(&self) -> impl Iterator<Item = Ipv4Addr> + '_ {
        let all = self.network.network().to_bits()..=self.network.broadcast().to_bits();
        all.map(Ipv4Addr::from_bits)
            .filter(|address| self.is_assignable(*address))
    }
}

fn first_host(network: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from_bits(network.network().to_bits().saturating_add(1))
}

impl AddressRange {
    /// `None` when `first` comes after `last`.
    pub fn new(first: Ipv4Addr, last: Ipv4Addr) -> Option<AddressRange> {
        (first <= last).then_some(AddressRange { first, last })
    }

    pub fn first(&self) -> Ipv4Addr {
        self.first
    }

    pub fn last(&self) -> Ipv4Addr {
        self.last
    }

    pub fn contains(&self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&address)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// One address, a range `10.0.0.1-10.0.0.9`, or a prefix `10.0.0.0/28`.
impl Value for AddressRange {
    fn read(value: &DeValue<'_>) -> Result<AddressRange, ProblemKind> {
        let found = text(value, "addresses such as \"10.0.0.1-10.0.0.9\" in quotes")?;
        let wrong = || ProblemKind::NotAnAddressRange {
            found: found.to_owned(),
        };
        if found.contains('/') {
            let net: Ipv4Net = found.parse().map_err(|_| wrong())?;
            return Ok(AddressRange {
                first: net.network(),
                last: net.broadcast(),
            });
        }
        let (first, last) = found.split_once('-').unwrap_or((found, found));
        let address = |text: &str| text.trim().parse::<Ipv4Addr>().map_err(|_| wrong());
        AddressRange::new(address(first)?, address(last)?).ok_or_else(wrong)
    }
}
