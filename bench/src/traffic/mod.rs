//! Frames for measurements, deterministic by seed: who sends, what is sent, in which shares, and what must become of it.
//!
//! ```text
//!   network   the lines, MAC addresses and far ends
//!   frames    a frame of a session, and the one that must come out; spoofed, malformed and DHCP ones
//!   mix       shares of each kind
//!   maker     N frames over N sessions in shuffled order, each with its fate
//!   pcap      the file
//!   arguments the words of `sluice-bench traffic`
//! ```

pub mod arguments;
pub mod frames;
pub mod maker;
pub mod mix;
pub mod network;
pub mod pcap;

pub use maker::{Expected, Fate, Spec, Traffic};
pub use mix::Mix;
pub use network::Network;
