//! DHCPv4 messages: what is accepted of a client's, and how answers are written.
//!
//! ```text
//!  payload ─► guard ─► Request ─► engine ─► Answer ─► payload + where to send it
//!               └─ Refusal (counted by name)
//! ```
//!
//! [`guard`] walks the raw bytes itself and takes out what the server needs, so no malformed option can hide another, and
//! nothing behind it has to check a length again. [`reply`] writes answers with dhcproto and appends the relay agent information as raw
//! bytes. Who gets which address is the engine's business; nothing here has a memory.

pub mod guard;
pub mod option82;
pub mod refusal;
pub mod reply;

pub use guard::{Kind, Request};
pub use option82::RelayInfo;
pub use refusal::{Notice, Refusal};
pub use reply::{Answer, Lease, ReplyKind};

/// UDP ports (RFC 2131 section 4.1).
pub const SERVER_PORT: u16 = 67;
pub const CLIENT_PORT: u16 = 68;
