//! Downstream: core port to a subscriber's line.

use shm_bridge::cost::Stage;
use shm_bridge::policer::from_ns;
use shm_bridge::session::{DirectionCells, Policy, RowCells};
use shm_bridge::{Direction, SessionIndex};

use super::garden::Judge;
use super::gone::{Gone, Sum};
use super::header::{AGED_OFFSET, Header, Shape, UNTAGGED_HEAD, network, older};
use super::near::Near;
use super::rate::Meter;
use crate::burst::LANES;
use crate::context::Context;
use crate::laps::Laps;
use crate::packet::Packet;
use crate::ports::{Access, Port, Tagging};
use crate::simd::level::{Isa, Pass};
use crate::simd::prefetch::prefetch;
use crate::wire::{ipv4, vlan};

/// One pass after the other.
pub(super) fn run<P: Packet>(
    packets: &mut [P],
    port: &Port,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
    laps: &mut impl Laps,
) {
    let mut headers = [Header::NONE; LANES];
    let mut sessions = [None; LANES];
    context.level.run(Look {
        packets,
        port,
        context,
        headers: &mut headers,
        sessions: &mut sessions,
    });
    laps.lap(Stage::ExpressLook, || sessions.iter().flatten().count());
    let gardened = context.level.run(Go {
        packets,
        now_ns,
        context,
        headers: &headers,
        sessions: &sessions,
        gone,
    });
    laps.lap(Stage::ExpressGo, || gardened.count_ones() as usize);
    if gardened != 0 {
        context.level.run(Visit {
            packets,
            now_ns,
            context,
            headers: &headers,
            sessions: &sessions,
            gardened,
            gone,
        });
        laps.lap(Stage::ExpressGarden, || 0);
    }
    laps.begin(packets.len() - gone.count());
}

/// Finds the common packets and whom they are for, and asks for what is needed next: first for the FIB's first cells, then
/// for the second, then for the sessions.
struct Look<'b, P> {
    packets: &'b [P],
    port: &'b Port,
    context: &'b Context,
    headers: &'b mut [Header; LANES],
    sessions: &'b mut [Option<SessionIndex>; LANES],
}

impl<P: Packet> Pass for Look<'_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let shape = Shape::<0>::new(self.port);
        let owners = &self.context.owners;
        let (near, alone) = (Near::new(&self.context.tables), owners.is_alone());
        let port = u16::from(self.port.index);
        for (packet, header) in self.packets.iter().zip(self.headers.iter_mut()) {
            if let Some((head, len)) = packet.head() {
                let is_common = header.take::<0, UNTAGGED_HEAD>((head, len), port, &shape, isa)
                    && ipv4::is_host(header.source)
                    && (alone || owners.is_mine(header.destination));
                if is_common {
                    prefetch(near.fib.cell(header.destination));
                } else {
                    *header = Header::NONE;
                }
            }
        }
        let headers = &self.headers[..self.packets.len()];
        for header in headers {
            if let Some(cell) = near.fib.group_cell(header.destination) {
                prefetch(cell);
            }
        }
        for (header, session) in headers.iter().zip(self.sessions.iter_mut()) {
            *session = match near.fib.session(header.destination) {
                Some(session) if header.total_len != 0 => near.bring(session.get()),
                _ => None,
            };
        }
    }
}

/// Sends on those that every condition holds for, and notes whom a garden is to judge.
struct Go<'b, 't, P> {
    packets: &'b mut [P],
    now_ns: u64,
    context: &'t Context,
    headers: &'b [Header; LANES],
    sessions: &'b [Option<SessionIndex>; LANES],
    gone: &'b mut Gone,
}

impl<P: Packet> Pass for Go<'_, '_, P> {
    /// Whom a garden is to judge: one bit for each, by place.
    type Output = u32;

    #[inline(always)]
    fn run<I: Isa>(self, _: I) -> u32 {
        let near = Near::new(&self.context.tables);
        let mut exit = Exit::new(self.context, self.now_ns);
        let (mut sum, mut grown, mut gardened) = (Sum::default(), 0, 0);
        let packets = self.packets.iter_mut().zip(self.headers).zip(self.sessions);
        for (place, ((packet, header), session)) in packets.enumerate() {
            let Some((row, state)) = near.session(*session, Direction::Downstream) else {
                continue;
            };
            let policy = row.policy();
            if row.ipv4() != header.destination {
                continue;
            }
            if !policy.is_open() {
                gardened |= u32::from(policy.is_gardened()) << place;
                continue;
            }
            if let Some((added, len)) = exit.leave(packet, header, policy, (row, state), self.gone)
                && let Some(port) = self.gone.ports.get_mut(place)
            {
                *port = exit.line.index;
                sum.add(place, len);
                grown += added;
            }
        }
        self.gone.add(sum);
        self.gone.grew(grown as isize);
        gardened
    }
}

/// Sends on those whom the garden permits.
struct Visit<'b, 't, P> {
    packets: &'b mut [P],
    now_ns: u64,
    context: &'t Context,
    headers: &'b [Header; LANES],
    sessions: &'b [Option<SessionIndex>; LANES],
    gardened: u32,
    gone: &'b mut Gone,
}

impl<P: Packet> Pass for Visit<'_, '_, P> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let context = self.context;
        let near = Near::new(&context.tables);
        let judge = Judge::new(&context.tables.gardens, &context.permitted);
        let mut exit = Exit::new(context, self.now_ns);
        let (mut sum, mut grown) = (Sum::default(), 0);
        let mut questions = [None; LANES];
        let packets = self.packets.iter().zip(self.headers).zip(self.sessions);
        for (place, (((packet, header), session), question)) in packets.zip(&mut questions).enumerate() {
            if self.gardened >> place & 1 != 0
                && let Some((row, _)) = near.session(*session, Direction::Downstream)
                && let policy = row.policy()
                && policy.is_gardened()
                && let Some((head, _)) = packet.head()
            {
                let far_end = (Direction::Downstream, header.source);
                let asked = judge.ask::<0, UNTAGGED_HEAD>(policy.garden(), head, header.total_len, far_end);
                *question = Some((policy, asked));
            }
        }
        let packets = self.packets.iter_mut().zip(self.headers).zip(self.sessions);
        for (place, (((packet, header), session), question)) in packets.zip(&questions).enumerate() {
            if let Some((policy, question)) = question
                && judge.permits(question)
                && let Some((row, state)) = near.session(*session, Direction::Downstream)
                && let Some((added, len)) = exit.leave(packet, header, *policy, (row, state), self.gone)
                && let Some(port) = self.gone.ports.get_mut(place)
            {
                *port = exit.line.index;
                sum.add(place, len);
                grown += added;
            }
        }
        self.gone.add(sum);
        self.gone.grew(grown as isize);
    }
}

/// The way out, for packets of which only the line, the length and the rate are still open.
struct Exit<'t> {
    context: &'t Context,
    meter: Meter,
    line: Line,
}

impl<'t> Exit<'t> {
    #[inline(always)]
    fn new(context: &'t Context, now_ns: u64) -> Exit<'t> {
        Exit {
            context,
            meter: Meter::new(from_ns(now_ns)),
            line: Line::NONE,
        }
    }

    /// How many bytes are put in front, and the frame's new length, if it goes.
    #[inline(always)]
    fn leave<P: Packet>(
        &mut self,
        packet: &mut P,
        header: &Header,
        policy: Policy,
        (row, state): (&RowCells, &DirectionCells),
        gone: &mut Gone,
    ) -> Option<(usize, usize)> {
        if self.line.port != row.port() {
            self.line = line_of(row, self.context, gone)?;
        }
        let line = &self.line;
        let (s_vlan, c_vlan, mtu) = row.tags_and_mtu();
        if header.total_len > mtu
            || !line.access.fits(s_vlan, c_vlan)
            || packet.headroom() < line.access.tags_len()
        {
            return None;
        }
        // From here on nothing fails but the policer.
        let number = policy.policer(Direction::Downstream);
        self.meter
            .charge(&self.context.tables, number, state, header.total_len)?;
        // Destination, and the first two bytes of the source.
        let first = row.mac_bits() << 16 | line.source >> 48;
        match line.access.tagging {
            Tagging::QinQ => double(packet, line, first, s_vlan, c_vlan),
            Tagging::Single => single(packet, line, first, c_vlan),
            Tagging::Untagged => untagged(packet, line, first),
        }
    }
}

/// An access port: what an encapsulation needs of it.
#[derive(Clone, Copy)]
struct Line {
    /// As a row has it.
    port: u16,
    index: u8,
    access: Access,
    /// Source MAC address in the upper 48 bits, and the outer TPID as it is sent.
    source: u64,
}

impl Line {
    /// No row's: ports end below 2^8.
    const NONE: Line = Line {
        port: u16::MAX,
        index: 0,
        access: Access {
            tagging: Tagging::Untagged,
            outer_tpids: [0; 3],
            outer_tpid_tx: 0,
        },
        source: 0,
    };
}

/// Apart, so that it does not crowd the loop's registers.
#[cold]
#[inline(never)]
fn line_of(row: &RowCells, context: &Context, gone: &mut Gone) -> Option<Line> {
    let port = context.ports.get(u8::try_from(row.port()).ok()?)?;
    let access = *port.access()?;
    gone.towards(port.index);
    Some(Line {
        port: u16::from(port.index),
        index: port.index,
        access,
        source: port.mac_bits() << 16 | u64::from(access.outer_tpid_tx),
    })
}

const AGED_AT: usize = network(0) + AGED_OFFSET;

/// Each of the three returns how many bytes it put in front, and the new length. The EtherType stands where it stood: right before the packet.
#[inline(always)]
fn double<P: Packet>(
    packet: &mut P,
    line: &Line,
    first: u64,
    s_vlan: u16,
    c_vlan: u16,
) -> Option<(usize, usize)> {
    const TAGS: usize = 2 * vlan::TAG_BYTES;
    let (head, len) = packet.push::<TAGS, { TAGS + AGED_AT + 4 }>()?;
    let second = line.source << 16 | u64::from(s_vlan);
    let inner = u32::from(vlan::C_TAG) << 16 | u32::from(c_vlan);
    head[..8].copy_from_slice(&first.to_be_bytes());
    head[8..16].copy_from_slice(&second.to_be_bytes());
    head[16..20].copy_from_slice(&inner.to_be_bytes());
    age(head);
    Some((TAGS, len))
}

#[inline(always)]
fn single<P: Packet>(packet: &mut P, line: &Line, first: u64, c_vlan: u16) -> Option<(usize, usize)> {
    const TAGS: usize = vlan::TAG_BYTES;
    let (head, len) = packet.push::<TAGS, { TAGS + AGED_AT + 4 }>()?;
    let second = line.source << 16 | u64::from(c_vlan);
    head[..8].copy_from_slice(&first.to_be_bytes());
    head[8..16].copy_from_slice(&second.to_be_bytes());
    age(head);
    Some((TAGS, len))
}

#[inline(always)]
fn untagged<P: Packet>(packet: &mut P, line: &Line, first: u64) -> Option<(usize, usize)> {
    let (head, len) = packet.push::<0, { AGED_AT + 4 }>()?;
    head[..8].copy_from_slice(&first.to_be_bytes());
    head[8..12].copy_from_slice(&((line.source >> 16) as u32).to_be_bytes());
    age(head);
    Some((0, len))
}

/// The TTL's word is the last of what is looked at.
#[inline(always)]
fn age<const N: usize>(head: &mut [u8; N]) {
    if let Some(word) = head.last_chunk_mut() {
        *word = older(*word);
    }
}
