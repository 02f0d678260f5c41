//! An Ethernet address, written as six hexadecimal octets: `02:00:5e:00:01:01` (dashes are read too).

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct MacAddr([u8; 6]);

/// The text is no Ethernet address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no Ethernet address; six hexadecimal octets are, such as 02:00:5e:00:01:01")]
pub struct MacError;

impl MacAddr {
    pub const BROADCAST: MacAddr = MacAddr([0xff; 6]);
    pub const ZERO: MacAddr = MacAddr([0; 6]);

    pub const fn new(octets: [u8; 6]) -> MacAddr {
        MacAddr(octets)
    }

    pub const fn octets(self) -> [u8; 6] {
        self.0
    }

    /// True when a station may own this address: the group bit is clear (IEEE 802, section 8.2) and it is not all zero.
    pub const fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && !matches!(self.0, [0, 0, 0, 0, 0, 0])
    }
}

impl FromStr for MacAddr {
    type Err = MacError;

    fn from_str(text: &str) -> Result<MacAddr, MacError> {
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut parts = text.split(separator);
        let mut octets = [0u8; 6];
        for octet in &mut octets {
            let part = parts.next().ok_or(MacError)?;
            // from_str_radix would also take "+1".
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(MacError);
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| MacError)?;
        }
        if parts.next().is_some() {
            Err(MacError)
        } else {
            Ok(MacAddr(octets))
        }
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        f.pad(&format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}"))
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl From<[u8; 6]> for MacAddr {
    fn from(octets: [u8; 6]) -> MacAddr {
        MacAddr(octets)
    }
}

impl From<MacAddr> for [u8; 6] {
    fn from(mac: MacAddr) -> [u8; 6] {
        mac.0
    }
}

impl TryFrom<String> for MacAddr {
    type Error = MacError;
    fn try_from(text: String) -> Result<MacAddr, MacError> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> String {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reads_back_as_it_was_written() {
        let mac: MacAddr = "02:00:5E:00:01:0a".parse().unwrap();

        assert_eq!(mac.octets(), [2, 0, 0x5e, 0, 1, 10]);
        assert_eq!(mac.to_string(), "02:00:5e:00:01:0a");
        assert_eq!("02-00-5e-00-01-0a".parse(), Ok(mac));
    }

    #[test]
    fn texts_that_are_almost_addresses_are_refused() {
        for text in [
            "",
            "02:00:5e:00:01",
            "02:00:5e:00:01:01:01",
            "2:0:5e:0:1:1",
            "+2:00:5e:00:01:01",
            "02:00-5e:00:01:01",
        ] {
            assert_eq!(text.parse::<MacAddr>(), Err(MacError), "{text:?}");
        }
    }

    #[test]
    fn only_an_individual_address_can_be_a_port() {
        assert!(MacAddr::new([2, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddr::new([1, 0, 0x5e, 0, 0, 1]).is_unicast());
        assert!(!MacAddr::BROADCAST.is_unicast());
        assert!(!MacAddr::ZERO.is_unicast());
    }
}
