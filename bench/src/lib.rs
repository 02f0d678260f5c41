//! How fast the pipeline is, against other programs on the same frames, the same core, in the same run.
//!
//! ```text
//!   traffic ──► F.pcap ──► net_pcap (loops) ──► program ──► net_null
//!   meter: packets by telemetry, on-CPU seconds by schedstat of the busiest thread ──► Mpps, tsc a packet
//!
//!   plan ─► side_by_side   by number of sessions, beside testpmd and l3fwd
//!        ─► features       gardens, table updates, adversarial traffic
//!        ─► lcores         one, two, two with a hand-over
//!   ground (files, tables) ─► start (a process, measured) ─► outcome ─► summary.json, page
//! ```
//!
//! What can be trusted on a shared machine are ratios between programs run in turn, each a fresh process; see RESULTS.md. In every
//! run each file of ours also passes once and is compared byte by byte, and after each start every packet is accounted for.
#![deny(unsafe_code)]

pub mod budget;
pub mod bursts;
pub mod conservation;
pub mod cores;
pub mod features;
pub mod figures;
pub mod goals;
pub mod ground;
pub mod latency;
pub mod layout;
pub mod lcores;
pub mod leftovers;
pub mod memory;
pub mod meter;
pub mod outcome;
pub mod page;
pub mod peers;
pub mod plan;
pub mod program;
pub mod settings;
pub mod side_by_side;
pub mod stand;
pub mod start;
pub mod summary;
pub mod tables;
pub mod traffic;
pub mod tsc;
pub mod turn;
