//! Why a port could not be opened: always with its name and its device's.

use std::fmt;

use super::Addresses;
use crate::dpdk::errno::Errno;

#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error(
        "port {port}: no device {device:?} ({}); give EAL its --vdev or -a",
        Present(present)
    )]
    NoDevice {
        port: String,
        device: String,
        present: Vec<String>,
    },
    #[error(
        "port {port} ({device}): {wanted} {direction} queues wanted, the {driver} driver has at most {max}"
    )]
    Queues {
        port: String,
        device: String,
        driver: String,
        direction: &'static str,
        wanted: u16,
        max: u16,
    },
    #[error("port {port} ({device}): MTU {mtu} wanted, the {driver} driver takes at most {max}")]
    Mtu {
        port: String,
        device: String,
        driver: String,
        mtu: u16,
        max: u16,
    },
    #[error("port {port} ({device}): the {driver} driver cannot hash {addresses}")]
    Hash {
        port: String,
        device: String,
        driver: String,
        addresses: Addresses,
    },
    #[error("port {port} ({device}): {queues} receive queues, and nothing says how to choose among them")]
    NoSpread {
        port: String,
        device: String,
        queues: u16,
    },
    #[error("port {port} ({device}): the device has kept another {what} than it was given")]
    NotTaken {
        port: String,
        device: String,
        what: &'static str,
    },
    #[error("port {port} ({device}): {step}: {errno}")]
    Call {
        port: String,
        device: String,
        step: String,
        errno: Errno,
    },
}

struct Present<'a>(&'a [String]);

impl fmt::Display for Present<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            f.write_str("EAL has none")
        } else {
            write!(f, "EAL has {}", self.0.join(", "))
        }
    }
}
