//! The express way: common packets in one piece.
//!
//! Most packets are alike: right tags in the frame, IPv4 without options, to a host that a route or a session leads to, of an active
//! session or one whose garden permits them, within its rate. For these the stages' answers are known in advance, and what they do fits
//! into a few passes over the burst that keep everything in registers and a small scratch, and ask for the tables' lines some packets
//! before they are needed. The packets are worked on where they lie; no lane is made for them.
//!
//! ```text
//!   look    headers ─► where a session stands ─► sessions       all packets
//!   go      row verified ─► route, rate, counters ─► rewritten  of open sessions
//!   visit   what their garden says ─► the same                  of gardened sessions
//! ```
//!
//! The express way decides nothing by itself. A packet that fails any of its conditions is left exactly as it came, for the
//! [stages](crate::stages), which find the reason or the rarer way. So the stages' files say what happens to a packet, and this one only
//! happens to be faster: `tests/express.rs` holds both against each other, in verdict, bytes, counters and states.

mod downstream;
mod garden;
mod gone;
mod header;
mod near;
mod rate;
mod upstream;

use shm_bridge::Direction;

pub use garden::Permitted;
pub use gone::Gone;

use crate::burst::LANES;
use crate::context::Context;
use crate::laps::{Laps, NoLaps};
use crate::packet::Packet;
use crate::ports::{Port, Side};

/// Rewrites the common packets among up to [`LANES`] that `port` received at `now_ns`, and says which they were.
/// Packets beyond that are left.
pub fn run<P: Packet>(packets: &mut [P], port: &Port, now_ns: u64, context: &mut Context) -> Gone {
    timed(packets, port, now_ns, context, &mut NoLaps)
}

/// The same, each pass a lap.
pub fn timed<P: Packet>(
    packets: &mut [P],
    port: &Port,
    now_ns: u64,
    context: &mut Context,
    laps: &mut impl Laps,
) -> Gone {
    let whole = packets.len().min(LANES);
    let packets = &mut packets[..whole];
    for packet in packets.iter() {
        packet.bring_near();
    }
    let mut gone = Gone::NONE;
    let direction = match &port.side {
        Side::Access(access) => {
            upstream::run(packets, port, access, now_ns, context, &mut gone, laps);
            Direction::Upstream
        }
        Side::Core(_) => {
            downstream::run(packets, port, now_ns, context, &mut gone, laps);
            Direction::Downstream
        }
    };
    context.counts.forwarded(direction, gone.count() as u64);
    gone
}
