//! A small provider in network namespaces, for the demonstration and the end-to-end tests.
//!
//! ```text
//!  cpe1 … cpeN                    core
//!  ┌──────────┐   access node    ┌───────────────────────────────────────────┐
//!  │ udhcpc   │   (this          │ slacc0 ═ sluice-worker ═ slcore0          │
//!  │ eth0=TAP ├──► process) ════►│  (TAP)    sluice-control   192.0.2.1/24   │
//!  └──────────┘    QinQ          │                            portal, DNS,   │
//!                                │                            internet host  │
//!                                └───────────────────────────────────────────┘
//! ```
//!
//! The worker runs in the namespace of the core side: both its ports are TAPs there. They are made before
//! the worker, so they and their addresses survive it. The access TAP has no address and the kernel
//! forwards nothing, so the only way from a subscriber to a core service is through the worker.
//!
//! Everything made here goes away with its value; if this process is killed, a small watcher ([`Lab`])
//! removes what is left.

pub mod core_side;
pub mod cpe;
pub mod dns;
pub mod flow;
pub mod namespace;
pub mod probes;
pub mod process;
#[allow(unsafe_code)]
mod spawn;
pub mod world;

pub use core_side::{CoreConfig, CoreSide};
pub use cpe::{Client, Cpe, Lease, WatchLink};
pub use namespace::{Lab, Namespace};
pub use process::Process;
pub use world::{World, WorldSpec};
