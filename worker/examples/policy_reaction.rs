//! How soon a policy word acts: from control's store to the end of the first burst in which a frame of that session got the
//! new verdict, with the worker polling.
//!
//! ```text
//! cargo run --release -p sluice-worker --features testkit --example policy_reaction [CHANGES]
//!
//!  core 0  worker   bursts of 32, all sessions in shuffled order, upstream and downstream in turn, without a pause
//!  core 1  control  sleeps for a random while, stamps the TSC, stores the policy word; suspended and active in turn
//! ```
//!
//! The tables are a segment in memory with its two sides, as two processes have them; the frames go through the real pipeline. A
//! session's frames come once a direction and round, so with more sessions most of the time is the wait for the next
//! frame: the rows with 32 sessions, where each burst has a frame of each, show what the store itself takes.
//!
//! On a machine that is not left alone the scheduler takes a core from either thread: `chrt -f 1` before the command keeps other
//! programs off (for seconds; mind who shares the machine). The second row of each load leaves out the changes between whose
//! store and verdict a burst took longer than [`TAKEN_AWAY_US`].

use std::fmt;
use std::process::ExitCode;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use shm_bridge::SessionIndex;
use shm_bridge::layout::Geometry;
use shm_bridge::session::{Policy, RowState, Rows};
use sluice_worker::burst::{Burst, LANES};
use sluice_worker::simd::tsc;
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, from_core};
use sluice_worker::testkit::{Subscriber, World, packet};
use sluice_worker::{Frame, StrippedTags, Verdict, Way, pipeline};

const CHANGES: usize = 10_000;
const SESSIONS: [u32; 3] = [32, 1024, 4096];
/// A burst takes 2 to 10 µs; one that takes this long was interrupted.
const TAKEN_AWAY_US: f64 = 30.0;
/// Control sleeps between these, so that a store meets the worker anywhere in its round.
const SLEEP_US: std::ops::Range<u64> = 50..600;
/// A change that has no effect by then never has one.
const PATIENCE: Duration = Duration::from_secs(5);
const UDP_PAYLOAD: usize = 10;
const HEADROOM: usize = 128;
const BUFFER: usize = 2304;

fn main() -> ExitCode {
    let changes = match std::env::args().nth(1).map(|count| count.parse()) {
        None => CHANGES,
        Some(Ok(count)) if count > 0 => count,
        Some(_) => {
            eprintln!("policy_reaction [CHANGES]: how many policy words to store at each load, at least 1");
            return ExitCode::FAILURE;
        }
    };
    let Some((worker_core, control_core)) = two_cores() else {
        eprintln!("policy_reaction: this process may run on one core only; the measure wants two");
        return ExitCode::FAILURE;
    };
    let per_us = ticks_per_us();
    println!("{changes} policy words stored at each load, bursts of {LANES}, times in µs");
    println!("sessions   Mpps  changes                        p50      p99    p99.9      max");
    for sessions in SESSIONS {
        let mut load = Load::new(sessions);
        let desk = Desk::default();
        let rows = load.world.control.tables.rows.clone();
        let places = load.sessions.clone();
        let pinned = Barrier::new(2);
        let (found, polled) = thread::scope(|scope| {
            let control = scope.spawn(|| {
                // It begins on the core of the thread that made it.
                pin(control_core);
                pinned.wait();
                let found = change(&desk, &rows, &places, changes);
                desk.stop.store(true, Ordering::Relaxed);
                found
            });
            pinned.wait();
            pin(worker_core);
            let polled = load.poll(&desk, (TAKEN_AWAY_US * per_us) as u64);
            (control.join(), polled)
        });
        let Ok(Some(found)) = found else {
            eprintln!("policy_reaction: a stored policy word had no effect within {PATIENCE:?}");
            return ExitCode::FAILURE;
        };
        let undisturbed = found
            .iter()
            .filter(|change| !change.disturbed)
            .map(|change| change.ticks);
        let (all, quiet) = (
            Quantiles::of(found.iter().map(|change| change.ticks), per_us),
            Quantiles::of(undisturbed, per_us),
        );
        println!("{sessions:8} {polled:6.1}  all                    {all}");
        println!(
            "{:8} {:6}  both cores kept, {:5.1}%  {quiet}",
            "",
            "",
            quiet.share(&all)
        );
    }
    ExitCode::SUCCESS
}

/// What the two threads tell each other. One writer a word.
#[derive(Default)]
struct Desk {
    /// Control's: the place of the session watched, and in the lowest bit whether its frames are to pass.
    watched: AtomicU64,
    /// Control's: how many changes it has announced. Raised after `watched`, before the store that is measured.
    announced: AtomicU64,
    /// Worker's: the TSC at the end of the burst that had the verdict, and when it last lost its core.
    reached: AtomicU64,
    taken_away: AtomicU64,
    /// Worker's: how many changes it has seen act. Raised after `reached`.
    seen: AtomicU64,
    stop: AtomicBool,
}

struct Change {
    ticks: u64,
    disturbed: bool,
}

/// Control's thread. `None` when a change had no effect.
fn change(desk: &Desk, rows: &Rows, sessions: &[SessionIndex], changes: usize) -> Option<Vec<Change>> {
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut open = vec![true; sessions.len()];
    let mut found = Vec::with_capacity(changes);
    for number in 1..=changes as u64 {
        let sleep = SLEEP_US.start + next(SLEEP_US.end - SLEEP_US.start);
        thread::sleep(Duration::from_micros(sleep));
        let place = next(sessions.len() as u64) as usize;
        open[place] = !open[place];
        let cells = rows.get(sessions[place])?;
        desk.watched
            .store((place as u64) << 1 | u64::from(open[place]), Ordering::Relaxed);
        desk.announced.store(number, Ordering::Release);
        let policy = Policy::new(if open[place] {
            RowState::Active
        } else {
            RowState::Suspended
        });

        let before = tsc::ticks();
        cells.set_policy(policy);
        let after = tsc::ticks();

        let deadline = Instant::now() + PATIENCE;
        while desk.seen.load(Ordering::Acquire) != number {
            if Instant::now() > deadline {
                return None;
            }
            thread::sleep(Duration::from_micros(SLEEP_US.start));
        }
        let reached = desk.reached.load(Ordering::Relaxed);
        found.push(Change {
            ticks: reached.saturating_sub(before),
            // Control itself was interrupted between its stamp and its store, or the worker between the store and the verdict.
            disturbed: after.saturating_sub(before) > 20_000
                || desk.taken_away.load(Ordering::Relaxed) > before,
        });
    }
    Some(found)
}

/// The worker's tables and the frames it is sent for ever.
struct Load {
    world: World,
    /// By place: whose the frames of that place are.
    sessions: Vec<SessionIndex>,
    up: Vec<Vec<u8>>,
    down: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
}

impl Load {
    fn new(sessions: u32) -> Load {
        let mut world = World::sized(&Geometry {
            sessions: (2 * sessions).next_power_of_two().max(1024),
            tbl8_groups: 8192,
            ..Geometry::default()
        });
        let mut load = (Vec::new(), Vec::new(), Vec::new());
        for place in shuffled(sessions) {
            let line = Subscriber::on_line(100 + (place / 4094) as u16, 1 + (place % 4094) as u16);
            let subscriber = world.subscribe(line);
            load.0.push(subscriber.session);
            load.1
                .push(subscriber.frame(short(packet::tcp(subscriber.ipv4, INTERNET, 4000, 80))));
            load.2
                .push(from_core(short(packet::tcp(INTERNET, subscriber.ipv4, 80, 4000))));
        }
        Load {
            world,
            sessions: load.0,
            up: load.1,
            down: load.2,
            buffers: (0..LANES).map(|_| vec![0; BUFFER]).collect(),
        }
    }

    /// The worker's thread: polls until control is done, and says how many million packets a second went by.
    fn poll(&mut self, desk: &Desk, taken_away: u64) -> f64 {
        let (began, mut packets) = (Instant::now(), 0u64);
        let mut last = tsc::ticks();
        while !desk.stop.load(Ordering::Relaxed) {
            for first in (0..self.sessions.len()).step_by(LANES) {
                for (port, out) in [(ACCESS, CORE), (CORE, ACCESS)] {
                    last = self.burst(desk, first, port, out, (last, taken_away));
                    packets += LANES as u64;
                }
            }
        }
        packets as f64 / began.elapsed().as_secs_f64() / 1e6
    }

    /// One burst, and whether the change that is watched for was in it. Returns the TSC at its end.
    fn burst(&mut self, desk: &Desk, first: usize, port: u8, out: u8, (last, taken_away): (u64, u64)) -> u64 {
        let frames = if port == ACCESS { &self.up } else { &self.down };
        let frames = &frames[first..first + LANES];
        for (buffer, frame) in self.buffers.iter_mut().zip(frames) {
            buffer[HEADROOM..HEADROOM + frame.len()].copy_from_slice(frame);
        }
        self.world.now_ns += 1000;
        let port = *self.world.context.ports.get(port).expect("a port of the world");
        let mut burst = Burst::new(&port, Way::Whole, self.world.now_ns);
        for (buffer, frame) in self.buffers.iter_mut().zip(frames) {
            let pushed = burst.push(Frame::new(buffer, HEADROOM, frame.len()), StrippedTags::None);
            debug_assert!(pushed);
        }
        pipeline::run(&mut burst, &mut self.world.context);
        let end = tsc::ticks();

        if end - last > taken_away {
            desk.taken_away.store(end, Ordering::Relaxed);
        }
        let announced = desk.announced.load(Ordering::Acquire);
        if announced != desk.seen.load(Ordering::Relaxed) {
            let watched = desk.watched.load(Ordering::Relaxed);
            let lane = ((watched >> 1) as usize)
                .checked_sub(first)
                .and_then(|lane| burst.lanes().get(lane));
            let passes = |lane: &sluice_worker::burst::Lane<'_>| {
                lane.verdict() == Some(Verdict::Forward { port: out })
            };
            if lane.is_some_and(|lane| passes(lane) == (watched & 1 == 1)) {
                desk.reached.store(end, Ordering::Relaxed);
                desk.seen.store(announced, Ordering::Release);
            }
        }
        end
    }
}

/// Some of many, in microseconds.
struct Quantiles {
    count: usize,
    values: [f64; 4],
}

impl Quantiles {
    fn of(ticks: impl Iterator<Item = u64>, per_us: f64) -> Quantiles {
        let mut sorted: Vec<u64> = ticks.collect();
        sorted.sort_unstable();
        let at = |part: f64| {
            let rank = (part * sorted.len() as f64).ceil() as usize;
            sorted
                .get(rank.saturating_sub(1))
                .map_or(f64::NAN, |ticks| *ticks as f64 / per_us)
        };
        Quantiles {
            count: sorted.len(),
            values: [0.5, 0.99, 0.999, 1.0].map(at),
        }
    }

    fn share(&self, of: &Quantiles) -> f64 {
        100.0 * self.count as f64 / of.count as f64
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.values.iter().try_for_each(|value| write!(f, " {value:8.1}"))
    }
}

/// Two cores that this process may use.
fn two_cores() -> Option<(usize, usize)> {
    let may = sched_getaffinity(None).ok()?;
    let mut cores = (0..CpuSet::MAX_CPU).filter(|core| may.is_set(*core));
    Some((cores.next()?, cores.next()?))
}

fn pin(core: usize) {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).expect("a core that this process may use");
}

fn ticks_per_us() -> f64 {
    let (began, ticks) = (Instant::now(), tsc::ticks());
    thread::sleep(Duration::from_millis(200));
    (tsc::ticks() - ticks) as f64 / began.elapsed().as_secs_f64() / 1e6
}

/// The packet as a UDP datagram's length that makes a QinQ frame 64 bytes with its FCS.
fn short(mut packet: packet::Ip) -> packet::Ip {
    packet.payload.resize(8 + UDP_PAYLOAD, 0);
    packet
}

/// 0..count in an order that no prefetcher guesses (a linear congruential walk over the next power of two).
fn shuffled(count: u32) -> impl Iterator<Item = u32> {
    let size = count.next_power_of_two();
    let mut place = 0u32;
    (0..size)
        .map(move |_| {
            place = place.wrapping_mul(1_664_525).wrapping_add(1_013_904_223) & (size - 1);
            place
        })
        .filter(move |place| *place < count)
}
