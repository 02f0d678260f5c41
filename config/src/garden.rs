//! `[gardens.NAME]`: what a subscriber in the walled garden may reach, and answers may come from. Everything else is dropped.

use crate::names::GardenName;
use crate::problem::ProblemKind;
use crate::reader::Section;
use crate::value::{Choice, Value, integer, text};
use ipnet::Ipv4Net;
use std::net::Ipv4Addr;
use std::ops::RangeInclusive;
use toml::de::DeValue;

/// The port of DNS (RFC 1035 section 4.2).
pub const DNS_PORT: u16 = 53;

/// A session's policy word names its garden in eight bits, and 0 is none.
pub const GARDENS_MAX: usize = 255;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Garden {
    pub name: GardenName,
    pub permits: Vec<Permit>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    pub destination: Ipv4Net,
    pub protocol: GardenProtocol,
    /// Destination ports, sorted and merged; empty means all. Only TCP and UDP have any.
    pub ports: Vec<RangeInclusive<u16>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GardenProtocol {
    Tcp,
    Udp,
    Icmp,
    /// TCP, UDP and ICMP; other protocols never leave a garden.
    Any,
}

impl Garden {
    /// The garden that permits nothing but DNS to `servers`: what a name stands for when the file does not define it.
    pub fn dns_only(name: GardenName, servers: &[Ipv4Addr]) -> Garden {
        let permit = |server: &Ipv4Addr, protocol| Permit {
            destination: Ipv4Net::from(*server),
            protocol,
            ports: vec![DNS_PORT..=DNS_PORT],
        };
        // Answers that do not fit a datagram come by TCP (RFC 7766 section 5).
        let both = |server| {
            [
                permit(server, GardenProtocol::Udp),
                permit(server, GardenProtocol::Tcp),
            ]
        };
        Garden {
            name,
            permits: servers.iter().flat_map(both).collect(),
        }
    }

    /// Whether a packet to this destination may leave the garden.
    pub fn permits(&self, destination: Ipv4Addr, protocol: GardenProtocol, port: u16) -> bool {
        self.permits
            .iter()
            .any(|permit| permit.covers(destination, protocol, port))
    }

    /// How many rules of the segment this garden takes: one for each protocol and port range of each permit.
    pub fn rules(&self) -> usize {
        self.permits
            .iter()
            .map(|permit| permit.protocol.numbers().len() * permit.ports.len().max(1))
            .sum()
    }

    pub(crate) fn read_all(root: &Section<'_>) -> Vec<Garden> {
        let named = root.named_sections::<GardenName>("gardens");
        named
            .iter()
            .filter_map(|(name, section)| Garden::read(name.clone(), section))
            .collect()
    }

    fn read(name: Option<GardenName>, section: &Section<'_>) -> Option<Garden> {
        let permits = section
            .sections("permit")
            .iter()
            .filter_map(Permit::read)
            .collect();
        section.finish();
        Some(Garden { name: name?, permits })
    }
}

impl Permit {
    /// Wider destinations are refused.
    pub const PREFIX_LEN_MIN: u8 = 8;

    pub fn covers(&self, destination: Ipv4Addr, protocol: GardenProtocol, port: u16) -> bool {
        let has_ports = matches!(protocol, GardenProtocol::Tcp | GardenProtocol::Udp);
        self.destination.contains(&destination)
            && (self.protocol == GardenProtocol::Any || self.protocol == protocol)
            && (!has_ports || self.ports.is_empty() || self.ports.iter().any(|range| range.contains(&port)))
    }

    fn read(section: &Section<'_>) -> Option<Permit> {
        let destination = section.required("destination", "a prefix such as \"198.51.100.80/32\"");
        let protocol = match section.has("protocol") {
            true => section.choice("protocol"),
            false => {
                section.missing("protocol", "\"tcp\", \"udp\", \"icmp\" or \"any\"");
                None
            }
        };
        let ports = match protocol {
            Some(GardenProtocol::Icmp | GardenProtocol::Any) => {
                section.refuse("ports", "only tcp and udp have ports; write one permit for each");
                None
            }
            _ => section.get::<PortRanges>("ports"),
        };
        section.finish();
        let ports = ports.map(|PortRanges(ranges)| ranges).unwrap_or_default();
        Some(Permit {
            destination: destination?,
            protocol: protocol?,
            ports,
        })
    }
}

struct PortRanges(Vec<RangeInclusive<u16>>);

/// A text such as `80,443,8000-8010`, or for a single port its bare number.
impl Value for PortRanges {
    fn read(value: &DeValue<'_>) -> Result<PortRanges, ProblemKind> {
        let owned;
        let found = if value.is_integer() {
            owned = integer(value)?.to_string();
            &owned
        } else {
            text(value, "ports such as \"80,443,8000-8010\"")?
        };
        let wrong = || ProblemKind::NotPorts {
            found: found.to_owned(),
        };
        let port = |text: &str| {
            text.trim()
                .parse::<u16>()
                .ok()
                .filter(|port| *port > 0)
                .ok_or_else(wrong)
        };
        let mut ranges = Vec::new();
        for part in found.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (port(first)?, port(last)?);
            if first > last {
                return Err(wrong());
            }
            ranges.push(first..=last);
        }
        Ok(PortRanges(merged(ranges)))
    }
}

fn merged(mut ranges: Vec<RangeInclusive<u16>>) -> Vec<RangeInclusive<u16>> {
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u16>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=(*last.end()).max(*range.end());
            }
            _ => merged.push(range),
        }
    }
    merged
}

impl GardenProtocol {
    /// The protocol numbers of IP (RFC 790) that this word stands for.
    pub const fn numbers(self) -> &'static [u8] {
        const ICMP: u8 = 1;
        const TCP: u8 = 6;
        const UDP: u8 = 17;
        match self {
            GardenProtocol::Icmp => &[ICMP],
            GardenProtocol::Tcp => &[TCP],
            GardenProtocol::Udp => &[UDP],
            GardenProtocol::Any => &[ICMP, TCP, UDP],
        }
    }
}

impl Choice for GardenProtocol {
    const WORDS: &'static [(&'static str, GardenProtocol)] = &[
        ("tcp", GardenProtocol::Tcp),
        ("udp", GardenProtocol::Udp),
        ("icmp", GardenProtocol::Icmp),
        ("any", GardenProtocol::Any),
    ];
}
