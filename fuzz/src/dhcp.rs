//! control's guard, compiled from its own files: control itself takes minutes to build, and these files depend on nothing.

#[path = "../../control/src/dhcp/guard.rs"]
#[rustfmt::skip]
pub mod guard;
#[path = "../../control/src/dhcp/option82.rs"]
pub mod option82;
#[path = "../../control/src/dhcp/refusal.rs"]
pub mod refusal;

pub use guard::Request;
pub use option82::RelayInfo;
