//! The engine's stories, one area a file.

mod access_nodes;
mod activation;
mod authorization;
mod conversation;
mod hosts;
mod law_five;
mod leases;
mod looking;
mod properties;
mod relays;
mod restart;
mod restriction;
mod scale;
