//! Raw bindings to DPDK 22.11: the functions, types and constants that `worker/src/dpdk` uses, and no logic.
//!
//! ```text
//!   DPDK's headers ── bindgen (allowlist in build.rs) ──► this crate ──► worker/src/dpdk, the only user
//!   static inlines ── src/shims.c (one call a burst) ────────┘
//! ```
//!
//! Everything here is as unsafe as C. What a caller must uphold is what DPDK's own documentation says of the function
//! of that name; a `shim_` function is the inline function of the rest of its name. Ownership, lifetimes and threads
//! are the business of `worker/src/dpdk`, which gives them types.
//!
//! Linking is to the shared libraries, so drivers need no linking: EAL loads every `librte_net_*.so` of the driver
//! directory compiled into libdpdk (RTE_EAL_PMD_PATH) when it starts, and `--vdev net_tap0` works without `-d`.

#![no_std]

mod layout;

/// Generated code. bindgen writes no docs, no SAFETY comments and C's names; it asserts each type's layout as the C
/// compiler's front end sees it, and [`layout`] asserts once more the fields that Rust code touches.
#[allow(
    missing_debug_implementations,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unnecessary_transmutes,
    clippy::all,
    clippy::undocumented_unsafe_blocks
)]
mod bindings {
    include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
}

pub use bindings::*;
