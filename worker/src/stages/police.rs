//! Police: no more than the subscriber's rate, each way.
//!
//! The policy word names a profile for each direction, 0 for none; the session's arrival time is the state. What does not conform
//! is `policed` and counted in the session too. A profile or state outside its table is `corrupt_table`. Bytes are of IP, so
//! tags and padding cost nothing.

use shm_bridge::policer::{Time, UNLIMITED, from_ns};
use shm_bridge::sides::Tables;
use shm_bridge::{Direction, DropReason};

use crate::burst::{Burst, Meta};
use crate::context::Context;

pub fn run(burst: &mut Burst<'_>, context: &mut Context, direction: Direction) {
    let (tables, now) = (&context.tables, from_ns(burst.now_ns));
    for lane in burst.live() {
        let number = lane.meta.policy.policer(direction);
        if number != UNLIMITED
            && let Err(reason) = conform(&lane.meta, number, tables, direction, now)
        {
            lane.drop(reason, &mut context.counts);
        }
    }
}

#[inline(always)]
fn conform(
    meta: &Meta,
    number: u16,
    tables: &Tables,
    direction: Direction,
    now: Time,
) -> Result<(), DropReason> {
    let profile = tables.policers.get(number).ok_or(DropReason::CorruptTable)?;
    let state = meta
        .session
        .and_then(|session| tables.states.get(session))
        .ok_or(DropReason::CorruptTable)?
        .direction(direction);
    match profile.conform(state.arrival(), now, u32::from(meta.total_len)) {
        Some(arrival) => {
            state.set_arrival(arrival);
            Ok(())
        }
        None => {
            state.count_policed();
            Err(DropReason::Policed)
        }
    }
}
