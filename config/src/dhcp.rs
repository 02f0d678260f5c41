//! `[dhcp]`: the DHCPv4 server towards subscribers and relays.

use crate::names::PoolName;
use crate::reader::Section;
use crate::value::Choice;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use std::time::Duration;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpConfig {
    /// Option 54 (RFC 2132 section 9.7): the gateway's one address, local to it on every access port.
    pub server_id: Ipv4Addr,
    /// What the client is told (option 51) by pools that say nothing else.
    pub default_lease: Duration,
    /// How long an offered address is kept for the client.
    pub offer: Duration,
    /// How long a declined address rests (RFC 2131 section 4.3.3).
    pub decline_quarantine: Duration,
    /// Offered and not yet requested addresses a line may hold.
    pub offers_per_line: u16,
    /// How long AAA may take before `aaa_timeout_policy` decides.
    pub aaa_timeout: Duration,
    pub aaa_timeout_policy: AaaTimeoutPolicy,
    /// Relay agents (giaddr) whose requests are answered. Their clients get bindings without sessions.
    pub relays: Vec<Ipv4Addr>,
    /// The pool of relayed bindings.
    pub relay_pool: Option<PoolName>,
}

/// What a subscriber gets when AAA does not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AaaTimeoutPolicy {
    /// No answer; the client asks again.
    Silent,
    /// The walled garden, as if AAA did not know him.
    Garden,
    /// What AAA said last time; the walled garden if it never did.
    LastKnown,
}

/// A lease or binding: at least a second, at most ten years. (All ones would mean "for ever" on the wire.)
pub(crate) const LEASE_SECONDS: RangeInclusive<u64> = 1..=315_360_000;

impl DhcpConfig {
    pub const OFFERS_PER_LINE: RangeInclusive<u16> = 1..=256;
    pub const RELAYS_MAX: usize = 1024;
    const DEFAULT_LEASE: Duration = Duration::from_secs(600);

    /// The defaults, with the address that has none.
    pub fn new(server_id: Ipv4Addr) -> DhcpConfig {
        DhcpConfig {
            server_id,
            default_lease: DhcpConfig::DEFAULT_LEASE,
            offer: Duration::from_secs(60),
            decline_quarantine: Duration::from_secs(600),
            offers_per_line: 4,
            aaa_timeout: Duration::from_secs(10),
            aaa_timeout_policy: AaaTimeoutPolicy::Garden,
            relays: Vec::new(),
            relay_pool: None,
        }
    }

    /// The client lease of pools without their own; read before the pools.
    pub(crate) fn read_default_lease(section: &Section<'_>) -> Duration {
        section
            .seconds("default_lease_seconds", LEASE_SECONDS)
            .unwrap_or(DhcpConfig::DEFAULT_LEASE)
    }

    /// `server_id` is the address to use when the file names none.
    pub(crate) fn read(section: &Section<'_>, default_lease: Duration, server_id: Ipv4Addr) -> DhcpConfig {
        let default = DhcpConfig::new(section.get_or("server_id", server_id));
        let seconds = |key, range, default| section.seconds(key, range).unwrap_or(default);
        let dhcp = DhcpConfig {
            default_lease,
            offer: seconds("offer_seconds", 1..=3600, default.offer),
            decline_quarantine: seconds(
                "decline_quarantine_seconds",
                0..=604_800,
                default.decline_quarantine,
            ),
            offers_per_line: section
                .number("offers_per_line", DhcpConfig::OFFERS_PER_LINE, "offers")
                .unwrap_or(default.offers_per_line),
            aaa_timeout: seconds("aaa_timeout_seconds", 1..=300, default.aaa_timeout),
            aaa_timeout_policy: section
                .choice("aaa_timeout_policy")
                .unwrap_or(default.aaa_timeout_policy),
            relays: section.list("relays").unwrap_or_default(),
            relay_pool: section.get("relay_pool"),
            ..default
        };
        if !dhcp.relays.is_empty() && !section.has("relay_pool") {
            section.missing(
                "relay_pool",
                "the name of the pool that the relays' clients get addresses of",
            );
        }
        section.finish();
        dhcp
    }
}

impl Choice for AaaTimeoutPolicy {
    const WORDS: &'static [(&'static str, AaaTimeoutPolicy)] = &[
        ("silent", AaaTimeoutPolicy::Silent),
        ("garden", AaaTimeoutPolicy::Garden),
        ("last-known", AaaTimeoutPolicy::LastKnown),
    ];
}
