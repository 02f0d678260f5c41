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

/// The intent in shared memory, in one word so that no death leaves the rows of one publication with the stage of another:
/// stage (bits 0–3), old row (4–31), new row (32–59).
#[derive(Clone, Debug)]
pub struct IntentCell(pub(crate) Shared<AtomicU64>);

const OLD_SHIFT: u32 = 4;
const NEW_SHIFT: u32 = 32;
const INDEX_MASK: u64 = (1 << 28) - 1;

impl IntentCell {
    /// Control only, before the stage's first store.
    pub fn begin(&self, intent: Intent) {
        // Tables end at 2^20 rows, see `Geometry::validate`.
        let index = |i: Option<SessionIndex>| i.map_or(0, |i| u64::from(i.get()) & INDEX_MASK);
        let word = intent.stage as u64 | index(intent.old) << OLD_SHIFT | index(intent.new) << NEW_SHIFT;
        self.0[0].store(word, Ordering::Release);
    }

    /// Control only: the publication is complete.
    pub fn clear(&self) {
        self.0[0].store(0, Ordering::Release);
    }

    /// What was under way, if anything. Whether the rows exist is the table's to say.
    pub fn read(&self) -> Option<Intent> {
        let word = self.0[0].load(Ordering::Acquire);
        let stage = match word & 0xf {
            1 => Stage::Fill,
            2 => Stage::Leaf,
            3 => Stage::Access,
            4 => Stage::Unlink,
            5 => Stage::Retire,
            _ => return None,
        };
        let index = |shift: u32| SessionIndex::new((word >> shift & INDEX_MASK) as u32);
        Some(Intent {
            stage,
            old: index(OLD_SHIFT),
            new: index(NEW_SHIFT),
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn an_intent_reads_back_until_it_is_cleared() {
        let cell = IntentCell(Shared::on_heap(2, || AtomicU64::new(0)));
        assert_eq!(cell.read(), None);
        let last = SessionIndex::new((1 << 20) - 1);
        for stage in [
            Stage::Fill,
            Stage::Leaf,
            Stage::Access,
            Stage::Unlink,
            Stage::Retire,
        ] {
            for (old, new) in [(None, last), (last, None), (SessionIndex::new(1), last)] {
                let intent = Intent { stage, old, new };
                cell.begin(intent);
                assert_eq!(cell.read(), Some(intent));
            }
        }
        cell.clear();
        assert_eq!(cell.read(), None);
    }
}
