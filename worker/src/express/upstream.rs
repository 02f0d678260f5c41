//! Upstream: access line to an adjacency.

use arrayvec::ArrayVec;
use shm_bridge::access::{AccessKey, Found};
use shm_bridge::adjacency::AdjacencyIndex;
use shm_bridge::fib::Leaf;
use shm_bridge::policer::from_ns;
use shm_bridge::sides::Tables;
use shm_bridge::sync::{AtomicU32, Ordering};
use shm_bridge::{Direction, SessionIndex};

use super::header::{self, Header};
use super::{bring_near, charge};
use crate::burst::{Burst, LANES, Lane, StrippedTags};
use crate::context::Context;
use crate::ports::{Access, Port, Tagging};
use crate::simd::prefetch::prefetch;
use crate::wire::ethernet;

/// A packet on its way.
struct Passenger<'t> {
    lane: u8,
    header: Header,
    /// Where the session of a 1:1 line stands.
    slot: Option<&'t AtomicU32>,
    session: Option<SessionIndex>,
}

/// A core port's neighbour: what the rewrite needs of it.
#[derive(Clone, Copy)]
struct Hop {
    adjacency: AdjacencyIndex,
    addresses: [u8; 12],
    mtu: u16,
    port: u8,
}

/// Returns how many packets went out.
pub(super) fn run(burst: &mut Burst<'_>, context: &Context, access: &Access) -> u64 {
    match access.tagging {
        Tagging::QinQ => way::<22>(burst, context, |lane, port| {
            header::qinq(lane.frame.header(0)?, lane.frame.len(), port, access)
        }),
        Tagging::Single => way::<18>(burst, context, |lane, port| {
            header::single(lane.frame.header(0)?, lane.frame.len(), port, access)
        }),
        Tagging::Untagged => way::<14>(burst, context, |lane, port| {
            header::untagged(lane.frame.header(0)?, lane.frame.len(), port)
        }),
    }
}

/// `L3` is where the IPv4 header begins.
#[inline(always)]
fn way<const L3: usize>(
    burst: &mut Burst<'_>,
    context: &Context,
    parse: impl Fn(&Lane<'_>, &Port) -> Option<Header>,
) -> u64 {
    let (port, now) = (burst.port, from_ns(burst.now_ns));
    let tables = &context.tables;
    let Some(lines) = tables.access.lines(u16::from(port.index)) else {
        return 0;
    };
    let mut passengers: ArrayVec<Passenger<'_>, LANES> = ArrayVec::new_const();

    for (lane, place) in burst.lanes().iter().zip(0u8..) {
        if lane.stripped == StrippedTags::None
            && let Some(header) = parse(lane, &port)
            && context.owners.is_mine(header.source)
        {
            let slot = lines.slot(header.tags as u16, (header.tags >> 16) as u16);
            if let Some(slot) = slot {
                prefetch(slot);
            }
            prefetch(tables.fib.cell(header.destination));
            passengers.push(Passenger {
                lane: place,
                header,
                slot,
                session: None,
            });
        }
    }

    for passenger in &mut passengers {
        let session = match passenger.slot {
            Some(slot) => SessionIndex::new(slot.load(Ordering::Acquire)),
            None => by_host(&passenger.header, &port, tables),
        };
        if let Some(session) = session {
            bring_near(tables, session);
        }
        passenger.session = session;
    }

    let mut hop: Option<Hop> = None;
    let mut forwarded = 0;
    for passenger in &passengers {
        let Some(lane) = burst.lane_mut(usize::from(passenger.lane)) else {
            continue;
        };
        if let Some(out) = go::<L3>(lane, passenger, context, &port, now, &mut hop) {
            lane.forward(out);
            forwarded += 1;
        }
    }
    forwarded
}

/// Everything from the session to the rewrite. `None`, and nothing changed, where a condition fails.
#[inline(always)]
fn go<const L3: usize>(
    lane: &mut Lane<'_>,
    passenger: &Passenger<'_>,
    context: &Context,
    port: &Port,
    now: u64,
    known: &mut Option<Hop>,
) -> Option<u8> {
    let (tables, header) = (&context.tables, &passenger.header);
    let session = passenger.session?;
    let row = tables.rows.get(session)?;
    let policy = row.policy();
    let is_of = row.is_of(
        header.source,
        u16::from(port.index),
        header.tags,
        header.source_mac,
    );
    if !(is_of & policy.is_open()) {
        return None;
    }
    let Leaf::Adjacency(adjacency) = tables.fib.lookup(header.destination) else {
        return None;
    };
    let hop = match known {
        // All packets of a burst see one next hop the same way.
        Some(hop) if hop.adjacency == adjacency => *hop,
        _ => *known.insert(resolve(adjacency, context)?),
    };
    if header.total_len > hop.mtu {
        return None;
    }
    let state = tables.states.get(session)?.direction(Direction::Upstream);
    // From here on nothing fails but the policer: the frame was found to hold its headers.
    if lane.frame.len() < L3 + 20 {
        return None;
    }
    charge(tables, policy, Direction::Upstream, state, now, header.total_len)?;
    let _ = lane.frame.move_start((L3 - ethernet::HEADER_BYTES) as isize);
    if let Some(head) = lane.frame.header_mut::<[u8; 26]>(0) {
        head[..12].copy_from_slice(&hop.addresses);
        head[22..].copy_from_slice(&header.aged.to_be_bytes());
    }
    Some(hop.port)
}

/// The session on a line that several hosts share.
fn by_host(header: &Header, port: &Port, tables: &Tables) -> Option<SessionIndex> {
    let key = AccessKey {
        port: u16::from(port.index),
        s_vlan: header.tags as u16,
        c_vlan: (header.tags >> 16) as u16,
        mac: header.source_mac,
    };
    match tables.access.candidate(&key, &tables.rows) {
        Found::Session(session) => Some(session),
        Found::NoSession | Found::UnknownLine => None,
    }
}

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
