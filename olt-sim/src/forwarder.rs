//! The thread that carries frames: every ONT's TAP on one side, the trunk on the other.
//!
//! One epoll set, frames moved in batches. The thread owns its buffers; the node's tables are shared with
//! the API behind a mutex that is taken once a batch. The trunk's interface may vanish (a worker that is
//! restarted takes its TAP along): the thread opens it again as soon as it is back.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, Timespec, epoll};
use tracing::{info, warn};

use crate::config::TrunkConfig;
use crate::net::packet_socket::{BATCH, PacketSocket, Received};
use crate::net::{Carrier, Netns, Tap, tap};
use crate::node::{AccessNode, DropReason, OntIndex};
use crate::wire::{Frame, checksum};

const TOKEN_TRUNK: u64 = u64::MAX;
const TOKEN_WAKE: u64 = u64::MAX - 1;
const EVENTS_A_ROUND: usize = 64;
/// How soon a vanished trunk is looked for again.
const TRUNK_RETRY: Duration = Duration::from_millis(50);
/// The longest sleep; what must happen sooner wakes the thread.
const SLEEP_MAX: Duration = Duration::from_secs(1);

/// What the forwarding thread and the node's operations share.
#[derive(Debug)]
pub(crate) struct Plane {
    pub(crate) tables: Mutex<Tables>,
    trunk: Mutex<Option<Arc<PacketSocket>>>,
    epoll: OwnedFd,
    wake: OwnedFd,
    stop: AtomicBool,
}

#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) node: AccessNode,
    /// The TAP of each ONT, by the ONT's index.
    pub(crate) taps: Vec<Option<Arc<Tap>>>,
    /// Lines that are dark for a bounce, and when the light comes back.
    pub(crate) dark: Vec<(OntIndex, Instant)>,
    pub(crate) line_watchers: Vec<std::sync::mpsc::Sender<LineEvent>>,
}

/// A line's light went or came: what a CPE's link watcher sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineEvent {
    pub serial: String,
    pub carrier: Carrier,
}

impl Plane {
    pub(crate) fn new(node: AccessNode) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let wake = rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(
            &epoll,
            &wake,
            epoll::EventData::new_u64(TOKEN_WAKE),
            epoll::EventFlags::IN,
        )?;
        Ok(Self {
            tables: Mutex::new(Tables {
                node,
                taps: Vec::new(),
                dark: Vec::new(),
                line_watchers: Vec::new(),
            }),
            trunk: Mutex::new(None),
            epoll,
            wake,
            stop: AtomicBool::new(false),
        })
    }

    /// A panic of another thread leaves the tables usable: no update of them is half done while unwinding.
    pub(crate) fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn trunk(&self) -> Option<Arc<PacketSocket>> {
        self.trunk.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn watch_tap(&self, index: OntIndex, tap: &Tap) -> io::Result<()> {
        let token = epoll::EventData::new_u64(index.get() as u64);
        Ok(epoll::add(&self.epoll, tap, token, epoll::EventFlags::IN)?)
    }

    pub(crate) fn unwatch_tap(&self, tap: &Tap) {
        // Fails only when it is not watched, which is what is wanted.
        let _ = epoll::delete(&self.epoll, tap);
    }

    pub(crate) fn wake(&self) {
        // A full eventfd wakes as well.
        let _ = rustix::io::write(&self.wake, &1u64.to_ne_bytes());
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }

    fn set_trunk(&self, socket: Option<Arc<PacketSocket>>) {
        *self.trunk.lock().unwrap_or_else(PoisonError::into_inner) = socket;
    }
}

impl Tables {
    /// Tells the watchers, and forgets those who no longer listen.
    pub(crate) fn announce(&mut self, event: &LineEvent) {
        self.line_watchers
            .retain(|watcher| watcher.send(event.clone()).is_ok());
    }
}

pub(crate) struct Forwarder {
    plane: Arc<Plane>,
    config: TrunkConfig,
    trunk: Option<Arc<PacketSocket>>,
    trunk_retry: Instant,
    trunk_missed: bool,
    frames: Vec<Frame>,
    told: Vec<Received>,
}

impl Forwarder {
    pub(crate) fn new(plane: Arc<Plane>, config: TrunkConfig) -> Self {
        Self {
            plane,
            config,
            trunk: None,
            trunk_retry: Instant::now(),
            trunk_missed: false,
            frames: vec![Frame::new(); BATCH],
            told: vec![Received::default(); BATCH],
        }
    }

    /// Opens the trunk if it is there already, so that a started node can send at once.
    pub(crate) fn prepare(mut self) -> Self {
        self.reopen_trunk();
        self
    }

    pub(crate) fn run(mut self) {
        let mut events: Vec<epoll::Event> = Vec::with_capacity(EVENTS_A_ROUND);
        while !self.plane.stop.load(Ordering::Acquire) {
            self.reopen_trunk();
            let sleep = self.light_dark_lines();
            events.clear();
            let waited = epoll::wait(
                &self.plane.epoll,
                rustix::buffer::spare_capacity(&mut events),
                Some(&timespec(sleep)),
            );
            match waited {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => {
                    warn!(%error, "waiting for frames failed; the access node stops");
                    return;
                }
            }
            for event in &events {
                match event.data.u64() {
                    TOKEN_TRUNK => self.forward_downstream(),
                    TOKEN_WAKE => {
                        let mut count = [0u8; 8];
                        let _ = rustix::io::read(&self.plane.wake, &mut count);
                    }
                    token => self.forward_upstream(OntIndex::new(token as usize)),
                }
            }
        }
    }

    /// A batch from one ONT's TAP to the trunk.
    fn forward_upstream(&mut self, index: OntIndex) {
        let Some(tap) = self.plane.tables().taps.get(index.get()).cloned().flatten() else {
            return;
        };
        let mut count = 0;
        while count < self.frames.len() {
            match tap.read(&mut self.frames[count]) {
                Ok(()) => count += 1,
                Err(error) if tap::is_idle(&error) => break,
                // The interface was removed from outside: nothing will come any more.
                Err(_) => {
                    self.plane.unwatch_tap(&tap);
                    break;
                }
            }
        }
        if count == 0 {
            return;
        }
        let now = Instant::now();
        let mut tables = self.plane.tables();
        let mut passed = 0;
        for at in 0..count {
            if tables.node.upstream(index, &mut self.frames[at], now).is_ok() {
                self.frames.swap(passed, at);
                passed += 1;
            }
        }
        drop(tables);
        self.send_on_trunk(passed);
    }

    fn send_on_trunk(&mut self, count: usize) {
        if count == 0 {
            return;
        }
        let (sent, reason) = match &self.trunk {
            None => (0, DropReason::TrunkDown),
            Some(trunk) => match trunk.send(&self.frames[..count]) {
                Ok(sent) => (sent, DropReason::TrunkFull),
                Err(error) => {
                    self.lose_trunk(&error);
                    (0, DropReason::TrunkDown)
                }
            },
        };
        if sent < count {
            let mut tables = self.plane.tables();
            for _ in sent..count {
                tables.node.count_drop(reason);
            }
        }
    }

    /// A batch from the trunk to the ONTs it is for.
    fn forward_downstream(&mut self) {
        let Some(trunk) = self.trunk.clone() else { return };
        let count = match trunk.receive(&mut self.frames, &mut self.told) {
            Ok(count) => count,
            Err(error) if tap::is_idle(&error) => return,
            Err(error) => return self.lose_trunk(&error),
        };
        let now = Instant::now();
        let mut to = Vec::new();
        let mut tables = self.plane.tables();
        for (frame, told) in self.frames.iter_mut().zip(&self.told).take(count) {
            if told.outgoing {
                continue;
            }
            if told.truncated {
                tables.node.count_drop(DropReason::Oversize);
                continue;
            }
            if tables.node.downstream(frame, &mut to, now).is_err() {
                continue;
            }
            if told.partial_checksum {
                checksum::complete(frame.bytes_mut());
            }
            for index in &to {
                let tap = tables.taps.get(index.get()).and_then(Option::as_ref);
                if tap.is_none_or(|tap| tap.write(frame.bytes()).is_err()) {
                    tables.node.count_drop(DropReason::TapFull);
                }
            }
        }
    }

    fn lose_trunk(&mut self, error: &io::Error) {
        warn!(interface = self.config.interface, %error, "trunk lost; waiting for it to come back");
        if let Some(trunk) = self.trunk.take() {
            let _ = epoll::delete(&self.plane.epoll, &trunk);
        }
        self.plane.set_trunk(None);
        self.trunk_retry = Instant::now() + TRUNK_RETRY;
        self.trunk_missed = true;
    }

    fn reopen_trunk(&mut self) {
        if self.trunk.is_some() || Instant::now() < self.trunk_retry {
            return;
        }
        match self.open_trunk() {
            Ok(socket) => {
                info!(interface = self.config.interface, "trunk open");
                self.plane.set_trunk(Some(socket.clone()));
                self.trunk = Some(socket);
                self.trunk_missed = false;
            }
            Err(error) => {
                if !self.trunk_missed {
                    warn!(%error, "trunk not there yet; waiting for it");
                }
                self.trunk_missed = true;
                self.trunk_retry = Instant::now() + TRUNK_RETRY;
            }
        }
    }

    fn open_trunk(&self) -> io::Result<Arc<PacketSocket>> {
        let namespace = Netns::from_option(self.config.namespace.as_deref());
        let socket = PacketSocket::open(&namespace, &self.config.interface, self.config.qdisc())?;
        let socket = Arc::new(socket);
        let token = epoll::EventData::new_u64(TOKEN_TRUNK);
        epoll::add(&self.plane.epoll, &socket, token, epoll::EventFlags::IN)?;
        Ok(socket)
    }

    /// Gives light to the lines whose bounce is over; says how long the thread may sleep.
    fn light_dark_lines(&self) -> Duration {
        let now = Instant::now();
        let mut sleep = if self.trunk.is_some() {
            SLEEP_MAX
        } else {
            TRUNK_RETRY
        };
        let mut tables = self.plane.tables();
        let tables = &mut *tables;
        let mut due = Vec::new();
        tables.dark.retain(|(index, until)| {
            let over = *until <= now;
            if over {
                due.push(*index);
            } else {
                sleep = sleep.min(*until - now);
            }
            !over
        });
        for index in due {
            let Some(tap) = tables.taps.get(index.get()).and_then(Option::as_ref) else {
                continue;
            };
            let Some(ont) = tables.node.ont_mut(index) else {
                continue;
            };
            if let Err(error) = tap.set_carrier(Carrier::Up) {
                warn!(serial = ont.config.serial, %error, "the line stays dark");
                continue;
            }
            ont.carrier = Carrier::Up;
            let event = LineEvent {
                serial: ont.config.serial.clone(),
                carrier: Carrier::Up,
            };
            tables.announce(&event);
        }
        sleep
    }
}

fn timespec(duration: Duration) -> Timespec {
    // Rounded up: a sleep that ends too soon would only spin.
    let duration = duration + Duration::from_micros(999);
    Timespec {
        tv_sec: duration.as_secs() as i64,
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
