//! The engine: decides everything, touches nothing.
//!
//! [`Engine::handle`] takes one [`Event`] at a time, with the time it happened, and tells a [`World`] what is to be done. The same
//! events at the same times give the same calls, so tests and simulations replay it.

pub mod api;

pub use api::*;
