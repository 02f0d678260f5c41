//! Upstream: access line to an adjacency.

use arrayvec::ArrayVec;
use shm_bridge::access::{AccessKey, Found, Lines};
use shm_bridge::adjacency::AdjacencyIndex;
use shm_bridge::cost::Stage;
use shm_bridge::policer::from_ns;
use shm_bridge::sides::Tables;
use shm_bridge::sync::{AtomicU32, Ordering};
use shm_bridge::{Direction, SessionIndex};

use super::gone::Gone;
use super::header::{self, Header};
use super::near::Near;
use super::rate::Meter;
use crate::burst::LANES;
use crate::context::Context;
use crate::laps::Laps;
use crate::packet::Packet;
use crate::ports::{Access, Port, Tagging};
use crate::simd::prefetch::prefetch;

/// A packet on its way.
struct Passenger<'t> {
    header: Header,
    /// Where the session of a 1:1 line stands.
    slot: Option<&'t AtomicU32>,
    place: u8,
}

/// A packet and whose it is.
struct Seated {
    session: SessionIndex,
    /// Among the passengers.
    seat: u8,
}

type Passengers<'t> = ArrayVec<Passenger<'t>, LANES>;
type Seats = ArrayVec<Seated, LANES>;

/// A core port's neighbour: what the rewrite needs of it.
#[derive(Clone, Copy)]
struct Hop {
    adjacency: AdjacencyIndex,
    /// Destination and the first two bytes of the source, as they go onto the wire; then the rest of the source.
    first: u64,
    rest: u32,
    mtu: u16,
    port: u8,
}

pub(super) fn run<P: Packet>(
    packets: &mut [P],
    port: &Port,
    access: &Access,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
    laps: &mut impl Laps,
) {
    match access.tagging {
        Tagging::QinQ => way::<P, 8>(packets, port, now_ns, context, gone, laps, |packet| {
            let (head, len) = packet.head()?;
            header::qinq(head, len, port, access)
        }),
        Tagging::Single => way::<P, 4>(packets, port, now_ns, context, gone, laps, |packet| {
            let (head, len) = packet.head()?;
            header::single(head, len, port, access)
        }),
        Tagging::Untagged => way::<P, 0>(packets, port, now_ns, context, gone, laps, |packet| {
            let (head, len) = packet.head()?;
            header::untagged(head, len, port)
        }),
    }
}

/// Three passes, each a function of its own: what one keeps in registers the next need not spill. `TAGS` is the bytes of tags that
/// a frame has.
#[inline(always)]
fn way<P: Packet, const TAGS: usize>(
    packets: &mut [P],
    port: &Port,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
    laps: &mut impl Laps,
    parse: impl Fn(&P) -> Option<Header>,
) {
    let Some(lines) = context.tables.access.lines(u16::from(port.index)) else {
        return;
    };
    let mut passengers = Passengers::new_const();
    look(packets, lines, context, &mut passengers, parse);
    laps.lap(Stage::ExpressLook, || passengers.len());
    let mut seats = Seats::new_const();
    find(&passengers, port, &context.tables, &mut seats);
    laps.lap(Stage::ExpressFind, || seats.len());
    go::<P, TAGS>(packets, &passengers, &seats, port, now_ns, context, gone);
    laps.lap(Stage::ExpressGo, || packets.len() - gone.count());
}

/// Finds the common packets, and asks for where their sessions stand and their destinations lead.
#[inline(never)]
fn look<'t, P: Packet>(
    packets: &[P],
    lines: Lines<'t>,
    context: &'t Context,
    passengers: &mut Passengers<'t>,
    parse: impl Fn(&P) -> Option<Header>,
) {
    let (fib, alone) = (context.tables.fib.view(), context.owners.is_alone());
    for (packet, place) in packets.iter().take(LANES).zip(0u8..) {
        if let Some(header) = parse(packet)
            && (alone || context.owners.is_mine(header.source()))
        {
            let slot = lines.slot(header.tags() as u16, (header.tags() >> 16) as u16);
            if let Some(slot) = slot {
                prefetch(slot);
            }
            prefetch(fib.cell(header.destination()));
            passengers.push(Passenger { header, slot, place });
        }
    }
}

/// Finds their sessions, and asks for those.
#[inline(never)]
fn find(passengers: &Passengers<'_>, port: &Port, tables: &Tables, seats: &mut Seats) {
    let near = Near::new(tables);
    for (passenger, seat) in passengers.iter().zip(0u8..) {
        let session = match passenger.slot {
            Some(slot) => SessionIndex::new(slot.load(Ordering::Acquire)),
            None => by_host(&passenger.header, port, tables),
        };
        if let Some(session) = session {
            near.bring(session);
            seats.push(Seated { session, seat });
        }
    }
}

/// Sends on those of which every condition holds.
#[inline(never)]
fn go<P: Packet, const TAGS: usize>(
    packets: &mut [P],
    passengers: &Passengers<'_>,
    seats: &Seats,
    port: &Port,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
) {
    let tables = &context.tables;
    let near = Near::new(tables);
    let port = u16::from(port.index);
    let mut meter = Meter::new(from_ns(now_ns));
    let mut hop = Hop::NONE;
    for Seated { session, seat } in seats {
        let Some(Passenger { header, place, .. }) = passengers.get(usize::from(*seat)) else {
            continue;
        };
        let Some((row, state)) = near.session(*session, Direction::Upstream) else {
            continue;
        };
        let policy = row.policy();
        let is_of = row.is_of(header.source(), port, header.tags(), header.source_mac());
        if !(is_of & policy.is_open()) {
            continue;
        }
        let Some(adjacency) = near.fib.adjacency(header.destination()) else {
            continue;
        };
        // All packets of a burst see one next hop the same way.
        if hop.adjacency != adjacency {
            match resolve(adjacency, context) {
                Some(resolved) => hop = resolved,
                None => continue,
            }
        }
        let Some(packet) = packets.get_mut(usize::from(*place)) else {
            continue;
        };
        // From here on nothing fails but the policer: the frame was found to hold its headers.
        if header.total_len() <= hop.mtu
            && meter
                .charge(
                    tables,
                    policy.policer(Direction::Upstream),
                    state,
                    header.total_len(),
                )
                .is_some()
            && let Some((head, len)) = packet.strip::<TAGS, 26>()
        {
            head[..8].copy_from_slice(&hop.first.to_ne_bytes());
            head[8..12].copy_from_slice(&hop.rest.to_ne_bytes());
            head[22..].copy_from_slice(&header.aged().to_be_bytes());
            gone.add(*place, hop.port, len + TAGS, len);
        }
    }
}

/// The session on a line that several hosts share.
fn by_host(header: &Header, port: &Port, tables: &Tables) -> Option<SessionIndex> {
    let key = AccessKey {
        port: u16::from(port.index),
        s_vlan: header.tags() as u16,
        c_vlan: (header.tags() >> 16) as u16,
        mac: header.source_mac(),
    };
    match tables.access.candidate(&key, &tables.rows) {
        Found::Session(session) => Some(session),
        Found::NoSession | Found::UnknownLine => None,
    }
}

impl Hop {
    /// No adjacency's number: they end below 2^29.
    const NONE: Hop = Hop {
        adjacency: AdjacencyIndex(u32::MAX),
        first: 0,
        rest: 0,
        mtu: 0,
        port: 0,
    };
}

#[cold]
fn resolve(adjacency: AdjacencyIndex, context: &Context) -> Option<Hop> {
    let hop = context.tables.adjacencies.get(adjacency)??;
    let port = context.ports.get(hop.port)?;
    port.core()?;
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (hop.mac, port.mac);
    Some(Hop {
        adjacency,
        first: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        rest: u32::from_ne_bytes([i, j, k, l]),
        mtu: port.mtu,
        port: hop.port,
    })
}
