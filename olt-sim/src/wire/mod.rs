//! What an access node reads and writes in a frame: MAC addresses, VLAN tags, IPv4/UDP, DHCP and Option 82.
//!
//! Everything here is a pure function over bytes. No accessor panics on a short or malformed frame: each
//! returns `None` or an error, and the caller decides what that means.

pub mod checksum;
pub mod dhcp;
pub mod ethernet;
pub mod frame;
pub mod ipv4;
pub mod option82;
pub mod vlan;

pub use ethernet::MacAddr;
pub use frame::Frame;
pub use vlan::{Tpid, VlanId};
