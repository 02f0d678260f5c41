//! The embedded backend: `subscribers.toml`, in memory, read again when told to.
//!
//! Listed subscribers are found by ONT serial, then by circuit-id; then the rules are tried in order; who is in none of them is unknown.

use std::sync::{Arc, RwLock};

use sluice_config::subscribers::{Directory, LineFacts};
use sluice_config::{Config, ConfigError, RuleState, Subscribers, VlanId};

use super::{Answer, Backend};
use crate::engine::{AaaAnswer, AaaRequest};
use crate::session::{Qos, Service, Standing};

/// Subscribers and rules of a file.
#[derive(Debug)]
pub struct Local {
    config: Arc<Config>,
    directory: RwLock<Arc<Directory>>,
}

impl Local {
    pub fn new(config: Arc<Config>, subscribers: Subscribers) -> Local {
        Local {
            config,
            directory: RwLock::new(Arc::new(subscribers.into_directory())),
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
        let directory = Arc::new(subscribers.into_directory());
        *self
            .directory
            .write()
            .unwrap_or_else(|poisoned| poisoned.into_inner()) = directory;
    }

    /// The answer to a request, at once.
    pub fn look_up(&self, request: &AaaRequest) -> AaaAnswer {
        // A client behind a relay is on no line of ours, so no rule can speak of it.
        let port = request
            .line
            .and_then(|line| self.config.ports.get(usize::from(line.port)));
        let tag = |id: u16| VlanId::new(id).ok();
        let facts = LineFacts {
            port: port.map_or("", |port| port.name.as_str()),
            s_vlan: request.line.and_then(|line| tag(line.s_vlan)),
            c_vlan: request.line.and_then(|line| tag(line.c_vlan)),
            circuit_id: request.access.circuit_id.as_deref(),
            ont_serial: request.access.ont_serial.as_deref(),
        };
        let directory = self
            .directory
            .read()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
            .clone();
        match directory.lookup(&facts) {
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
