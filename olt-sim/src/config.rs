//! What an operator says about one access node: its name, its trunk, its ONTs.
//!
//! ```
//! let text = r#"
//!     access_node = "agg-01"
//!     bng_port = "access0"
//!     [trunk]
//!     interface = "slacc0"
//!     tagging = "qinq"
//!     [[onts]]
//!     serial = "ADTN00000001"
//!     port = "1/1/1"
//!     s_vlan = 100
//!     c_vlan = 1
//!     namespace = "cpe1"
//! "#;
//! let config = olt_sim::OltConfig::parse("olt.toml", text).unwrap();
//! assert_eq!(config.onts[0].interface, "eth0");
//! ```

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::net::packet_socket::Qdisc;
use crate::wire::{MacAddr, Tpid, VlanId};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OltConfig {
    /// The node's name, first part of every circuit-id.
    pub access_node: String,
    /// The BNG's name of the port this trunk leads to; goes into events.
    #[serde(default = "default_bng_port")]
    pub bng_port: String,
    /// Unix socket of this node's API; absent = none.
    #[serde(default)]
    pub socket: Option<PathBuf>,
    /// Unix socket of the BNG's control process, which gets the events; absent = none.
    #[serde(default)]
    pub control: Option<PathBuf>,
    pub trunk: TrunkConfig,
    #[serde(default)]
    pub policy: PolicyConfig,
    /// How long a bounced line stays dark.
    #[serde(default = "default_bounce_milliseconds")]
    pub bounce_milliseconds: u64,
    #[serde(default)]
    pub onts: Vec<OntConfig>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrunkConfig {
    pub interface: String,
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default)]
    pub tagging: Tagging,
    /// TPID of the outer (or only) tag, sent and expected. Absent: 0x88a8 for `qinq`, 0x8100 for `single`.
    #[serde(default)]
    pub outer_tpid: Option<Tpid>,
    /// Send past the interface's queueing discipline: faster, but unseen by tcpdump on that interface.
    #[serde(default = "yes")]
    pub qdisc_bypass: bool,
}

/// How many tags a line's frames carry on the trunk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tagging {
    #[default]
    Qinq,
    Single,
    Untagged,
}

/// What the node does to subscribers' frames besides tagging them.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Upstream filtering: off lets hostile frames through to the BNG.
    pub filter: bool,
    /// Insert Option 82.
    pub option82: bool,
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            filter: true,
            option82: true,
        }
    }
}

/// One ONT: where its subscriber side appears, and the line it has on the trunk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OntConfig {
    pub serial: String,
    /// Rack/slot/port, second part of the circuit-id: `1/1/1`.
    pub port: String,
    #[serde(default)]
    pub s_vlan: Option<VlanId>,
    #[serde(default)]
    pub c_vlan: Option<VlanId>,
    #[serde(default)]
    pub model: VlanModel,
    /// Namespace of the TAP device; absent = the node's own.
    #[serde(default)]
    pub namespace: Option<String>,
    #[serde(default = "default_interface")]
    pub interface: String,
    /// MAC of the TAP device, that is of the CPE; absent = random.
    #[serde(default)]
    pub mac: Option<MacAddr>,
    #[serde(default)]
    pub profile: ServiceProfile,
}

/// TR-101 §2.5.1: a VLAN pair of its own for each line, or one shared by several, told apart by MAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum VlanModel {
    #[default]
    #[serde(rename = "1:1")]
    OneToOne,
    #[serde(rename = "n:1")]
    ManyToOne,
}

/// What provisioning has told the node about the subscriber's service. The node holds and shows it; rates are
/// enforced in one place, at the BNG.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServiceProfile {
    pub pool: Option<String>,
    pub qos_download_bps: Option<u64>,
    pub qos_upload_bps: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{name}: {source}")]
    Invalid {
        name: String,
        source: Box<toml::de::Error>,
    },
}

impl OltConfig {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&path.display().to_string(), &text)
    }

    pub fn parse(name: &str, text: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|source| ConfigError::Invalid {
            name: name.to_owned(),
            source: Box::new(source),
        })
    }

    /// A node without ONTs, API or events: the least that works.
    pub fn new(access_node: &str, trunk: TrunkConfig) -> Self {
        Self {
            access_node: access_node.to_owned(),
            bng_port: default_bng_port(),
            socket: None,
            control: None,
            trunk,
            policy: PolicyConfig::default(),
            bounce_milliseconds: default_bounce_milliseconds(),
            onts: Vec::new(),
        }
    }
}

impl TrunkConfig {
    pub fn new(interface: &str, namespace: Option<&str>, tagging: Tagging) -> Self {
        Self {
            interface: interface.to_owned(),
            namespace: namespace.map(str::to_owned),
            tagging,
            outer_tpid: None,
            qdisc_bypass: true,
        }
    }

    pub fn outer_tpid(&self) -> Tpid {
        self.outer_tpid.unwrap_or(match self.tagging {
            Tagging::Qinq => Tpid::S,
            Tagging::Single | Tagging::Untagged => Tpid::C,
        })
    }

    pub fn qdisc(&self) -> Qdisc {
        if self.qdisc_bypass {
            Qdisc::Bypass
        } else {
            Qdisc::Pass
        }
    }
}

impl OntConfig {
    /// A 1:1 line on a QinQ trunk, its TAP `eth0` in `namespace`.
    pub fn qinq(serial: &str, port: &str, s_vlan: VlanId, c_vlan: VlanId, namespace: &str) -> Self {
        Self {
            serial: serial.to_owned(),
            port: port.to_owned(),
            s_vlan: Some(s_vlan),
            c_vlan: Some(c_vlan),
            model: VlanModel::OneToOne,
            namespace: Some(namespace.to_owned()),
            interface: default_interface(),
            mac: None,
            profile: ServiceProfile::default(),
        }
    }
}

fn default_bng_port() -> String {
    "access0".into()
}

fn default_interface() -> String {
    "eth0".into()
}

fn default_bounce_milliseconds() -> u64 {
    200
}

fn yes() -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRUNK: &str = "access_node = \"agg-01\"\n[trunk]\ninterface = \"t0\"\n";

    #[test]
    fn a_wrong_value_is_refused_with_its_line() {
        for (addition, expected) in [
            (
                "[[onts]]\nserial = \"A\"\nport = \"1\"\nc_vlan = 4095\n",
                "4095 is not a VLAN identifier",
            ),
            ("[policy]\nfilters = true\n", "unknown field `filters`"),
            (
                "[[onts]]\nserial = \"A\"\nport = \"1\"\nmac = \"02:00\"\n",
                "not a MAC address",
            ),
        ] {
            let error = OltConfig::parse("olt.toml", &format!("{TRUNK}{addition}"))
                .unwrap_err()
                .to_string();
            assert!(error.contains(expected) && error.contains("olt.toml"), "{error}");
        }
    }

    #[test]
    fn the_outer_tpid_follows_the_tagging() {
        for (tagging, tpid) in [(Tagging::Qinq, Tpid::S), (Tagging::Single, Tpid::C)] {
            assert_eq!(TrunkConfig::new("t0", None, tagging).outer_tpid(), tpid);
        }
    }
}
