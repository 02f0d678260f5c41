//! What a fuzzer's bytes mean to the gateway: a script of frames, and of what happens between them.
//!
//! ```text
//!   first     whether frames come one by one and policers are tight, or in full bursts and nobody is policed
//!   n < 192   a frame made from the next n % 96 bytes (`testkit::recipe`)
//!   n ≥ 192   the burst ends here; then by n:
//!   < 208       time passes
//!   < 224       a line's policy becomes another
//!   ≥ 224       a word of the tables becomes another, where the other process is hostile
//! ```
//!
//! In a burst the express way charges common packets before rarer ones (docs/decisions/0004-express-way.md), so which of a session's
//! packets is policed is compared where each is alone; in bursts the other process leaves the policers as they are.

use std::collections::BTreeSet;

use shm_bridge::session::{Policy, RowState};
use sluice_worker::testkit::Twin;
use sluice_worker::testkit::recipe::{self, Arriving};
use sluice_worker::testkit::world::GARDEN;

use crate::memory::Memories;

/// Frames of one script: bursts enough on every port, and an input stays short.
const FRAMES_MAX: usize = 256;
/// Longer than any bucket of the worlds takes to fill.
const PAUSE_NS: u64 = 100_000_000_000;

/// Two worlds, and perhaps a process that writes into their tables. Kept from input to input: only what a script changes is put
/// back, and enough time passes that every bucket is full again, so an input does the same whenever it is run.
#[derive(Debug)]
pub struct Stage {
    twin: Twin,
    hostile: Option<Hostile>,
}

/// The other process.
#[derive(Debug)]
struct Hostile {
    memories: Memories,
    /// The words that make a policer tight or wide.
    policers: BTreeSet<u64>,
}

impl Stage {
    /// Both processes keep to the rules.
    pub fn honest() -> Stage {
        Stage {
            twin: Twin::new(),
            hostile: None,
        }
    }

    /// Control writes what it likes.
    pub fn hostile() -> Stage {
        let mut stage = Stage::honest();
        stage.police(true);
        let worlds = [&stage.twin.express, &stage.twin.stages];
        let memories = Memories::of(worlds).expect("this process's own memory");
        let before = memories.contents();
        stage.police(false);
        let policers = before
            .difference(&memories.contents())
            .map(|(word, _)| *word)
            .collect();
        stage.hostile = Some(Hostile { memories, policers });
        stage
    }

    /// Runs a script. Panics where the two ways differ or a law is broken.
    pub fn play(&mut self, script: &[u8]) {
        let lines = self.twin.lines.clone();
        for line in &lines {
            self.twin.set_policy(line, line.policy);
        }
        self.twin.wait(PAUSE_NS);
        let mut script = Script(script);
        let alone = script.next().is_none_or(|word| word % 2 == 0);
        self.police(alone);

        let mut arrivals: Vec<Arriving> = Vec::new();
        let mut frames = 0;
        while let Some(word) = script.next() {
            if word < 192 {
                arrivals.push(recipe::arriving(script.take(usize::from(word % 96)), &lines));
                frames += 1;
                if frames == FRAMES_MAX {
                    break;
                }
                if !alone {
                    continue;
                }
            }
            self.twin.bursts(&arrivals);
            arrivals.clear();
            match word {
                ..192 => {}
                192..208 => self.twin.wait(1000 << (word % 16)),
                208..224 => {
                    let which = usize::from(script.next().unwrap_or(0));
                    self.twin.set_policy(&lines[which % lines.len()], policy(word));
                }
                224.. => {
                    if let Some(Hostile { memories, policers }) = &mut self.hostile {
                        // What a garden permitted before stands until its index is replaced, which a stray word is not: both are
                        // to judge by what the memory says now.
                        self.twin.express.context.permitted.clear();
                        let place = memories.word(script.number(2) as usize);
                        let value = script.number(8);
                        if alone || !policers.contains(&place) {
                            memories.write(place, word, value);
                        }
                    }
                }
            }
        }
        self.twin.bursts(&arrivals);
        self.twin.compare_states();
        if let Some(hostile) = &mut self.hostile {
            hostile.memories.restore();
            self.twin.express.context.permitted.clear();
        }
    }
}

impl Stage {
    /// Makes the lines' policer one that a few packets fill, or one that no script does.
    fn police(&mut self, tight: bool) {
        let (bits_per_second, burst_bytes) = if tight {
            (8_000, 400)
        } else {
            (8_000_000_000, 1_000_000)
        };
        for world in [&mut self.twin.express, &mut self.twin.stages] {
            world.policer(1, bits_per_second, burst_bytes);
        }
    }
}

/// The bytes of a script, one after the other.
struct Script<'s>(&'s [u8]);

impl<'s> Script<'s> {
    fn next(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    /// As many as there are, up to `count`.
    fn take(&mut self, count: usize) -> &'s [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// A number of up to eight bytes, little-endian.
    fn number(&mut self, bytes: usize) -> u64 {
        let taken = self.take(bytes).iter().rev();
        taken.fold(0, |number, byte| number << 8 | u64::from(*byte))
    }
}

fn policy(word: u8) -> Policy {
    let active = Policy::new(RowState::Active);
    match word % 8 {
        0 => active,
        1 => active.with_policers(1, 1),
        2 => active.isolated(),
        3 => Policy::new(RowState::Wgar).with_garden(GARDEN),
        4 => Policy::new(RowState::Suspended).with_garden(GARDEN),
        5 => Policy::new(RowState::Terminated),
        6 => active.with_policers(9999, 0),
        _ => Policy::new(RowState::Suspended),
    }
}
