//! The local AAA file, `subscribers.toml`: which line gets which pool, service and rates.
//!
//! A subscriber is found by ONT serial or circuit-id; whoever is not listed is offered to the rules, and the first that matches wins;
//! whom no rule matches is unknown, and begins in the walled garden. The annotated example is `config/subscribers.toml`.

use crate::Config;
use crate::error::{ConfigError, Finding};
use crate::key_path::KeyPath;
use crate::names::{CircuitId, OntSerial, PoolName, PortName, ServiceId};
use crate::nearest::nearest;
use crate::problem::ProblemKind;
use crate::qos::Qos;
use crate::reader::{Section, directory_of, read_document, read_file};
use crate::relations::dhcp::unknown_pool;
use crate::value::Choice;
use crate::vlan::{IdRanges, VlanId};
use std::collections::HashMap;
use std::path::Path;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Subscribers {
    pub subscribers: Vec<Subscriber>,
    /// In order: the first that matches wins.
    pub rules: Vec<Rule>,
}

/// [`Subscribers`] indexed by what they are known by.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    by_serial: HashMap<OntSerial, Service>,
    by_circuit: HashMap<CircuitId, Service>,
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    pub key: SubscriberKey,
    pub service: Service,
}

/// What a listed subscriber is known by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SubscriberKey {
    OntSerial(OntSerial),
    CircuitId(CircuitId),
}

/// What a subscriber gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub pool: PoolName,
    pub service_id: Option<ServiceId>,
    /// `None` is unpoliced.
    pub qos: Option<Qos>,
    pub state: RuleState,
}

/// A condition on the line, and what all lines get that meet it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub name: String,
    pub port: Option<PortName>,
    pub s_vlans: Option<IdRanges>,
    pub c_vlans: Option<IdRanges>,
    pub circuit_id_prefix: Option<CircuitId>,
    pub service: Service,
}

/// What is known of a line when AAA is asked about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineFacts<'a> {
    pub port: &'a str,
    pub s_vlan: Option<VlanId>,
    pub c_vlan: Option<VlanId>,
    /// Only where the port's Option 82 is trusted.
    pub circuit_id: Option<&'a str>,
    /// From the access node's report, or the trusted remote-id.
    pub ont_serial: Option<&'a str>,
}

/// Rules of one file: each line without a listing walks them.
pub const RULES_MAX: usize = 1024;

/// The state a new session of this subscriber begins in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum RuleState {
    #[default]
    Active,
    /// In the walled garden until activated; the service is what activation will give.
    Wgar,
    Suspended,
}

impl Subscribers {
    pub fn load(path: &Path, config: &Config) -> Result<Subscribers, ConfigError> {
        let text = read_file(path)?;
        let read = |root: &Section<'_>| Some(Subscribers::read(root, config));
        read_document(&path.to_string_lossy(), directory_of(path), &text, read)
    }

    /// Checks `text` by itself and against the pools and ports of `config`.
    pub fn parse(name: &str, text: &str, config: &Config) -> Result<Subscribers, ConfigError> {
        let read = |root: &Section<'_>| Some(Subscribers::read(root, config));
        read_document(name, directory_of(Path::new(name)), text, read)
    }

    /// Made ready for questions; half a million subscribers are found as fast as ten.
    pub fn into_directory(self) -> Directory {
        let mut directory = Directory {
            by_serial: HashMap::new(),
            by_circuit: HashMap::new(),
            rules: self.rules,
        };
        for Subscriber { key, service } in self.subscribers {
            match key {
                SubscriberKey::OntSerial(serial) => directory.by_serial.insert(serial, service),
                SubscriberKey::CircuitId(circuit) => directory.by_circuit.insert(circuit, service),
            };
        }
        directory
    }

    fn read(root: &Section<'_>, config: &Config) -> Subscribers {
        let mut taken = HashMap::new();
        let subscribers = root.sections("subscriber");
        let subscribers = subscribers
            .iter()
            .filter_map(|section| Subscriber::read(section, config, &mut taken));
        let subscribers = subscribers.collect();
        let sections = root.sections("rule");
        if sections.len() > RULES_MAX {
            root.wrong(
                "rule",
                ProblemKind::TooMany {
                    found: sections.len(),
                    max: RULES_MAX,
                },
            );
            return Subscribers {
                subscribers,
                rules: Vec::new(),
            };
        }
        let mut rules: Vec<Rule> = Vec::new();
        for section in &sections {
            let Some(rule) = Rule::read(section, config) else {
                continue;
            };
            if let Some(earlier) = rules.iter().find(|earlier| earlier.covers(&rule)) {
                let kind = ProblemKind::Shadowed {
                    other: earlier.name.clone(),
                };
                root.record(Finding {
                    at: section.path.clone(),
                    kind,
                });
            }
            rules.push(rule);
        }
        Subscribers { subscribers, rules }
    }
}

impl Directory {
    /// What the line gets: what is listed for its ONT, else for its circuit-id, else the first matching rule's service.
    pub fn lookup(&self, line: &LineFacts<'_>) -> Option<&Service> {
        let by_serial = line.ont_serial.and_then(|serial| self.by_serial.get(serial));
        let by_circuit = || line.circuit_id.and_then(|circuit| self.by_circuit.get(circuit));
        let by_rule = || {
            self.rules
                .iter()
                .find(|rule| rule.matches(line))
                .map(|rule| &rule.service)
        };
        by_serial.or_else(by_circuit).or_else(by_rule)
    }
}

impl Subscriber {
    fn read(
        section: &Section<'_>,
        config: &Config,
        taken: &mut HashMap<SubscriberKey, KeyPath>,
    ) -> Option<Subscriber> {
        let (has_serial, has_circuit) = (section.has("ont_serial"), section.has("circuit_id"));
        let serial = section.get("ont_serial").map(SubscriberKey::OntSerial);
        let circuit = section.get("circuit_id").map(SubscriberKey::CircuitId);
        let service = Service::read(section, config);
        section.finish();
        match (has_serial, has_circuit) {
            (false, false) => {
                section.missing("ont_serial", "the ONT's serial number, or a circuit_id instead")
            }
            (true, true) => section.wrong("circuit_id", ProblemKind::TwoKeys { what: "key" }),
            _ => {}
        }
        let key = serial.or(circuit)?;
        let (word, found) = match &key {
            SubscriberKey::OntSerial(serial) => ("ont_serial", serial.as_str()),
            SubscriberKey::CircuitId(circuit) => ("circuit_id", circuit.as_str()),
        };
        match taken.get(&key) {
            Some(other) => {
                let kind = ProblemKind::SubscriberTaken {
                    found: found.to_owned(),
                    other: other.clone(),
                };
                section.wrong(word, kind);
            }
            None => {
                taken.insert(key.clone(), section.path.clone());
            }
        }
        Some(Subscriber {
            key,
            service: service?,
        })
    }
}

impl Service {
    fn read(section: &Section<'_>, config: &Config) -> Option<Service> {
        let pool = section.required::<PoolName>("pool", "the pool his address comes from");
        let service_id = section.get("service_id");
        let qos = Qos::read(section);
        let state = section.choice("state").unwrap_or_default();
        let pool = pool?;
        if config.pool(pool.as_str()).is_none() {
            section.wrong("pool", unknown_pool(&pool, config));
        }
        Some(Service {
            pool,
            service_id,
            qos,
            state,
        })
    }
}

impl Rule {
    fn read(section: &Section<'_>, config: &Config) -> Option<Rule> {
        let name = section
            .get::<String>("name")
            .unwrap_or_else(|| section.path.to_string());
        let port = section.get::<PortName>("port");
        let s_vlans = section.get("s_vlans");
        let c_vlans = section.get("c_vlans");
        let circuit_id_prefix = match section.get::<String>("circuit_id_prefix").as_deref() {
            None | Some("") => None,
            Some(_) => section.get("circuit_id_prefix"),
        };
        let service = Service::read(section, config);
        section.finish();
        if let Some(port) = &port {
            let known: Vec<PortName> = config
                .access_ports()
                .map(|(_, port, _)| port.name.clone())
                .collect();
            if !known.contains(port) {
                let nearest = nearest(port.as_str(), known.iter().map(PortName::as_str)).map(str::to_owned);
                section.wrong(
                    "port",
                    ProblemKind::UnknownPort {
                        found: port.clone(),
                        nearest,
                        known,
                    },
                );
            }
        }
        Some(Rule {
            name,
            port,
            s_vlans,
            c_vlans,
            circuit_id_prefix,
            service: service?,
        })
    }

    /// Whether all given conditions hold. A condition on something the line does not have fails.
    pub fn matches(&self, line: &LineFacts<'_>) -> bool {
        let within = |ids: &Option<IdRanges>, id: Option<VlanId>| match ids {
            Some(ids) => id.is_some_and(|id| ids.contains(id)),
            None => true,
        };
        let prefix = self.circuit_id_prefix.as_ref();
        self.port.as_ref().is_none_or(|wanted| *wanted == *line.port)
            && within(&self.s_vlans, line.s_vlan)
            && within(&self.c_vlans, line.c_vlan)
            && prefix.is_none_or(|prefix| line.circuit_id.is_some_and(|id| id.starts_with(prefix.as_str())))
    }

    /// Whether every line that `later` matches is matched by this rule too.
    fn covers(&self, later: &Rule) -> bool {
        let ids = |own: &Option<IdRanges>, theirs: &Option<IdRanges>| match (own, theirs) {
            (None, _) => true,
            (Some(own), Some(theirs)) => own.contains_all(theirs),
            (Some(_), None) => false,
        };
        let prefix = match (&self.circuit_id_prefix, &later.circuit_id_prefix) {
            (None, _) => true,
            (Some(own), Some(theirs)) => theirs.as_str().starts_with(own.as_str()),
            (Some(_), None) => false,
        };
        (self.port.is_none() || self.port == later.port)
            && ids(&self.s_vlans, &later.s_vlans)
            && ids(&self.c_vlans, &later.c_vlans)
            && prefix
    }
}

impl Choice for RuleState {
    const WORDS: &'static [(&'static str, RuleState)] = &[
        ("active", RuleState::Active),
        ("wgar", RuleState::Wgar),
        ("suspended", RuleState::Suspended),
    ];
}
