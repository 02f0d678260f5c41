//! What the kernel gives: network namespaces, TAP devices, packet sockets.
//!
//! [`tap`] and [`packet_socket`] hold the crate's system calls that have no safe wrapper; what they offer is
//! safe.

pub mod namespace;
#[allow(unsafe_code)]
pub mod packet_socket;
#[allow(unsafe_code)]
pub mod tap;

pub use namespace::Netns;
pub use packet_socket::PacketSocket;
pub use tap::{Carrier, Tap};
