//! How one TOML value becomes one of our types.

use crate::mac::MacAddr;
use crate::names::*;
use crate::problem::ProblemKind;
use crate::vlan::{IdRanges, Tpid};
use ipnet::Ipv4Net;
use std::net::{Ipv4Addr, SocketAddr};
use toml::de::DeValue;

/// A type that is read from one TOML value.
pub(crate) trait Value: Sized {
    fn read(value: &DeValue<'_>) -> Result<Self, ProblemKind>;
}

/// A type that is one of a few words.
pub(crate) trait Choice: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];
}

pub(crate) fn wrong_type(value: &DeValue<'_>, expected: &'static str) -> ProblemKind {
    let found = match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    ProblemKind::WrongType { found, expected }
}

pub(crate) fn text<'v>(value: &'v DeValue<'_>, expected: &'static str) -> Result<&'v str, ProblemKind> {
    value.as_str().ok_or_else(|| wrong_type(value, expected))
}

/// A whole number; TOML's own 64 signed bits fit, and so does every unsigned one.
pub(crate) fn integer(value: &DeValue<'_>) -> Result<i128, ProblemKind> {
    let number = value
        .as_integer()
        .ok_or_else(|| wrong_type(value, "a whole number"))?;
    let parsed = i128::from_str_radix(number.as_str(), number.radix());
    parsed.map_err(|_| ProblemKind::NumberTooLong {
        found: number.to_string(),
    })
}

impl Value for String {
    fn read(value: &DeValue<'_>) -> Result<String, ProblemKind> {
        text(value, "a text").map(str::to_owned)
    }
}

macro_rules! read_by_from_str {
    ($($type:ty: $expected:literal;)*) => {$(
        impl Value for $type {
            fn read(value: &DeValue<'_>) -> Result<$type, ProblemKind> {
                Ok(text(value, $expected)?.parse::<$type>()?)
            }
        }
    )*};
}

read_by_from_str! {
    NodeId: "a name in quotes";
    PoolName: "a pool's name in quotes";
    GardenName: "a garden's name in quotes";
    PortName: "a name in quotes";
    GroupName: "a group's name in quotes";
    DeviceName: "a DPDK device name or PCI address in quotes";
    HostName: "a host name in quotes";
    CircuitId: "a circuit-id in quotes";
    OntSerial: "a serial number in quotes";
    ServiceId: "a service id in quotes";
    MacAddr: "an Ethernet address in quotes";
}

impl Value for IdRanges {
    /// A text of ranges, or for a single VLAN its bare number.
    fn read(value: &DeValue<'_>) -> Result<IdRanges, ProblemKind> {
        if value.is_integer() {
            return Ok(integer(value)?.to_string().parse::<IdRanges>()?);
        }
        Ok(text(value, "VLAN ids such as \"100-109,200\"")?.parse::<IdRanges>()?)
    }
}

impl Value for Tpid {
    fn read(value: &DeValue<'_>) -> Result<Tpid, ProblemKind> {
        let found = integer(value)?;
        let tpid = u16::try_from(found).ok().and_then(Tpid::from_ethertype);
        tpid.ok_or(ProblemKind::NotATpid { found })
    }
}

impl Value for Ipv4Addr {
    fn read(value: &DeValue<'_>) -> Result<Ipv4Addr, ProblemKind> {
        let found = text(value, "an IPv4 address in quotes")?;
        found.parse().map_err(|_| ProblemKind::NotAnAddress {
            found: found.to_owned(),
        })
    }
}

impl Value for SocketAddr {
    fn read(value: &DeValue<'_>) -> Result<SocketAddr, ProblemKind> {
        let found = text(value, "an address with a port in quotes")?;
        found.parse().map_err(|_| ProblemKind::NotASocketAddress {
            found: found.to_owned(),
        })
    }
}

/// A network: an address with a prefix length whose host bits are all zero.
impl Value for Ipv4Net {
    fn read(value: &DeValue<'_>) -> Result<Ipv4Net, ProblemKind> {
        let net = InterfaceAddress::read(value)?.0;
        if net.addr() != net.network() {
            return Err(ProblemKind::HostBits {
                found: net,
                network: net.trunc(),
            });
        }
        Ok(net)
    }
}

/// A host's own address with the prefix length of its network: `192.0.2.2/24`.
pub(crate) struct InterfaceAddress(pub(crate) Ipv4Net);

impl Value for InterfaceAddress {
    fn read(value: &DeValue<'_>) -> Result<InterfaceAddress, ProblemKind> {
        let found = text(value, "a prefix such as \"192.0.2.0/24\" in quotes")?;
        let parsed = found.parse().map(InterfaceAddress);
        parsed.map_err(|_| ProblemKind::NotAPrefix {
            found: found.to_owned(),
        })
    }
}
