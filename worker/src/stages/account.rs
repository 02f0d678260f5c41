//! Account: the packet goes out, and is counted in its session.
//!
//! Packets and bytes of IP, once for the sender's upstream and once for the receiver's downstream; between subscribers a packet counts for
//! both. The lane ends as forward, but for a packet whose receiver is a subscriber: its upstream half is done and counted, and its
//! downstream half is here or, where another lcore owns the receiver, handed over.

use shm_bridge::fib::Leaf;
use shm_bridge::{Direction, DropReason};

use crate::burst::Burst;
use crate::context::Context;
use crate::verdict::Way;

pub fn run(burst: &mut Burst<'_>, context: &mut Context, direction: Direction) {
    let tables = &context.tables;
    let mut forwarded = 0;
    for lane in burst.live() {
        let Some(state) = lane.meta.session.and_then(|session| tables.states.get(session)) else {
            lane.drop(DropReason::CorruptTable, &mut context.counts);
            continue;
        };
        state
            .direction(direction)
            .account(1, u64::from(lane.meta.total_len));
        forwarded += 1;
        if direction == Direction::Upstream && matches!(lane.meta.leaf, Leaf::Session(_)) {
            if let Some(slot) = context.owners.other(lane.meta.destination) {
                lane.hand_over(slot, Way::Downstream);
            }
        } else {
            let port = lane.meta.next_port;
            lane.forward(port);
        }
    }
    context.counts.forwarded(direction, forwarded);
}
