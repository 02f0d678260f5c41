//! Upstream: access line to an adjacency.

use arrayvec::ArrayVec;
use shm_bridge::access::{AccessKey, Found};
use shm_bridge::adjacency::AdjacencyIndex;
use shm_bridge::fib::Leaf;
use shm_bridge::policer::from_ns;
use shm_bridge::sides::Tables;
use shm_bridge::sync::{AtomicU32, Ordering};
use shm_bridge::{Direction, SessionIndex};

use super::bring_near;
use super::gone::Gone;
use super::header::{self, Header};
use super::rate::Meter;
use crate::burst::LANES;
use crate::context::Context;
use crate::packet::Packet;
use crate::ports::{Access, Port, Tagging};
use crate::simd::prefetch::prefetch;

/// A packet on its way.
struct Passenger<'t> {
    place: u8,
    header: Header,
    /// Where the session of a 1:1 line stands.
    slot: Option<&'t AtomicU32>,
}

/// A core port's neighbour: what the rewrite needs of it.
#[derive(Clone, Copy)]
struct Hop {
    adjacency: AdjacencyIndex,
    addresses: [u8; 12],
    mtu: u16,
    port: u8,
}

#[inline(always)]
pub(super) fn run<P: Packet>(
    packets: &mut [P],
    port: &Port,
    access: &Access,
    now_ns: u64,
    context: &Context,
) -> Gone {
    match access.tagging {
        Tagging::QinQ => way::<P, 22, 8>(packets, port, now_ns, context, |packet| {
            let (head, len) = packet.head()?;
            header::qinq(head, len, port, access)
        }),
        Tagging::Single => way::<P, 18, 4>(packets, port, now_ns, context, |packet| {
            let (head, len) = packet.head()?;
            header::single(head, len, port, access)
        }),
        Tagging::Untagged => way::<P, 14, 0>(packets, port, now_ns, context, |packet| {
            let (head, len) = packet.head()?;
            header::untagged(head, len, port)
        }),
    }
}

/// `L3` is where the IPv4 header begins, `TAGS` the bytes of tags before it.
#[inline(always)]
fn way<P: Packet, const L3: usize, const TAGS: usize>(
    packets: &mut [P],
    port: &Port,
    now_ns: u64,
    context: &Context,
    parse: impl Fn(&P) -> Option<Header>,
) -> Gone {
    let tables = &context.tables;
    let mut gone = Gone::NONE;
    let Some(lines) = tables.access.lines(u16::from(port.index)) else {
        return gone;
    };
    let alone = context.owners.is_alone();
    let mut passengers: ArrayVec<Passenger<'_>, LANES> = ArrayVec::new_const();
    for (packet, place) in packets.iter().take(LANES).zip(0u8..) {
        if let Some(header) = parse(packet)
            && (alone || context.owners.is_mine(header.source()))
        {
            let slot = lines.slot(header.tags() as u16, (header.tags() >> 16) as u16);
            if let Some(slot) = slot {
                prefetch(slot);
            }
            prefetch(tables.fib.cell(header.destination()));
            passengers.push(Passenger { place, header, slot });
        }
    }

    let mut sessions: ArrayVec<Option<SessionIndex>, LANES> = ArrayVec::new_const();
    for passenger in &passengers {
        let session = match passenger.slot {
            Some(slot) => SessionIndex::new(slot.load(Ordering::Acquire)),
            None => by_host(&passenger.header, port, tables),
        };
        if let Some(session) = session {
            bring_near(tables, session);
        }
        sessions.push(session);
    }

    let mut going = Going {
        meter: Meter::new(from_ns(now_ns)),
        hop: None,
    };
    for (passenger, session) in passengers.iter().zip(sessions) {
        let Some(session) = session else { continue };
        let Some(packet) = packets.get_mut(usize::from(passenger.place)) else {
            continue;
        };
        if let Some(out) = going.admit(&passenger.header, session, context, port)
            && let Some((head, len)) = packet.strip::<TAGS, 26>()
        {
            head[..12].copy_from_slice(&out.addresses);
            head[22..].copy_from_slice(&passenger.header.aged().to_be_bytes());
            gone.add(passenger.place, out.port, len + TAGS, len);
        }
    }
    gone
}

/// What packets of a burst share.
struct Going {
    meter: Meter,
    hop: Option<Hop>,
}

impl Going {
    /// Everything from the session to the next hop; where it says one, the packet is charged and counted. `None`, and nothing changed,
    /// where a condition fails.
    #[inline(always)]
    fn admit(&mut self, header: &Header, session: SessionIndex, context: &Context, port: &Port) -> Option<Hop> {
        let tables = &context.tables;
        let row = tables.rows.get(session)?;
        let policy = row.policy();
        let is_of = row.is_of(
            header.source(),
            u16::from(port.index),
            header.tags(),
            header.source_mac(),
        );
        if !(is_of & policy.is_open()) {
            return None;
        }
        let Leaf::Adjacency(adjacency) = tables.fib.lookup(header.destination()) else {
            return None;
        };
        let hop = match self.hop {
            // All packets of a burst see one next hop the same way.
            Some(hop) if hop.adjacency == adjacency => hop,
            _ => *self.hop.insert(resolve(adjacency, context)?),
        };
        if header.total_len() > hop.mtu {
            return None;
        }
        let state = tables.states.get(session)?.direction(Direction::Upstream);
        // From here on nothing fails but the policer: the frame was found to hold its headers.
        self.meter
            .charge(tables, policy.policer(Direction::Upstream), state, header.total_len())?;
        Some(hop)
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

#[cold]
fn resolve(adjacency: AdjacencyIndex, context: &Context) -> Option<Hop> {
    let hop = context.tables.adjacencies.get(adjacency)??;
    let port = context.ports.get(hop.port)?;
    port.core()?;
    let mut addresses = [0; 12];
    addresses[..6].copy_from_slice(&hop.mac);
    addresses[6..].copy_from_slice(&port.mac);
    Some(Hop {
        adjacency,
        addresses,
        mtu: port.mtu,
        port: hop.port,
    })
}
