//! Downstream: core port to a subscriber's line.

use arrayvec::ArrayVec;
use shm_bridge::cost::Stage;
use shm_bridge::policer::from_ns;
use shm_bridge::session::RowCells;
use shm_bridge::{Direction, SessionIndex};

use super::gone::Gone;
use super::header::{self, AGED_OFFSET, Header};
use super::near::Near;
use super::rate::Meter;
use crate::burst::LANES;
use crate::context::Context;
use crate::laps::Laps;
use crate::packet::Packet;
use crate::ports::{Access, Port, Tagging};
use crate::simd::prefetch::prefetch;
use crate::wire::{ethernet, ipv4, vlan};

/// A packet on its way.
struct Passenger {
    header: Header,
    place: u8,
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

type Passengers = ArrayVec<Passenger, LANES>;
type Seats = ArrayVec<Seated, LANES>;

/// A packet and whom it is for.
struct Seated {
    session: SessionIndex,
    /// Among the passengers.
    seat: u8,
}

/// Three passes, each a function of its own: what one keeps in registers the next need not spill.
pub(super) fn run<P: Packet>(
    packets: &mut [P],
    port: &Port,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
    laps: &mut impl Laps,
) {
    let mut passengers = Passengers::new_const();
    look(packets, port, context, &mut passengers);
    laps.lap(Stage::ExpressLook, || passengers.len());
    let mut seats = Seats::new_const();
    find(&passengers, context, &mut seats);
    laps.lap(Stage::ExpressFind, || seats.len());
    go(packets, &passengers, &seats, now_ns, context, gone);
    laps.lap(Stage::ExpressGo, || packets.len() - gone.count());
}

/// Finds the common packets, and asks for where their destinations lead.
#[inline(never)]
fn look<P: Packet>(packets: &[P], port: &Port, context: &Context, passengers: &mut Passengers) {
    let (fib, alone) = (context.tables.fib.view(), context.owners.is_alone());
    for (packet, place) in packets.iter().take(LANES).zip(0u8..) {
        if let Some((head, len)) = packet.head()
            && let Some(header) = header::untagged(head, len, port)
            && ipv4::is_host(header.source())
            && (alone || context.owners.is_mine(header.destination()))
        {
            prefetch(fib.cell(header.destination()));
            passengers.push(Passenger { header, place });
        }
    }
}

/// Finds whom they are for, and asks for those sessions.
#[inline(never)]
fn find(passengers: &Passengers, context: &Context, seats: &mut Seats) {
    let near = Near::new(&context.tables);
    for passenger in passengers {
        if let Some(cell) = near.fib.group_cell(passenger.header.destination()) {
            prefetch(cell);
        }
    }
    for (passenger, seat) in passengers.iter().zip(0u8..) {
        if let Some(session) = near.fib.session(passenger.header.destination()) {
            near.bring(session);
            seats.push(Seated { session, seat });
        }
    }
}

/// Sends on those of which every condition holds.
#[inline(never)]
fn go<P: Packet>(
    packets: &mut [P],
    passengers: &Passengers,
    seats: &Seats,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
) {
    let tables = &context.tables;
    let near = Near::new(tables);
    let mut meter = Meter::new(from_ns(now_ns));
    let mut known: Option<Line> = None;
    for Seated { session, seat } in seats {
        let Some(Passenger { header, place }) = passengers.get(usize::from(*seat)) else {
            continue;
        };
        let Some((row, state)) = near.session(*session, Direction::Downstream) else {
            continue;
        };
        let policy = row.policy();
        let (s_vlan, c_vlan, mtu) = row.tags_and_mtu();
        if !((row.ipv4() == header.destination()) & policy.is_open() & (header.total_len() <= mtu)) {
            continue;
        }
        let line = match &known {
            Some(line) if u16::from(line.port.index) == row.port() => line,
            _ => match line_of(row, context) {
                Some(line) => known.insert(line),
                None => continue,
            },
        };
        let Some(packet) = packets.get_mut(usize::from(*place)) else {
            continue;
        };
        if !line.access.fits(s_vlan, c_vlan) || packet.headroom() < line.access.tags_len() {
            continue;
        }
        // From here on nothing fails but the policer.
        let number = policy.policer(Direction::Downstream);
        if meter.charge(tables, number, state, header.total_len()).is_none() {
            continue;
        }
        let sent = Sent {
            session_mac: row.mac_bits(),
            s_vlan,
            c_vlan,
        };
        let written = match line.access.tagging {
            Tagging::QinQ => double(packet, line, &sent, header.aged()),
            Tagging::Single => single(packet, line, &sent, header.aged()),
            Tagging::Untagged => untagged(packet, line, &sent, header.aged()),
        };
        if let Some((added, len)) = written {
            gone.add(*place, line.port.index, len - added, len);
        }
    }
}

#[cold]
fn line_of(row: &RowCells, context: &Context) -> Option<Line> {
    let port = *context.ports.get(u8::try_from(row.port()).ok()?)?;
    let access = *port.access()?;
    Some(Line { port, access })
}

const AGED_BEHIND_ETHERNET: usize = ethernet::HEADER_BYTES + AGED_OFFSET;

/// Destination, and the first two bytes of the source.
#[inline(always)]
fn addresses(line: &Line, sent: &Sent) -> ([u8; 8], u64) {
    let source = line.port.mac_bits();
    (
        (sent.session_mac << 16 | source >> 32).to_be_bytes(),
        source << 32,
    )
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
