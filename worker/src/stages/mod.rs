//! The stages of a packet's way, one file each. What a stage promises stands at the top of its file.
//!
//! A stage is `run(burst, context)`: a loop over the live lanes around a function that judges one packet. Stages know neither
//! DPDK nor each other; what they share is the lanes' [`Meta`](crate::burst::Meta). The order is
//! [`pipeline`](crate::pipeline)'s.

pub mod account;
pub mod antispoof;
pub mod arp;
pub mod destination;
pub mod dhcp;
pub mod encap;
pub mod fib;
pub mod garden;
pub mod limits;
pub mod local;
pub mod next_hop;
pub mod owner;
pub mod parse;
pub mod police;
pub mod rewrite;
pub mod session;
