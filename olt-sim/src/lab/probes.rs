//! What a subscriber tries, from sockets made in his namespace: ping, DNS, HTTP, TCP and UDP.
//!
//! A probe says what the subscriber learns, in three words: it was [`Reach::Reached`], somebody said no
//! ([`Reach::Refused`]), or nothing came back ([`Reach::Silent`]). Whether a packet arrived at the far end is
//! asked there ([`super::core_side`]).

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto};

use super::dns;
use super::flow::{FlowMeter, FlowSender, FlowSpec, UdpService};
use crate::net::Netns;
use crate::wire::checksum;

/// Payload of an echo request, as ping's.
const PING_BYTES: usize = 56;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach<T> {
    Reached(T),
    Refused(String),
    Silent,
}

impl<T> Reach<T> {
    pub fn is_reached(&self) -> bool {
        matches!(self, Self::Reached(_))
    }

    pub fn reached(self) -> Option<T> {
        match self {
            Self::Reached(found) => Some(found),
            Self::Refused(_) | Self::Silent => None,
        }
    }

    fn of(result: io::Result<T>) -> Self {
        match result {
            Ok(found) => Self::Reached(found),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Silent,
                _ => Self::Refused(error.to_string()),
            },
        }
    }
}

/// An echo reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    pub round_trip: Duration,
    /// TTL with which the reply arrived.
    pub ttl: u8,
}

/// One echo request (RFC 792). An ICMP error about it is `Refused`, with its type, code and sender.
pub fn ping(netns: &Netns, to: Ipv4Addr, patience: Duration) -> Reach<Pong> {
    ping_sized(netns, to, PING_BYTES, patience)
}

/// One echo request with this much payload; its identifier is unique in the program.
pub fn ping_sized(netns: &Netns, to: Ipv4Addr, payload_bytes: usize, patience: Duration) -> Reach<Pong> {
    match netns.run(|| ping_here(to, payload_bytes, patience)) {
        Ok(reach) => reach,
        Err(error) => Reach::Refused(error.to_string()),
    }
}

fn ping_here(to: Ipv4Addr, payload_bytes: usize, patience: Duration) -> Reach<Pong> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let identifier = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut request = vec![8, 0, 0, 0];
    request.extend_from_slice(&identifier.to_be_bytes());
    request.extend_from_slice(&[0, 1]);
    request.resize(8 + payload_bytes, 0x5a);
    let sum = checksum::finish(checksum::sum(&request, 0));
    request[2..4].copy_from_slice(&sum.to_be_bytes());

    let started = Instant::now();
    let exchange = || -> io::Result<Reach<Pong>> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(ipproto::ICMP),
        )?;
        rustix::net::sendto(&socket, &request, SendFlags::empty(), &SocketAddrV4::new(to, 0))?;
        let mut buffer = [0u8; 2048];
        while let Some(left) = patience
            .checked_sub(started.elapsed())
            .filter(|left| !left.is_zero())
        {
            let timeout = rustix::net::sockopt::Timeout::Recv;
            rustix::net::sockopt::set_socket_timeout(&socket, timeout, Some(left))?;
            let (length, _) = match rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty()) {
                Ok(received) => received,
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            if let Some(reach) = judge_icmp(&buffer[..length.min(buffer.len())], to, identifier, started) {
                return Ok(reach);
            }
        }
        Ok(Reach::Silent)
    };
    exchange().unwrap_or_else(|error| Reach::Refused(error.to_string()))
}

/// What a received ICMP packet (with its IP header) says about our request; `None` if it is not about it.
fn judge_icmp(packet: &[u8], to: Ipv4Addr, identifier: u16, started: Instant) -> Option<Reach<Pong>> {
    let from = ipv4_source(packet)?;
    let icmp = packet.get(usize::from(packet.first()? & 0x0f) * 4..)?;
    let identifier = identifier.to_be_bytes();
    match (*icmp.first()?, *icmp.get(1)?) {
        (0, 0) if from == to && icmp.get(4..6)? == identifier => Some(Reach::Reached(Pong {
            round_trip: started.elapsed(),
            ttl: *packet.get(8)?,
        })),
        (kind @ (3 | 11), code) => {
            let quoted = icmp.get(8..)?;
            let quoted_icmp = quoted.get(usize::from(quoted.first()? & 0x0f) * 4..)?;
            let ours = quoted_icmp.get(..2)? == [8, 0] && quoted_icmp.get(4..6)? == identifier;
            ours.then(|| Reach::Refused(format!("ICMP type {kind} code {code} from {from}")))
        }
        _ => None,
    }
}

fn ipv4_source(packet: &[u8]) -> Option<Ipv4Addr> {
    Some(Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?))
}

/// Asks a resolver for the A records of `name`.
pub fn resolve(netns: &Netns, resolver: Ipv4Addr, name: &str, patience: Duration) -> Reach<Vec<Ipv4Addr>> {
    resolve_at(netns, SocketAddrV4::new(resolver, 53), name, patience)
}

pub fn resolve_at(
    netns: &Netns,
    resolver: SocketAddrV4,
    name: &str,
    patience: Duration,
) -> Reach<Vec<Ipv4Addr>> {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let id = NEXT.fetch_add(1, Ordering::Relaxed);
    Reach::of((|| {
        let query =
            dns::query(id, name).ok_or_else(|| io::Error::other(format!("`{name}` is no host name")))?;
        let socket = udp(netns, resolver)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(&query)?;
        let mut buffer = [0u8; 1500];
        let length = socket.recv(&mut buffer)?;
        dns::addresses(&buffer[..length], id).ok_or_else(|| io::Error::other("not an answer to the question"))
    })())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpAnswer {
    pub status: u16,
    pub body: Vec<u8>,
}

impl HttpAnswer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// `GET path`; the whole exchange within `patience`.
pub fn http_get(netns: &Netns, server: SocketAddrV4, path: &str, patience: Duration) -> Reach<HttpAnswer> {
    Reach::of((|| {
        let deadline = Instant::now() + patience;
        let mut stream = http_request(netns, server, path, patience)?;
        let mut bytes = Vec::new();
        let mut buffer = [0u8; 1 << 16];
        loop {
            let left = deadline
                .saturating_duration_since(Instant::now())
                .max(Duration::from_millis(1));
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut buffer)? {
                0 => break,
                length => bytes.extend_from_slice(&buffer[..length]),
            }
        }
        parse_http(&bytes).ok_or_else(|| io::Error::other("not an HTTP answer"))
    })())
}

/// Sends the request; HTTP/1.0, so that the answer ends with the connection.
fn http_request(
    netns: &Netns,
    server: SocketAddrV4,
    path: &str,
    patience: Duration,
) -> io::Result<TcpStream> {
    let mut stream = tcp(netns, server, patience)?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", server.ip())?;
    Ok(stream)
}

fn parse_http(bytes: &[u8]) -> Option<HttpAnswer> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some(HttpAnswer {
        status,
        body: bytes[head_end + 4..].to_vec(),
    })
}

/// A TCP connection from the namespace.
pub fn tcp(netns: &Netns, to: SocketAddrV4, patience: Duration) -> io::Result<TcpStream> {
    netns
        .run(|| TcpStream::connect_timeout(&SocketAddr::V4(to), patience))
        .and_then(|connected| connected)
}

/// A UDP socket from the namespace, connected to `to`.
pub fn udp(netns: &Netns, to: SocketAddrV4) -> io::Result<UdpSocket> {
    netns.run(|| -> io::Result<UdpSocket> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(to)?;
        Ok(socket)
    })?
}

/// Sends one datagram and waits for one back.
pub fn udp_echo(netns: &Netns, to: SocketAddrV4, payload: &[u8], patience: Duration) -> Reach<Vec<u8>> {
    Reach::of((|| {
        let socket = udp(netns, to)?;
        socket.set_read_timeout(Some(patience))?;
        socket.send(payload)?;
        let mut buffer = [0u8; 1 << 16];
        let length = socket.recv(&mut buffer)?;
        Ok(buffer[..length].to_vec())
    })())
}

/// Sends a paced flow upstream.
pub fn send_flow(netns: &Netns, to: SocketAddrV4, spec: FlowSpec) -> io::Result<FlowSender> {
    FlowSender::start(udp(netns, to)?, spec)
}

/// A subscriber's UDP receiver.
#[derive(Debug)]
pub struct FlowReceiver {
    pub meter: FlowMeter,
    _service: UdpService,
}

pub fn receive_flows(netns: &Netns, port: u16) -> io::Result<FlowReceiver> {
    let socket = netns
        .run(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)))
        .and_then(|bound| bound)?;
    let meter = FlowMeter::default();
    Ok(FlowReceiver {
        meter: meter.clone(),
        _service: UdpService::metering(socket, meter)?,
    })
}

/// A TCP download that can be watched while it runs: an established flow.
#[derive(Debug)]
pub struct Download {
    shared: Arc<DownloadState>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct DownloadState {
    stop: AtomicBool,
    bytes: AtomicU64,
    ended: AtomicBool,
}

impl Download {
    /// Begins `GET path`; it has connected when this returns.
    pub fn start(netns: &Netns, server: SocketAddrV4, path: &str, patience: Duration) -> io::Result<Self> {
        let mut stream = http_request(netns, server, path, patience)?;
        stream.set_read_timeout(Some(Duration::from_millis(100)))?;
        let shared = Arc::new(DownloadState::default());
        let state = shared.clone();
        let thread = std::thread::Builder::new()
            .name("download".into())
            .spawn(move || {
                let mut buffer = vec![0u8; 1 << 16];
                while !state.stop.load(Ordering::Relaxed) {
                    match stream.read(&mut buffer) {
                        Ok(0) => break,
                        Ok(length) => {
                            state.bytes.fetch_add(length as u64, Ordering::Relaxed);
                        }
                        Err(error)
                            if matches!(
                                error.kind(),
                                io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                            ) => {}
                        Err(_) => break,
                    }
                }
                state.ended.store(true, Ordering::Release);
            })?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Bytes so far, the answer's head included.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    pub fn has_ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }

    /// Waits for its end, and says how much came.
    pub fn wait(mut self, patience: Duration) -> Option<u64> {
        let ended = super::namespace::wait_until(patience, || self.has_ended().then_some(()));
        self.join();
        ended.map(|()| self.bytes())
    }

    fn join(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.join();
    }
}
