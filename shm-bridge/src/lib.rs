//! What the control process and the workers share, and nothing else.
//!
//! One segment of memory holds two regions. Control writes the first, workers write the second, and each side
//! maps the other's read-only, so that every byte has one writer:
//!
//! ```text
//!  preamble          who made the segment, its geometry, the layout fingerprint   (written once, by the creator)
//!  control region    header · session rows · access index · FIB · adjacencies ·
//!                    garden · policer profiles · inject slots and heads · punt tails
//!  worker region     header · lcore blocks (epoch, counters, latency, cost) ·
//!                    session states · punt slots and heads · inject tails
//! ```
//!
//! Guarantees:
//! - Live memory is only ever touched as atomic words; no reference to plain data is made over it.
//! - Nothing read from the other region is believed: an index is checked against its table, an unknown enum value is
//!   an absent one, and no accessor panics on what it finds.
//! - A segment of another layout is refused with the name of what differs (see [`layout`]).
//!
//! How a table is changed while workers read it is told in [`epoch`], [`session`] and [`fib`].
#![deny(unsafe_code)]

pub mod access;
pub mod adjacency;
pub mod cost;
pub mod counters;
pub mod epoch;
pub mod fib;
pub mod garden;
pub mod intent;
pub mod latency;
pub mod layout;
pub mod policer;
pub mod ports;
pub mod reasons;
pub mod ring;
pub mod segment;
pub mod session;
pub mod shared;
pub mod sides;
pub mod sync;

#[cfg(all(test, loom))]
mod models;

pub use reasons::{DropReason, PuntReason};
pub use session::{Direction, SessionIndex};
pub use sides::{ControlSide, ObserverSide, WorkerSide};
