//! Limits: does the packet live long enough, and is it small enough, for the next link?
//!
//! A TTL that would reach zero is `ttl_exceeded`, told to the sender (RFC 1812, 5.3.1). A packet larger than the next link's MTU is
//! `too_big`: with "don't fragment" the sender is told the MTU (RFC 1191), without it the packet is dropped as it is. No fragments are
//! made here: hosts have set the flag for decades (RFC 4821's reason), and a gateway that fragments is a gateway that
//! can be made to. Errors are within the limit.

use shm_bridge::DropReason;

use crate::burst::{Burst, Lane, Meta};
use crate::context::Context;
use crate::icmp_error::IcmpError;
use crate::ports::Port;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    let (port, now_ns) = (burst.port, burst.now_ns);
    for lane in burst.live() {
        if !is_within(&lane.meta) {
            refuse(lane, &port, context, now_ns);
        }
    }
}

#[inline(always)]
fn is_within(meta: &Meta) -> bool {
    meta.ttl > 1 && meta.total_len <= meta.mtu
}

#[cold]
fn refuse(lane: &mut Lane<'_>, port: &Port, context: &mut Context, now_ns: u64) {
    let mtu = lane.meta.mtu;
    let (reason, error) = if lane.meta.ttl <= 1 {
        (DropReason::TtlExceeded, IcmpError::TimeExceeded)
    } else if lane.meta.fragment.dont_fragment() {
        (DropReason::TooBig, IcmpError::FragmentationNeeded { mtu })
    } else {
        lane.drop(DropReason::TooBig, &mut context.counts);
        return;
    };
    context.refusal(port, now_ns).refuse(lane, reason, error);
}
