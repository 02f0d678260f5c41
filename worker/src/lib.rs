//! Placeholder, replaced by the first commit of this crate.

#![deny(unsafe_code)]

#[cfg(feature = "dpdk")]
#[allow(unsafe_code)]
pub mod dpdk;
