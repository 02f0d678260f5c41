//! The packet processor.
//!
//! ```text
//! wire ← stages ← pipeline ← lcore ← main
//!                               └── dpdk (feature), the only place that knows DPDK
//! ```
//!
//! Without features this is the pure pipeline: headers ([`wire`]), the stages of a packet's way ([`stages`]) and their order
//! ([`pipeline`]), over frames in any memory ([`frame`], [`burst`]). It has no clock, no thread and no allocation per packet, and is
//! tested, fuzzed, replayed and counted in instructions as it runs. `testkit` builds tables and runs frames through it.
#![deny(unsafe_code)]

pub mod answer;
pub mod burst;
pub mod context;
pub mod counts;
pub mod encapsulation;
pub mod express;
pub mod frame;
pub mod icmp_error;
pub mod laps;
pub mod line;
pub mod ndr;
pub mod owner;
pub mod packet;
pub mod pipeline;
pub mod ports;
pub mod punt_policer;
#[allow(unsafe_code)]
pub mod simd;
pub mod stages;
#[cfg(any(test, feature = "testkit"))]
pub mod testkit;
pub mod verdict;
pub mod wire;

#[cfg(feature = "dpdk")]
pub mod assembly;
#[cfg(feature = "dpdk")]
#[allow(unsafe_code)]
pub mod dpdk;
#[cfg(feature = "dpdk")]
pub mod housekeeping;
#[cfg(feature = "dpdk")]
pub mod idle;
#[cfg(feature = "dpdk")]
pub mod lcore;
#[cfg(feature = "dpdk")]
pub mod telemetry;

pub use burst::{Burst, Lane, StrippedTags};
pub use context::Context;
pub use frame::Frame;
pub use owner::{Owners, Spread};
pub use ports::{Port, Ports};
pub use verdict::{Verdict, Way};
