//! Destination: what is not sent to one host ends here.
//!
//! A frame to all stations, or a packet to no host's address, was taken in only because it might have been ARP or DHCP. What is left
//! of them is dropped: `broadcast`, `multicast`, and zero, loopback or reserved destinations as `bad_destination` (RFC 1812,
//! 5.3.4 and 5.3.7). The directed broadcast of a subnet is recognised by its route, in the next-hop stage.

use shm_bridge::DropReason;

use crate::burst::{Burst, Marks, Meta};
use crate::context::Context;
use crate::wire::ipv4;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    if !burst.marks.has(Marks::GROUP_FRAME.with(Marks::NO_HOST)) {
        return;
    }
    for lane in burst.live() {
        if let Some(reason) = judge(&lane.meta) {
            lane.drop(reason, &mut context.counts);
        }
    }
}

fn judge(meta: &Meta) -> Option<DropReason> {
    if meta.marks.has(Marks::NO_HOST) {
        Some(match meta.destination {
            ipv4::BROADCAST => DropReason::Broadcast,
            address if ipv4::is_multicast(address) => DropReason::Multicast,
            _ => DropReason::BadDestination,
        })
    } else if meta.marks.has(Marks::GROUP_FRAME) {
        // One host's packet in a broadcast frame (RFC 1122, 3.3.6).
        Some(DropReason::Broadcast)
    } else {
        None
    }
}
