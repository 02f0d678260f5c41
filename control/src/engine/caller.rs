//! Who is calling: from tags, Option 82 and what access nodes reported to an identity.
//!
//! The identity is the line or the ONT; tags are an attribute that may change (an activation may move the VLAN). Where tags are
//! all there is to tell a line by, and several hosts share it, the host's MAC address is part of the identity: each host is then a
//! subscriber of its own.

use std::collections::HashMap;

use sluice_config::{IdentityField, IdentityPart, IdentityTemplate, LineModel, Option82Policy, Port, VlanId};

use super::Engine;
use crate::dhcp::{Refusal, RelayInfo, Request};
use crate::session::{Access, Identity, Line, Mac};

/// A subscriber's message, as far as who sent it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub identity: Identity,
    /// Counts for the limits a line has; on a shared line all hosts of an access loop have the same.
    pub access_loop: String,
    pub access: Access,
    pub shared: bool,
}

/// ONTs as access nodes reported them. One entry each, so bounded by what the operator installed and by [`ONTS_MAX`].
#[derive(Debug, Default)]
pub(super) struct Onts {
    onts: HashMap<String, Ont>,
    by_circuit: HashMap<String, String>,
    by_line: HashMap<Line, String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ont {
    pub circuit_id: Option<String>,
    pub access_node: Option<String>,
    pub line: Option<Line>,
    pub connected: bool,
}

/// Twice the largest session table.
const ONTS_MAX: usize = 2 << 20;

impl Engine {
    /// How many hosts the line has; `None` when no such line is configured.
    pub(super) fn line_model(&self, line: Line) -> Option<LineModel> {
        let access = self.config.ports.get(usize::from(line.port))?.access()?;
        let tag = |id: u16| match id {
            0 => Some(None),
            id => VlanId::new(id).ok().map(Some),
        };
        access
            .line(tag(line.s_vlan)?, tag(line.c_vlan)?)
            .map(|range| range.model)
    }

    /// Who sends `request` on `line`, by the port's trust in Option 82.
    pub(super) fn caller(&self, line: Line, request: &Request) -> Result<Caller, Refusal> {
        let model = self.line_model(line).ok_or(Refusal::UnknownLine)?;
        let port = self
            .config
            .ports
            .get(usize::from(line.port))
            .ok_or(Refusal::UnknownLine)?;
        let access = port.access().ok_or(Refusal::UnknownLine)?;
        let trust = access.option82;
        let info = match (trust, &request.relay_info) {
            (Option82Policy::Untrusted, Some(_)) => return Err(Refusal::RelayInfoUntrusted),
            (Option82Policy::Trusted, None) => return Err(Refusal::RelayInfoMissing),
            (_, Some(content)) => RelayInfo::parse(content)?,
            (_, None) => RelayInfo::default(),
        };
        let mut access = self.access_of(&info, Some(line));
        if trust == Option82Policy::AbsentOk && access.circuit_id.is_none() {
            // The line's identity must not hang on whether this one message carries the option.
            access.circuit_id = self.reported_circuit(&access);
        }
        let facts = Facts {
            port,
            line: Some(line),
            access: &access,
            relay_id: info.relay_id.as_deref(),
        };
        let shared = model == LineModel::ManyToOne;
        let (identity, access_loop) = self
            .identity(&facts, shared.then_some(request.chaddr))
            .ok_or(Refusal::NoIdentity)?;
        Ok(Caller {
            identity,
            access_loop,
            access,
            shared,
        })
    }

    /// A client behind a configured relay: one binding a host, on no line of ours.
    pub(super) fn relayed_caller(&self, request: &Request) -> Result<Caller, Refusal> {
        let info = match &request.relay_info {
            Some(content) => RelayInfo::parse(content)?,
            None => RelayInfo::default(),
        };
        let host = match &request.client_id {
            Some(id) => id.iter().map(|octet| format!("{octet:02x}")).collect(),
            None => request.chaddr.to_string(),
        };
        let identity = format!("relay/{}/{host}", request.giaddr);
        Ok(Caller {
            access_loop: identity.clone(),
            identity: Identity(identity),
            access: self.access_of(&info, None),
            shared: false,
        })
    }

    /// The identity of the ONT on a line, before any packet came; `None` when it cannot be told yet (hosts on a shared line, fields
    /// that only packets carry).
    pub(super) fn identity_of_ont(&self, port: &Port, line: Option<Line>, access: &Access) -> Option<Caller> {
        let model = line.and_then(|line| self.line_model(line));
        let trusted = port
            .access()
            .is_some_and(|a| a.option82 != Option82Policy::Untrusted);
        let mut access = access.clone();
        access.remote_id.clone_from(&access.ont_serial);
        let mut told = access.clone();
        if !trusted {
            told.circuit_id = None;
            told.remote_id = None;
        }
        let facts = Facts {
            port,
            line,
            access: &told,
            relay_id: access.access_node.as_deref(),
        };
        let shared = model == Some(LineModel::ManyToOne);
        // Without a MAC address a shared line's tags are nobody's identity.
        let (identity, access_loop) = self.identity(&facts, shared.then_some(Mac::UNKNOWN))?;
        if shared && identity.0 != access_loop {
            return None;
        }
        access.remote_id = None;
        Some(Caller {
            identity,
            access_loop,
            access,
            shared,
        })
    }

    fn access_of(&self, info: &RelayInfo, line: Option<Line>) -> Access {
        let reported = self.onts.on(info.circuit_id.as_deref(), line);
        Access {
            circuit_id: info.circuit_id.clone(),
            remote_id: info.remote_id.clone(),
            // Access nodes send the serial as remote-id (TR-101); their reports are the better source where there are any.
            ont_serial: reported.map(str::to_owned).or_else(|| info.remote_id.clone()),
            access_node: info.relay_id.clone().or_else(|| {
                let ont = self.onts.get(reported?)?;
                ont.access_node.clone()
            }),
        }
    }

    fn reported_circuit(&self, access: &Access) -> Option<String> {
        let ont = self.onts.get(access.ont_serial.as_deref()?)?;
        ont.circuit_id.clone()
    }

    /// The identity and the access loop. `host` is the host's MAC address where several share the line.
    fn identity(&self, facts: &Facts<'_>, host: Option<Mac>) -> Option<(Identity, String)> {
        let (text, by_tags) = match &self.config.identity.template {
            IdentityTemplate::Line => match &facts.access.circuit_id {
                Some(circuit) => (circuit.clone(), false),
                None => (facts.tags()?, true),
            },
            IdentityTemplate::Parts(parts) => {
                let mut text = String::new();
                let mut by_tags = true;
                for part in parts {
                    match part {
                        IdentityPart::Text(literal) => text.push_str(literal),
                        IdentityPart::Field(field) => {
                            text.push_str(&facts.field(*field)?);
                            by_tags &= is_tag(*field);
                        }
                    }
                }
                (text, by_tags)
            }
        };
        if !by_tags {
            return Some((Identity(text.clone()), text));
        }
        if let Some(host) = host {
            return Some((Identity(format!("{text}/{host}")), text));
        }
        // Tags that an activation gave to a subscriber known by others.
        let moved = facts.line.and_then(|line| self.aliases.get(&line)).cloned();
        let identity = moved.unwrap_or_else(|| self.unmoved(Identity(text), facts.line));
        Some((identity.clone(), identity.0))
    }

    /// The identity of a line known by its tags alone, where these tags may have been those of a subscriber who took his identity to other
    /// tags: who comes after him is another one.
    fn unmoved(&self, identity: Identity, line: Option<Line>) -> Identity {
        let record = self.activations.get(&identity).and_then(|record| record.line);
        let live = || {
            let session = self.table.of_identity(&identity).first()?;
            let session = &self.table.get(*session)?.session;
            let at = session.line?;
            (self.aliases.get(&at) == Some(&identity)).then_some(at)
        };
        match record.or_else(live) {
            Some(now) if Some(now) != line => Identity(format!("{}+", identity.0)),
            _ => identity,
        }
    }
}

/// What an identity is made of.
struct Facts<'a> {
    port: &'a Port,
    line: Option<Line>,
    access: &'a Access,
    relay_id: Option<&'a str>,
}

impl Facts<'_> {
    fn tags(&self) -> Option<String> {
        let line = self.line?;
        Some(format!("{}/{}.{}", self.port.name, line.s_vlan, line.c_vlan))
    }

    fn field(&self, field: IdentityField) -> Option<String> {
        match field {
            IdentityField::CircuitId => self.access.circuit_id.clone(),
            IdentityField::RemoteId => self.access.remote_id.clone(),
            IdentityField::RelayId => self.relay_id.map(str::to_owned),
            IdentityField::OntSerial => self.access.ont_serial.clone(),
            IdentityField::Port => Some(self.port.name.to_string()),
            IdentityField::SVlan => Some(self.line?.s_vlan.to_string()),
            IdentityField::CVlan => Some(self.line?.c_vlan.to_string()),
        }
    }
}

fn is_tag(field: IdentityField) -> bool {
    matches!(
        field,
        IdentityField::Port | IdentityField::SVlan | IdentityField::CVlan
    )
}

impl Onts {
    pub fn get(&self, serial: &str) -> Option<&Ont> {
        self.onts.get(serial)
    }

    /// Whether the session's ONT is connected, as far as its access node said.
    pub fn holds(&self, access: &Access) -> bool {
        let ont = access.ont_serial.as_deref().and_then(|serial| self.get(serial));
        ont.is_some_and(|ont| ont.connected)
    }

    /// The serial of the ONT that is known to be on the circuit, else on the line.
    pub fn on(&self, circuit: Option<&str>, line: Option<Line>) -> Option<&str> {
        let by_circuit = circuit.and_then(|circuit| self.by_circuit.get(circuit));
        let by_line = || line.and_then(|line| self.by_line.get(&line));
        by_circuit.or_else(by_line).map(String::as_str)
    }

    /// Takes note of an ONT; what is not said of a known one stays. False when there are too many.
    pub fn report(&mut self, serial: &str, said: Ont) -> bool {
        let known = self.onts.get(serial).cloned();
        if known.is_none() && self.onts.len() >= ONTS_MAX {
            return false;
        }
        let known = known.unwrap_or_default();
        let ont = Ont {
            circuit_id: said.circuit_id.or_else(|| known.circuit_id.clone()),
            access_node: said.access_node.or_else(|| known.access_node.clone()),
            line: said.line.or(known.line),
            connected: said.connected,
        };
        self.forget_places(serial, &known);
        if let Some(circuit) = &ont.circuit_id {
            self.by_circuit.insert(circuit.clone(), serial.to_owned());
        }
        if let Some(line) = ont.line {
            self.by_line.insert(line, serial.to_owned());
        }
        self.onts.insert(serial.to_owned(), ont);
        true
    }

    /// A place that another ONT took meanwhile stays that one's.
    fn forget_places(&mut self, serial: &str, known: &Ont) {
        if let Some(circuit) = &known.circuit_id
            && self.by_circuit.get(circuit).is_some_and(|owner| owner == serial)
        {
            self.by_circuit.remove(circuit);
        }
        if let Some(line) = known.line
            && self.by_line.get(&line).is_some_and(|owner| owner == serial)
        {
            self.by_line.remove(&line);
        }
    }
}
