//! Hostile input, guided by coverage: what the targets share.
//!
//! Each file in `targets/` is one libFuzzer program: a subscriber's or the core's frames, a client's DHCP message, the other process's
//! memory, the operator's files. `make fuzz` runs each for long, `make fuzz-short` for half a minute. They begin with `seeds/` and
//! keep what reached something new in `corpus/`; what made one fail is written to `artifacts/`, and
//!
//! ```text
//! cd fuzz && cargo run --release --bin pipeline artifacts/pipeline/crash-…
//! ```
//!
//! shows it again. A find becomes a golden case or a test beside the code, and is then fixed.

pub mod dhcp;
pub mod memory;
pub mod script;

/// What the guard takes from control's session.
pub mod session {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Mac(pub [u8; 6]);

    impl Mac {
        /// As control has it.
        pub fn is_unicast(self) -> bool {
            self.0[0] & 1 == 0 && self.0 != [0; 6]
        }
    }
}
