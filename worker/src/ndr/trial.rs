//! One measurement: frames at a rate for a while, then silence until the last ones are back. One lcore sends and receives.
//!
//! A frame that a full transmit queue refuses counts as lost: on software rings the queue is the device's own input. What the
//! tester itself did not send in time is `forfeited`, and when its loop stood still is in `pauses`.

use std::time::Duration;

use hdrhistogram::Histogram;
use shm_bridge::Direction;

use super::account::{Arrival, Window};
use super::frames::{FRAME_BYTES_LARGEST, Frames, Judged, Stamp};
use super::pace::Pace;
use super::pauses::Pauses;
use super::search::Outcome;
use crate::dpdk::{Clock, Lcore, MbufBurst, Mempool, RxQueue, StopFlag, TxQueue};
use crate::wire::ethernet;

const BURST: usize = 32;
/// Less than this share of the asked rate, and the tester is the limit.
const SENT_SHARE_MIN: f64 = 0.99;
/// Latencies up to four seconds are told apart, as far as the stamp's 32 bits go.
const LATENCY_NS_MAX: u64 = u32::MAX as u64;

/// A side of the device under test, seen from the tester.
#[derive(Debug)]
pub struct Side {
    pub rx: RxQueue,
    pub tx: TxQueue,
}

/// The tester's ports and what it sends.
#[derive(Debug)]
pub struct Tester {
    pub frames: Frames,
    pub access: Side,
    pub core: Side,
    pub pool: Mempool,
    pub clock: Clock,
    pub stop: StopFlag,
    /// The address whose ARP requests are answered on the core side: the device's next hop.
    pub gateway: u32,
    /// Of the last trial; each has its own, so that late frames are known.
    trial: u16,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    pub directions: Vec<Direction>,
    /// Frame lengths with FCS, sent in turn.
    pub sizes: Vec<usize>,
    /// Frames a second, each direction.
    pub rate: f64,
    pub duration: Duration,
    pub drain: Duration,
    /// The tester's loop takes no longer, or it paused.
    pub pause: Duration,
    /// No more frames than this between sending and receipt, each direction: what is due beyond them waits. `None` sends on time
    /// whatever comes back, as RFC 2544 has it.
    pub in_flight: Option<u64>,
}

/// One direction's result.
#[derive(Debug)]
pub struct Flow {
    pub direction: Direction,
    pub sent: u64,
    pub refused: u64,
    pub forfeited: u64,
    pub received: u64,
    pub duplicated: u64,
    pub reordered: u64,
    pub corrupt: u64,
    pub latency: Histogram<u64>,
    /// Expected tags, addresses and so on: the first damaged frame as it came.
    pub first_corrupt: Option<Vec<u8>>,
}

#[derive(Debug)]
pub struct Report {
    pub flows: Vec<Flow>,
    pub seconds: f64,
    /// Sending waited for what was in flight: the rate is what the two sides came to, nobody's limit.
    pub held: bool,
    pub pauses: Pauses,
    /// Frames of earlier trials, and frames that are none of ours.
    pub stale: u64,
    pub foreign: u64,
}

impl Flow {
    /// Frames that the device was given, or would have been had its queue not been full.
    pub fn offered(&self) -> u64 {
        self.sent + self.refused
    }

    /// Sent, and not come back yet or never.
    pub fn in_flight(&self) -> u64 {
        self.sent.saturating_sub(self.received + self.corrupt)
    }

    pub fn lost(&self) -> u64 {
        self.offered().saturating_sub(self.received)
    }

    pub fn loss(&self) -> f64 {
        self.lost() as f64 / self.offered().max(1) as f64
    }
}

impl Report {
    /// The worst direction.
    pub fn outcome(&self, asked: f64) -> Outcome {
        let rate = |flow: &Flow| flow.offered() as f64 / self.seconds;
        let offered = self.flows.iter().map(rate).fold(f64::INFINITY, f64::min);
        // What was due in a pause was not sent; the rest of the time is what the tester can be asked about.
        let awake = (self.seconds - self.pauses.total_ns as f64 / 1e9).max(self.seconds / 10.0);
        Outcome {
            offered,
            loss: self.flows.iter().map(Flow::loss).fold(0.0, f64::max),
            tester_limited: !self.held && offered * self.seconds / awake < asked * SENT_SHARE_MIN,
        }
    }
}

/// A direction while it is measured.
struct Stream {
    flow: Flow,
    pace: Pace,
    /// The next number of each session, and what came of it.
    next: Vec<u32>,
    windows: Vec<Window>,
    session: u32,
    size: usize,
}

impl Tester {
    pub fn new(
        frames: Frames,
        (access, core): (Side, Side),
        pool: Mempool,
        clock: Clock,
        stop: StopFlag,
        gateway: u32,
    ) -> Tester {
        Tester {
            frames,
            access,
            core,
            pool,
            clock,
            stop,
            gateway,
            trial: 0,
        }
    }

    /// Runs one trial to its end, or until the stop flag is set.
    pub fn run(&mut self, lcore: &Lcore, plan: &Plan) -> Report {
        self.trial = self.trial.wrapping_add(1);
        let start = self.clock.now_ns();
        let duration = plan.duration.as_nanos() as u64;
        let sessions = self.frames.subscribers.count() as usize;
        let mut streams: Vec<Stream> = plan
            .directions
            .iter()
            .map(|direction| Stream::new(*direction, sessions, Pace::new(start, plan.rate)))
            .collect();
        let (mut stale, mut foreign) = (0, 0);
        let mut pauses = Pauses::new(start, plan.pause.as_nanos() as u64);
        let mut burst = MbufBurst::with_limit(lcore, BURST);
        let end = start + duration + plan.drain.as_nanos() as u64;
        loop {
            let now = self.clock.now_ns();
            pauses.turn(now);
            if now >= end || self.stop.is_set() {
                break;
            }
            if now < start + duration {
                for stream in &mut streams {
                    self.send(&mut burst, stream, plan, now);
                }
            }
            for direction in [Direction::Upstream, Direction::Downstream] {
                self.receive(&mut burst, direction, &mut streams, (&mut stale, &mut foreign));
            }
        }
        Report {
            flows: streams
                .into_iter()
                .map(|stream| Flow {
                    forfeited: stream.pace.forfeited(),
                    ..stream.flow
                })
                .collect(),
            seconds: plan.duration.as_secs_f64(),
            held: plan.in_flight.is_some(),
            pauses,
            stale,
            foreign,
        }
    }

    fn send(&mut self, burst: &mut MbufBurst, stream: &mut Stream, plan: &Plan, now: u64) {
        let room = plan
            .in_flight
            .map_or(u64::MAX, |most| most.saturating_sub(stream.flow.in_flight()));
        let due = stream.pace.due(now).min(BURST as u64).min(room) as usize;
        // An empty pool is the tester's own limit: what is not sent becomes forfeited.
        if due == 0 || !self.pool.allocate(burst, due) {
            return;
        }
        let mut bytes = [0u8; FRAME_BYTES_LARGEST];
        for mbuf in burst.iter_mut() {
            let session = stream.session;
            let Some(next) = stream.next.get_mut(session as usize) else {
                break;
            };
            let stamp = Stamp {
                number: *next,
                time_ns: now as u32,
            };
            *next = next.wrapping_add(1);
            stream.session = (session + 1) % self.frames.subscribers.count();
            let size = plan.sizes.get(stream.size).copied().unwrap_or_default();
            stream.size = (stream.size + 1) % plan.sizes.len().max(1);
            let direction = stream.flow.direction;
            let len = self
                .frames
                .write(&mut bytes, direction, (session, self.trial), stamp, size);
            let fits = mbuf.fill(&bytes[..len]);
            debug_assert!(fits, "the pool's buffers hold the largest frame");
        }
        let tx = match stream.flow.direction {
            Direction::Upstream => &mut self.access.tx,
            Direction::Downstream => &mut self.core.tx,
        };
        let sent = tx.send(burst);
        stream.flow.sent += sent as u64;
        stream.flow.refused += burst.len() as u64;
        burst.clear();
        stream.pace.sent(due as u64);
    }

    /// Takes what came out of the device in this direction.
    fn receive(
        &mut self,
        burst: &mut MbufBurst,
        direction: Direction,
        streams: &mut [Stream],
        (stale, foreign): (&mut u64, &mut u64),
    ) {
        let side = match direction {
            Direction::Upstream => &mut self.core,
            Direction::Downstream => &mut self.access,
        };
        if side.rx.receive(burst) == 0 {
            return;
        }
        let now = self.clock.now_ns() as u32;
        let mut stream = streams
            .iter_mut()
            .find(|stream| stream.flow.direction == direction);
        let mut answers = 0;
        for mbuf in burst.iter_mut() {
            let judged = self.frames.judge(mbuf.frame(), direction, self.trial);
            match (judged, &mut stream) {
                (Judged::Whole { session, stamp }, Some(stream)) => stream.whole(session, stamp, now),
                (Judged::Corrupt { .. }, Some(stream)) => {
                    stream.flow.corrupt += 1;
                    if stream.flow.first_corrupt.is_none() {
                        stream.flow.first_corrupt = Some(mbuf.frame().to_vec());
                    }
                }
                (Judged::Stale, _) => *stale += 1,
                _ => {
                    *foreign += 1;
                    if direction == Direction::Upstream
                        && answer_arp(mbuf.frame(), self.gateway, self.frames.next_hop_mac)
                    {
                        answers += 1;
                    }
                }
            }
        }
        if answers > 0 {
            // Rare; the burst's other frames are done with.
            let answered: Vec<_> = burst
                .drain()
                .filter_map(|mut mbuf| is_answer(mbuf.frame(), self.frames.next_hop_mac).then_some(mbuf))
                .collect();
            for mbuf in answered {
                // There is room: they came from there.
                drop(burst.push(mbuf));
            }
            self.core.tx.send(burst);
        }
        burst.clear();
    }
}

impl Stream {
    fn new(direction: Direction, sessions: usize, pace: Pace) -> Stream {
        let latency = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 2)
            .unwrap_or_else(|_| unreachable!("bounds and digits are constants that the histogram takes"));
        Stream {
            flow: Flow {
                direction,
                sent: 0,
                refused: 0,
                forfeited: 0,
                received: 0,
                duplicated: 0,
                reordered: 0,
                corrupt: 0,
                latency,
                first_corrupt: None,
            },
            pace,
            next: vec![0; sessions],
            windows: vec![Window::default(); sessions],
            session: 0,
            size: 0,
        }
    }

    fn whole(&mut self, session: u32, stamp: Stamp, now: u32) {
        let Some(window) = self.windows.get_mut(session as usize) else {
            return;
        };
        match window.arrived(stamp.number) {
            Arrival::Duplicate => {
                self.flow.duplicated += 1;
                return;
            }
            Arrival::Reordered => self.flow.reordered += 1,
            Arrival::InOrder => (),
        }
        self.flow.received += 1;
        self.flow
            .latency
            .saturating_record(u64::from(now.wrapping_sub(stamp.time_ns)));
    }
}

/// Turns an ARP request for `gateway` into its answer (RFC 826). `false`, and nothing changed, where it is none.
fn answer_arp(frame: &mut [u8], gateway: u32, mac: [u8; 6]) -> bool {
    let [_, _, _, _, _, _, from @ ..] = &*frame else {
        return false;
    };
    let Some(asker) = from.first_chunk::<6>().copied() else {
        return false;
    };
    let is_request = frame.len() >= ethernet::HEADER_BYTES + 28
        && frame[12..22] == [8, 6, 0, 1, 8, 0, 6, 4, 0, 1]
        && frame[38..42] == gateway.to_be_bytes();
    if !is_request {
        return false;
    }
    let sender: [u8; 10] = std::array::from_fn(|at| frame[22 + at]);
    frame[..6].copy_from_slice(&asker);
    frame[6..12].copy_from_slice(&mac);
    frame[21] = 2;
    frame[22..28].copy_from_slice(&mac);
    frame[28..32].copy_from_slice(&gateway.to_be_bytes());
    frame[32..42].copy_from_slice(&sender);
    true
}

fn is_answer(frame: &[u8], mac: [u8; 6]) -> bool {
    frame.len() >= 42 && frame[12..14] == [8, 6] && frame[21] == 2 && frame[22..28] == mac
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second in which the tester stood still for `paused_ns`.
    fn report(sent: u64, received: u64, paused_ns: u64, held: bool) -> Report {
        let mut pauses = Pauses::new(0, 1);
        pauses.turn(paused_ns);
        let mut stream = Stream::new(Direction::Upstream, 1, Pace::new(0, 1.0));
        (stream.flow.sent, stream.flow.received) = (sent, received);
        Report {
            flows: vec![stream.flow],
            seconds: 1.0,
            held,
            pauses,
            stale: 0,
            foreign: 0,
        }
    }

    #[test]
    fn what_was_due_in_a_pause_is_not_the_testers_limit() {
        let limited =
            |sent, paused_ns, held| report(sent, sent, paused_ns, held).outcome(1000.0).tester_limited;

        assert!(!limited(1000, 0, false));
        assert!(limited(900, 0, false));
        assert!(!limited(900, 100_000_000, false));
        assert!(limited(700, 100_000_000, false));
        assert!(!limited(10, 0, true));
        assert_eq!(report(1000, 999, 0, false).outcome(1000.0).loss, 0.001);
    }

    #[test]
    fn a_request_for_the_gateway_becomes_its_answer_and_no_other_does() {
        let (asker, mine) = ([2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]);
        let mut request = [&[0xff; 6][..], &asker, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1]].concat();
        request.extend([&asker[..], &[192, 0, 2, 2], &[0; 6], &[192, 0, 2, 1]].concat());
        let gateway = u32::from_be_bytes([192, 0, 2, 1]);

        let mut answer = request.clone();
        assert!(answer_arp(&mut answer, gateway, mine));
        assert_eq!(answer[..12], [asker, mine].concat());
        assert_eq!(answer[20..32], [&[0, 2][..], &mine, &[192, 0, 2, 1]].concat());
        assert_eq!(answer[32..42], [&asker[..], &[192, 0, 2, 2]].concat());
        assert!(is_answer(&answer, mine));

        assert!(!answer_arp(&mut request.clone(), gateway + 1, mine));
        for cut in 0..request.len() {
            assert!(!answer_arp(&mut request[..cut].to_vec(), gateway, mine));
        }
    }
}
