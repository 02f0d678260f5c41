//! Everything that runs packets through the pipeline without a NIC: tables in memory, frames in and out, pcap files.
//!
//! For the pipeline's own tests, and with the feature `testkit` for other crates' tests, benchmarks and fuzz targets. It
//! panics where a test should fail; nothing of it is part of the worker.
//!
//! ```
//! use sluice_worker::testkit::{Subscriber, World, packet};
//! use sluice_worker::Verdict;
//!
//! let mut world = World::new();
//! let alice = world.subscribe(Subscriber::on_line(100, 7));
//!
//! let out = world.send(0, &alice.frame(packet::udp(alice.ipv4, "198.51.100.9".parse().unwrap(), 4000, 9)));
//!
//! assert_eq!(out.verdict, Verdict::Forward { port: 1 });
//! assert_eq!(out.bytes.len(), 14 + 28, "no tags towards the core");
//! ```

pub mod packet;
pub mod pcap;
pub mod recipe;
pub mod twin;
pub mod world;

pub use packet::{Ip, Link};
pub use twin::Twin;
pub use world::{Out, Subscriber, Summary, World};
