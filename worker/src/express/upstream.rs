//! Upstream: access line to an adjacency.

use shm_bridge::access::{AccessKey, Found, Lines};
use shm_bridge::cost::Stage;
use shm_bridge::fib::{FibView, Route};
use shm_bridge::policer::from_ns;
use shm_bridge::session::{DirectionCells, Policy};
use shm_bridge::sides::Tables;
use shm_bridge::sync::Ordering;
use shm_bridge::{Direction, SessionIndex};

use super::garden::Judge;
use super::gone::{Gone, Sum};
use super::header::{
    AGED_OFFSET, Header, QINQ_HEAD, SINGLE_HEAD, Shape, UNTAGGED_HEAD, network, older, vlans,
};
use super::near::Near;
use super::rate::Meter;
use crate::burst::LANES;
use crate::context::Context;
use crate::laps::Laps;
use crate::packet::Packet;
use crate::ports::{Access, Port, Tagging};
use crate::simd::level::{Isa, Pass};
use crate::simd::prefetch::prefetch;

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
        Tagging::QinQ => way::<P, 8, QINQ_HEAD>(packets, port, now_ns, context, gone, laps),
        Tagging::Single => way::<P, 4, SINGLE_HEAD>(packets, port, now_ns, context, gone, laps),
        Tagging::Untagged => way::<P, 0, UNTAGGED_HEAD>(packets, port, now_ns, context, gone, laps),
    }
}

/// One pass after the other. `TAGS` is the bytes of tags that a frame has, `N` how many of its bytes are looked at.
#[inline(always)]
fn way<P: Packet, const TAGS: usize, const N: usize>(
    packets: &mut [P],
    port: &Port,
    now_ns: u64,
    context: &Context,
    gone: &mut Gone,
    laps: &mut impl Laps,
) {
    let Some(lines) = context.tables.access.lines(u16::from(port.index)) else {
        return;
    };
    let mut headers = [Header::NONE; LANES];
    let mut sessions = [None; LANES];
    context.level.run(Look::<P, TAGS, N> {
        packets,
        port,
        lines,
        context,
        headers: &mut headers,
        sessions: &mut sessions,
    });
    laps.lap(Stage::ExpressLook, || sessions.iter().flatten().count());
    let gardened = context.level.run(Go::<P, TAGS> {
        packets,
        now_ns,
        context,
        headers: &headers,
        sessions: &sessions,
        gone,
    });
    laps.lap(Stage::ExpressGo, || gardened.count_ones() as usize);
    if gardened != 0 {
        context.level.run(Visit::<P, TAGS, N> {
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

/// Finds the common packets and their sessions, and asks for what is needed next: first for where the sessions
/// stand, then for the sessions.
struct Look<'b, 't, P, const TAGS: usize, const N: usize> {
    packets: &'b [P],
    port: &'b Port,
    lines: Lines<'t>,
    context: &'t Context,
    headers: &'b mut [Header; LANES],
    sessions: &'b mut [Option<SessionIndex>; LANES],
}

impl<P: Packet, const TAGS: usize, const N: usize> Pass for Look<'_, '_, P, TAGS, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) {
        let shape = Shape::<TAGS>::new(self.port);
        let (tables, owners) = (&self.context.tables, &self.context.owners);
        let (near, alone) = (Near::new(tables), owners.is_alone());
        let port = u16::from(self.port.index);
        let mut slots = [Lines::nobody(); LANES];
        let looked_at = self.packets.iter().zip(self.headers.iter_mut()).zip(&mut slots);
        for ((packet, header), slot) in looked_at {
            if let Some((head, len)) = packet.head()
                && header.take::<TAGS, N>((head, len), port, &shape, isa)
                && (alone || owners.is_mine(header.source))
            {
                let (s_vlan, c_vlan) = vlans::<TAGS, N>(head);
                *slot = self.lines.slot(s_vlan, c_vlan);
                prefetch(*slot);
                prefetch(near.fib.cell(header.destination));
            }
        }
        let found = slots[..self.packets.len()].iter().zip(self.sessions.iter_mut());
        for ((slot, session), header) in found.zip(self.headers.iter()) {
            let word = slot.load(Ordering::Acquire);
            *session = match near.bring(word) {
                Some(session) => Some(session),
                None if word == Lines::SEVERAL => by_host(header, tables),
                None => None,
            };
        }
    }
}

/// Sends on those that every condition holds for, and notes whom a garden is to judge.
struct Go<'b, 't, P, const TAGS: usize> {
    packets: &'b mut [P],
    now_ns: u64,
    context: &'t Context,
    headers: &'b [Header; LANES],
    sessions: &'b [Option<SessionIndex>; LANES],
    gone: &'b mut Gone,
}

impl<P: Packet, const TAGS: usize> Pass for Go<'_, '_, P, TAGS> {
    /// Whom a garden is to judge: one bit for each, by place.
    type Output = u32;

    #[inline(always)]
    fn run<I: Isa>(self, isa: I) -> u32 {
        let near = Near::new(&self.context.tables);
        let mut exit = Exit::<TAGS>::new(self.context, self.now_ns);
        let (mut sum, mut gardened) = (Sum::default(), 0);
        let packets = self.packets.iter_mut().zip(self.headers).zip(self.sessions);
        for (place, ((packet, header), session)) in packets.enumerate() {
            let Some((row, state)) = near.session(*session, Direction::Upstream) else {
                continue;
            };
            let policy = row.policy();
            if !header.is_of(row, isa) {
                continue;
            }
            if !policy.is_open() {
                gardened |= u32::from(policy.is_gardened()) << place;
                continue;
            }
            if let Some(len) = exit.leave(packet, header, policy, state, self.gone)
                && let Some(port) = self.gone.ports.get_mut(place)
            {
                *port = exit.hop.port;
                sum.add(place, len);
            }
        }
        let count = self.gone.add(sum);
        self.gone.grew(-((TAGS * count) as isize));
        gardened
    }
}

/// Sends on those whom their garden permits.
struct Visit<'b, 't, P, const TAGS: usize, const N: usize> {
    packets: &'b mut [P],
    now_ns: u64,
    context: &'t Context,
    headers: &'b [Header; LANES],
    sessions: &'b [Option<SessionIndex>; LANES],
    gardened: u32,
    gone: &'b mut Gone,
}

impl<P: Packet, const TAGS: usize, const N: usize> Pass for Visit<'_, '_, P, TAGS, N> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _: I) {
        let context = self.context;
        let near = Near::new(&context.tables);
        let judge = Judge::new(&context.tables.gardens, &context.permitted);
        let mut exit = Exit::<TAGS>::new(context, self.now_ns);
        let mut sum = Sum::default();
        let mut questions = [None; LANES];
        let packets = self.packets.iter().zip(self.headers).zip(self.sessions);
        for (place, (((packet, header), session), question)) in packets.zip(&mut questions).enumerate() {
            if self.gardened >> place & 1 != 0
                && let Some((row, _)) = near.session(*session, Direction::Upstream)
                && let policy = row.policy()
                && policy.is_gardened()
                && let Some((head, _)) = packet.head()
            {
                let far_end = (Direction::Upstream, header.destination);
                let asked = judge.ask::<TAGS, N>(policy.garden(), head, header.total_len, far_end);
                *question = Some((policy, asked));
            }
        }
        let packets = self.packets.iter_mut().zip(self.headers).zip(self.sessions);
        for (place, (((packet, header), session), question)) in packets.zip(&questions).enumerate() {
            if let Some((policy, question)) = question
                && judge.permits(question)
                && let Some((_, state)) = near.session(*session, Direction::Upstream)
                && let Some(len) = exit.leave(packet, header, *policy, state, self.gone)
                && let Some(port) = self.gone.ports.get_mut(place)
            {
                *port = exit.hop.port;
                sum.add(place, len);
            }
        }
        let count = self.gone.add(sum);
        self.gone.grew(-((TAGS * count) as isize));
    }
}

/// The way out, for packets of which only the route, the length and the rate are still open.
struct Exit<'t, const TAGS: usize> {
    context: &'t Context,
    fib: FibView<'t>,
    meter: Meter,
    hop: Hop,
}

impl<'t, const TAGS: usize> Exit<'t, TAGS> {
    #[inline(always)]
    fn new(context: &'t Context, now_ns: u64) -> Exit<'t, TAGS> {
        Exit {
            context,
            fib: context.tables.fib.view(),
            meter: Meter::new(from_ns(now_ns)),
            hop: Hop::NONE,
        }
    }

    /// The frame's new length, if it goes.
    #[inline(always)]
    fn leave<P: Packet>(
        &mut self,
        packet: &mut P,
        header: &Header,
        policy: Policy,
        state: &DirectionCells,
        gone: &mut Gone,
    ) -> Option<usize> {
        // All packets of a burst see one next hop the same way.
        let route = self.fib.route(header.destination);
        if route != self.hop.route {
            self.hop = resolve(header.destination, route, self.context, gone)?;
        }
        // From here on nothing fails but the policer: the frame was found to hold its headers.
        let (number, len) = (policy.policer(Direction::Upstream), header.total_len);
        if len > self.hop.mtu {
            return None;
        }
        self.meter.charge(&self.context.tables, number, state, len)?;
        let (head, len) = packet.strip::<TAGS, { AGED_AT + 4 }>()?;
        head[..8].copy_from_slice(&self.hop.first.to_ne_bytes());
        head[8..12].copy_from_slice(&self.hop.rest.to_ne_bytes());
        if let Some(word) = head.last_chunk_mut() {
            *word = older(*word);
        }
        Some(len)
    }
}

/// Where the TTL's word lies once the tags are off.
const AGED_AT: usize = network(0) + AGED_OFFSET;

/// A core port's neighbour: what the rewrite needs of it.
#[derive(Clone, Copy)]
struct Hop {
    /// What leads here; [`Route::NOWHERE`] where it is one address's own.
    route: Route,
    /// Destination and the first two bytes of the source, as they go onto the wire; then the rest of the source.
    first: u64,
    rest: u32,
    mtu: u16,
    port: u8,
}

impl Hop {
    /// Nothing is short enough for it.
    const NONE: Hop = Hop {
        route: Route::NOWHERE,
        first: 0,
        rest: 0,
        mtu: 0,
        port: 0,
    };
}

/// Apart, so that it does not crowd the loop's registers.
#[cold]
#[inline(never)]
fn resolve(destination: u32, route: Route, context: &Context, gone: &mut Gone) -> Option<Hop> {
    let adjacency = context.tables.fib.view().adjacency(destination)?;
    let hop = context.tables.adjacencies.get(adjacency)??;
    let port = context.ports.get(hop.port)?;
    port.core()?;
    gone.towards(hop.port);
    let ([a, b, c, d, e, f], [g, h, i, j, k, l]) = (hop.mac, port.mac);
    Some(Hop {
        route: if route.is_shared() { route } else { Route::NOWHERE },
        first: u64::from_ne_bytes([a, b, c, d, e, f, g, h]),
        rest: u32::from_ne_bytes([i, j, k, l]),
        mtu: port.mtu,
        port: hop.port,
    })
}

/// The session on a line that several hosts share.
#[cold]
#[inline(never)]
fn by_host(header: &Header, tables: &Tables) -> Option<SessionIndex> {
    let key = AccessKey {
        port: header.port,
        s_vlan: header.s_vlan,
        c_vlan: header.c_vlan,
        mac: header.source_mac,
    };
    match tables.access.candidate(&key, &tables.rows) {
        Found::Session(session) => Near::new(tables).bring(session.get()),
        Found::NoSession | Found::UnknownLine => None,
    }
}
