//! A packet's way: reading these functions is reading it.
//!
//! ```text
//! upstream    parse → arp → dhcp → destination → owner → session → antispoof → fib → local
//!                   → garden → police → next hop → limits → rewrite → account ─► core
//!                                                                          └─► receiver's half
//! downstream  parse → arp → dhcp → destination → owner → fib → local → next hop ─► receiver's half
//! receiver's half     session → garden → police → limits → encap → account ─► access
//! ```
//!
//! The FIB is asked before the garden, since what is for the gateway itself is answered in the garden too; what the leaf means
//! for forwarding is decided after the policer. A packet from subscriber to subscriber runs the sender's upstream and then the
//! receiver's half, in one run where one lcore owns both; else it is handed over in between and its frame is parsed again there. Its TTL is
//! decremented once, in the receiver's half.
//!
//! Common packets take the [express way](crate::express), which does the same in fewer steps and decides nothing by itself.
//!
//! When [`run`] returns, every lane has exactly one verdict, and [`Context::counts`](crate::context::Context) has every drop.

use shm_bridge::Direction::{Downstream, Upstream};

use crate::burst::Burst;
use crate::context::Context;
use crate::express;
use crate::ports::Side;
use crate::stages::{
    account, antispoof, arp, destination, dhcp, encap, fib, garden, limits, local, next_hop, owner, parse,
    police, rewrite, session,
};
use crate::verdict::Way;

/// Judges a burst that was received, or handed over by another lcore: the common packets the express way, the others by stages.
pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    if burst.way == Way::Whole {
        let (port, now_ns) = (burst.port, burst.now_ns);
        let gone = express::run(burst.lanes_mut(), &port, now_ns, context);
        for (place, lane) in burst.lanes_mut().iter_mut().enumerate() {
            if let Some(port) = gone.port(place) {
                lane.forward(port);
            }
        }
        if gone.count() == burst.len() {
            return;
        }
    }
    by_stages(burst, context);
}

/// Judges every packet of a burst that has no verdict yet by the stages alone.
pub fn by_stages(burst: &mut Burst<'_>, context: &mut Context) {
    match (burst.way, burst.port.side) {
        (Way::Whole, Side::Access(_)) => upstream(burst, context),
        (Way::Whole, Side::Core(_)) => downstream(burst, context),
        (Way::Downstream, _) => handed_over(burst, context),
    }
    debug_assert!(burst.lanes().iter().all(|lane| !lane.is_live()));
}

/// From a subscriber.
fn upstream(burst: &mut Burst<'_>, context: &mut Context) {
    parse::run(burst, context);
    arp::run(burst, context);
    dhcp::run(burst, context);
    destination::run(burst, context);
    owner::run(burst, context);
    session::find(burst, context);
    session::verify(burst, context);
    antispoof::run(burst, context);
    fib::run(burst, context);
    local::run(burst, context);
    garden::run(burst, context, Upstream);
    police::run(burst, context, Upstream);
    next_hop::upstream(burst, context);
    limits::run(burst, context);
    rewrite::run(burst, context);
    account::run(burst, context, Upstream);
    to_receiver(burst, context);
}

/// From the core.
fn downstream(burst: &mut Burst<'_>, context: &mut Context) {
    parse::run(burst, context);
    arp::run(burst, context);
    dhcp::run(burst, context);
    destination::run(burst, context);
    owner::run(burst, context);
    fib::run_to_subscribers(burst, context);
    local::run(burst, context);
    next_hop::downstream(burst, context);
    to_receiver(burst, context);
}

/// From a subscriber whose lcore did his half: the frames are as he sent them.
fn handed_over(burst: &mut Burst<'_>, context: &mut Context) {
    parse::run(burst, context);
    fib::run_to_subscribers(burst, context);
    next_hop::downstream(burst, context);
    to_receiver(burst, context);
}

/// To a subscriber: the half that his garden, policer and line have in it.
fn to_receiver(burst: &mut Burst<'_>, context: &mut Context) {
    session::receiver(burst, context);
    garden::run(burst, context, Downstream);
    police::run(burst, context, Downstream);
    limits::run(burst, context);
    encap::run(burst, context);
    account::run(burst, context, Downstream);
}
