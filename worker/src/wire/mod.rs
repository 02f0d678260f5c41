//! Headers as they stand on the wire.
//!
//! Each file has one protocol: the header as a struct of bytes (zerocopy: any bytes are a valid header, alignment 1), and what
//! its fields mean. A header is looked at through a reference into the frame, taken once with the only length check there
//! is (`ref_from_prefix`); after that no accessor can fail or panic. Nothing here decides what becomes of a packet.

pub mod arp;
pub mod checksum;
pub mod ethernet;
pub mod icmp;
pub mod ipv4;
pub mod link;
pub mod udp;
pub mod vlan;
