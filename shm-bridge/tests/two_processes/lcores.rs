//! The worker: each lcore a thread that looks subscribers up in bursts and watches what it reached until the burst is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use shm_bridge::SessionIndex;
use shm_bridge::access::Found;
use shm_bridge::epoch;
use shm_bridge::fib::Leaf;
use shm_bridge::ring::{Consumer, Producer};
use shm_bridge::sides::{Tables, WorkerSide};

use crate::common::Random;
use crate::frames::Frames;
use crate::gardens;
use crate::subscribers::{self, LCORES, Place, STABLE, SUBSCRIBERS};

const BURST: usize = 32;

/// How long a burst is held: now and then a millisecond makes every reuse that is too early visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Quick,
    Dawdling,
}

/// What the lcores saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub bursts: u64,
    pub lookups: u64,
    pub found: u64,
    pub slept: u64,
    /// Frames taken from control, and sent to it.
    pub frames: u64,
    pub sent: u64,
    /// Rows that were another's, a mixture, or changed during a burst.
    pub mixed: u64,
    /// Stable subscribers that were not found.
    pub lost: u64,
    pub bad_frames: u64,
    /// Bursts that were judged by two versions of the garden, or by none.
    pub garden_mixed: u64,
}

impl Report {
    const NAMES: [&str; 10] = [
        "bursts",
        "lookups",
        "found",
        "slept",
        "frames",
        "sent",
        "mixed",
        "lost",
        "bad_frames",
        "garden_mixed",
    ];

    fn numbers(&mut self) -> [&mut u64; 10] {
        [
            &mut self.bursts,
            &mut self.lookups,
            &mut self.found,
            &mut self.slept,
            &mut self.frames,
            &mut self.sent,
            &mut self.mixed,
            &mut self.lost,
            &mut self.bad_frames,
            &mut self.garden_mixed,
        ]
    }

    pub fn add(&mut self, mut other: Report) {
        for (sum, part) in self.numbers().into_iter().zip(other.numbers()) {
            *sum += *part;
        }
    }

    /// One line: `report bursts=1 lookups=2 …`.
    pub fn line(mut self) -> String {
        let numbers = self.numbers().map(|number| *number);
        let words = Report::NAMES
            .iter()
            .zip(numbers)
            .map(|(name, number)| format!("{name}={number}"));
        format!("report {}", words.collect::<Vec<_>>().join(" "))
    }

    pub fn parse(line: &str) -> Option<Report> {
        let mut report = Report::default();
        let words = line.strip_prefix("report ")?.split(' ');
        for ((word, name), number) in words.zip(Report::NAMES).zip(report.numbers()) {
            *number = word.strip_prefix(name)?.strip_prefix('=')?.parse().ok()?;
        }
        Some(report)
    }

    pub fn assert_clean(&self) {
        let bad = [self.mixed, self.lost, self.bad_frames, self.garden_mixed];
        assert_eq!(bad, [0; 4], "{self:?}");
        assert!(self.found > 0, "{self:?}");
    }
}

/// Runs all lcores until `stop`.
pub fn run(side: &mut WorkerSide, pace: Pace, stop: &AtomicBool) -> Report {
    let generation = side.generation();
    let tables = &side.tables;
    let rings = side.punts.iter_mut().zip(&mut side.injects);
    let mut sum = Report::default();
    thread::scope(|scope| {
        let lcores: Vec<_> = rings
            .take(LCORES)
            .enumerate()
            .map(|(slot, (punt, inject))| {
                let mut lcore = Lcore {
                    tables,
                    slot,
                    punt,
                    inject,
                    frames: Frames::default(),
                    random: Random::new((generation << 8) | (slot as u64 + 1)),
                    pace,
                    held: Vec::with_capacity(BURST),
                    report: Report::default(),
                };
                tables.lcores.get(slot).unwrap().generation.set(generation);
                scope.spawn(move || lcore.run(stop))
            })
            .collect();
        for lcore in lcores {
            sum.add(lcore.join().unwrap());
        }
    });
    sum
}

struct Lcore<'a> {
    tables: &'a Tables,
    slot: usize,
    punt: &'a mut Producer,
    inject: &'a mut Consumer,
    frames: Frames,
    random: Random,
    pace: Pace,
    /// Rows this burst reached: whose, which, and their generation then.
    held: Vec<(u32, SessionIndex, u32)>,
    report: Report,
}

impl Lcore<'_> {
    fn run(&mut self, stop: &AtomicBool) -> Report {
        let block = self.tables.lcores.get(self.slot).unwrap();
        let global = self.tables.epoch();
        epoch::go_online(global, &block.epoch);
        while !stop.load(Ordering::Relaxed) {
            epoch::quiesce(global, &block.epoch);
            self.burst();
            block.bursts.add(1);
            // The first lcore polls for ever; the others sleep now and then.
            if self.slot > 0 && self.random.below(32) == 0 {
                epoch::go_offline(&block.epoch);
                thread::sleep(Duration::from_micros(self.random.below(300)));
                epoch::go_online(global, &block.epoch);
                self.report.slept += 1;
            }
        }
        epoch::go_offline(&block.epoch);
        self.report.sent = u64::from(self.frames.sent());
        self.report.bad_frames = self.frames.bad;
        self.report
    }

    fn burst(&mut self) {
        self.held.clear();
        let index = self.tables.gardens.index();
        let port = gardens::port_of(index);
        for lane in 0..BURST {
            let n = self.random.below(u64::from(SUBSCRIBERS)) as u32;
            let place = match n < STABLE {
                true => Place::of_stable(n),
                false => Place::BOTH[self.random.below(2) as usize],
            };
            let reached = if lane % 2 == 0 {
                self.upstream(n, place)
            } else {
                self.downstream(n, place)
            };
            self.report.lookups += 1;
            match reached {
                Some(index) => self.hold(n, index),
                None if n < STABLE => self.report.lost += 1,
                None => {}
            }
        }
        match self.pace {
            Pace::Dawdling if self.random.below(4) == 0 => thread::sleep(Duration::from_millis(1)),
            _ => thread::yield_now(),
        }
        if port.is_none() || gardens::port_of(index) != port {
            self.report.garden_mixed += 1;
        }
        for (n, index, generation) in &self.held {
            if !is_of(self.tables, *n, *index, Some(*generation)) {
                self.report.mixed += 1;
            }
        }
        while self.frames.take(self.inject) {
            self.report.frames += 1;
        }
        if self.random.below(4) == 0 {
            self.frames.send(self.punt, self.slot);
        }
        self.report.bursts += 1;
    }

    fn upstream(&self, n: u32, place: Place) -> Option<SessionIndex> {
        match self
            .tables
            .access
            .lookup(&subscribers::key(n, place), &self.tables.rows)
        {
            Found::Session(index) => Some(index),
            Found::NoSession | Found::UnknownLine => None,
        }
    }

    fn downstream(&self, n: u32, place: Place) -> Option<SessionIndex> {
        let address = u32::from(subscribers::address(n, place));
        match self.tables.fib.lookup(address) {
            // As the pipeline does: a leaf is believed when the row has the address.
            Leaf::Session(index) if self.tables.rows.get(index)?.ipv4() == address => Some(index),
            _ => None,
        }
    }

    fn hold(&mut self, n: u32, index: SessionIndex) {
        self.report.found += 1;
        if !is_of(self.tables, n, index, None) {
            self.report.mixed += 1;
            return;
        }
        let generation = self.tables.rows.get(index).map_or(0, |row| row.generation());
        self.held.push((n, index, generation));
    }
}

/// Whether a row is this subscriber's, whole and sealed, and of the same use as before.
fn is_of(tables: &Tables, n: u32, index: SessionIndex, generation: Option<u32>) -> bool {
    tables.rows.get(index).is_some_and(|cells| {
        let row = cells.read();
        cells.is_sealed()
            && subscribers::owner(&row).is_some_and(|(owner, _)| owner == n)
            && generation.is_none_or(|generation| generation == row.generation)
    })
}
