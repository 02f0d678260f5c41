//! How fast the pipeline is, against other programs on the same frames, the same core, in the same run.
//!
//! ```text
//!   traffic ──► F.pcap ──► net_pcap (loops) ──► program ──► net_null
//!   meter: packets by telemetry, on-CPU seconds by schedstat of the busiest thread ──► Mpps, tsc a packet
//! ```
//!
//! What can be trusted on a shared machine are ratios between programs run in turn, each a fresh process; see RESULTS.md.
#![deny(unsafe_code)]

pub mod budget;
pub mod figures;
pub mod memory;
pub mod meter;
pub mod page;
pub mod peers;
pub mod side_by_side;
pub mod tables;
pub mod traffic;
pub mod tsc;
