//! What the end-to-end stories share: a started `World`, the BNG's counters before and after, and packets
//! made by scapy where no stock program would send them.
//!
//! A story runs the real `sluice-worker` on net_tap ports and the real `sluice-control`, in namespaces of its
//! own. It needs root and the programs (`make build-debug`); without them it fails and says so.

#![forbid(unsafe_code)]

pub mod counters;
pub mod frames;
pub mod gateway;
pub mod homes;
pub mod hostile;
pub mod pair;
pub mod scapy;
pub mod telemetry;
pub mod world;

pub use counters::Drops;
pub use hostile::{Attempt, BNG_MAC};
pub use scapy::Scapy;
pub use telemetry::Telemetry;
pub use world::{activate, activate_all, connect, eventually, sessions, start};

use std::time::Duration;

/// For an answer that must come.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// For an answer that must not come: what is on its way has long arrived then.
pub const SILENCE: Duration = Duration::from_millis(600);
