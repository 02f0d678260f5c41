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
use shm_bridge::cost::Stage;

use crate::burst::Burst;
use crate::context::Context;
use crate::express;
use crate::laps::{Laps, NoLaps};
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
    timed(burst, context, &mut NoLaps);
}

/// The same, each stage a lap.
pub fn timed(burst: &mut Burst<'_>, context: &mut Context, laps: &mut impl Laps) {
    let (way, side) = (burst.way, burst.port.side);
    let mut walk = Walk { burst, context, laps };
    match (way, side) {
        (Way::Whole, Side::Access(_)) => upstream(&mut walk),
        (Way::Whole, Side::Core(_)) => downstream(&mut walk),
        (Way::Downstream, _) => handed_over(&mut walk),
    }
    debug_assert!(walk.burst.lanes().iter().all(|lane| !lane.is_live()));
}

/// From a subscriber.
fn upstream(walk: &mut Walk<'_, '_, impl Laps>) {
    walk.through(Stage::Parse, parse::run);
    walk.through(Stage::Arp, arp::run);
    walk.through(Stage::Dhcp, dhcp::run);
    walk.through(Stage::Destination, destination::run);
    walk.through(Stage::Owner, owner::run);
    walk.through(Stage::Session, |burst, context| {
        session::find(burst, context);
        session::verify(burst, context);
    });
    walk.through(Stage::Antispoof, antispoof::run);
    walk.through(Stage::Fib, fib::run);
    walk.through(Stage::Local, local::run);
    walk.through(Stage::Garden, |burst, context| {
        garden::run(burst, context, Upstream)
    });
    walk.through(Stage::Police, |burst, context| {
        police::run(burst, context, Upstream)
    });
    walk.through(Stage::NextHop, next_hop::upstream);
    walk.through(Stage::Limits, limits::run);
    walk.through(Stage::Rewrite, rewrite::run);
    walk.through(Stage::Account, |burst, context| {
        account::run(burst, context, Upstream)
    });
    to_receiver(walk);
}

/// From the core.
fn downstream(walk: &mut Walk<'_, '_, impl Laps>) {
    walk.through(Stage::Parse, parse::run);
    walk.through(Stage::Arp, arp::run);
    walk.through(Stage::Dhcp, dhcp::run);
    walk.through(Stage::Destination, destination::run);
    walk.through(Stage::Owner, owner::run);
    walk.through(Stage::Fib, fib::run_to_subscribers);
    walk.through(Stage::Local, local::run);
    walk.through(Stage::NextHop, next_hop::downstream);
    to_receiver(walk);
}

/// From a subscriber whose lcore did his half: the frames are as he sent them.
fn handed_over(walk: &mut Walk<'_, '_, impl Laps>) {
    walk.through(Stage::Parse, parse::run);
    walk.through(Stage::Fib, fib::run_to_subscribers);
    walk.through(Stage::NextHop, next_hop::downstream);
    to_receiver(walk);
}

/// To a subscriber: the half that his garden, policer and line have in it.
fn to_receiver(walk: &mut Walk<'_, '_, impl Laps>) {
    walk.through(Stage::Session, session::receiver);
    walk.through(Stage::Garden, |burst, context| {
        garden::run(burst, context, Downstream)
    });
    walk.through(Stage::Police, |burst, context| {
        police::run(burst, context, Downstream)
    });
    walk.through(Stage::Limits, limits::run);
    walk.through(Stage::Encap, encap::run);
    walk.through(Stage::Account, |burst, context| {
        account::run(burst, context, Downstream)
    });
}

/// A burst on its way, and who is told where a stage ends.
struct Walk<'b, 'f, L> {
    burst: &'b mut Burst<'f>,
    context: &'b mut Context,
    laps: &'b mut L,
}

impl<'f, L: Laps> Walk<'_, 'f, L> {
    #[inline(always)]
    fn through(&mut self, stage: Stage, run: impl FnOnce(&mut Burst<'f>, &mut Context)) {
        run(self.burst, self.context);
        let lanes = self.burst.lanes();
        self.laps
            .lap(stage, || lanes.iter().filter(|lane| lane.is_live()).count());
    }
}
