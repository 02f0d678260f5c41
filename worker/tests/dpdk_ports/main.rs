//! Ports, queues, pools and lcores on DPDK's software devices: no NIC, no hugepages.
//!
//! EAL starts once a process, so every story runs in a process of its own ([`story::in_own_process`]).

mod devices;
mod hashing;
mod lcores;
mod lifetime;
mod meter;
mod queues;
mod story;
mod tap;
mod telemetry;
