//! Paced UDP with numbered packets: what was sent, what arrived, in which order.
//!
//! ```text
//! payload: magic (4) | flow (4) | sequence number (8) | padding
//! ```

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::namespace::wait_until;

const MAGIC: u32 = 0x534c_5546;
const HEADER_BYTES: usize = 16;
/// Ethernet, IPv4 and UDP around the payload, without tags and frame check.
pub const OVERHEAD_BYTES: usize = 42;
/// IPv4 and UDP around the payload: what a policer counts as the IP packet.
pub const IP_OVERHEAD_BYTES: usize = 28;
/// Sequence numbers whose duplicates are noticed: a bit each.
const TRACKED_NUMBERS: u64 = 1 << 24;
/// A receiver's buffer: half a second of 100 Mbit/s.
const RECEIVE_BUFFER_BYTES: usize = 8 << 20;
const LOOK: Duration = Duration::from_millis(50);
/// The most a sender that was held up sends at once to catch up.
const CATCH_UP: Duration = Duration::from_millis(5);

/// What a sender sends.
#[derive(Clone, Copy, Debug)]
pub struct FlowSpec {
    /// Tells flows to one receiver apart.
    pub flow: u32,
    pub payload_bytes: usize,
    pub packets_per_second: u64,
    /// 0 = until stopped.
    pub packets: u64,
}

impl FlowSpec {
    /// A flow of 1,400 byte IP packets at a rate of IP bits per second.
    pub fn bits_per_second(flow: u32, bits_per_second: u64) -> Self {
        let payload_bytes = 1400 - IP_OVERHEAD_BYTES;
        Self {
            flow,
            payload_bytes,
            packets_per_second: (bits_per_second / (1400 * 8)).max(1),
            packets: 0,
        }
    }

    pub fn packets(self, packets: u64) -> Self {
        Self { packets, ..self }
    }
}

/// A sending thread; stopped when dropped.
#[derive(Debug)]
pub struct FlowSender {
    counts: Arc<SenderCounts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct SenderCounts {
    stop: AtomicBool,
    sent: AtomicU64,
    refused: AtomicU64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub packets: u64,
    /// The kernel would not send: no route, or an ICMP error had come back.
    pub refused: u64,
}

impl FlowSender {
    /// Sends from a connected socket, which was made in the sender's namespace.
    pub fn start(socket: UdpSocket, spec: FlowSpec) -> io::Result<Self> {
        let counts = Arc::new(SenderCounts::default());
        let shared = counts.clone();
        let thread = std::thread::Builder::new()
            .name(format!("flow-{}", spec.flow))
            .spawn(move || send(&socket, spec, &shared))?;
        Ok(Self {
            counts,
            thread: Some(thread),
        })
    }

    pub fn sent(&self) -> Sent {
        Sent {
            packets: self.counts.sent.load(Ordering::Relaxed),
            refused: self.counts.refused.load(Ordering::Relaxed),
        }
    }

    /// Waits for a flow with a number of packets to end.
    pub fn finish(mut self) -> Sent {
        self.join();
        self.sent()
    }

    pub fn stop(self) -> Sent {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.finish()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for FlowSender {
    fn drop(&mut self) {
        self.counts.stop.store(true, Ordering::Relaxed);
        self.join();
    }
}

fn send(socket: &UdpSocket, spec: FlowSpec, counts: &SenderCounts) {
    let mut payload = vec![0u8; spec.payload_bytes.max(HEADER_BYTES)];
    payload[..4].copy_from_slice(&MAGIC.to_be_bytes());
    payload[4..8].copy_from_slice(&spec.flow.to_be_bytes());
    let interval = Duration::from_secs(1) / u32::try_from(spec.packets_per_second.max(1)).unwrap_or(u32::MAX);
    let mut next = Instant::now();
    let mut number = 0u64;
    while !counts.stop.load(Ordering::Relaxed) && (spec.packets == 0 || number < spec.packets) {
        let now = Instant::now();
        if now < next {
            std::thread::sleep(next - now);
        }
        // Time lost to the scheduler is made up for only as far as a small burst.
        next = next.max(Instant::now().checked_sub(CATCH_UP).unwrap_or(next)) + interval;
        payload[8..16].copy_from_slice(&number.to_be_bytes());
        number += 1;
        match socket.send(&payload) {
            Ok(_) => counts.sent.fetch_add(1, Ordering::Relaxed),
            Err(_) => counts.refused.fetch_add(1, Ordering::Relaxed),
        };
    }
}

/// What arrived of one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowCount {
    pub source: SocketAddr,
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
    pub highest: u64,
    pub reordered: u64,
    pub duplicates: u64,
    pub first_at: Instant,
    pub last_at: Instant,
}

impl FlowCount {
    /// IP bits per second between the first and the last packet.
    pub fn bits_per_second(&self) -> f64 {
        let seconds = (self.last_at - self.first_at).as_secs_f64();
        if seconds > 0.0 {
            self.bytes as f64 * 8.0 / seconds
        } else {
            0.0
        }
    }
}

/// Counts the flows that arrive at a socket.
#[derive(Clone, Debug, Default)]
pub struct FlowMeter {
    flows: Arc<Mutex<HashMap<u32, Metered>>>,
}

#[derive(Debug)]
struct Metered {
    count: FlowCount,
    seen: Vec<u64>,
}

impl FlowMeter {
    pub fn flow(&self, flow: u32) -> Option<FlowCount> {
        self.flows().get(&flow).map(|metered| metered.count.clone())
    }

    /// Packets of the flow that have arrived; 0 for one never seen.
    pub fn packets(&self, flow: u32) -> u64 {
        self.flows().get(&flow).map_or(0, |metered| metered.count.packets)
    }

    /// IP bytes of all flows.
    pub fn total_bytes(&self) -> u64 {
        self.flows().values().map(|metered| metered.count.bytes).sum()
    }

    pub fn wait_for(&self, flow: u32, packets: u64, patience: Duration) -> bool {
        wait_until(patience, || (self.packets(flow) >= packets).then_some(())).is_some()
    }

    pub fn clear(&self) {
        self.flows().clear();
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<u32, Metered>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a packet; anything that is not ours is ignored.
    pub fn count(&self, source: SocketAddr, payload: &[u8]) {
        let Some(header) = payload.first_chunk::<HEADER_BYTES>() else {
            return;
        };
        let word =
            |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        if word(0) != MAGIC {
            return;
        }
        let number = u64::from(word(8)) << 32 | u64::from(word(12));
        let now = Instant::now();
        let mut flows = self.flows();
        let metered = flows.entry(word(4)).or_insert_with(|| Metered {
            count: FlowCount {
                source,
                packets: 0,
                bytes: 0,
                highest: number,
                reordered: 0,
                duplicates: 0,
                first_at: now,
                last_at: now,
            },
            seen: Vec::new(),
        });
        let again = metered.mark(number);
        let count = &mut metered.count;
        count.packets += 1;
        count.bytes += (payload.len() + IP_OVERHEAD_BYTES) as u64;
        count.duplicates += u64::from(again);
        count.reordered += u64::from(number < count.highest);
        count.highest = count.highest.max(number);
        count.last_at = now;
    }
}

impl Metered {
    /// Marks a number as seen; says whether it was before.
    fn mark(&mut self, number: u64) -> bool {
        if number >= TRACKED_NUMBERS {
            return false;
        }
        let (word, bit) = ((number / 64) as usize, 1u64 << (number % 64));
        if word >= self.seen.len() {
            self.seen.resize(word + 1, 0);
        }
        let again = self.seen[word] & bit != 0;
        self.seen[word] |= bit;
        again
    }
}

/// A thread that hands every datagram of a socket to a function; stopped when dropped.
#[derive(Debug)]
pub struct UdpService {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl UdpService {
    /// `answer` sees the sender and the payload, and may give what is sent back.
    pub fn start(
        socket: UdpSocket,
        mut answer: impl FnMut(SocketAddr, &[u8]) -> Option<Vec<u8>> + Send + 'static,
    ) -> io::Result<Self> {
        socket.set_read_timeout(Some(LOOK))?;
        rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let serve = move || {
            let mut buffer = vec![0u8; 1 << 16];
            while !stopped.load(Ordering::Relaxed) {
                let Ok((length, source)) = socket.recv_from(&mut buffer) else {
                    continue;
                };
                if let Some(reply) = answer(source, &buffer[..length]) {
                    // A subscriber who has gone is no fault of this service.
                    let _ = socket.send_to(&reply, source);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("udp-service".into())
            .spawn(serve)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Counts flows into `meter`.
    pub fn metering(socket: UdpSocket, meter: FlowMeter) -> io::Result<Self> {
        Self::start(socket, move |source, payload| {
            meter.count(source, payload);
            None
        })
    }
}

impl Drop for UdpService {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_counted_packet_by_packet() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let meter = FlowMeter::default();
        let _service = UdpService::metering(receiver, meter.clone()).unwrap();
        let spec = FlowSpec {
            flow: 7,
            payload_bytes: 100,
            packets_per_second: 2000,
            packets: 200,
        };

        let started = Instant::now();
        let sent = FlowSender::start(sender, spec).unwrap().finish();

        assert_eq!(
            sent,
            Sent {
                packets: 200,
                refused: 0
            }
        );
        assert!(
            started.elapsed() >= Duration::from_millis(95),
            "{:?}",
            started.elapsed()
        );
        assert!(meter.wait_for(7, 200, Duration::from_secs(2)));
        let count = meter.flow(7).unwrap();
        assert_eq!((count.bytes, count.highest), (200 * 128, 199));
        assert_eq!((count.reordered, count.duplicates), (0, 0));
    }

    #[test]
    fn duplicates_and_reordering_are_noticed() {
        let meter = FlowMeter::default();
        let source = "10.0.0.1:1".parse().unwrap();
        let packet = |number: u64| {
            [
                &MAGIC.to_be_bytes()[..],
                &9u32.to_be_bytes(),
                &number.to_be_bytes(),
            ]
            .concat()
        };

        for number in [0, 2, 1, 2, 3] {
            meter.count(source, &packet(number));
        }
        meter.count(source, b"something else, not of a flow");

        let count = meter.flow(9).unwrap();
        assert_eq!(
            (count.packets, count.reordered, count.duplicates, count.highest),
            (5, 1, 1, 3)
        );
    }
}
