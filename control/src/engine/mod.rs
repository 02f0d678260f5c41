//! The engine: decides everything, touches nothing.
//!
//! [`Engine::handle`] takes one [`Event`] at a time, with the time it happened, and tells a [`World`] what is to be done. The same
//! events at the same times give the same calls, so tests and simulations replay it.

pub mod api;

pub use api::*;

use std::sync::Arc;

use sluice_config::Config;

use crate::session::{Session, SessionId};

/// All sessions, pools and conversations of one gateway.
#[derive(Debug)]
pub struct Engine {
    sessions: std::collections::BTreeMap<SessionId, Session>,
}

impl Engine {
    /// An engine that goes on from what the store held.
    pub fn new(_config: Arc<Config>, restored: Restored, _now: Now) -> Engine {
        Engine {
            sessions: restored.sessions.into_iter().map(|s| (s.id, s)).collect(),
        }
    }

    /// Takes note of one event.
    pub fn handle(&mut self, _now: Now, _event: Event, _world: &mut impl World) {}

    /// Every session that workers should see, with the row it had. For the driver, before the first event.
    pub fn images(&self) -> Vec<SessionImage> {
        Vec::new()
    }

    /// The session's row is another one, or its counters began anew. For the driver, before the first event.
    pub fn rebase(&mut self, session: SessionId, row: ReservedRow) {
        if let Some(session) = self.sessions.get_mut(&session) {
            session.row = row.row.get();
            session.row_generation = row.generation;
            session.baseline = row.baseline;
        }
    }
}
