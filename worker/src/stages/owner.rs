//! Owner: packets of subscribers that another lcore owns are handed over to it.
//!
//! Upstream the sender's address tells the owner, downstream the receiver's. The frame is as it was received: the owner begins
//! anew. Alone, or where the NIC spreads as [`Owners`](crate::owner::Owners) says, nothing is handed over.

use crate::burst::Burst;
use crate::context::Context;
use crate::ports::Side;
use crate::verdict::Way;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    if context.owners.is_alone() {
        return;
    }
    let is_access = matches!(burst.port.side, Side::Access(_));
    for lane in burst.live() {
        let subscriber = if is_access {
            lane.meta.source
        } else {
            lane.meta.destination
        };
        if let Some(slot) = context.owners.other(subscriber) {
            lane.hand_over(slot, Way::Whole);
        }
    }
}
