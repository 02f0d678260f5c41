//! Every frame that comes out of the BNG on the core side, counted by who sent it to whom.
//!
//! A service only knows what reached its port. The watch sees the rest: a spoofed source, a protocol that
//! nobody serves, a frame that should have been stopped.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::lab::namespace::wait_until;
use crate::net::packet_socket::{BATCH, PacketSocket, Qdisc, Received};
use crate::net::{Netns, tap};
use crate::wire::Frame;
use crate::wire::ethernet::{ETHERTYPE_IPV4, ethertype};
use crate::wire::ipv4::Ipv4;

const LOOK: Duration = Duration::from_millis(50);
const REFRESH_PATIENCE: Duration = Duration::from_secs(2);
/// Frames kept for a look at their bytes, newest last.
const KEPT_FRAMES: usize = 4096;
const KEPT_BYTES: usize = 256;
/// Different senders and receivers kept apart; what comes after is counted together.
const PAIRS_MAX: usize = 65_536;

/// Packets of one protocol from one address to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    pub packets: u64,
    /// IP bytes.
    pub bytes: u64,
}

#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    stop: AtomicBool,
    /// How often a fresh look was asked for, and the last of these that was taken.
    asked: AtomicU32,
    taken: AtomicU32,
}

#[derive(Debug, Default)]
struct State {
    pairs: HashMap<(Ipv4Addr, Ipv4Addr, u8), (u64, u64)>,
    /// Frames that are not IPv4, by EtherType (which for a tagged frame is the tag's TPID).
    others: HashMap<u16, u64>,
    frames: VecDeque<Vec<u8>>,
}

impl Watch {
    /// Watches `interface`, waiting for it to appear, and again whenever it has gone.
    pub(super) fn start(netns: &Netns, interface: &str) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (watcher, netns, interface) = (shared.clone(), netns.clone(), interface.to_owned());
        let work = move || {
            let mut frames = vec![Frame::new(); BATCH];
            let mut told = vec![Received::default(); BATCH];
            while !watcher.stop.load(Ordering::Relaxed) {
                let asked = watcher.asked.load(Ordering::Acquire);
                match PacketSocket::open(&netns, &interface, Qdisc::Pass) {
                    Ok(socket) => {
                        watcher.taken.store(asked, Ordering::Release);
                        watcher.watch(&socket, asked, &mut frames, &mut told);
                    }
                    Err(_) => std::thread::sleep(LOOK),
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("core-watch".into())
            .spawn(work)?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Looks at the interface afresh; when this returns, no frame from now on is missed.
    pub(super) fn refresh(&self) -> io::Result<()> {
        let asked = self.shared.asked.fetch_add(1, Ordering::AcqRel) + 1;
        let taken = || (self.shared.taken.load(Ordering::Acquire) >= asked).then_some(());
        wait_until(REFRESH_PATIENCE, taken)
            .ok_or_else(|| io::Error::other("the core interface cannot be watched"))
    }

    pub fn all(&self) -> Vec<Seen> {
        let state = self.state();
        let mut all: Vec<_> = state
            .pairs
            .iter()
            .map(|(&(source, destination, protocol), &(packets, bytes))| Seen {
                source,
                destination,
                protocol,
                packets,
                bytes,
            })
            .collect();
        all.sort_by_key(|seen| (seen.source, seen.destination, seen.protocol));
        all
    }

    pub fn packets_from(&self, source: Ipv4Addr) -> u64 {
        self.matching(|seen| seen.source == source)
    }

    /// Packets of the pairs that `wanted` accepts.
    pub fn matching(&self, wanted: impl Fn(&Seen) -> bool) -> u64 {
        self.all()
            .iter()
            .filter(|seen| wanted(seen))
            .map(|seen| seen.packets)
            .sum()
    }

    /// Frames other than IPv4 with this EtherType.
    pub fn other_frames(&self, ethertype: u16) -> u64 {
        self.state().others.get(&ethertype).copied().unwrap_or(0)
    }

    /// The first 256 bytes of the newest frames.
    pub fn frames(&self) -> Vec<Vec<u8>> {
        self.state().frames.iter().cloned().collect()
    }

    pub fn clear(&self) {
        *self.state() = State::default();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Until the interface goes, a fresh look is asked for, or the watch is stopped.
    fn watch(&self, socket: &PacketSocket, asked: u32, frames: &mut [Frame], told: &mut [Received]) {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(LOOK.subsec_nanos()),
        };
        while !self.stop.load(Ordering::Relaxed) && self.asked.load(Ordering::Acquire) == asked {
            match poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout)) {
                Ok(0) | Err(rustix::io::Errno::INTR) => continue,
                Ok(_) => {}
                Err(_) => return,
            }
            let count = match socket.receive(frames, told) {
                Ok(count) => count,
                Err(error) if tap::is_idle(&error) => continue,
                Err(_) => return,
            };
            let mut state = self.state();
            for (frame, told) in frames.iter().zip(told.iter()).take(count) {
                if !told.outgoing {
                    state.add(frame.bytes());
                }
            }
        }
    }
}

impl State {
    fn add(&mut self, frame: &[u8]) {
        if self.frames.len() >= KEPT_FRAMES {
            self.frames.pop_front();
        }
        self.frames
            .push_back(frame[..frame.len().min(KEPT_BYTES)].to_vec());
        let kind = ethertype(frame).unwrap_or(0);
        match Ipv4::parse(frame) {
            Some(ip) if kind == ETHERTYPE_IPV4 => {
                let mut key = (ip.source, ip.destination, ip.protocol);
                if self.pairs.len() >= PAIRS_MAX && !self.pairs.contains_key(&key) {
                    key = (Ipv4Addr::UNSPECIFIED, Ipv4Addr::UNSPECIFIED, 0);
                }
                let (packets, bytes) = self.pairs.entry(key).or_default();
                *packets += 1;
                *bytes += (ip.end - crate::wire::ethernet::HEADER_BYTES) as u64;
            }
            _ => *self.others.entry(kind).or_default() += 1,
        }
    }
}
