//! Control's side: builds the next index beside the live one, and makes it the live one.

use super::index::Half;
use super::plan::Plan;
use super::{Gardens, HALVES, Rule};
use crate::sync::Ordering;

/// Why gardens could not be published. Nothing has changed then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GardenError {
    #[error("{found} rules are more than {limit}: raise limits.garden_rules")]
    TooManyRules { found: usize, limit: usize },
    #[error("the index of the gardens is larger than the segment's room for it: raise limits.garden_rules")]
    NoRoom,
    #[error("the gardens before these rest until no worker reads them")]
    Resting,
}

/// The gardens, held by their only writer.
#[derive(Debug)]
pub struct GardenWriter {
    gardens: Gardens,
    rest: Rest,
}

/// Whether workers may be reading the half that is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Over,
    /// It was live a moment ago, and no epoch was opened since.
    Unlinked,
    Until(u64),
}

impl GardenWriter {
    /// Takes over the gardens as they are. A grace period must have passed since an earlier control's last store.
    pub fn attach(gardens: Gardens) -> GardenWriter {
        GardenWriter {
            gardens,
            rest: Rest::Over,
        }
    }

    pub fn gardens(&self) -> &Gardens {
        &self.gardens
    }

    /// From now on these are all the profiles there are.
    pub fn publish<'a>(
        &mut self,
        profiles: impl IntoIterator<Item = (u8, &'a [Rule])>,
    ) -> Result<(), GardenError> {
        let profiles: Vec<_> = profiles.into_iter().collect();
        let found = profiles.iter().map(|(_, rules)| rules.len()).sum();
        let limit = self.gardens.rule_capacity();
        if found > limit {
            return Err(GardenError::TooManyRules { found, limit });
        }
        // Not worth building before.
        if self.rest != Rest::Over {
            return Err(GardenError::Resting);
        }
        self.publish_plan(&Plan::of(profiles))
    }

    /// Copies an index into the half that is not live, and makes it live.
    pub(crate) fn publish_plan(&mut self, plan: &Plan) -> Result<(), GardenError> {
        if self.rest != Rest::Over {
            return Err(GardenError::Resting);
        }
        let live = self.gardens.live[0].load(Ordering::Relaxed).wrapping_add(1);
        let next = live as usize % HALVES;
        let half = &self.gardens.halves[next];
        half.check_room(plan)?;
        half.fill(plan);
        // Release: who sees the half live sees it filled.
        self.gardens.live[0].store(live, Ordering::Release);
        self.rest = Rest::Unlinked;
        Ok(())
    }

    /// An epoch was opened: when it is reached, nobody reads what was live before the last publication.
    pub fn retire(&mut self, epoch: u64) {
        if self.rest == Rest::Unlinked {
            self.rest = Rest::Until(epoch);
        }
    }

    /// Lets the half that is not live be written again, if `reached` holds for its epoch.
    pub fn reclaim(&mut self, reached: impl Fn(u64) -> bool) {
        if matches!(self.rest, Rest::Until(epoch) if reached(epoch)) {
            self.rest = Rest::Over;
        }
    }

    /// Whether what was live before waits for an epoch to be opened.
    pub fn wants_epoch(&self) -> bool {
        self.rest == Rest::Unlinked
    }

    /// Whether a grace period runs, or has to be begun.
    pub fn is_waiting(&self) -> bool {
        self.rest != Rest::Over
    }
}

impl Half {
    /// By the sums of [`super::index`] there is room for as many rules as there may be.
    fn check_room(&self, plan: &Plan) -> Result<(), GardenError> {
        let fits = self.profiles.len() >= plan.profiles.len()
            && self.root.len() >= plan.root.len()
            && self.nodes.len() >= plan.nodes.len()
            && self.lone.len() >= plan.lone.len()
            && self.rules.len() >= plan.rules.len();
        if fits { Ok(()) } else { Err(GardenError::NoRoom) }
    }

    fn fill(&self, plan: &Plan) {
        for (cell, word) in self.profiles.iter().zip(&plan.profiles) {
            cell.store(*word, Ordering::Relaxed);
        }
        for (cell, word) in self.root.iter().zip(&plan.root) {
            cell.store(*word, Ordering::Relaxed);
        }
        let nodes = self.nodes.iter().flatten();
        for (cell, word) in nodes.zip(plan.nodes.iter().flatten()) {
            cell.store(*word, Ordering::Relaxed);
        }
        let lone = self.lone.iter().flatten();
        for (cell, word) in lone.zip(plan.lone.iter().flatten()) {
            cell.store(*word, Ordering::Relaxed);
        }
        for (cell, word) in self.rules.iter().zip(&plan.rules) {
            cell.store(*word, Ordering::Relaxed);
        }
    }
}
