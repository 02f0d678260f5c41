//! Session: whose packet is this?
//!
//! Upstream ([`find`], [`verify`]) the line's tags name the session, and on a line with several hosts the MAC address too:
//! `unknown_line`, `no_session`. Downstream ([`receiver`]) the FIB's leaf did. Either way the row is verified against the packet,
//! so that a table one store behind finds nothing rather than a neighbour, and the state must be one that has traffic: `no_session`
//! (free, discovered), `session_terminated`. A receiver that is isolated gets nothing from other subscribers
//! (`subscriber_to_subscriber`). An index outside the table is `corrupt_table`.
//!
//! Reads the row once: the policy written to [`Meta`] is what all later stages of this burst go by.

use shm_bridge::access::Found;
use shm_bridge::fib::Leaf;
use shm_bridge::session::Policy;
use shm_bridge::sides::Tables;
use shm_bridge::{DropReason, SessionIndex};

use crate::burst::{Burst, Lane, Meta};
use crate::context::Context;
use crate::line;
use crate::ports::Port;
use crate::simd::prefetch::prefetch;

/// Asks the access index, and brings the rows and states near that it names.
pub fn find(burst: &mut Burst<'_>, context: &mut Context) {
    let (port, tables) = (burst.port, &context.tables);
    for lane in burst.live() {
        if let Some(slot) = tables
            .access
            .slot(u16::from(port.index), lane.meta.s_vlan, lane.meta.c_vlan)
        {
            prefetch(slot);
        }
        prefetch(tables.fib.cell(lane.meta.destination));
    }
    for lane in burst.live() {
        match tables
            .access
            .candidate(&line::key(&lane.meta, &port), &tables.rows)
        {
            Found::Session(session) => {
                lane.meta.session = Some(session);
                bring_near(tables, session);
            }
            found => {
                let reason = absent(found, &lane.meta, &port, context);
                lane.drop(reason, &mut context.counts);
            }
        }
    }
}

/// Verifies the rows found.
pub fn verify(burst: &mut Burst<'_>, context: &mut Context) {
    let (port, tables) = (burst.port, &context.tables);
    for lane in burst.live() {
        match sender(&lane.meta, &port, tables) {
            Ok(policy) => lane.meta.policy = policy,
            Err(reason) => lane.drop(reason, &mut context.counts),
        }
    }
}

/// Takes the receiving subscriber from the leaf of each lane that leads to one.
pub fn receiver(burst: &mut Burst<'_>, context: &mut Context) {
    let tables = &context.tables;
    let from_subscriber = burst.port.access().is_some();
    for lane in burst.live() {
        if let Err(reason) = receive(lane, tables, from_subscriber) {
            lane.drop(reason, &mut context.counts);
        }
    }
}

/// Brings a session's row and state near.
#[inline(always)]
fn bring_near(tables: &Tables, session: SessionIndex) {
    if let Some(row) = tables.rows.get(session) {
        prefetch(row);
    }
    if let Some(state) = tables.states.get(session) {
        prefetch(state);
    }
}

#[cold]
fn absent(found: Found, meta: &Meta, port: &Port, context: &Context) -> DropReason {
    match found {
        Found::NoSession if context.ports.has_line(port.index, meta.s_vlan, meta.c_vlan) => {
            DropReason::NoSession
        }
        _ => DropReason::UnknownLine,
    }
}

#[inline(always)]
fn sender(meta: &Meta, port: &Port, tables: &Tables) -> Result<Policy, DropReason> {
    let session = meta.session.ok_or(DropReason::NoSession)?;
    let row = line::row(tables, session)?;
    if !line::is_of(row, meta, port) {
        return Err(DropReason::NoSession);
    }
    let policy = row.policy();
    line::admits(policy.state())?;
    Ok(policy)
}

#[inline(always)]
fn receive(lane: &mut Lane<'_>, tables: &Tables, from_subscriber: bool) -> Result<(), DropReason> {
    let Leaf::Session(session) = lane.meta.leaf else {
        return Err(DropReason::NoRoute);
    };
    let row = line::row(tables, session)?;
    if row.ipv4() != lane.meta.destination {
        return Err(DropReason::NoSession);
    }
    let policy = row.policy();
    line::admits(policy.state())?;
    if from_subscriber && policy.is_isolated() {
        return Err(DropReason::SubscriberToSubscriber);
    }
    let (_, _, mtu) = row.tags_and_mtu();
    lane.meta.session = Some(session);
    lane.meta.policy = policy;
    lane.meta.mtu = mtu;
    Ok(())
}
