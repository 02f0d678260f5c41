//! Which session: `0000000000000001`, `10.0.0.5`, `02:00:00:00:00:01`, `ADTN00000001`, or said in full, `circuit-id=agg-01|1/1/1`.

use std::net::Ipv4Addr;
use std::str::FromStr;

use serde_json::{Value, json};
use sluice_config::MacAddr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    pub kind: Kind,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    SessionId,
    OntSerial,
    CircuitId,
    Ip,
    Mac,
}

impl Kind {
    const ALL: [Kind; 5] = [
        Kind::SessionId,
        Kind::OntSerial,
        Kind::CircuitId,
        Kind::Ip,
        Kind::Mac,
    ];

    /// As the REST API calls it.
    pub fn member(self) -> &'static str {
        match self {
            Kind::SessionId => "session_id",
            Kind::OntSerial => "ont_serial",
            Kind::CircuitId => "circuit_id",
            Kind::Ip => "ip",
            Kind::Mac => "mac",
        }
    }
}

impl Selector {
    /// As the body of a command has it.
    pub fn body(&self) -> Value {
        json!({ self.kind.member(): self.value })
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Selector, String> {
        if text.is_empty() {
            return Err(
                "a session is named by its id, IP or MAC address, or the ONT's serial number".to_owned(),
            );
        }
        let named = text.split_once('=').and_then(|(name, value)| {
            let name = name.replace('-', "_");
            let kind = Kind::ALL.into_iter().find(|kind| kind.member() == name)?;
            Some((kind, value))
        });
        let (kind, value) = named.unwrap_or_else(|| (guess(text), text));
        Ok(Selector {
            kind,
            value: value.to_owned(),
        })
    }
}

fn guess(text: &str) -> Kind {
    if text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        Kind::SessionId
    } else if text.parse::<Ipv4Addr>().is_ok() {
        Kind::Ip
    } else if text.parse::<MacAddr>().is_ok() {
        Kind::Mac
    } else if text.contains(['|', '/']) {
        // How TR-101 access nodes write circuit-ids; no serial number has them.
        Kind::CircuitId
    } else {
        Kind::OntSerial
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_its_form_or_said_in_full() {
        let read = |text: &str| {
            let selector: Selector = text.parse().unwrap();
            (selector.kind, selector.value)
        };

        assert_eq!(read("00000000000000ff").0, Kind::SessionId);
        assert_eq!(read("10.0.0.5").0, Kind::Ip);
        assert_eq!(read("02:00:00:00:00:01").0, Kind::Mac);
        assert_eq!(read("agg-01|1/1/1").0, Kind::CircuitId);
        assert_eq!(read("ADTN00000001").0, Kind::OntSerial);
        assert_eq!(
            read("ont-serial=0123456789abcdef"),
            (Kind::OntSerial, "0123456789abcdef".into())
        );
        assert_eq!(read("circuit_id=a=b"), (Kind::CircuitId, "a=b".into()));
        assert_eq!(read("x=y"), (Kind::OntSerial, "x=y".into()));
        assert!("".parse::<Selector>().is_err());
    }
}
