//! FIB: where does the destination lead?
//!
//! Writes the leaf, and ends no lane: a gardened subscriber's packet to nowhere is the garden's to refuse, and our own
//! addresses are answered before the garden is asked. Two passes, so that the second level's misses overlap.

use shm_bridge::fib::Leaf;

use crate::burst::Burst;
use crate::context::Context;
use crate::simd::prefetch::prefetch;

/// Upstream: most destinations are routes of /24 or shorter, whose cell the session stage has brought near.
pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    let fib = &context.tables.fib;
    for lane in burst.live() {
        lane.meta.leaf = fib.lookup(lane.meta.destination);
    }
}

/// Downstream: most destinations are subscribers, host routes of the second level, whose rows and states come next.
pub fn run_to_subscribers(burst: &mut Burst<'_>, context: &mut Context) {
    let tables = &context.tables;
    for lane in burst.live() {
        prefetch(tables.fib.cell(lane.meta.destination));
    }
    for lane in burst.live() {
        if let Some(cell) = tables.fib.group_cell(lane.meta.destination) {
            prefetch(cell);
        }
    }
    for lane in burst.live() {
        lane.meta.leaf = tables.fib.lookup(lane.meta.destination);
        if let Leaf::Session(session) = lane.meta.leaf {
            if let Some(row) = tables.rows.get(session) {
                prefetch(row);
            }
            if let Some(state) = tables.states.get(session) {
                prefetch(state);
            }
        }
    }
}
