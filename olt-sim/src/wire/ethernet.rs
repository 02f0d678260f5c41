//! MAC addresses and the Ethernet II header: destination, source, type, 14 bytes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Destination, source and type.
pub const HEADER_BYTES: usize = 14;
pub const ETHERTYPE_IPV4: u16 = 0x0800;
pub const ETHERTYPE_ARP: u16 = 0x0806;

/// A 48-bit MAC address, shown as `02:00:5e:00:01:01`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The group bit: multicast and broadcast. Never right as a source (IEEE 802.3 §3.2.3).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    pub fn is_zero(self) -> bool {
        self.0 == [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a MAC address (six hexadecimal pairs joined by colons)")]
pub struct NotAMac(String);

impl FromStr for MacAddr {
    type Err = NotAMac;

    fn from_str(text: &str) -> Result<Self, NotAMac> {
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(|| NotAMac(text.to_owned()))?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| NotAMac(text.to_owned()))?;
        }
        if parts.next().is_some() {
            return Err(NotAMac(text.to_owned()));
        }
        Ok(Self(bytes))
    }
}

impl Serialize for MacAddr {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MacAddr {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

pub fn destination(frame: &[u8]) -> Option<MacAddr> {
    Some(MacAddr(*frame.first_chunk::<6>()?))
}

pub fn source(frame: &[u8]) -> Option<MacAddr> {
    Some(MacAddr(*frame.get(6..)?.first_chunk::<6>()?))
}

pub fn ethertype(frame: &[u8]) -> Option<u16> {
    read_u16(frame, 12)
}

pub(crate) fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

pub(crate) fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_reads_as_it_is_written() {
        let mac: MacAddr = "02:00:5e:00:01:0f".parse().unwrap();

        assert_eq!(mac, MacAddr([2, 0, 0x5e, 0, 1, 0x0f]));
        assert_eq!(mac.to_string(), "02:00:5e:00:01:0f");
        assert!(!mac.is_group());
    }

    #[test]
    fn what_is_not_a_mac_address_is_refused() {
        for wrong in [
            "",
            "02:00",
            "02:00:5e:00:01:0f:00",
            "2:0:5e:0:1:f",
            "02-00-5e-00-01-0f",
            "zz:00:5e:00:01:0f",
        ] {
            assert!(wrong.parse::<MacAddr>().is_err(), "{wrong} was taken");
        }
    }
}
