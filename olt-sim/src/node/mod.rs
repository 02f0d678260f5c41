//! The access node itself, free of sockets and threads: which line a frame belongs to, whether it may pass,
//! what is added to it or taken from it.
//!
//! ```text
//! upstream:    runt? → source MAC → tagged? → DHCP: filter, Option 82 → spoofed? → tags → trunk
//! downstream:  tags → line up? → DHCP: find the client, snoop, strip Option 82 → by MAC (N:1) → ONT
//! ```
//!
//! Every frame is delivered or dropped under a [`DropReason`], which is counted.

mod downstream;
mod hosts;
mod line;
mod reasons;
mod upstream;

use std::collections::HashMap;

use serde::Serialize;

pub use line::{LineError, LineTags, Ont, OntIndex, OntView};
pub use reasons::DropReason;

use crate::config::{OntConfig, PolicyConfig, Tagging};
use crate::wire::{MacAddr, Tpid};

/// MAC addresses seen as senders on the trunk: the BNG's, and a second for a change of it.
const UPLINK_MACS_MAX: usize = 4;

#[derive(Debug)]
pub struct AccessNode {
    name: String,
    tagging: Tagging,
    outer_tpid: Tpid,
    policy: PolicyConfig,
    onts: Vec<Option<Ont>>,
    by_serial: HashMap<String, OntIndex>,
    by_tags: HashMap<LineTags, Vec<OntIndex>>,
    /// N:1 lines only: which ONT of a shared line has this MAC.
    by_mac: HashMap<(LineTags, MacAddr), OntIndex>,
    uplink_macs: Vec<MacAddr>,
    counters: Counters,
}

/// Totals of the node since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    pub frames: u64,
    pub bytes: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, bytes: usize) {
        self.frames += 1;
        self.bytes += bytes as u64;
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Taken from subscribers and given to the trunk, in subscribers' frame sizes.
    pub upstream: Traffic,
    /// Taken from the trunk and given to subscribers.
    pub downstream: Traffic,
    pub option82_inserted: u64,
    pub option82_removed: u64,
    /// Client messages that went up without Option 82, since it would not have fitted the MTU.
    pub option82_no_room: u64,
    #[serde(serialize_with = "reasons::serialize")]
    pub drops: [u64; DropReason::ALL.len()],
}

impl Counters {
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}

impl AccessNode {
    pub fn new(name: &str, tagging: Tagging, outer_tpid: Tpid, policy: PolicyConfig) -> Self {
        Self {
            name: name.to_owned(),
            tagging,
            outer_tpid,
            policy,
            onts: Vec::new(),
            by_serial: HashMap::new(),
            by_tags: HashMap::new(),
            by_mac: HashMap::new(),
            uplink_macs: Vec::new(),
            counters: Counters::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    pub fn policy(&self) -> PolicyConfig {
        self.policy
    }

    pub fn policy_mut(&mut self) -> &mut PolicyConfig {
        &mut self.policy
    }

    /// Adds an ONT. Its serial must be new, and its tags free or shared by N:1 lines only.
    pub fn connect(&mut self, config: OntConfig) -> Result<OntIndex, LineError> {
        if self.by_serial.contains_key(&config.serial) {
            return Err(LineError::SerialInUse {
                serial: config.serial,
            });
        }
        let ont = Ont::new(&self.name, self.tagging, config)?;
        self.tags_are_free(&ont, ont.tags, None)?;
        let index = OntIndex(
            self.onts
                .iter()
                .position(Option::is_none)
                .unwrap_or(self.onts.len()),
        );
        self.by_serial.insert(ont.config.serial.clone(), index);
        self.by_tags.entry(ont.tags).or_default().push(index);
        if index.0 == self.onts.len() {
            self.onts.push(Some(ont));
        } else {
            self.onts[index.0] = Some(ont);
        }
        Ok(index)
    }

    pub fn disconnect(&mut self, serial: &str) -> Result<OntIndex, LineError> {
        let index = self.find(serial)?;
        self.by_serial.remove(serial);
        if let Some(ont) = self.onts.get_mut(index.0).and_then(Option::take) {
            self.leave_tags(index, ont.tags);
        }
        Ok(index)
    }

    /// Moves an ONT to other tags; the addresses learnt on the line are forgotten with it.
    pub fn move_line(&mut self, serial: &str, tags: LineTags) -> Result<(), LineError> {
        let index = self.find(serial)?;
        let Some(ont) = self.ont(index) else {
            return Err(LineError::unknown(serial));
        };
        let old = ont.tags;
        if old == tags {
            return Ok(());
        }
        self.tags_are_free(ont, tags, Some(index))?;
        self.leave_tags(index, old);
        self.by_tags.entry(tags).or_default().push(index);
        if let Some(ont) = self.ont_mut(index) {
            ont.set_tags(tags);
        }
        Ok(())
    }

    pub fn find(&self, serial: &str) -> Result<OntIndex, LineError> {
        self.by_serial
            .get(serial)
            .copied()
            .ok_or_else(|| LineError::unknown(serial))
    }

    pub fn tagging(&self) -> Tagging {
        self.tagging
    }

    pub fn ont(&self, index: OntIndex) -> Option<&Ont> {
        self.onts.get(index.0)?.as_ref()
    }

    pub fn ont_mut(&mut self, index: OntIndex) -> Option<&mut Ont> {
        self.onts.get_mut(index.0)?.as_mut()
    }

    pub fn onts(&self) -> impl Iterator<Item = &Ont> {
        self.onts.iter().flatten()
    }

    /// Counts a drop that the node's surroundings decided (a full queue, a frame cut off).
    pub fn count_drop(&mut self, reason: DropReason) {
        self.counters.drops[reason as usize] += 1;
    }

    fn tags_are_free(&self, ont: &Ont, tags: LineTags, but: Option<OntIndex>) -> Result<(), LineError> {
        let others = self
            .by_tags
            .get(&tags)
            .into_iter()
            .flatten()
            .filter(|index| Some(**index) != but);
        for other in others.filter_map(|index| self.ont(*index)) {
            if !(other.is_shared() && ont.is_shared()) {
                return Err(LineError::TagsInUse {
                    tags,
                    serial: other.config.serial.clone(),
                });
            }
        }
        Ok(())
    }

    fn leave_tags(&mut self, index: OntIndex, tags: LineTags) {
        if let Some(sharers) = self.by_tags.get_mut(&tags) {
            sharers.retain(|other| *other != index);
            if sharers.is_empty() {
                self.by_tags.remove(&tags);
            }
        }
        self.by_mac.retain(|_, owner| *owner != index);
    }
}

#[cfg(test)]
mod tests;
