//! What can be done to an access node while it runs: connect, reconfigure, bounce, disconnect, look.
//!
//! The handle ([`crate::OltHandle`]) and the API call the same operations. Each takes the tables' lock for as
//! long as it changes them, so that the forwarding thread sees an ONT before or after a change, never between.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::info;

use crate::config::{OntConfig, PolicyConfig, ServiceProfile};
use crate::events::{Delivery, OltEvent, OntFacts, Outbox};
use crate::forwarder::{LineEvent, Plane, Tables};
use crate::net::{Carrier, Netns, Tap};
use crate::node::{Counters, LineError, LineTags, OntIndex, OntView};
use crate::wire::VlanId;

#[derive(Debug, thiserror::Error)]
pub enum OltError {
    #[error(transparent)]
    Line(#[from] LineError),
    #[error("{doing}: {source}")]
    System { doing: String, source: io::Error },
    #[error("the trunk is down")]
    TrunkDown,
    #[error("a frame of {0} bytes is too long")]
    FrameTooLong(usize),
}

impl OltError {
    pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::System { doing, source }
    }
}

/// What provisioning changes on a connected ONT; absent = as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reconfiguration {
    pub s_vlan: Option<VlanId>,
    pub c_vlan: Option<VlanId>,
    pub profile: ServiceProfile,
    pub after: After,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum After {
    #[default]
    LeaveLine,
    /// Bounce the line, so that the CPE asks for its address again at once.
    Bounce,
}

/// The node's figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OltStats {
    pub trunk_up: bool,
    pub onts: usize,
    pub events: Delivery,
    #[serde(flatten)]
    pub counters: Counters,
}

/// The operations, shared by the handles and the API.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) plane: Arc<Plane>,
    /// Absent where nobody is told.
    pub(crate) outbox: Option<Outbox>,
    pub(crate) bng_port: String,
    pub(crate) bounce: Duration,
    /// TAPs of disconnected ONTs, waiting for an ONT at the same place.
    pub(crate) dark_taps: Mutex<Vec<Arc<Tap>>>,
}

impl Shared {
    pub(crate) fn connect(&self, config: OntConfig) -> Result<OntView, OltError> {
        let index = self.plane.tables().node.connect(config.clone())?;
        match self.open_line(index, &config) {
            Ok(view) => Ok(view),
            Err(error) => {
                let _ = self.plane.tables().node.disconnect(&config.serial);
                Err(error)
            }
        }
    }

    fn open_line(&self, index: OntIndex, config: &OntConfig) -> Result<OntView, OltError> {
        let named = format!("ONT {}", config.serial);
        let tap = match self.take_dark_tap(config) {
            Some(tap) => tap,
            None => {
                let namespace = Netns::from_option(config.namespace.as_deref());
                let tap = Tap::open(&namespace, &config.interface, config.mac);
                Arc::new(tap.map_err(OltError::system(named.clone()))?)
            }
        };
        let mut tables = self.plane.tables();
        if tables.taps.len() <= index.get() {
            tables.taps.resize(index.get() + 1, None);
        }
        tables.taps[index.get()] = Some(tap.clone());
        // Detected before the light is on: nothing of the subscriber overtakes the event by much.
        self.tell(&tables, index, OltEvent::NewONTDetected);
        tap.set_carrier(Carrier::Up)
            .map_err(OltError::system(named.clone()))?;
        self.plane
            .watch_tap(index, &tap)
            .map_err(OltError::system(named))?;
        tables.announce(&LineEvent {
            serial: config.serial.clone(),
            carrier: Carrier::Up,
        });
        self.tell(&tables, index, OltEvent::ONTProvisioned);
        view(&tables, index, &config.serial)
    }

    fn take_dark_tap(&self, config: &OntConfig) -> Option<Arc<Tap>> {
        let mut dark = self.dark_taps.lock().unwrap_or_else(PoisonError::into_inner);
        let place = dark.iter().position(|tap| {
            tap.namespace().name() == config.namespace.as_deref() && tap.name() == config.interface
        })?;
        Some(dark.swap_remove(place))
    }

    pub(crate) fn disconnect(&self, serial: &str) -> Result<(), OltError> {
        let mut tables = self.plane.tables();
        let index = tables.node.disconnect(serial)?;
        tables.dark.retain(|(dark, _)| *dark != index);
        if let Some(tap) = tables.taps.get_mut(index.get()).and_then(Option::take) {
            self.plane.unwatch_tap(&tap);
            // An interface that was removed from outside is as dark as it gets.
            let _ = tap.set_carrier(Carrier::Down);
            self.dark_taps
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(tap);
        }
        tables.announce(&LineEvent {
            serial: serial.to_owned(),
            carrier: Carrier::Down,
        });
        drop(tables);
        if let Some(outbox) = &self.outbox {
            outbox.push(OltEvent::ONTDisconnected {
                ont_serial: serial.to_owned(),
            });
        }
        info!(serial, "ONT disconnected");
        Ok(())
    }

    pub(crate) fn reconfigure(&self, serial: &str, change: Reconfiguration) -> Result<OntView, OltError> {
        let mut tables = self.plane.tables();
        let index = tables.node.find(serial)?;
        let tagging = tables.node.tagging();
        let old = tables
            .node
            .ont(index)
            .map(|ont| ont.tags)
            .unwrap_or(LineTags::Untagged);
        let tags = LineTags::new(
            tagging,
            change.s_vlan.or(old.s_vlan()),
            change.c_vlan.or(old.c_vlan()),
        )?;
        tables.node.move_line(serial, tags)?;
        if let Some(ont) = tables.node.ont_mut(index) {
            let profile = &mut ont.config.profile;
            profile.pool = change.profile.pool.or(profile.pool.take());
            profile.qos_download_bps = change.profile.qos_download_bps.or(profile.qos_download_bps);
            profile.qos_upload_bps = change.profile.qos_upload_bps.or(profile.qos_upload_bps);
        }
        self.tell(&tables, index, OltEvent::ONTReconfigured);
        info!(serial, %tags, "ONT reconfigured");
        if change.after == After::Bounce {
            self.darken(&mut tables, index, serial)?;
        }
        view(&tables, index, serial)
    }

    pub(crate) fn bounce(&self, serial: &str) -> Result<(), OltError> {
        let mut tables = self.plane.tables();
        let index = tables.node.find(serial)?;
        self.darken(&mut tables, index, serial)
    }

    fn darken(&self, tables: &mut Tables, index: OntIndex, serial: &str) -> Result<(), OltError> {
        if let Some(tap) = tables.taps.get(index.get()).and_then(Option::as_ref) {
            tap.set_carrier(Carrier::Down)
                .map_err(OltError::system(format!("ONT {serial}: bounce")))?;
        }
        if let Some(ont) = tables.node.ont_mut(index) {
            ont.carrier = Carrier::Down;
        }
        tables.dark.retain(|(dark, _)| *dark != index);
        tables.dark.push((index, Instant::now() + self.bounce));
        tables.announce(&LineEvent {
            serial: serial.to_owned(),
            carrier: Carrier::Down,
        });
        self.plane.wake();
        Ok(())
    }

    pub(crate) fn set_policy(&self, change: impl FnOnce(&mut PolicyConfig)) {
        change(self.plane.tables().node.policy_mut());
    }

    pub(crate) fn policy(&self) -> PolicyConfig {
        self.plane.tables().node.policy()
    }

    pub(crate) fn stats(&self) -> OltStats {
        let trunk_up = self.plane.trunk().is_some();
        let tables = self.plane.tables();
        OltStats {
            trunk_up,
            onts: tables.node.onts().count(),
            events: self.outbox.as_ref().map(Outbox::delivery).unwrap_or_default(),
            counters: tables.node.counters().clone(),
        }
    }

    pub(crate) fn onts(&self) -> Vec<OntView> {
        let now = Instant::now();
        self.plane.tables().node.onts().map(|ont| ont.view(now)).collect()
    }

    pub(crate) fn ont(&self, serial: &str) -> Result<OntView, OltError> {
        let tables = self.plane.tables();
        let index = tables.node.find(serial)?;
        view(&tables, index, serial)
    }

    fn tell(&self, tables: &Tables, index: OntIndex, event: impl FnOnce(OntFacts) -> OltEvent) {
        if let (Some(outbox), Some(ont)) = (&self.outbox, tables.node.ont(index)) {
            outbox.push(event(OntFacts::of(ont, tables.node.name(), &self.bng_port)));
        }
    }
}

fn view(tables: &Tables, index: OntIndex, serial: &str) -> Result<OntView, OltError> {
    let ont = tables.node.ont(index).ok_or_else(|| LineError::UnknownOnt {
        serial: serial.to_owned(),
    })?;
    Ok(ont.view(Instant::now()))
}
