//! Next hop: what the leaf means for a packet that may go on.
//!
//! Upstream ([`upstream`]) an adjacency gives the port, its MTU and the neighbour's MAC address (`adjacency_unresolved` while that is not known),
//! a session stays live for the receiver's half (`subscriber_to_subscriber` where the sender is isolated), and a connected host that
//! is not resolved is punted as `glean`, within the limit (`punt_policed`). Downstream ([`downstream`]) only a session will do: what
//! leads back to the core is `hairpin_core`.
//!
//! Both ways: no route is `no_route`, an address of a pool that nobody has is `discard_route`, both told to the sender within the
//! limit (network, host unreachable); the directed broadcast of a subnet is `broadcast`. An adjacency or port that does not exist is
//! `corrupt_table`.

use shm_bridge::adjacency::AdjacencyIndex;
use shm_bridge::fib::Leaf;
use shm_bridge::session::mac_bits;
use shm_bridge::{DropReason, PuntReason};

use crate::answer;
use crate::burst::{Burst, Lane};
use crate::context::Context;
use crate::icmp_error::IcmpError;
use crate::ports::Port;
use crate::punt_policer::Admission;

pub fn upstream(burst: &mut Burst<'_>, context: &mut Context) {
    let (port, now_ns) = (burst.port, burst.now_ns);
    for lane in burst.live() {
        match lane.meta.leaf {
            Leaf::Adjacency(index) => {
                if let Err(reason) = adjacency(lane, index, context) {
                    lane.drop(reason, &mut context.counts);
                }
            }
            Leaf::Session(_) if lane.meta.policy.is_isolated() => {
                lane.drop(DropReason::SubscriberToSubscriber, &mut context.counts);
            }
            // The receiver's row says what its line bears.
            Leaf::Session(_) => lane.meta.mtu = u16::MAX,
            Leaf::Glean(core_port) => glean(lane, core_port, &port, context, now_ns),
            leaf => nowhere(lane, leaf, &port, context, now_ns),
        }
    }
}

pub fn downstream(burst: &mut Burst<'_>, context: &mut Context) {
    let (port, now_ns) = (burst.port, burst.now_ns);
    for lane in burst.live() {
        match lane.meta.leaf {
            Leaf::Session(_) => {}
            Leaf::Adjacency(_) | Leaf::Glean(_) => lane.drop(DropReason::HairpinCore, &mut context.counts),
            leaf => nowhere(lane, leaf, &port, context, now_ns),
        }
    }
}

#[inline(always)]
fn adjacency(lane: &mut Lane<'_>, index: AdjacencyIndex, context: &Context) -> Result<(), DropReason> {
    let hop = context
        .tables
        .adjacencies
        .get(index)
        .ok_or(DropReason::CorruptTable)?
        .ok_or(DropReason::AdjacencyUnresolved)?;
    let port = context
        .ports
        .get(hop.port)
        .filter(|port| port.core().is_some())
        .ok_or(DropReason::CorruptTable)?;
    lane.meta.next_port = hop.port;
    lane.meta.next_mac = mac_bits(hop.mac);
    lane.meta.mtu = port.mtu;
    Ok(())
}

#[cold]
fn glean(lane: &mut Lane<'_>, core_port: u16, port: &Port, context: &mut Context, now_ns: u64) {
    let reason = if context.ports.is_directed_broadcast(lane.meta.destination) {
        DropReason::Broadcast
    } else if usize::from(core_port) >= context.ports.len() {
        DropReason::CorruptTable
    } else if context.punts.admit(PuntReason::Glean, now_ns) != Admission::Granted {
        DropReason::PuntPoliced
    } else if answer::restore_tags(lane, port).is_none() {
        DropReason::NoHeadroom
    } else {
        lane.punt(PuntReason::Glean);
        return;
    };
    lane.drop(reason, &mut context.counts);
}

/// The destination leads nowhere; the sender is told.
#[cold]
fn nowhere(lane: &mut Lane<'_>, leaf: Leaf, port: &Port, context: &mut Context, now_ns: u64) {
    if context.ports.is_directed_broadcast(lane.meta.destination) {
        lane.drop(DropReason::Broadcast, &mut context.counts);
        return;
    }
    let (reason, error) = match leaf {
        Leaf::Discard => (DropReason::DiscardRoute, IcmpError::HostUnreachable),
        _ => (DropReason::NoRoute, IcmpError::NetworkUnreachable),
    };
    context.refusal(port, now_ns).refuse(lane, reason, error);
}
