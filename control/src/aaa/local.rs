//! The embedded backend: `subscribers.toml`, in memory, read again when told to.
//!
//! Listed subscribers are found by ONT serial, then by circuit-id; then the rules are tried in order; who is in none of them is unknown.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use sluice_config::{Config, ConfigError, Rule, RuleState, Subscriber, SubscriberKey, Subscribers, VlanId};

use super::{Answer, Backend};
use crate::engine::{AaaAnswer, AaaRequest};
use crate::session::{Qos, Service, Standing};

/// Subscribers and rules of a file.
#[derive(Debug)]
pub struct Local {
    config: Arc<Config>,
    table: RwLock<Arc<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    by_ont_serial: HashMap<String, sluice_config::Service>,
    by_circuit_id: HashMap<String, sluice_config::Service>,
    rules: Vec<Rule>,
}

impl Local {
    pub fn new(config: Arc<Config>, subscribers: Subscribers) -> Local {
        Local {
            config,
            table: RwLock::new(Arc::new(Table::new(subscribers))),
        }
    }

    /// Reads the file that the configuration names; without one nobody is known.
    pub fn load(config: Arc<Config>) -> Result<Local, ConfigError> {
        let subscribers = config.load_subscribers()?.unwrap_or_default();
        Ok(Local::new(config, subscribers))
    }

    /// Reads the file again and returns how many subscribers and rules it has. What was known stays in force when the file is wrong.
    pub fn reload(&self) -> Result<(usize, usize), ConfigError> {
        let subscribers = self.config.load_subscribers()?.unwrap_or_default();
        let counts = (subscribers.subscribers.len(), subscribers.rules.len());
        self.replace(subscribers);
        Ok(counts)
    }

    pub fn replace(&self, subscribers: Subscribers) {
        let table = Arc::new(Table::new(subscribers));
        *self.table.write().unwrap_or_else(|poisoned| poisoned.into_inner()) = table;
    }

    /// The answer to a request, at once.
    pub fn look_up(&self, request: &AaaRequest) -> AaaAnswer {
        let table = self
            .table
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone();
        match table.service_of(request, &self.config) {
            Some(service) => accept(service),
            None => AaaAnswer::Unknown,
        }
    }
}

impl Backend for Local {
    fn authorize(&self, request: AaaRequest, answer: Answer) {
        answer.give(self.look_up(&request));
    }
}

impl Table {
    fn new(subscribers: Subscribers) -> Table {
        let mut table = Table {
            rules: subscribers.rules,
            ..Table::default()
        };
        for Subscriber { key, service } in subscribers.subscribers {
            match key {
                SubscriberKey::OntSerial(serial) => table.by_ont_serial.insert(serial.into(), service),
                SubscriberKey::CircuitId(circuit) => table.by_circuit_id.insert(circuit.into(), service),
            };
        }
        table
    }

    fn service_of(&self, request: &AaaRequest, config: &Config) -> Option<&sluice_config::Service> {
        let access = &request.access;
        let by_ont = access.ont_serial.as_ref().and_then(|s| self.by_ont_serial.get(s));
        let listed = || {
            access
                .circuit_id
                .as_ref()
                .and_then(|c| self.by_circuit_id.get(c))
        };
        by_ont.or_else(listed).or_else(|| {
            let line = request.line?;
            let port = config.ports.get(usize::from(line.port))?;
            let tag = |id| VlanId::new(id).ok();
            let rule = self.rules.iter().find(|rule| {
                rule.matches(
                    port.name.as_str(),
                    tag(line.s_vlan),
                    tag(line.c_vlan),
                    access.circuit_id.as_deref(),
                )
            });
            rule.map(|rule| &rule.service)
        })
    }
}

fn accept(service: &sluice_config::Service) -> AaaAnswer {
    let standing = match service.state {
        RuleState::Active => Standing::Active,
        RuleState::Wgar => Standing::Wgar,
        RuleState::Suspended => Standing::Suspended,
    };
    let qos = service.qos.map_or(Qos::default(), |qos| Qos {
        download_bps: qos.download_bps(),
        upload_bps: qos.upload_bps(),
    });
    let service = Service {
        pool: service.pool.to_string(),
        service_id: service.service_id.as_ref().map(ToString::to_string),
        qos,
    };
    AaaAnswer::Accept(service, standing)
}

#[cfg(test)]
mod tests;
