//! A tester for any two ports: throughput without loss (NDR), with a little (PDR), and latency, after RFC 2544.
//!
//! ```text
//!   subscribers  session i ─► tags, MAC, address: a rule, no list
//!   frames       what is sent for session i, and what must come back, byte by byte
//!   account      per session: lost, duplicated, reordered
//!   pace         when the next frame is due; says what the tester itself missed
//!   pauses       when the tester itself stood still
//!   settle       a rate's verdict: trials that the tester spoiled are made again
//!   search       the highest rate that keeps a bound on loss
//!   trial        (feature dpdk) one measurement on two ports, one lcore
//! ```
//!
//! Everything but `trial` is plain arithmetic and tested without a device.

pub mod account;
pub mod frames;
pub mod pace;
pub mod pauses;
pub mod search;
pub mod settle;
pub mod subscribers;
#[cfg(feature = "dpdk")]
pub mod trial;
