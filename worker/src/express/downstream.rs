//! Downstream: core port to a subscriber's line.

use arrayvec::ArrayVec;
use shm_bridge::fib::Leaf;
use shm_bridge::policer::from_ns;
use shm_bridge::session::RowCells;
use shm_bridge::{Direction, SessionIndex};

use super::bring_near;
use super::gone::Gone;
use super::header::{self, AGED_OFFSET, Header};
use super::rate::Meter;
use crate::burst::LANES;
use crate::context::Context;
use crate::packet::Packet;
use crate::ports::{Access, Port, Tagging};
use crate::simd::prefetch::prefetch;
use crate::wire::{ethernet, ipv4, vlan};

/// A packet on its way.
struct Passenger {
    place: u8,
    header: Header,
}

/// An access port: what an encapsulation needs of it.
#[derive(Clone, Copy)]
struct Line {
    port: Port,
    access: Access,
}

/// What a packet is sent with.
struct Sent {
    session_mac: u64,
    s_vlan: u16,
    c_vlan: u16,
}

#[inline(always)]
pub(super) fn run<P: Packet>(packets: &mut [P], port: &Port, now_ns: u64, context: &Context) -> Gone {
    let tables = &context.tables;
    let alone = context.owners.is_alone();
    let mut passengers: ArrayVec<Passenger, LANES> = ArrayVec::new_const();
    for (packet, place) in packets.iter().take(LANES).zip(0u8..) {
        if let Some((head, len)) = packet.head()
            && let Some(header) = header::untagged(head, len, port)
            && ipv4::is_host(header.source())
            && (alone || context.owners.is_mine(header.destination()))
        {
            prefetch(tables.fib.cell(header.destination()));
            passengers.push(Passenger { place, header });
        }
    }
    for passenger in &passengers {
        if let Some(cell) = tables.fib.group_cell(passenger.header.destination()) {
            prefetch(cell);
        }
    }
    let mut sessions: ArrayVec<Option<SessionIndex>, LANES> = ArrayVec::new_const();
    for passenger in &passengers {
        let session = match tables.fib.lookup(passenger.header.destination()) {
            Leaf::Session(session) => {
                bring_near(tables, session);
                Some(session)
            }
            _ => None,
        };
        sessions.push(session);
    }

    let mut gone = Gone::NONE;
    let mut going = Going {
        meter: Meter::new(from_ns(now_ns)),
        line: None,
    };
    for (passenger, session) in passengers.iter().zip(sessions) {
        let Some(session) = session else { continue };
        let Some(packet) = packets.get_mut(usize::from(passenger.place)) else {
            continue;
        };
        let Some((line, sent)) = going.admit(&passenger.header, session, packet.headroom(), context) else {
            continue;
        };
        let aged = passenger.header.aged();
        let written = match line.access.tagging {
            Tagging::QinQ => double(packet, line, &sent, aged),
            Tagging::Single => single(packet, line, &sent, aged),
            Tagging::Untagged => untagged(packet, line, &sent, aged),
        };
        if let Some((added, len)) = written {
            gone.add(passenger.place, line.port.index, len - added, len);
        }
    }
    gone
}

/// What packets of a burst share.
struct Going {
    meter: Meter,
    line: Option<Line>,
}

impl Going {
    /// Everything from the session to the line; where it says one, the packet is charged and counted. `None`, and nothing changed, where
    /// a condition fails.
    #[inline(always)]
    fn admit(
        &mut self,
        header: &Header,
        session: SessionIndex,
        headroom: usize,
        context: &Context,
    ) -> Option<(&Line, Sent)> {
        let tables = &context.tables;
        let row = tables.rows.get(session)?;
        let policy = row.policy();
        let (s_vlan, c_vlan, mtu) = row.tags_and_mtu();
        if !((row.ipv4() == header.destination()) & policy.is_open() & (header.total_len() <= mtu)) {
            return None;
        }
        if !matches!(&self.line, Some(line) if u16::from(line.port.index) == row.port()) {
            self.line = Some(find(row, context)?);
        }
        let line = self.line.as_ref()?;
        if !line.access.fits(s_vlan, c_vlan) || headroom < line.access.tags_len() {
            return None;
        }
        let state = tables.states.get(session)?.direction(Direction::Downstream);
        self.meter
            .charge(tables, policy.policer(Direction::Downstream), state, header.total_len())?;
        let sent = Sent {
            session_mac: row.mac_bits(),
            s_vlan,
            c_vlan,
        };
        Some((line, sent))
    }
}

#[cold]
fn find(row: &RowCells, context: &Context) -> Option<Line> {
    let port = *context.ports.get(u8::try_from(row.port()).ok()?)?;
    let access = *port.access()?;
    Some(Line { port, access })
}

const AGED_BEHIND_ETHERNET: usize = ethernet::HEADER_BYTES + AGED_OFFSET;

/// Destination, and the first two bytes of the source.
#[inline(always)]
fn addresses(line: &Line, sent: &Sent) -> ([u8; 8], u64) {
    let source = line.port.mac_bits();
    ((sent.session_mac << 16 | source >> 32).to_be_bytes(), source << 32)
}

/// Each of the three returns how many bytes it put in front, and the new length. The EtherType stands where it stood: right before the packet.
#[inline(always)]
fn double<P: Packet>(packet: &mut P, line: &Line, sent: &Sent, aged: u32) -> Option<(usize, usize)> {
    const TAGS: usize = 2 * vlan::TAG_BYTES;
    let (first, source) = addresses(line, sent);
    let outer = u64::from(line.access.outer_tpid_tx) << 16 | u64::from(sent.s_vlan);
    let inner = u32::from(vlan::C_TAG) << 16 | u32::from(sent.c_vlan);
    let (head, len) = packet.push::<{ TAGS + AGED_BEHIND_ETHERNET + 4 }>(TAGS)?;
    head[..8].copy_from_slice(&first);
    head[8..16].copy_from_slice(&(source | outer).to_be_bytes());
    head[16..20].copy_from_slice(&inner.to_be_bytes());
    head[TAGS + AGED_BEHIND_ETHERNET..].copy_from_slice(&aged.to_be_bytes());
    Some((TAGS, len))
}

#[inline(always)]
fn single<P: Packet>(packet: &mut P, line: &Line, sent: &Sent, aged: u32) -> Option<(usize, usize)> {
    const TAGS: usize = vlan::TAG_BYTES;
    let (first, source) = addresses(line, sent);
    let tag = u64::from(line.access.outer_tpid_tx) << 16 | u64::from(sent.c_vlan);
    let (head, len) = packet.push::<{ TAGS + AGED_BEHIND_ETHERNET + 4 }>(TAGS)?;
    head[..8].copy_from_slice(&first);
    head[8..16].copy_from_slice(&(source | tag).to_be_bytes());
    head[TAGS + AGED_BEHIND_ETHERNET..].copy_from_slice(&aged.to_be_bytes());
    Some((TAGS, len))
}

#[inline(always)]
fn untagged<P: Packet>(packet: &mut P, line: &Line, sent: &Sent, aged: u32) -> Option<(usize, usize)> {
    let (first, source) = addresses(line, sent);
    let (head, len) = packet.push::<{ AGED_BEHIND_ETHERNET + 4 }>(0)?;
    head[..8].copy_from_slice(&first);
    head[8..12].copy_from_slice(&((source >> 32) as u32).to_be_bytes());
    head[AGED_BEHIND_ETHERNET..].copy_from_slice(&aged.to_be_bytes());
    Some((0, len))
}
