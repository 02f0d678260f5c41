//! Policer profiles: one for each distinct rate in use, counted by the policy words that name it.
//!
//! A profile that nobody uses any more waits for a grace period before its number means something else; asked for again in the
//! meantime, it is simply used again.

use std::collections::HashMap;

use shm_bridge::epoch::Retired;
use shm_bridge::policer::{Profile, Profiles, Rate, UNLIMITED};

use crate::engine::TableError;

#[derive(Debug)]
pub(super) struct Policers {
    table: Profiles,
    numbers: HashMap<Rate, u16>,
    /// By number.
    uses: Vec<Option<Use>>,
    free: Vec<u16>,
    retired: Retired<u16>,
}

#[derive(Clone, Copy, Debug)]
struct Use {
    rate: Rate,
    /// Policy words and directions that name it.
    count: u32,
    /// Times it stands in `retired`.
    waiting: u32,
}

impl Policers {
    /// Takes over the table. Numbers that live policy words name (`named`) are not given out until [`Policers::give_back`].
    pub fn attach(table: Profiles, named: &[u16]) -> Policers {
        let capacity = table.capacity().min(usize::from(u16::MAX) + 1);
        let mut is_named = vec![false; capacity];
        for number in named {
            if let Some(flag) = is_named.get_mut(usize::from(*number)) {
                *flag = true;
            }
        }
        let free = (1..capacity)
            .rev()
            .filter(|n| !is_named[*n])
            .filter_map(|n| u16::try_from(n).ok())
            .collect();
        Policers {
            table,
            numbers: HashMap::new(),
            uses: vec![None; capacity],
            free,
            retired: Retired::default(),
        }
    }

    /// Counts a use of `number` by a policy word found in the segment, if it is what `bits_per_second` wants.
    pub fn adopt(&mut self, number: u16, bits_per_second: u64) -> bool {
        let Some(rate) = rate(bits_per_second) else {
            return number == UNLIMITED;
        };
        let Some(slot) = self.uses.get_mut(usize::from(number)) else {
            return false;
        };
        if number == UNLIMITED || self.table.get(number) != Some(Profile::new(rate)) {
            return false;
        }
        match slot {
            Some(used) if used.rate == rate => used.count += 1,
            Some(_) => return false,
            None => {
                *slot = Some(Use {
                    rate,
                    count: 1,
                    waiting: 0,
                });
                // Two numbers may hold the same rate after a crash; one of them is the one to be found.
                self.numbers.entry(rate).or_insert(number);
            }
        }
        true
    }

    /// Numbers of `named` that nobody adopted are free again, once no worker reads them.
    pub fn give_back(&mut self, named: &[u16], epoch: u64) {
        let mut named = named.to_vec();
        named.sort_unstable();
        named.dedup();
        for number in named {
            if number != UNLIMITED
                && let Some(None) = self.uses.get(usize::from(number))
            {
                self.retired.push(epoch, number);
            }
        }
    }

    /// The profile for a rate; 0 is unlimited. One more uses it.
    pub fn acquire(&mut self, bits_per_second: u64) -> Result<u16, TableError> {
        let Some(rate) = rate(bits_per_second) else {
            return Ok(UNLIMITED);
        };
        if let Some(number) = self.numbers.get(&rate)
            && let Some(Some(used)) = self.uses.get_mut(usize::from(*number))
        {
            used.count += 1;
            return Ok(*number);
        }
        let number = self
            .free
            .pop()
            .ok_or(TableError::NoPolicer(self.uses.len().saturating_sub(1)))?;
        self.table.fill(number, Profile::new(rate));
        self.uses[usize::from(number)] = Some(Use {
            rate,
            count: 1,
            waiting: 0,
        });
        self.numbers.insert(rate, number);
        Ok(number)
    }

    /// One less uses a profile. True if nobody does: then [`Policers::retire`] is due after an epoch was opened.
    pub fn release(&mut self, number: u16) -> bool {
        match self.uses.get_mut(usize::from(number)) {
            Some(Some(used)) if used.count > 0 => {
                used.count -= 1;
                used.count == 0
            }
            _ => false,
        }
    }

    /// Nobody uses `number` since before `epoch` was opened.
    pub fn retire(&mut self, number: u16, epoch: u64) {
        if let Some(Some(used)) = self.uses.get_mut(usize::from(number)) {
            used.waiting += 1;
            self.retired.push(epoch, number);
        }
    }

    /// Takes back the numbers whose grace period is over and that nobody took up again.
    pub fn reclaim(&mut self, reached: impl Fn(u64) -> bool) {
        while let Some(number) = self.retired.pop(&reached) {
            let Some(slot) = self.uses.get_mut(usize::from(number)) else {
                continue;
            };
            if let Some(used) = slot {
                used.waiting = used.waiting.saturating_sub(1);
                if used.count > 0 || used.waiting > 0 {
                    continue;
                }
                if self.numbers.get(&used.rate) == Some(&number) {
                    self.numbers.remove(&used.rate);
                }
                *slot = None;
            }
            self.free.push(number);
        }
    }

    pub fn is_waiting(&self) -> bool {
        !self.retired.is_empty()
    }

    /// Distinct rates in use.
    pub fn in_use(&self) -> usize {
        self.uses.iter().flatten().filter(|used| used.count > 0).count()
    }
}

/// 0 is unlimited.
fn rate(bits_per_second: u64) -> Option<Rate> {
    (bits_per_second > 0).then(|| Rate::with_default_burst(bits_per_second))
}
