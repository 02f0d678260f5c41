//! An lcore: one pinned thread that takes every packet it receives through to its end.
//!
//! ```text
//!   turn:  quiesce ─► injected frames ─► handed-over frames ─► receive queues ─► heartbeat, idle
//!   burst: receive ─► express way ─┬─ all went one way ──────────────────────► send ──────────────────────────────────┬─► count
//!                                  └─ the rest ─► stages ─► one verdict a lane ─► send · free · punt ring · hand over ─┘
//! ```
//!
//! One burst in so many is measured by [`laps`], for the operator: `sluice show lcores`.
//!
//! In the loop nothing allocates, waits, logs or makes a system call, but for an adaptive lcore that has had nothing to do for a
//! while: it yields, then sleeps. A transmit queue or ring that is full costs the packet (`tx_full`, `punt_ring_full`,
//! `spread_full`), never time.

use arrayvec::ArrayVec;
use shm_bridge::cost::{CostCells, Stage};
use shm_bridge::counters::LcoreCells;
use shm_bridge::latency::HistogramCells;
use shm_bridge::ring::{About, Consumer, FRAME_MAX, Producer, PushError};
use shm_bridge::sides::Tables;
use shm_bridge::{Direction, DropReason, PuntReason, epoch};

use crate::burst::{Burst, LANES, Lane};
use crate::context::Context;
use crate::counts::Counts;
use crate::dpdk::{
    Clock, HandoffReceiver, HandoffSender, Lcore, Mbuf, MbufBurst, Mempool, RxQueue, StopFlag, TxQueue,
    Window,
};
use crate::express::{self, Gone};
use crate::frame::Frame;
use crate::idle::Idle;
use crate::laps::{self, Clocked, Laps, NoLaps, Sampler};
use crate::pipeline;
use crate::ports::{Port, Side};
use crate::verdict::{Verdict, Way};

/// Injected frames taken in one turn: control's frames are few, and the subscribers' wait for them.
const INJECTED_A_TURN: usize = 8;
/// The shortest frame that control may inject: an Ethernet header.
const INJECT_MIN: usize = 14;

/// What an lcore is given at start; it is moved to its thread.
#[derive(Debug)]
pub struct Task {
    /// Its slot in the segment.
    pub slot: usize,
    pub context: Context,
    pub clock: Clock,
    pub receives: Vec<Receive>,
    /// By port index.
    pub sends: Vec<TxQueue>,
    pub arrivals: Vec<Arrival>,
    pub departures: Vec<Departure>,
    pub punts: Producer,
    pub injects: Consumer,
    /// Frames that control injects are put into mbufs of this pool.
    pub pool: Mempool,
    /// Most packets taken from a queue in one round.
    pub burst: usize,
    pub idle: Idle,
    /// Which bursts are measured.
    pub sampler: Sampler,
    pub stop: StopFlag,
    /// This worker's generation.
    pub generation: u64,
}

/// A queue that this lcore polls.
#[derive(Debug)]
pub struct Receive {
    pub port: Port,
    pub queue: RxQueue,
}

/// Packets that another lcore received and this one owns.
#[derive(Debug)]
pub struct Arrival {
    /// Where they were received.
    pub port: Port,
    pub way: Way,
    pub ring: HandoffReceiver,
}

/// Packets that this lcore received and another one owns.
#[derive(Debug)]
pub struct Departure {
    pub slot: u8,
    pub port: u8,
    pub way: Way,
    pub ring: HandoffSender,
}

/// A running lcore: its task, and the bursts that are filled and emptied in each turn.
struct Running<'a> {
    task: Task,
    /// The end of the last burst or turn.
    now: Stamp,
    cells: &'a LcoreCells,
    latencies: [&'a HistogramCells; 2],
    costs: &'a CostCells,
    /// By port index.
    out: Vec<MbufBurst>,
    /// By departure.
    leaving: Vec<MbufBurst>,
    freed: MbufBurst,
}

/// How a burst came to this lcore.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Queue,
    OtherLcore,
}

/// Runs until the stop flag is set. Frames in hand are finished first.
pub fn run(lcore: &Lcore, mut task: Task) {
    let tables: Tables = task.context.tables.clone();
    let slot = task.slot;
    // The slot was checked against the table when the task was made.
    let (Some(cells), Some(up), Some(down), Some(costs)) = (
        tables.lcores.get(slot),
        tables.latencies.get(slot, Direction::Upstream),
        tables.latencies.get(slot, Direction::Downstream),
        tables.costs.get(slot),
    ) else {
        return;
    };
    costs.one_in.set(u64::from(task.sampler.one_in()));
    costs.tsc_hz.set(task.clock.tsc_hz());
    costs.clock_tsc.set(laps::calibrate());
    cells.generation.set(task.generation);
    cells.lcore_id.set(u64::from(lcore.id().get()));
    cells.cpu.set(lcore.cpu().map_or(u64::MAX, |cpu| cpu as u64));
    epoch::go_online(tables.epoch(), &cells.epoch);
    let mut running = Running {
        now: Stamp::take(&mut task.clock),
        cells,
        latencies: [up, down],
        costs,
        out: task.sends.iter().map(|_| MbufBurst::new(lcore)).collect(),
        leaving: task.departures.iter().map(|_| MbufBurst::new(lcore)).collect(),
        freed: MbufBurst::new(lcore),
        task,
    };
    let mut received = MbufBurst::with_limit(lcore, running.task.burst.min(LANES));
    while !running.task.stop.is_set() {
        running.turn(lcore, &mut received, &tables);
    }
    epoch::go_offline(&cells.epoch);
}

impl Running<'_> {
    fn turn(&mut self, lcore: &Lcore, received: &mut MbufBurst, tables: &Tables) {
        epoch::quiesce(tables.epoch(), &self.cells.epoch);
        let start = self.now.tsc;
        let mut work = self.inject(lcore);
        if work > 0 {
            // The next burst has not waited for these.
            self.now = Stamp::take(&mut self.task.clock);
        }
        for index in 0..self.task.arrivals.len() {
            let arrival = &mut self.task.arrivals[index];
            if arrival.ring.receive(received) > 0 {
                work += received.len();
                let (port, way) = (arrival.port, arrival.way);
                self.burst(received, &port, way, From::OtherLcore);
            }
        }
        for index in 0..self.task.receives.len() {
            let receive = &mut self.task.receives[index];
            if receive.queue.receive(received) > 0 {
                work += received.len();
                let port = receive.port;
                self.burst(received, &port, Way::Whole, From::Queue);
            }
        }
        if work > 0 {
            self.cells.busy_tsc.add(self.now.tsc.wrapping_sub(start));
            self.task.idle.worked();
        } else {
            self.cells.idle_polls.add(1);
            self.task.idle.rest(tables.epoch(), &self.cells.epoch);
            self.now = Stamp::take(&mut self.task.clock);
        }
        self.cells.heartbeat_ns.set(self.now.ns);
    }

    /// Takes a burst of one port through the pipeline and each of its packets to its end.
    fn burst(&mut self, mbufs: &mut MbufBurst, port: &Port, way: Way, from: From) {
        if self.task.sampler.is_due() {
            self.measured(mbufs, port, way, from);
        } else {
            self.through(mbufs, port, way, from, &mut NoLaps);
        }
    }

    /// The same, stage by stage by the clock.
    #[cold]
    #[inline(never)]
    fn measured(&mut self, mbufs: &mut MbufBurst, port: &Port, way: Way, from: From) {
        let count = mbufs.len();
        let mut laps = Clocked::new(self.now.tsc, count, self.costs.clock_tsc.get());
        laps.lap(Stage::Receive, || count);
        self.through(mbufs, port, way, from, &mut laps);
        laps.write_down(count, self.costs);
        self.task.sampler.again();
        // What writing it down took is nobody's latency.
        self.now = Stamp::take(&mut self.task.clock);
    }

    /// The clock is read once, at the end: what ends one burst begins the next. So a packet's time in here begins before it was taken
    /// from its queue, and a full turn costs one reading a burst.
    #[inline(always)]
    fn through(&mut self, mbufs: &mut MbufBurst, port: &Port, way: Way, from: From, laps: &mut impl Laps) {
        let now_ns = self.now.ns;
        let direction = match (way, &port.side) {
            (Way::Whole, Side::Access(_)) => Direction::Upstream,
            _ => Direction::Downstream,
        };
        let count = mbufs.len();
        let gone = match way {
            Way::Whole => express::timed(mbufs, port, now_ns, &mut self.task.context, laps),
            Way::Downstream => Gone::NONE,
        };
        laps.begin(0);
        let whole = gone
            .whole_burst_to(count)
            .filter(|out| usize::from(*out) < self.task.sends.len());
        let sent = match whole {
            Some(out) => {
                match from {
                    From::Queue => self.count_received(count, gone.bytes_in(), port),
                    From::OtherLcore => self.cells.handed_in.add(count as u64),
                }
                laps.lap(Stage::Count, || count);
                let out = usize::from(out);
                let sent = transmit(
                    &mut self.task.sends[out],
                    mbufs,
                    gone.bytes_out(),
                    &mut self.task.context.counts,
                    self.cells,
                    out,
                );
                laps.lap(Stage::Transmit, || count);
                sent
            }
            None => {
                match from {
                    From::Queue => {
                        // Of those that are gone the frames are no longer as they came.
                        let grown = gone.bytes_out().wrapping_sub(gone.bytes_in());
                        let bytes = mbufs.frame_bytes().wrapping_sub(grown);
                        self.count_received(count, bytes, port);
                    }
                    From::OtherLcore => self.cells.handed_in.add(count as u64),
                }
                laps.lap(Stage::Count, || count - gone.count());
                let sent = self.rest(mbufs, &gone, port, way, now_ns, laps);
                laps.begin(count);
                sent
            }
        };
        self.task.context.counts.flush(self.cells);
        self.cells.bursts.add(1);
        laps.lap(Stage::Count, || 0);
        self.now = Stamp::take(&mut self.task.clock);
        if sent > 0 {
            self.latencies[direction as usize].record(self.now.ns.saturating_sub(now_ns), sent);
        }
    }

    fn count_received(&self, count: usize, bytes: u64, port: &Port) {
        self.cells.rx.add(count as u64);
        if let Some(cells) = self.cells.port(usize::from(port.index)) {
            cells.rx_packets.add(count as u64);
            cells.rx_bytes.add(bytes);
        }
    }

    /// A burst of which some packets are not gone: those go by the stages. Everything leaves in the order in which it came.
    #[inline(never)]
    fn rest(
        &mut self,
        mbufs: &mut MbufBurst,
        gone: &Gone,
        port: &Port,
        way: Way,
        now_ns: u64,
        laps: &mut impl Laps,
    ) -> u64 {
        let count = mbufs.len();
        let mut burst = Burst::new(port, way, now_ns);
        for (place, mbuf) in mbufs.iter_mut().enumerate() {
            // The pipeline sees a frame in one piece. No port asks for scatter, so a chain is a driver's whim.
            if gone.port(place).is_none() && !mbuf.is_chained() {
                let stripped = mbuf.stripped_tags();
                let Window { buffer, start, len } = mbuf.window();
                // A receive burst is no longer than a pipeline burst.
                let fits = burst.push(Frame::new(buffer, start, len), stripped);
                debug_assert!(fits);
            }
        }
        pipeline::timed(&mut burst, &mut self.task.context, laps);
        laps.begin(count);
        let ends: ArrayVec<End, LANES> = burst
            .lanes()
            .iter()
            .map(|lane| self.end_of(lane, port, now_ns))
            .collect();
        drop(burst);

        let mut ends = ends.into_iter();
        for (place, mut mbuf) in mbufs.drain().enumerate() {
            if let Some(out) = gone.port(place) {
                self.queue_out(usize::from(out), mbuf);
                continue;
            }
            if mbuf.is_chained() {
                self.task.context.counts.drop(DropReason::MultiSegment);
                self.free(mbuf);
                continue;
            }
            match ends.next() {
                Some(End::Send { port, start, len }) => {
                    mbuf.set_window(start, len);
                    self.queue_out(usize::from(port), mbuf);
                }
                Some(End::HandOver {
                    slot,
                    way,
                    start,
                    len,
                }) => {
                    mbuf.set_window(start, len);
                    self.queue_leaving(slot, port.index, way, mbuf);
                }
                Some(End::Free) => self.free(mbuf),
                None => {
                    // More packets than a burst has lanes: no queue is asked for that many.
                    self.task.context.counts.drop(DropReason::CorruptTable);
                    self.free(mbuf);
                }
            }
        }
        laps.lap(Stage::Ends, || self.out.iter().map(|out| out.len()).sum());
        self.flush(laps)
    }

    /// What is to be done with a packet. A punted one is copied into the ring here, while its bytes are at hand.
    fn end_of(&mut self, lane: &Lane<'_>, port: &Port, now_ns: u64) -> End {
        let (start, len) = (lane.frame.start(), lane.frame.len());
        match lane.verdict() {
            Some(Verdict::Forward { port }) if usize::from(port) < self.out.len() => {
                End::Send { port, start, len }
            }
            Some(Verdict::HandOver { slot, way }) => End::HandOver {
                slot,
                way,
                start,
                len,
            },
            Some(Verdict::Punt(reason)) => {
                self.punt(reason, lane, port, now_ns);
                End::Free
            }
            Some(Verdict::Drop(_)) => End::Free,
            // A port that no table should name, or a lane that no stage ended: neither may leave unaccounted.
            Some(Verdict::Forward { .. }) | None => {
                self.task.context.counts.drop(DropReason::CorruptTable);
                End::Free
            }
        }
    }

    fn punt(&mut self, reason: PuntReason, lane: &Lane<'_>, port: &Port, now_ns: u64) {
        let session = lane.meta.session;
        let row = session.and_then(|index| self.task.context.tables.rows.get(index));
        let about = About {
            port: u16::from(port.index),
            reason: reason as u8,
            lcore: self.task.slot as u8,
            time_ns: now_ns,
            session: session.map_or(0, |index| index.get()),
            generation: row.map_or(0, |row| row.generation()),
        };
        match self.task.punts.push(&about, lane.frame.bytes()) {
            Ok(()) => self.cells.punt(reason).add(1),
            Err(PushError::Full) => self.task.context.counts.drop(DropReason::PuntRingFull),
            Err(PushError::TooLong(_)) => self.task.context.counts.drop(DropReason::PuntTooLong),
        }
    }

    /// Sends what control asked to be sent; returns how many frames it took from the ring.
    fn inject(&mut self, lcore: &Lcore) -> usize {
        if !self.task.injects.has_frames() {
            return 0;
        }
        let mut taken = 0;
        let mut frame = [0u8; FRAME_MAX];
        while taken < INJECTED_A_TURN {
            let Some((about, len)) = self.task.injects.pop_into(&mut frame) else {
                break;
            };
            taken += 1;
            self.cells.injected.add(1);
            let port = usize::from(about.port);
            let known =
                about.port <= u16::from(u8::MAX) && self.task.context.ports.get(about.port as u8).is_some();
            if !known || port >= self.out.len() || len < INJECT_MIN {
                self.task.context.counts.drop(DropReason::InjectInvalid);
                continue;
            }
            match self.task.pool.allocate_one(lcore) {
                None => self.task.context.counts.drop(DropReason::NoMbuf),
                Some(mut mbuf) => {
                    if mbuf.fill(&frame[..len]) {
                        self.queue_out(port, mbuf);
                    } else {
                        self.task.context.counts.drop(DropReason::InjectInvalid);
                    }
                }
            }
        }
        self.flush(&mut NoLaps);
        self.task.context.counts.flush(self.cells);
        taken
    }

    fn queue_out(&mut self, port: usize, mbuf: Mbuf) {
        let Some(out) = self.out.get_mut(port) else {
            self.task.context.counts.drop(DropReason::CorruptTable);
            return self.free(mbuf);
        };
        // There is room: it holds the longest burst, and is empty after each.
        if let Err(mbuf) = out.push(mbuf) {
            self.task.context.counts.drop(DropReason::TxFull);
            self.free(mbuf);
        }
    }

    fn queue_leaving(&mut self, slot: u8, port: u8, way: Way, mbuf: Mbuf) {
        let departure = self
            .task
            .departures
            .iter()
            .position(|d| d.slot == slot && d.port == port && d.way == way);
        let pushed = departure.map(|index| self.leaving[index].push(mbuf));
        if !matches!(pushed, Some(Ok(()))) {
            self.task.context.counts.drop(DropReason::SpreadFull);
        }
    }

    fn free(&mut self, mbuf: Mbuf) {
        if let Err(mbuf) = self.freed.push(mbuf) {
            self.freed.clear();
            drop(mbuf);
        }
    }

    /// Sends, hands over and frees what the burst left behind; returns how many packets were sent.
    fn flush(&mut self, laps: &mut impl Laps) -> u64 {
        let mut sent = 0;
        for port in 0..self.out.len() {
            if !self.out[port].is_empty() {
                sent += self.send(port);
            }
        }
        let kept = self.leaving.iter().chain([&self.freed]);
        laps.lap(Stage::Transmit, || kept.map(|burst| burst.len()).sum());
        for (departure, leaving) in self.task.departures.iter_mut().zip(&mut self.leaving) {
            if !leaving.is_empty() {
                self.cells.handed_out.add(departure.ring.send(leaving) as u64);
                self.task
                    .context
                    .counts
                    .drop_many(DropReason::SpreadFull, leaving.len() as u64);
                leaving.clear();
            }
        }
        self.freed.clear();
        laps.lap(Stage::HandOver, || 0);
        sent
    }

    /// Sends what was put aside for a port.
    fn send(&mut self, port: usize) -> u64 {
        let burst = &mut self.out[port];
        let bytes = burst.frame_bytes();
        transmit(
            &mut self.task.sends[port],
            burst,
            bytes,
            &mut self.task.context.counts,
            self.cells,
            port,
        )
    }
}

/// Gives a burst of so many bytes to the driver of a port; what it does not take is dropped. Returns how many it took.
#[inline(always)]
fn transmit(
    queue: &mut TxQueue,
    burst: &mut MbufBurst,
    bytes: u64,
    counts: &mut Counts,
    cells: &LcoreCells,
    port: usize,
) -> u64 {
    let sent = queue.send(burst) as u64;
    let mut sent_bytes = bytes;
    if !burst.is_empty() {
        sent_bytes -= burst.frame_bytes();
        counts.drop_many(DropReason::TxFull, burst.len() as u64);
        burst.clear();
    }
    cells.tx.add(sent);
    if let Some(cells) = cells.port(port) {
        cells.tx_packets.add(sent);
        cells.tx_bytes.add(sent_bytes);
    }
    sent
}

/// A reading of the clock.
#[derive(Clone, Copy)]
struct Stamp {
    tsc: u64,
    ns: u64,
}

impl Stamp {
    #[inline(always)]
    fn take(clock: &mut Clock) -> Stamp {
        let tsc = clock.tsc();
        Stamp {
            tsc,
            ns: clock.ns_at(tsc),
        }
    }
}

/// What is to be done with an mbuf whose lane is decided.
enum End {
    Send {
        port: u8,
        start: usize,
        len: usize,
    },
    HandOver {
        slot: u8,
        way: Way,
        start: usize,
        len: usize,
    },
    Free,
}
