//! What a session is. Knows nobody; everybody knows it.
//!
//! A session is one IPoE attachment of a subscriber: an identity (the line or the ONT), the host on it, a state, an address and a
//! service. State and pool are two things: a suspended session is not `wgar` although its address may come from that pool.

pub mod machine;

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use shm_bridge::session::Traffic;

pub use machine::{IllegalTransition, State, Trigger};

/// The one 64-bit id of a session, the same in every API, log line, event and record. Shown as 16 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl From<SessionId> for String {
    fn from(id: SessionId) -> String {
        id.to_string()
    }
}

impl FromStr for SessionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 {
            return Err(format!("session id {text:?}: want 16 hex digits"));
        }
        u64::from_str_radix(text, 16)
            .map(SessionId)
            .map_err(|e| format!("session id {text:?}: {e}"))
    }
}

impl TryFrom<String> for SessionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A MAC address; shown with colons.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

impl Mac {
    pub const BROADCAST: Mac = Mac([0xff; 6]);
    /// The host of a session that was discovered before any packet came.
    pub const UNKNOWN: Mac = Mac([0; 6]);

    /// Whether a host may own it: neither a group address nor all zero.
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self != Mac::UNKNOWN
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> String {
        mac.to_string()
    }
}

impl FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut octets = [0u8; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|p| p.len() == 2);
            *octet = part
                .and_then(|p| u8::from_str_radix(p, 16).ok())
                .ok_or_else(|| format!("MAC address {text:?}: want six pairs of hex digits"))?;
        }
        match parts.next() {
            None => Ok(Mac(octets)),
            Some(_) => Err(format!("MAC address {text:?}: want six pairs of hex digits")),
        }
    }
}

impl TryFrom<String> for Mac {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// An access line: where frames come from. `s_vlan` is 0 on single-tagged lines, both are 0 on untagged ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// Index of the access port in the configuration.
    pub port: u16,
    pub s_vlan: u16,
    pub c_vlan: u16,
}

/// What an access node said about a line, by Option 82 or by an event. Bytes that are not UTF-8 are shown escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Access {
    pub circuit_id: Option<String>,
    pub remote_id: Option<String>,
    pub ont_serial: Option<String>,
    pub access_node: Option<String>,
}

/// Who the session is for: the configured template filled in, else the circuit-id, else the line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity(pub String);

/// Rates of a service, bits per second of IP packets; 0 = unlimited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Qos {
    pub download_bps: u64,
    pub upload_bps: u64,
}

/// What a subscriber is entitled to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    pub pool: String,
    pub service_id: Option<String>,
    pub qos: Qos,
}

/// How a known subscriber stands, as AAA says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    Active,
    /// In the walled garden until activated; the service is what the activation will give.
    Wgar,
    Suspended,
}

/// A session as it is stored and shown. The engine owns it; everyone else gets copies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub identity: Identity,
    /// `None` for a binding behind a relay (`dhcp_only`), which has no row.
    pub line: Option<Line>,
    pub access: Access,
    pub mac: Mac,
    /// Option 61, where the client sent one.
    pub client_id: Option<Vec<u8>>,
    pub state: State,
    /// What AAA or an activation granted; the pool of the present address is in `binding`.
    pub service: Service,
    pub binding: Option<SessionBinding>,
    /// The published row, 0 for none, and its counters when the session got it.
    pub row: u32,
    pub row_generation: u32,
    pub baseline: [Totals; 2],
    /// Totals of rows the session had before, by direction (upstream, downstream).
    pub carried: [Totals; 2],
    /// Wall clock, Unix seconds.
    pub created_at: u64,
    pub state_since: u64,
    pub activation_started_at: Option<u64>,
}

/// The address a session holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionBinding {
    pub pool: String,
    pub ipv4: Ipv4Addr,
    /// Wall clock, Unix seconds.
    pub expires_at: u64,
}

/// A direction's traffic in a form that can be stored and shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    pub packets: u64,
    pub bytes: u64,
    pub policed: u64,
}

impl From<Traffic> for Totals {
    fn from(t: Traffic) -> Self {
        Totals {
            packets: t.packets,
            bytes: t.bytes,
            policed: t.policed,
        }
    }
}

impl Totals {
    pub fn plus(self, other: Totals) -> Totals {
        Totals {
            packets: self.packets.wrapping_add(other.packets),
            bytes: self.bytes.wrapping_add(other.bytes),
            policed: self.policed.wrapping_add(other.policed),
        }
    }

    /// What came since `earlier`; wraps as the counters do.
    pub fn since(self, earlier: Totals) -> Totals {
        Totals {
            packets: self.packets.wrapping_sub(earlier.packets),
            bytes: self.bytes.wrapping_sub(earlier.bytes),
            policed: self.policed.wrapping_sub(earlier.policed),
        }
    }
}
