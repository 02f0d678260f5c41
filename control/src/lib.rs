//! The control process: everything that may allocate, wait, fail, be killed and restarted.
//!
//! ```text
//!  punted DHCP ─┐                                      ┌─► publish (rows, index, FIB, policers)
//!  AAA answers ─┼─► engine (pure: sessions, pools, DHCP) ─► inject (replies)
//!  REST ────────┤        │                             ├─► store (redb, group commit), which answers
//!  OLT events ──┘        └── everybody knows `session` └─► AAA, OLT, event bus
//! ```
//!
//! [`engine`] decides and touches nothing; what it wants done goes through [`engine::World`], which the driver implements with real
//! parts and tests with remembered ones. Law 5 is in the order of its calls: a grant is committed, then published, then
//! answered; a restriction is published, then committed, then answered.
#![forbid(unsafe_code)]

pub mod aaa;
pub mod dhcp;
pub mod driver;
pub mod engine;
pub mod events;
pub mod frames;
pub mod handle;
pub mod histogram;
pub mod metrics;
pub mod neighbour;
pub mod olt;
pub mod pool;
pub mod publish;
pub mod rest;
pub mod session;
pub mod store;
