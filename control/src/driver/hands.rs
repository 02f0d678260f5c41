//! The engine's hands: the real parts behind [`World`].

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;

use shm_bridge::SessionIndex;
use shm_bridge::ring::{About, Producer, PushError};
use shm_bridge::segment::Role;
use sluice_config::Config;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

use super::Input;
use super::counts::{DriverCounts, Lost};
use crate::aaa::{self, Backend};
use crate::engine::{
    AaaRequest, BusEvent, CommandError, DhcpOut, Egress, OltRequest, PolicyImage, Record, Reply, ReplyTo,
    ReservedRow, SessionImage, TableError, Ticket, World,
};
use crate::events::Bus;
use crate::frames;
use crate::neighbour::Hop;
use crate::olt::OltClient;
use crate::publish::{Publisher, RetiredRow, configured_hops};
use crate::session::{Mac, Totals};
use crate::store::Store;

/// Frames that may wait for room in an inject ring: one ring's worth more.
const WAITING_MAX: usize = 1024;
/// Relays' next hops to be asked for, between two turns.
const WANTED_MAX: usize = 64;
/// An lcore whose epoch stands still this long has an alarm raised.
const STALLED_NS: u64 = 1_000_000_000;
const ALARM_EVERY_NS: u64 = 10_000_000_000;

type Caller = oneshot::Sender<Result<Reply, CommandError>>;

/// What the hands are made of.
pub struct Parts {
    pub config: Arc<Config>,
    pub publisher: Publisher,
    /// By lcore slot.
    pub injects: Vec<Producer>,
    pub store: Store,
    pub aaa: Arc<dyn Backend>,
    pub olt: Option<OltClient>,
    pub bus: Bus,
    pub answers: mpsc::UnboundedSender<Input>,
    /// Where questions to the OLT run.
    pub runtime: Handle,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("publisher", &self.publisher)
            .finish_non_exhaustive()
    }
}

/// The real world.
pub struct Hands {
    parts: Parts,
    /// Frames that found the ring full: port and bytes.
    waiting: VecDeque<(u16, Vec<u8>)>,
    wanted: Vec<Hop>,
    next_hops: HashMap<Hop, Mac>,
    callers: HashMap<ReplyTo, Caller>,
    next_caller: u64,
    /// Whether a worker holds its lock: asked with every beat.
    worker_lives: bool,
    /// Lcores that lag behind the epoch, with the one they have and since when (monotonic ns).
    lagging: HashMap<(usize, u64), u64>,
    alarmed_ns: u64,
    /// By ONT: ends when its last question to the OLT has been answered.
    asked: HashMap<String, oneshot::Receiver<()>>,
    counts: Arc<DriverCounts>,
}

impl fmt::Debug for Hands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hands")
            .field("waiting", &self.waiting.len())
            .field("callers", &self.callers.len())
            .finish_non_exhaustive()
    }
}

impl Hands {
    pub fn new(parts: Parts, counts: Arc<DriverCounts>) -> Hands {
        Hands {
            worker_lives: parts.publisher.side().presence().is_alive(Role::Worker),
            lagging: HashMap::new(),
            alarmed_ns: 0,
            asked: HashMap::new(),
            parts,
            waiting: VecDeque::new(),
            wanted: Vec::new(),
            next_hops: HashMap::new(),
            callers: HashMap::new(),
            next_caller: 0,
            counts,
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.parts.config
    }

    pub(super) fn counts(&self) -> Arc<DriverCounts> {
        Arc::clone(&self.counts)
    }

    pub(super) fn configured_hops(&self) -> BTreeSet<Hop> {
        configured_hops(&self.parts.config)
    }

    /// A name for a caller who waits.
    pub(super) fn awaited(&mut self, caller: Caller) -> ReplyTo {
        self.next_caller += 1;
        let name = ReplyTo(self.next_caller);
        self.callers.insert(name, caller);
        name
    }

    /// Rows whose grace period ended.
    pub(super) fn poll(&mut self) -> Vec<RetiredRow> {
        self.parts.publisher.poll()
    }

    /// What is to be done ten times a second.
    pub(super) fn beat(&mut self, now_ns: u64) {
        let side = self.parts.publisher.side();
        side.beat(now_ns);
        self.worker_lives = side.presence().is_alive(Role::Worker);
        self.asked
            .retain(|_, end| end.try_recv() == Err(oneshot::error::TryRecvError::Empty));
        self.watch_lcores(now_ns);
    }

    /// An lcore that stands still keeps rows from being reused. It is never declared dead by time, but somebody should know.
    fn watch_lcores(&mut self, now_ns: u64) {
        let lagging = match self.worker_lives && self.parts.publisher.is_waiting() {
            true => self.parts.publisher.lagging(),
            false => Vec::new(),
        };
        self.lagging.retain(|slot, _| lagging.contains(slot));
        for slot in lagging {
            self.lagging.entry(slot).or_insert(now_ns);
        }
        let is_old = |since: &u64| now_ns.saturating_sub(*since) > STALLED_NS;
        let stalled: Vec<usize> = self
            .lagging
            .iter()
            .filter(|(_, since)| is_old(since))
            .map(|((slot, _), _)| *slot)
            .collect();
        if !stalled.is_empty() && now_ns.saturating_sub(self.alarmed_ns) > ALARM_EVERY_NS {
            self.alarmed_ns = now_ns;
            tracing::error!(slots = ?stalled, waiting = self.parts.publisher.usage().rows_waiting, "lcores stand still: nothing they may be reading is reused");
        }
    }

    pub(super) fn take_wanted(&mut self) -> Vec<Hop> {
        std::mem::take(&mut self.wanted)
    }

    /// Asks on the wire who has a next hop's address.
    pub(super) fn ask(&mut self, hop: Hop, to: Option<Mac>) {
        let port = self.parts.config.ports.get(usize::from(hop.port));
        match port.and_then(|port| frames::arp_request(port, to, hop.address)) {
            Some(frame) => self.inject(hop.port, frame),
            None => self.counts.add(Lost::Unsendable, 1),
        }
    }

    /// A next hop that the tables have resolved already.
    pub(super) fn remember(&mut self, hop: Hop, mac: Mac) {
        self.next_hops.insert(hop, mac);
    }

    pub(super) fn resolved(&mut self, hop: Hop, mac: Mac) {
        tracing::info!(address = %hop.address, port = hop.port, %mac, "next hop resolved");
        self.next_hops.insert(hop, mac);
        if self.configured_hops().contains(&hop) {
            self.parts.publisher.resolve(hop, Some(mac.0));
        } else if let Err(error) = self.parts.publisher.add_neighbour(hop, mac.0) {
            self.counts.add(Lost::NeighbourTable, 1);
            tracing::warn!(address = %hop.address, %error, "neighbour not entered");
        }
    }

    pub(super) fn lost(&mut self, hop: Hop) {
        tracing::warn!(address = %hop.address, port = hop.port, "next hop lost");
        self.next_hops.remove(&hop);
        if self.configured_hops().contains(&hop) {
            self.parts.publisher.resolve(hop, None);
        } else {
            self.parts.publisher.remove_neighbour(hop);
        }
    }

    pub(super) fn forgotten(&mut self, hop: Hop) {
        self.next_hops.remove(&hop);
        self.parts.publisher.remove_neighbour(hop);
    }

    /// Puts a frame on its way through a worker.
    fn inject(&mut self, port: u16, frame: Vec<u8>) {
        if self.waiting.len() >= WAITING_MAX {
            self.counts.add(Lost::InjectFull, 1);
            return;
        }
        self.waiting.push_back((port, frame));
        self.flush();
    }

    /// Gives waiting frames to an lcore of the worker that runs now, in order.
    pub(super) fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let tables = self.parts.publisher.tables();
        let generation = tables.worker_generation();
        let slot = tables
            .lcores
            .used()
            .find(|(_, lcore)| self.worker_lives && lcore.generation.get() == generation);
        let producer = slot
            .map(|(slot, _)| slot)
            .and_then(|slot| self.parts.injects.get_mut(slot));
        let Some(producer) = producer else {
            // Clients and neighbours ask again; a frame that waits for a worker to be started is of no use to them.
            self.counts.add(Lost::NoWorker, self.waiting.len() as u64);
            self.waiting.clear();
            return;
        };
        while let Some((port, frame)) = self.waiting.front() {
            let about = About {
                port: *port,
                ..About::default()
            };
            match producer.push(&about, frame) {
                Ok(()) => {}
                Err(PushError::Full) => return,
                Err(PushError::TooLong(_)) => self.counts.add(Lost::Unsendable, 1),
            }
            self.waiting.pop_front();
        }
    }

    /// The core port and neighbour on the way to an address: the longest of connected, static and default routes.
    fn next_hop(&self, address: Ipv4Addr) -> Option<Hop> {
        let config = &self.parts.config;
        let connected = config
            .core_ports()
            .find(|(_, _, core)| core.address.contains(&address));
        if let Some((port, ..)) = connected {
            return Some(Hop { port, address });
        }
        let by_route = config
            .core_ports()
            .flat_map(|(port, _, core)| core.routes.iter().map(move |route| (port, route)))
            .filter(|(_, route)| route.prefix.contains(&address))
            .max_by_key(|(_, route)| route.prefix.prefix_len())
            .map(|(port, route)| Hop {
                port,
                address: route.via,
            });
        by_route.or_else(|| {
            config
                .core_ports()
                .find_map(|(port, _, core)| core.gateway.map(|address| Hop { port, address }))
        })
    }

    fn send_to_relay(&mut self, message: &DhcpOut) {
        let hop = self.next_hop(message.destination);
        let Some(hop) = hop else {
            self.counts.add(Lost::NoNextHop, 1);
            return;
        };
        let Some(mac) = self.next_hops.get(&hop).copied() else {
            self.counts.add(Lost::NoNextHop, 1);
            if self.wanted.len() < WANTED_MAX {
                self.wanted.push(hop);
            }
            return;
        };
        let port = self.parts.config.ports.get(usize::from(hop.port));
        let frame = port.map(|port| {
            let (source, relay) = (message.source, message.destination);
            frames::dhcp_to_relay(
                port,
                mac,
                source,
                relay,
                message.destination_port,
                &message.payload,
            )
        });
        match frame {
            Some(Ok(frame)) => self.inject(hop.port, frame),
            Some(Err(_)) | None => self.counts.add(Lost::Unsendable, 1),
        }
    }
}

impl World for Hands {
    fn reserve_row(&mut self) -> Result<ReservedRow, TableError> {
        self.parts.publisher.reserve_row()
    }

    fn publish(&mut self, image: &SessionImage, previous: Option<&SessionImage>) -> Result<(), TableError> {
        self.parts.publisher.publish(image, previous)
    }

    fn set_policy(&mut self, row: SessionIndex, policy: &PolicyImage) -> Result<(), TableError> {
        self.parts.publisher.set_policy(row, policy)
    }

    fn withdraw(&mut self, image: &SessionImage) {
        self.parts.publisher.withdraw(image);
    }

    fn release_row(&mut self, row: SessionIndex) {
        self.parts.publisher.release_row(row);
    }

    fn traffic(&self, row: SessionIndex) -> [Totals; 2] {
        self.parts.publisher.traffic(row)
    }

    fn send(&mut self, message: DhcpOut) {
        let Egress::Line { line, mac } = message.to else {
            return self.send_to_relay(&message);
        };
        let port = self.parts.config.ports.get(usize::from(line.port));
        let frame = port.map(|port| {
            frames::dhcp_to_line(
                port,
                &line,
                mac,
                message.source,
                message.destination,
                &message.payload,
            )
        });
        match frame {
            Some(Ok(frame)) => self.inject(line.port, frame),
            Some(Err(_)) | None => self.counts.add(Lost::Unsendable, 1),
        }
    }

    fn authorize(&mut self, request: AaaRequest) {
        let answers = self.parts.answers.clone();
        let sink: aaa::Sink = Arc::new(move |ticket, answer| {
            // The driver is gone: the process is ending.
            let _ = answers.send(Input::Aaa { ticket, answer });
        });
        let answer = aaa::Answer::new(request.ticket, sink);
        self.parts.aaa.authorize(request, answer);
    }

    fn commit(&mut self, ticket: Ticket, batch: Vec<Record>) {
        if let Err(refused) = self.parts.store.commit(ticket, batch) {
            let _ = self.parts.answers.send(Input::Committed {
                ticket,
                result: Err(refused.to_string()),
            });
        }
    }

    fn reconfigure(&mut self, ticket: Ticket, request: OltRequest) {
        let answers = self.parts.answers.clone();
        let Some(olt) = self.parts.olt.clone() else {
            let result = Err("no OLT is configured".to_owned());
            let _ = answers.send(Input::OltAnswered { ticket, result });
            return;
        };
        // What is asked of one ONT arrives in the order it was asked.
        let (over, end) = oneshot::channel();
        let before = self.asked.insert(request.ont_serial.clone(), end);
        self.parts.runtime.spawn(async move {
            let _over = over;
            if let Some(before) = before {
                // It ends by being dropped.
                let _ = before.await;
            }
            let result = olt.reconfigure(&request).await.map_err(|error| error.to_string());
            if let Err(error) = &result {
                tracing::warn!(ont_serial = request.ont_serial, %error, "OLT not reconfigured");
            }
            let _ = answers.send(Input::OltAnswered { ticket, result });
        });
    }

    fn reply(&mut self, to: ReplyTo, result: Result<Reply, CommandError>) {
        if let Some(caller) = self.callers.remove(&to) {
            // A caller who has gone away needs no answer.
            let _ = caller.send(result);
        }
    }

    fn emit(&mut self, event: BusEvent) {
        self.parts.bus.publish(event);
    }
}
