//! Control as these tests need it: publishes, moves and withdraws sessions in the order that docs/shared-memory.md gives, and
//! takes over what a killed one left. The truth that the real control has in its store is here what a row says of itself.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use shm_bridge::SessionIndex;
use shm_bridge::access::{AccessWriter, LineModel};
use shm_bridge::epoch::Retired;
use shm_bridge::fib::{FibWriter, Leaf, Prefix};
use shm_bridge::garden::GardenWriter;
use shm_bridge::intent::{Intent, Stage};
use shm_bridge::session::RowState;
use shm_bridge::sides::ControlSide;

use crate::common::Random;
use crate::frames::Frames;
use crate::gardens;
use crate::subscribers::{self, LCORES, Place, S_VLANS, STABLE, SUBSCRIBERS};

/// Whether rows wait for their grace period. Without, the test must find what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grace {
    Kept,
    Skipped,
}

pub struct Publisher {
    pub side: ControlSide,
    fib: FibWriter,
    access: AccessWriter,
    gardens: GardenWriter,
    /// Where each subscriber is, and his row.
    sessions: HashMap<u32, (Place, SessionIndex)>,
    free: Vec<SessionIndex>,
    /// Retired since the last epoch was opened.
    leaving: Vec<SessionIndex>,
    retired: Retired<SessionIndex>,
    frames: Vec<Frames>,
    random: Random,
    grace: Grace,
    pub counts: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub published: u64,
    pub moved: u64,
    pub withdrawn: u64,
    pub policies: u64,
    pub epochs: u64,
    /// Rows that were filled again after somebody else's use.
    pub reused: u64,
    pub frames: u64,
    /// Versions of the garden.
    pub gardens: u64,
}

impl Publisher {
    /// Takes the tables as they are, completes what was under way, and puts everybody stable in his place.
    pub fn attach(side: ControlSide, grace: Grace, seed: u64) -> Publisher {
        let mut access = AccessWriter::attach(side.tables.access.clone());
        access.configure(1, S_VLANS[0], Some(LineModel::OneToOne));
        access.configure(1, S_VLANS[1], Some(LineModel::ManyToOne));
        let mut publisher = Publisher {
            fib: FibWriter::attach(side.tables.fib.clone()),
            gardens: GardenWriter::attach(side.tables.gardens.clone()),
            access,
            sessions: HashMap::new(),
            free: Vec::new(),
            leaving: Vec::new(),
            retired: Retired::default(),
            frames: (0..LCORES).map(|_| Frames::default()).collect(),
            random: Random::new(seed),
            grace,
            counts: Counts::default(),
            side,
        };
        publisher.take_over();
        publisher.next_gardens();
        for n in 0..STABLE {
            publisher.publish(n, Place::of_stable(n));
        }
        publisher
    }

    fn take_over(&mut self) {
        let rows = self.side.tables.rows.clone();
        let unfinished = self.side.intent.read();
        for index in rows.indexes() {
            let cells = rows.get(index).unwrap();
            let row = cells.read();
            if !cells.is_sealed() || row.policy.state() == RowState::Free {
                continue;
            }
            let Some((n, place)) = subscribers::owner(&row) else {
                continue;
            };
            // Of two rows of one subscriber the intent names which is coming and which is going.
            let going = unfinished.is_some_and(|intent| intent.old == Some(index));
            if !going || !self.sessions.contains_key(&n) {
                self.sessions.insert(n, (place, index));
            }
        }
        for (n, (place, index)) in &self.sessions {
            let address = subscribers::address(*n, *place);
            self.fib.load(Prefix::host(address), Leaf::Session(*index));
            self.access
                .set(&subscribers::key(*n, *place), *index, &rows)
                .unwrap();
        }
        self.fib.load(subscribers::pool(), Leaf::Discard);
        while self.fib.reconcile().is_err() {
            self.wait_for_grace();
        }
        let kept: HashSet<SessionIndex> = self.sessions.values().map(|(_, index)| *index).collect();
        self.access.sweep(|index| kept.contains(&index));
        self.side.intent.clear();
        // Nothing reaches the other rows now; who reached them before is waited for.
        self.wait_for_grace();
        self.free = rows.indexes().filter(|index| !kept.contains(index)).collect();
        for index in &self.free {
            let cells = rows.get(*index).unwrap();
            cells.set_policy(shm_bridge::session::Policy(cells.policy().0 & !0xf));
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            for _ in 0..8 {
                self.step();
            }
            self.open_epoch();
            self.reclaim();
            self.frames();
            if !self.gardens.is_waiting() {
                self.next_gardens();
            }
        }
        self.quiet();
    }

    /// Until every frame that the workers sent has come, or a second has passed.
    fn quiet(&mut self) {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end && self.side.punts.iter().any(|ring| ring.has_frames()) {
            self.frames();
        }
    }

    pub fn step(&mut self) {
        let n = self.random.below(u64::from(SUBSCRIBERS)) as u32;
        let now = self.sessions.get(&n).copied();
        match (self.random.below(8), now) {
            (0, Some((_, index))) => {
                let state = [RowState::Active, RowState::Suspended][self.random.below(2) as usize];
                let row = self.side.tables.rows.get(index).unwrap();
                row.set_policy(subscribers::policy(n, state));
                self.counts.policies += 1;
            }
            (1, Some(_)) if n >= STABLE => self.withdraw(n),
            (2..=4, Some((place, _))) if n >= STABLE => {
                self.publish(n, place.other());
                self.counts.moved += 1;
            }
            (_, Some((place, _))) => self.publish(n, place),
            (choice, None) => self.publish(n, Place::BOTH[choice as usize % 2]),
        }
    }

    /// Gives a subscriber a new row, in his place or in another.
    fn publish(&mut self, n: u32, place: Place) {
        while self.free.is_empty() {
            self.open_epoch();
            self.reclaim();
        }
        let old = self.sessions.get(&n).copied();
        let new = match self.grace {
            // The longest free one: others had their time.
            Grace::Kept => self.free.pop().unwrap(),
            Grace::Skipped => self.free.remove(0),
        };
        let begin = |side: &ControlSide, stage| {
            side.intent.begin(Intent {
                stage,
                old: old.map(|(_, index)| index),
                new: Some(new),
            });
        };
        let rows = self.side.tables.rows.clone();
        begin(&self.side, Stage::Fill);
        let cells = rows.get(new).unwrap();
        let generation = cells.generation() + 1;
        self.counts.reused += u64::from(generation > 1);
        cells.fill(&subscribers::row(n, place, generation));
        begin(&self.side, Stage::Leaf);
        let address = Prefix::host(subscribers::address(n, place));
        while self.fib.set(address, Leaf::Session(new)).is_err() {
            self.open_epoch();
            self.reclaim();
        }
        begin(&self.side, Stage::Access);
        self.access.set(&subscribers::key(n, place), new, &rows).unwrap();
        if let Some((before, index)) = old {
            begin(&self.side, Stage::Unlink);
            if subscribers::address(n, before) != subscribers::address(n, place) {
                self.fib.remove(Prefix::host(subscribers::address(n, before)));
            }
            if before != place {
                self.access.clear(&subscribers::key(n, before), index);
            }
            begin(&self.side, Stage::Retire);
            self.retire(n, index);
        }
        self.side.intent.clear();
        self.sessions.insert(n, (place, new));
        self.counts.published += 1;
    }

    /// The next version of the garden, in one store.
    fn next_gardens(&mut self) {
        let version = self.random.next() as u32;
        let rules = gardens::rules(version);
        self.gardens.publish([(gardens::PROFILE, &rules[..])]).unwrap();
        if self.grace == Grace::Skipped {
            self.gardens.retire(0);
            self.gardens.reclaim(|_| true);
        }
        self.counts.gardens += 1;
    }

    fn withdraw(&mut self, n: u32) {
        let Some((place, index)) = self.sessions.remove(&n) else {
            return;
        };
        self.side.intent.begin(Intent {
            stage: Stage::Unlink,
            old: Some(index),
            new: None,
        });
        self.fib.remove(Prefix::host(subscribers::address(n, place)));
        self.access.clear(&subscribers::key(n, place), index);
        self.retire(n, index);
        self.side.intent.clear();
        self.counts.withdrawn += 1;
    }

    fn retire(&mut self, n: u32, index: SessionIndex) {
        let row = self.side.tables.rows.get(index).unwrap();
        row.set_policy(subscribers::policy(n, RowState::Free));
        match self.grace {
            Grace::Kept => self.leaving.push(index),
            Grace::Skipped => self.free.insert(0, index),
        }
    }

    fn open_epoch(&mut self) {
        if self.leaving.is_empty() && !self.fib.wants_epoch() && !self.gardens.wants_epoch() {
            return;
        }
        let epoch = self.side.advance_epoch();
        for index in self.leaving.drain(..) {
            self.retired.push(epoch, index);
        }
        self.fib.retire(epoch);
        self.gardens.retire(epoch);
        self.counts.epochs += 1;
    }

    fn reclaim(&mut self) {
        let side = &self.side;
        while let Some(index) = self.retired.pop(|epoch| side.epoch_reached(epoch)) {
            self.free.push(index);
        }
        self.fib.reclaim(|epoch| side.epoch_reached(epoch));
        self.gardens.reclaim(|epoch| side.epoch_reached(epoch));
    }

    fn wait_for_grace(&mut self) {
        let epoch = self.side.advance_epoch();
        self.fib.retire(epoch);
        while !self.side.epoch_reached(epoch) {
            std::thread::yield_now();
        }
        self.reclaim();
    }

    /// Takes what came and sends something to each lcore.
    fn frames(&mut self) {
        for (lcore, frames) in self.frames.iter_mut().enumerate() {
            while frames.take(&mut self.side.punts[lcore]) {
                self.counts.frames += 1;
            }
            frames.send(&mut self.side.injects[lcore], lcore);
        }
    }

    /// A new worker, which is started after this, counts its frames from one.
    pub fn worker_is_new(&mut self) {
        for (frames, ring) in self.frames.iter_mut().zip(&mut self.side.punts) {
            while frames.take(ring) {}
            frames.expect_anew();
        }
    }

    /// Frames that came damaged, twice or out of order.
    pub fn bad_frames(&self) -> u64 {
        self.frames.iter().map(|frames| frames.bad).sum()
    }
}
