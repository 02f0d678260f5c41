//! The express way: common packets in one piece.
//!
//! Most packets are alike: right tags in the frame, IPv4 without options, to a host that a route or a session leads to, of an active
//! session without a garden, within its rate. For these the stages' answers are known in advance, and what they do fits into a few
//! passes over the burst that keep everything in registers and a small scratch, and ask for the tables' lines a pass
//! before they are needed. The packets are worked on where they lie; no lane is made for them.
//!
//! The express way decides nothing by itself. A packet that fails any of its conditions is left exactly as it came, for the
//! [stages](crate::stages), which find the reason or the rarer way. So the stages' files say what happens to a packet, and this one only
//! happens to be faster: `tests/express.rs` holds both against each other, in verdict, bytes, counters and states.

mod downstream;
mod gone;
mod header;
mod rate;
mod upstream;

use shm_bridge::SessionIndex;
use shm_bridge::sides::Tables;

pub use gone::Gone;

use crate::context::Context;
use crate::packet::Packet;
use crate::ports::{Port, Side};
use crate::simd::prefetch::prefetch;

/// Rewrites the common packets among up to [`LANES`](crate::burst::LANES) that `port` received at `now_ns`, and says which they were.
/// Packets beyond that are left.
#[inline(always)]
pub fn run<P: Packet>(packets: &mut [P], port: &Port, now_ns: u64, context: &mut Context) -> Gone {
    for packet in packets.iter() {
        packet.bring_near();
    }
    let (direction, gone) = match &port.side {
        Side::Access(access) => (
            shm_bridge::Direction::Upstream,
            upstream::run(packets, port, access, now_ns, context),
        ),
        Side::Core(_) => (
            shm_bridge::Direction::Downstream,
            downstream::run(packets, port, now_ns, context),
        ),
    };
    context.counts.forwarded(direction, gone.count() as u64);
    gone
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
