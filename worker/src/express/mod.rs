//! The express way: common packets in one piece.
//!
//! Most packets are alike: right tags in the frame, IPv4 without options, to a host that a route or a session leads to, of an active
//! session without a garden, within its rate. For these the stages' answers are known in advance, and what they do fits into a few
//! passes over the burst that keep everything in registers and a small scratch, and ask for the tables' lines a pass
//! before they are needed.
//!
//! The express way decides nothing by itself. A packet that fails any of its conditions is left exactly as it came, for the
//! [stages](crate::stages), which find the reason or the rarer way. So the stages' files say what happens to a packet, and this one only
//! happens to be faster: `tests/express.rs` holds both against each other, in verdict, bytes, counters and states.

mod downstream;
mod header;
mod upstream;

use shm_bridge::policer::{Time, UNLIMITED};
use shm_bridge::session::{DirectionCells, Policy};
use shm_bridge::sides::Tables;
use shm_bridge::{Direction, SessionIndex};

use crate::burst::Burst;
use crate::context::Context;
use crate::ports::Side;
use crate::simd::prefetch::prefetch;

/// Ends the common packets of a burst that was received.
pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    let (direction, forwarded) = match burst.port.side {
        Side::Access(access) => (Direction::Upstream, upstream::run(burst, context, &access)),
        Side::Core(_) => (Direction::Downstream, downstream::run(burst, context)),
    };
    context.counts.forwarded(direction, forwarded);
}

/// Asks for a session's row and state.
#[inline(always)]
fn bring_near(tables: &Tables, session: SessionIndex) {
    if let Some(row) = tables.rows.get(session) {
        prefetch(row);
    }
    if let Some(state) = tables.states.get(session) {
        prefetch(state);
    }
}

/// Charges and counts a packet that is sure to go out. `None`, and nothing changed, where it does not conform.
#[inline(always)]
fn charge(
    tables: &Tables,
    policy: Policy,
    direction: Direction,
    state: &DirectionCells,
    now: Time,
    bytes: u16,
) -> Option<()> {
    let number = policy.policer(direction);
    if number != UNLIMITED {
        let profile = tables.policers.get(number)?;
        state.set_arrival(profile.conform(state.arrival(), now, u32::from(bytes))?);
    }
    state.account(1, u64::from(bytes));
    Some(())
}
