//! An ONT and its line: identity, tags on the trunk, the Option 82 it gets, the hosts behind it.

use std::fmt;
use std::time::Instant;

use serde::Serialize;

use super::Traffic;
use super::hosts::Hosts;
use crate::config::{OntConfig, ServiceProfile, Tagging, VlanModel};
use crate::net::Carrier;
use crate::wire::option82::{Option82, TooLong};
use crate::wire::{MacAddr, VlanId};

/// Index of an ONT in the node; reused after a disconnect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OntIndex(pub(super) usize);

impl OntIndex {
    pub fn get(self) -> usize {
        self.0
    }

    pub(crate) fn new(index: usize) -> Self {
        Self(index)
    }
}

/// The tags of a line on the trunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LineTags {
    Untagged,
    Single(VlanId),
    Double { s_vlan: VlanId, c_vlan: VlanId },
}

impl LineTags {
    /// The tags as configured, if they are the ones this trunk's lines have.
    pub fn new(tagging: Tagging, s_vlan: Option<VlanId>, c_vlan: Option<VlanId>) -> Result<Self, LineError> {
        match (tagging, s_vlan, c_vlan) {
            (Tagging::Qinq, Some(s_vlan), Some(c_vlan)) => Ok(Self::Double { s_vlan, c_vlan }),
            (Tagging::Single, None, Some(c_vlan)) => Ok(Self::Single(c_vlan)),
            (Tagging::Untagged, None, None) => Ok(Self::Untagged),
            (Tagging::Qinq, ..) => Err(LineError::WrongTags("a QinQ trunk needs both s_vlan and c_vlan")),
            (Tagging::Single, ..) => Err(LineError::WrongTags(
                "a single-tagged trunk needs c_vlan and no s_vlan",
            )),
            (Tagging::Untagged, ..) => Err(LineError::WrongTags(
                "an untagged trunk has neither s_vlan nor c_vlan",
            )),
        }
    }

    pub fn s_vlan(self) -> Option<VlanId> {
        match self {
            Self::Double { s_vlan, .. } => Some(s_vlan),
            Self::Single(_) | Self::Untagged => None,
        }
    }

    pub fn c_vlan(self) -> Option<VlanId> {
        match self {
            Self::Double { c_vlan, .. } | Self::Single(c_vlan) => Some(c_vlan),
            Self::Untagged => None,
        }
    }
}

impl fmt::Display for LineTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged => f.write_str("untagged"),
            Self::Single(vlan) => write!(f, "VLAN {vlan}"),
            Self::Double { s_vlan, c_vlan } => write!(f, "S-VLAN {s_vlan} C-VLAN {c_vlan}"),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("ONT {serial}: not connected")]
    UnknownOnt { serial: String },
    #[error("ONT {serial}: already connected")]
    SerialInUse { serial: String },
    #[error("{tags} already belongs to ONT {serial}, and not both lines are n:1")]
    TagsInUse { tags: LineTags, serial: String },
    #[error("{0}")]
    WrongTags(&'static str),
    #[error(transparent)]
    Option82(#[from] TooLong),
    #[error("an ONT needs a serial and a port")]
    Nameless,
}

impl LineError {
    pub(super) fn unknown(serial: &str) -> Self {
        Self::UnknownOnt {
            serial: serial.to_owned(),
        }
    }
}

#[derive(Debug)]
pub struct Ont {
    pub config: OntConfig,
    pub tags: LineTags,
    pub circuit_id: String,
    pub carrier: Carrier,
    pub upstream: Traffic,
    pub downstream: Traffic,
    pub(super) option82: Option82,
    pub(super) hosts: Hosts,
}

impl Ont {
    pub(super) fn new(access_node: &str, tagging: Tagging, config: OntConfig) -> Result<Self, LineError> {
        if config.serial.is_empty() || config.port.is_empty() {
            return Err(LineError::Nameless);
        }
        let tags = LineTags::new(tagging, config.s_vlan, config.c_vlan)?;
        let circuit_id = format!("{access_node}|{}", config.port);
        let option82 = Option82::new(&circuit_id, &config.serial)?;
        Ok(Self {
            config,
            tags,
            circuit_id,
            carrier: Carrier::Up,
            upstream: Traffic::default(),
            downstream: Traffic::default(),
            option82,
            hosts: Hosts::default(),
        })
    }

    pub fn is_shared(&self) -> bool {
        self.config.model == VlanModel::ManyToOne
    }

    pub(super) fn set_tags(&mut self, tags: LineTags) {
        self.tags = tags;
        self.config.s_vlan = tags.s_vlan();
        self.config.c_vlan = tags.c_vlan();
        self.hosts.clear();
    }

    pub fn view(&self, now: Instant) -> OntView {
        OntView {
            ont_serial: self.config.serial.clone(),
            port: self.config.port.clone(),
            circuit_id: self.circuit_id.clone(),
            s_vlan: self.tags.s_vlan(),
            c_vlan: self.tags.c_vlan(),
            model: self.config.model,
            line: match self.carrier {
                Carrier::Up => "up",
                Carrier::Down => "down",
            },
            namespace: self.config.namespace.clone(),
            interface: self.config.interface.clone(),
            profile: self.config.profile.clone(),
            upstream: self.upstream,
            downstream: self.downstream,
            hosts: self
                .hosts
                .addresses(now)
                .into_iter()
                .map(|(mac, address)| HostView {
                    mac,
                    address: address.map(|address| address.to_string()),
                })
                .collect(),
        }
    }
}

/// An ONT as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OntView {
    pub ont_serial: String,
    pub port: String,
    pub circuit_id: String,
    pub s_vlan: Option<VlanId>,
    pub c_vlan: Option<VlanId>,
    pub model: VlanModel,
    pub line: &'static str,
    pub namespace: Option<String>,
    pub interface: String,
    pub profile: ServiceProfile,
    pub upstream: Traffic,
    pub downstream: Traffic,
    pub hosts: Vec<HostView>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostView {
    pub mac: MacAddr,
    /// What DHCP gave it, as snooped.
    pub address: Option<String>,
}
