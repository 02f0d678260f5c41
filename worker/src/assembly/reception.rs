//! How the packets of each port come to the lcores that own them: by the NIC, or handed over in software.
//!
//! ```text
//!   by the NIC:    hash of the subscriber's address ─► table ─► queue i ─► lcore i, the owner
//!   in software:   whichever queue ─► whichever lcore ─► hash ─► owner? go on : ring ─► owner
//! ```
//!
//! A NIC spreads where it hashes the subscriber's address alone (upstream the source, downstream the destination), has a table that ours
//! fits into, and a queue for every lcore. All ports have one owner for a subscriber: if one port is spread by its NIC, the lcores work
//! owners out as that NIC does, and the other ports' packets are handed over by the same rule.
//!
//! Whether a NIC finds the address behind two tags is in no driver's answer. Where it does not, packets come to wrong lcores and are
//! handed over, which is right but slower; [`Strays`] tells.

use std::fmt;

use sluice_config::{Config, Port, Spread as Wish};

use crate::dpdk::{Addresses, Capabilities, HandoffMeter, Hashing, ReceiveSpread};
use crate::owner::{BUCKETS, Spread, buckets, nic_key};

/// Fewer packets than this say nothing about a NIC.
const STRAYS_PACKETS_MIN: u64 = 10_000;

/// What is decided of all ports before the first is opened.
#[derive(Debug)]
pub struct Reception {
    /// By port index.
    pub ports: Vec<PortReception>,
    /// How owners are worked out.
    pub spread: Spread,
}

/// How one port's packets are received.
#[derive(Debug, PartialEq, Eq)]
pub struct PortReception {
    pub queues: u16,
    pub how: How,
    key: Vec<u8>,
    /// The queue of each entry of the NIC's table.
    table: Vec<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// There is one lcore.
    Alone,
    /// Queue `i` is the `i`-th lcore's.
    ByNic(Addresses),
    Software(WhySoftware),
}

/// Why a NIC does not spread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhySoftware {
    Asked,
    Fields { driver: String, addresses: Addresses },
    Table { driver: String, entries: u16 },
    QueuesMax { driver: String, max: u16, lcores: usize },
    QueuesSet { port: String, set: u16, lcores: usize },
}

/// `worker.spread = "nic"`, and a port that cannot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("port {port} ({device}): worker.spread is \"nic\", but {why}")]
pub struct NicRefused {
    pub port: String,
    pub device: String,
    pub why: WhySoftware,
}

impl Reception {
    /// `able` is what the devices can do, by port.
    pub fn plan(config: &Config, able: &[Capabilities], lcores: usize) -> Result<Reception, NicRefused> {
        let ports = config
            .ports
            .iter()
            .zip(able)
            .map(|(port, able)| PortReception::plan(config.worker.spread, port, able, lcores))
            .collect::<Result<Vec<_>, _>>()?;
        let by_nic = ports.iter().any(|port| matches!(port.how, How::ByNic(_)));
        Ok(Reception {
            ports,
            spread: if by_nic {
                Spread::by_nic()
            } else {
                Spread::Software
            },
        })
    }
}

impl PortReception {
    fn plan(
        wish: Wish,
        port: &Port,
        able: &Capabilities,
        lcores: usize,
    ) -> Result<PortReception, NicRefused> {
        let by_nic = match wish {
            Wish::Software => Err(WhySoftware::Asked),
            Wish::Auto | Wish::Nic => by_nic(port, able, lcores),
        };
        let how = match by_nic {
            _ if lcores == 1 => How::Alone,
            Ok(addresses) => How::ByNic(addresses),
            Err(why) if wish == Wish::Nic => {
                return Err(NicRefused {
                    port: port.name.to_string(),
                    device: port.device.to_string(),
                    why,
                });
            }
            Err(why) => How::Software(why),
        };
        let queues = match how {
            How::ByNic(_) => queue_count(lcores),
            // The TAP driver wants as many receive queues as transmit queues, and the kernel spreads over them as it likes.
            _ if able.driver == "net_tap" => queue_count(lcores),
            _ => port.queues,
        };
        let numbers: Vec<u8> = (0..u8::try_from(queues).unwrap_or(u8::MAX)).collect();
        Ok(PortReception {
            queues,
            how,
            key: nic_key(able.key_len()),
            table: match able.can_hash(Addresses::Both) && able.takes_table_of(BUCKETS) {
                true => buckets(&numbers).map(u16::from).to_vec(),
                false => Vec::new(),
            },
        })
    }

    /// What to ask of the device. Of several queues that need not be the owners' it is only wanted that a flow stays on one of them.
    pub fn receive_spread(&self) -> ReceiveSpread<'_> {
        let hashed = |addresses| {
            ReceiveSpread::Hashed(Hashing {
                addresses,
                key: &self.key,
                queues: &self.table,
            })
        };
        match self.how {
            How::ByNic(addresses) => hashed(addresses),
            _ if self.queues < 2 => ReceiveSpread::None,
            _ if self.table.is_empty() => ReceiveSpread::Arbitrary,
            _ => hashed(Addresses::Both),
        }
    }

    pub fn is_by_nic(&self) -> bool {
        matches!(self.how, How::ByNic(_))
    }

    /// Which lcore polls a queue. Ports of fewer queues than lcores begin at different ones, so that two of one queue each keep two
    /// lcores busy.
    pub fn lcore_of(&self, port: usize, queue: usize, lcores: usize) -> usize {
        match self.how {
            How::ByNic(_) => queue % lcores,
            How::Alone | How::Software(_) => (port + queue) % lcores,
        }
    }
}

/// What the NIC of this port would hash, or why it is not to.
fn by_nic(port: &Port, able: &Capabilities, lcores: usize) -> Result<Addresses, WhySoftware> {
    let driver = || able.driver.clone();
    let addresses = match port.access() {
        Some(_) => Addresses::Source,
        None => Addresses::Destination,
    };
    if !able.can_hash(addresses) {
        return Err(WhySoftware::Fields {
            driver: driver(),
            addresses,
        });
    }
    if !able.takes_table_of(BUCKETS) {
        return Err(WhySoftware::Table {
            driver: driver(),
            entries: able.table_entries,
        });
    }
    if usize::from(able.rx_queues_max) < lcores {
        return Err(WhySoftware::QueuesMax {
            driver: driver(),
            max: able.rx_queues_max,
            lcores,
        });
    }
    if usize::from(port.queues) < lcores {
        return Err(WhySoftware::QueuesSet {
            port: port.name.to_string(),
            set: port.queues,
            lcores,
        });
    }
    Ok(addresses)
}

/// Lcores are fewer than 256: a slot is a byte.
fn queue_count(lcores: usize) -> u16 {
    u16::try_from(lcores).unwrap_or(u16::MAX)
}

impl fmt::Display for PortReception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.how {
            How::Alone => f.write_str("one lcore"),
            How::ByNic(addresses) => write!(
                f,
                "spread over {} lcores by the NIC, which hashes {addresses}",
                self.queues
            ),
            How::Software(why) => write!(f, "spread in software: {why}"),
        }
    }
}

impl fmt::Display for WhySoftware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhySoftware::Asked => f.write_str("worker.spread asks for it"),
            WhySoftware::Fields { driver, addresses } => {
                write!(f, "the {driver} driver cannot hash {addresses}")
            }
            WhySoftware::Table { driver, entries } => write!(
                f,
                "the {driver} driver's table has {entries} entries, and a multiple of {BUCKETS} is needed"
            ),
            WhySoftware::QueuesMax { driver, max, lcores } => {
                write!(
                    f,
                    "the {driver} driver has {max} receive queues at most, for {lcores} lcores"
                )
            }
            WhySoftware::QueuesSet { port, set, lcores } => {
                write!(f, "{port}.queues is {set}, and the lcores are {lcores}")
            }
        }
    }
}

/// Packets of a port that came to another lcore than their owner, for the housekeeping.
#[derive(Debug, Default)]
pub struct Strays {
    /// Of every ring that takes packets of the port as they were received.
    pub meters: Vec<HandoffMeter>,
    /// Where the NIC is to spread, its driver.
    pub spread_by: Option<String>,
}

impl Strays {
    pub fn packets(&self) -> u64 {
        self.meters
            .iter()
            .fold(0, |sum, meter| sum.wrapping_add(meter.packets()))
    }

    /// What is to be said, once, of a NIC that was to bring packets to their owners and has brought more than an eighth of what the
    /// port `received` elsewhere.
    pub fn complaint(&mut self, received: u64) -> Option<String> {
        let strays = self.packets();
        if received < STRAYS_PACKETS_MIN || strays < received / 8 {
            return None;
        }
        let driver = self.spread_by.take()?;
        Some(format!(
            "{strays} of {received} packets came to another lcore than their owner and were handed over: the NIC ({driver}) does not \
             find the address that it was told to hash, perhaps behind two tags"
        ))
    }
}

#[cfg(test)]
mod tests;
