//! The intent: what control was about to do to the tables when it died.
//!
//! Publishing a session is several stores. Control writes here first which rows are concerned, and clears it at the end; a
//! successor finds it, knows which session may be half published, and completes it from the store's truth.

use crate::session::SessionIndex;
use crate::shared::Shared;
use crate::sync::{AtomicU64, Ordering};

/// How far a publication went: each stage was begun, maybe not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    Fill = 1,
    Leaf = 2,
    Access = 3,
    Unlink = 4,
    Retire = 5,
}

/// A publication that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intent {
    pub stage: Stage,
    pub old: Option<SessionIndex>,
    pub new: Option<SessionIndex>,
}

/// The intent in shared memory: word 0 the stage, word 1 the old row (lower half) and the new one.
#[derive(Clone, Debug)]
pub struct IntentCell(pub(crate) Shared<AtomicU64>);

impl IntentCell {
    /// Control only, before the stage's first store.
    pub fn begin(&self, intent: Intent) {
        let index = |i: Option<SessionIndex>| i.map_or(0, |i| u64::from(i.get()));
        self.0[1].store(index(intent.old) | index(intent.new) << 32, Ordering::Relaxed);
        self.0[0].store(intent.stage as u64, Ordering::Release);
    }

    /// Control only: the publication is complete.
    pub fn clear(&self) {
        self.0[0].store(0, Ordering::Release);
    }

    /// What was under way, if anything.
    pub fn read(&self) -> Option<Intent> {
        let stage = match self.0[0].load(Ordering::Acquire) {
            1 => Stage::Fill,
            2 => Stage::Leaf,
            3 => Stage::Access,
            4 => Stage::Unlink,
            5 => Stage::Retire,
            _ => return None,
        };
        let rows = self.0[1].load(Ordering::Relaxed);
        let (old, new) = (
            SessionIndex::new(rows as u32),
            SessionIndex::new((rows >> 32) as u32),
        );
        Some(Intent { stage, old, new })
    }
}
