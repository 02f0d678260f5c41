//! The driver: the one thread on which the engine decides, and everything it decides is done.
//!
//! ```text
//!  punt rings ─┐                        ┌─► Publisher (tables)
//!  store ──────┤                        ├─► inject rings (frames)
//!  AAA ────────┼─► inputs ─► Engine ────┼─► Store (a thread of its own answers)
//!  OLT ────────┤             (decides)  ├─► AAA, OLT (answer when they can)
//!  REST ───────┘                        └─► callers, event bus
//! ```
//!
//! Nothing here waits for disk or network: what takes time is asked for, and its answer comes back as an input. The punt rings are
//! looked at in every turn, and every millisecond when there is nothing else to do.

mod counts;
mod hands;

use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use shm_bridge::ring::Consumer;
use tokio::sync::{mpsc, watch};

use crate::engine::{AaaAnswer, Engine, Event, Now, OltLine, Ticket};
use crate::frames::{self, Punted};
use crate::handle::Inbound;
use crate::neighbour::{Act, Hop, Neighbours};
use crate::session::Mac;

pub use counts::{DriverCounts, Lost};
pub use hands::{Hands, Parts};

/// Punted frames taken in one turn from each ring, so that REST and the store are not starved by a storm.
const PUNTED_A_TURN: usize = 64;
/// Other inputs taken in one turn.
const INPUTS_A_TURN: usize = 256;
/// The pause of a turn without work: bounds what a frame waits.
const PAUSE: Duration = Duration::from_millis(1);
/// How often the engine is told that time passes.
const TICK_NS: u64 = 100_000_000;

/// Answers that were asked for.
#[derive(Debug)]
pub enum Input {
    Aaa {
        ticket: Ticket,
        answer: AaaAnswer,
    },
    Committed {
        ticket: Ticket,
        result: Result<(), String>,
    },
    OltAnswered {
        ticket: Ticket,
        result: Result<OltLine, String>,
    },
}

/// Everything that runs on the driver's thread.
#[derive(Debug)]
pub struct Driver {
    engine: Engine,
    hands: Hands,
    neighbours: Neighbours,
    punts: Vec<Consumer>,
    inputs: mpsc::UnboundedReceiver<Input>,
    inbox: mpsc::Receiver<Inbound>,
    counts: Arc<DriverCounts>,
    last_tick_ns: u64,
}

/// Now, by both clocks.
pub fn now() -> Now {
    let read = |clock| {
        let time = clock_gettime(clock);
        (
            u64::try_from(time.tv_sec).unwrap_or(0),
            u64::try_from(time.tv_nsec).unwrap_or(0),
        )
    };
    let ((mono_s, mono_ns), (wall_s, wall_ns)) = (read(ClockId::Monotonic), read(ClockId::Realtime));
    Now {
        mono_ns: mono_s * 1_000_000_000 + mono_ns,
        wall_ms: wall_s * 1000 + wall_ns / 1_000_000,
    }
}

impl Driver {
    pub fn new(
        engine: Engine,
        hands: Hands,
        punts: Vec<Consumer>,
        inputs: mpsc::UnboundedReceiver<Input>,
        inbox: mpsc::Receiver<Inbound>,
        known: Vec<(Hop, Option<[u8; 6]>)>,
    ) -> Driver {
        let counts = hands.counts();
        let mut driver = Driver {
            engine,
            hands,
            neighbours: Neighbours::default(),
            punts,
            inputs,
            inbox,
            counts,
            last_tick_ns: 0,
        };
        driver.keep_next_hops(known);
        driver
    }

    /// Runs until `stop` is set; what the engine had asked for is then done, and callers who still wait are told.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut frame = Vec::new();
        while !*stop.borrow() {
            let worked = self.take_punted(&mut frame) | self.take_inputs();
            self.pass_time();
            if worked {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                input = self.inputs.recv() => self.answered(input),
                inbound = self.inbox.recv() => self.asked(inbound),
                _ = stop.changed() => {}
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Configured next hops are asked for now; those an earlier control had found are used at once.
    fn keep_next_hops(&mut self, known: Vec<(Hop, Option<[u8; 6]>)>) {
        let now_ns = now().mono_ns;
        let configured = self.hands.configured_hops();
        for (hop, mac) in &known {
            if let Some(mac) = mac {
                self.neighbours
                    .keep_known(now_ns, *hop, Mac(*mac), !configured.contains(hop));
                self.hands.remember(*hop, Mac(*mac));
            }
        }
        let mut acts = Vec::new();
        for hop in configured {
            if self.neighbours.mac(hop).is_none() {
                self.neighbours.keep(now_ns, hop, &mut acts);
            }
        }
        self.act(&acts);
    }

    /// Frames that workers punted; `true` where there were any.
    fn take_punted(&mut self, frame: &mut Vec<u8>) -> bool {
        let mut worked = false;
        for ring in 0..self.punts.len() {
            let corrupt = self.punts[ring].corrupt();
            for _ in 0..PUNTED_A_TURN {
                let Some(about) = self.punts[ring].pop(frame) else {
                    break;
                };
                worked = true;
                match frames::parse(self.hands.config(), &about, frame) {
                    Ok(punted) => self.punted(punted),
                    Err(malformed) => self.counts.malformed(malformed),
                }
            }
            self.counts
                .add(Lost::CorruptRing, self.punts[ring].corrupt() - corrupt);
        }
        worked
    }

    fn punted(&mut self, punted: Punted) {
        let mut acts = Vec::new();
        match punted {
            Punted::Dhcp(message) => self.engine.handle(now(), Event::Dhcp(message), &mut self.hands),
            Punted::Neighbour { port, address, mac } => {
                self.neighbours
                    .heard(now().mono_ns, Hop { port, address }, mac, &mut acts);
            }
            Punted::Wanted { port, address } => {
                self.neighbours
                    .wanted(now().mono_ns, Hop { port, address }, &mut acts);
            }
        }
        self.act(&acts);
    }

    fn take_inputs(&mut self) -> bool {
        let mut worked = false;
        for _ in 0..INPUTS_A_TURN {
            let input = self.inputs.try_recv().ok();
            let inbound = self.inbox.try_recv().ok();
            if input.is_none() && inbound.is_none() {
                break;
            }
            worked = true;
            self.answered(input);
            self.asked(inbound);
        }
        worked
    }

    fn answered(&mut self, input: Option<Input>) {
        let event = match input {
            None => return,
            Some(Input::Aaa { ticket, answer }) => Event::Aaa { ticket, answer },
            Some(Input::Committed { ticket, result }) => Event::Committed { ticket, result },
            Some(Input::OltAnswered { ticket, result }) => Event::OltAnswered { ticket, result },
        };
        self.engine.handle(now(), event, &mut self.hands);
    }

    fn asked(&mut self, inbound: Option<Inbound>) {
        let event = match inbound {
            None => return,
            Some(Inbound::Olt(event)) => Event::Olt(event),
            Some(Inbound::Command { command, reply }) => Event::Command {
                command,
                reply_to: self.hands.awaited(reply),
            },
        };
        self.engine.handle(now(), event, &mut self.hands);
    }

    /// Grace periods that ended, frames that found a ring full, and every tenth of a second whatever time brings.
    fn pass_time(&mut self) {
        for row in self.hands.poll() {
            let event = Event::RowRetired {
                session: row.session,
                row: row.row,
                traffic: row.traffic,
            };
            self.engine.handle(now(), event, &mut self.hands);
        }
        self.hands.flush();
        // A relay whose next hop is not known yet: the engine does not know of neighbours.
        let wanted = self.hands.take_wanted();
        let time = now();
        let mut acts = Vec::new();
        for hop in wanted {
            self.neighbours.wanted(time.mono_ns, hop, &mut acts);
        }
        if time.mono_ns.saturating_sub(self.last_tick_ns) >= TICK_NS {
            self.last_tick_ns = time.mono_ns;
            self.hands.beat(time.mono_ns);
            self.engine.handle(time, Event::Tick, &mut self.hands);
            self.neighbours.tick(time.mono_ns, &mut acts);
        }
        self.act(&acts);
    }

    fn act(&mut self, acts: &[Act]) {
        for act in acts {
            match *act {
                Act::Ask { hop, to } => self.hands.ask(hop, to),
                Act::Resolved { hop, mac } => self.hands.resolved(hop, mac),
                Act::Lost { hop } => self.hands.lost(hop),
                Act::Forgotten { hop } => self.hands.forgotten(hop),
            }
        }
    }
}
