//! Rewrite: the packet gets the link header of its next hop, and one hop less to live.
//!
//! Tags are taken off by moving the frame's start: the EtherType in front of the IP header is already the right one. Lanes that
//! lead to a subscriber are left alone; they get their header from [`encap`](super::encap).

use shm_bridge::DropReason;
use shm_bridge::fib::Leaf;
use shm_bridge::session::mac_from_bits;

use crate::burst::{Burst, Lane};
use crate::context::Context;
use crate::ports::Ports;
use crate::wire::ethernet;
use crate::wire::link::{Head, Untagged};

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    for lane in burst.live() {
        if matches!(lane.meta.leaf, Leaf::Adjacency(_)) && rewrite(lane, &context.ports).is_none() {
            lane.drop(DropReason::NoHeadroom, &mut context.counts);
        }
    }
}

/// `None` where the headers have no room, which the parser has seen to.
#[inline(always)]
fn rewrite(lane: &mut Lane<'_>, ports: &Ports) -> Option<()> {
    let port = ports.get(lane.meta.next_port)?;
    let removed = isize::from(lane.meta.l3) - ethernet::HEADER_BYTES as isize;
    if !lane.frame.move_start(removed) {
        return None;
    }
    let head: &mut Head<Untagged> = lane.frame.header_mut(0)?;
    head.link.ethernet.destination = mac_from_bits(lane.meta.next_mac);
    head.link.ethernet.source = port.mac;
    head.ip.decrement_ttl();
    Some(())
}
