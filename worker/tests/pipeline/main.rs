//! Packets through the pipeline, told one by one: verdict, bytes and exact counters.
//!
//! Every burst also checks the sum of law 2 (see the test kit). The world they happen in is drawn in
//! `sluice_worker::testkit::world`.

mod arp;
mod corrupt_tables;
mod dhcp;
mod forwarding;
mod garden;
mod handing_over;
mod icmp_errors;
mod ipv4_rules;
mod local;
mod nic_spread;
mod policing;
mod routes;
mod spoofing;
mod states;
mod subscriber_to_subscriber;
mod tags;
