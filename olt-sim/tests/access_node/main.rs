//! The access node in namespaces: stock DHCP clients on its ONTs, a stand-in for the BNG on its trunk.

mod bng;
mod management;
mod stories;
mod throughput;
