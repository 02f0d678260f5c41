//! Downstream: core port to a subscriber's line.

use arrayvec::ArrayVec;
use shm_bridge::fib::Leaf;
use shm_bridge::policer::from_ns;
use shm_bridge::session::{RowCells, mac_from_bits};
use shm_bridge::{Direction, SessionIndex};

use super::header::{self, AGED_OFFSET, Header};
use super::{bring_near, charge};
use crate::burst::{Burst, LANES, Lane, StrippedTags};
use crate::context::Context;
use crate::encapsulation::LineHeader;
use crate::ports::{Access, Port};
use crate::simd::prefetch::prefetch;
use crate::wire::{ethernet, ipv4};

/// A packet on its way.
struct Passenger {
    lane: u8,
    header: Header,
    session: SessionIndex,
}

/// An access port: what an encapsulation needs of it.
#[derive(Clone, Copy)]
struct Line {
    port: Port,
    access: Access,
}

/// Returns how many packets went out.
pub(super) fn run(burst: &mut Burst<'_>, context: &Context) -> u64 {
    let (port, now) = (burst.port, from_ns(burst.now_ns));
    let tables = &context.tables;
    let mut parsed: ArrayVec<(u8, Header), LANES> = ArrayVec::new_const();
    for (lane, place) in burst.lanes().iter().zip(0u8..) {
        if lane.stripped == StrippedTags::None
            && let Some(head) = lane.frame.header(0)
            && let Some(header) = header::untagged(head, lane.frame.len(), &port)
            && ipv4::is_host(header.source)
            && context.owners.is_mine(header.destination)
        {
            prefetch(tables.fib.cell(header.destination));
            parsed.push((place, header));
        }
    }
    for (_, header) in &parsed {
        if let Some(cell) = tables.fib.group_cell(header.destination) {
            prefetch(cell);
        }
    }
    let mut passengers: ArrayVec<Passenger, LANES> = ArrayVec::new_const();
    for (lane, header) in parsed {
        if let Leaf::Session(session) = tables.fib.lookup(header.destination) {
            bring_near(tables, session);
            passengers.push(Passenger {
                lane,
                header,
                session,
            });
        }
    }
    let mut line: Option<Line> = None;
    let mut forwarded = 0;
    for passenger in &passengers {
        let Some(lane) = burst.lane_mut(usize::from(passenger.lane)) else {
            continue;
        };
        if let Some(out) = go(lane, passenger, context, now, &mut line) {
            lane.forward(out);
            forwarded += 1;
        }
    }
    forwarded
}

/// Everything from the session to the encapsulation. `None`, and nothing changed, where a condition fails.
#[inline(always)]
fn go(
    lane: &mut Lane<'_>,
    passenger: &Passenger,
    context: &Context,
    now: u64,
    known: &mut Option<Line>,
) -> Option<u8> {
    let (tables, header) = (&context.tables, &passenger.header);
    let row = tables.rows.get(passenger.session)?;
    let policy = row.policy();
    let (s_vlan, c_vlan, mtu) = row.tags_and_mtu();
    if !((row.ipv4() == header.destination) & policy.is_open() & (header.total_len <= mtu)) {
        return None;
    }
    let line = match known {
        Some(line) if u16::from(line.port.index) == row.port() => line,
        _ => known.insert(find(row, context)?),
    };
    let added = line.access.tags_len();
    if !line.access.fits(s_vlan, c_vlan) || lane.frame.start() < added {
        return None;
    }
    let state = tables
        .states
        .get(passenger.session)?
        .direction(Direction::Downstream);
    charge(
        tables,
        policy,
        Direction::Downstream,
        state,
        now,
        header.total_len,
    )?;
    let _ = lane.frame.move_start(-(added as isize));
    let link = LineHeader {
        destination: mac_from_bits(row.mac_bits()),
        source: line.port.mac,
        s_vlan,
        c_vlan,
    };
    link.write(&mut lane.frame, &line.access)?;
    let aged = lane
        .frame
        .header_mut::<[u8; 4]>(ethernet::HEADER_BYTES + added + AGED_OFFSET)?;
    *aged = header.aged.to_be_bytes();
    Some(line.port.index)
}

fn find(row: &RowCells, context: &Context) -> Option<Line> {
    let port = *context.ports.get(u8::try_from(row.port()).ok()?)?;
    let access = *port.access()?;
    Some(Line { port, access })
}
