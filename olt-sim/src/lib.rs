//! A software access node, and the laboratory around it.
//!
//! ```text
//!   CPE's namespace                this crate                      BNG
//!  ┌───────────────┐      ┌────────────────────────────┐
//!  │ udhcpc        │      │  ONT ─ line ─┐             │  QinQ trunk
//!  │ eth0 = TAP ───┼──────┼► filter, snoop, Option 82 ─┼─► AF_PACKET on the kernel side
//!  └───────────────┘      │  events, API               │   of the worker's port
//!                         └────────────────────────────┘
//! ```
//!
//! [`Olt`] is the access node (the program `sluice-olt` is a thin shell around it); [`lab`] builds a small
//! provider in network namespaces: subscribers with stock DHCP clients, the BNG's two processes, and a
//! core side that records who reached it.
#![deny(unsafe_code)]

mod api;
pub mod config;
pub mod events;
mod forwarder;
pub mod lab;
pub mod net;
pub mod node;
mod olt;
mod operations;
pub mod unix_http;
pub mod wire;

pub use config::{OltConfig, OntConfig, PolicyConfig, ServiceProfile, Tagging, TrunkConfig, VlanModel};
pub use forwarder::LineEvent;
pub use net::Carrier;
pub use node::{DropReason, OntView};
pub use olt::{Olt, OltHandle};
pub use operations::{After, OltError, OltStats, Reconfiguration};
