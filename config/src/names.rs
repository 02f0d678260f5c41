//! Names: short texts that are keys elsewhere (a pool, a port, an ONT), checked once so that nothing later has to
//! quote, escape or bound them.
//!
//! Two kinds. A *label* is chosen by the operator and ends up in file names, metric labels and command lines: it is
//! 1–32 letters, digits, `.`, `_`, `-`, beginning with a letter or digit. A *wire text* comes from other equipment
//! (circuit-id, serial, service id) and is 1–63 printable ASCII characters: TR-101 section 3.9.3 bounds the Agent
//! Circuit ID to 63, and one octet more would not fit the access nodes in use.

use serde::{Deserialize, Serialize};
use std::borrow::Borrow;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest label, so that `<name>.seg` and a metric line stay readable.
pub const LABEL_MAX: usize = 32;
/// Longest text taken from equipment (TR-101 section 3.9.3).
pub const WIRE_TEXT_MAX: usize = 63;

/// Longest host name (RFC 1035 section 2.3.4).
pub const HOST_MAX: usize = 253;

/// Why a text is no name of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    #[error("is empty")]
    Empty,
    #[error("is {length} characters long, at most {max} are allowed")]
    TooLong { length: usize, max: usize },
    #[error(
        "contains {found:?}; allowed are letters, digits, '.', '_' and '-', beginning with a letter or digit"
    )]
    LabelCharacter { found: char },
    #[error("contains {found:?}; allowed are printable ASCII characters")]
    WireCharacter { found: char },
    #[error("contains {found:?}, which no device name has")]
    DeviceCharacter { found: char },
    #[error("is {found:?}; a host is a name or an address without port, an IPv6 address in brackets")]
    NotAHost { found: String },
    #[error("contains \"map_\": DPDK deletes files of that name in the hugepage directory when it starts")]
    DpdkMapFile,
}

fn label(text: &str) -> Result<(), NameError> {
    within(text, LABEL_MAX)?;
    let wrong =
        |(at, c): &(usize, char)| !(c.is_ascii_alphanumeric() || (*at > 0 && matches!(c, '.' | '_' | '-')));
    match text.char_indices().find(wrong) {
        Some((_, found)) => Err(NameError::LabelCharacter { found }),
        None => Ok(()),
    }
}

/// The node's id names the segment's file, and EAL unlinks `*map_*` files in its hugepage directory.
fn node_label(text: &str) -> Result<(), NameError> {
    label(text)?;
    if text.contains("map_") {
        Err(NameError::DpdkMapFile)
    } else {
        Ok(())
    }
}

fn wire_text(text: &str) -> Result<(), NameError> {
    within(text, WIRE_TEXT_MAX)?;
    match text.chars().find(|c| !(c.is_ascii_graphic() || *c == ' ')) {
        Some(found) => Err(NameError::WireCharacter { found }),
        None => Ok(()),
    }
}

/// EAL separates a device from its arguments by a comma.
fn device(text: &str) -> Result<(), NameError> {
    within(text, WIRE_TEXT_MAX)?;
    match text
        .chars()
        .find(|c| !c.is_ascii_graphic() || matches!(c, ',' | '"' | '\''))
    {
        Some(found) => Err(NameError::DeviceCharacter { found }),
        None => Ok(()),
    }
}

/// Host without the port (RFC 9110 section 7.2, RFC 3986 section 3.2.2).
fn host(text: &str) -> Result<(), NameError> {
    within(text, HOST_MAX)?;
    let name = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
    let literal = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    if name || literal.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()) {
        Ok(())
    } else {
        Err(NameError::NotAHost {
            found: text.to_owned(),
        })
    }
}

fn within(text: &str, max: usize) -> Result<(), NameError> {
    match text.chars().count() {
        0 => Err(NameError::Empty),
        length if length > max => Err(NameError::TooLong { length, max }),
        _ => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident by $check:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Checks `text` and takes it as a name.
            pub fn new(text: &str) -> Result<Self, NameError> {
                $check(text)?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }
    )*};
}

names! {
    /// This gateway's name; also the name of its shared-memory segment.
    NodeId by node_label;
    /// An address pool's name, as in `[pools.wgar]`.
    PoolName by label;
    /// A walled garden profile's name, as in `[gardens.unactivated]`.
    GardenName by label;
    /// A port's name in this file, in logs and in metrics.
    PortName by label;
    /// A Unix group's name.
    GroupName by label;
    /// A DPDK device: `net_tap0`, a virtual device's name, or a PCI address such as `0000:8a:00.0`.
    DeviceName by device;
    /// A value accepted in the HTTP Host header, without the port; compare it without regard to case.
    HostName by host;
    /// The Agent Circuit ID of Option 82 (sub-option 1, TR-101 section 3.9.3).
    CircuitId by wire_text;
    /// The serial number of an ONT, which access nodes also send as the Agent Remote ID.
    OntSerial by wire_text;
    /// What the operator's business systems call the bought service.
    ServiceId by wire_text;
}

impl Default for NodeId {
    fn default() -> NodeId {
        NodeId("bng".into())
    }
}
