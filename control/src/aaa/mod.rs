//! Who says what a subscriber is entitled to.
//!
//! The engine asks through [`World::authorize`](crate::engine::World::authorize) and goes on; a [`Backend`] answers whenever it can, from
//! any thread, through the [`Answer`] it was given. So a file in memory and a RADIUS server far away look the same, and a slow or failing
//! one is the engine's case of a late or missing answer (it waits `dhcp.aaa_timeout_seconds`).

pub mod local;

use std::fmt;
use std::sync::Arc;

use crate::engine::{AaaAnswer, AaaRequest, Ticket};

pub use local::Local;

/// A subscriber database. `authorize` may not block: what takes time happens elsewhere.
pub trait Backend: Send + Sync {
    fn authorize(&self, request: AaaRequest, answer: Answer);
}

/// Where answers go: the driver turns them into [`Event::Aaa`](crate::engine::Event::Aaa).
pub type Sink = Arc<dyn Fn(Ticket, AaaAnswer) + Send + Sync>;

/// The way back of one answer. Dropped without one it says that there was none, so no request is forgotten.
pub struct Answer {
    ticket: Ticket,
    sink: Option<Sink>,
}

impl Answer {
    pub fn new(ticket: Ticket, sink: Sink) -> Answer {
        Answer {
            ticket,
            sink: Some(sink),
        }
    }

    pub fn give(mut self, answer: AaaAnswer) {
        if let Some(sink) = self.sink.take() {
            sink(self.ticket, answer);
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if let Some(sink) = self.sink.take() {
            sink(
                self.ticket,
                AaaAnswer::Failed("the backend gave no answer".into()),
            );
        }
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.ticket).finish()
    }
}
