//! Activation that leaves the line alone: the client learns of it at its own renewal.
//!
//! With a client lease of L seconds the renewal comes after L/2 (T1, RFC 2131 §4.4.5); it is refused, the client waits as long as it
//! likes to, and begins anew.

use std::time::Duration;

use olt_sim::lab::cpe::EventKind;

use super::activation::{activate, cpe_events, expect_moved};
use super::cast::{Cast, GARDEN_POOL, SERVICE};
use super::closing::Expected;
use super::connect::{connect, expect_session};
use super::error::DemoError;
use super::gateway::Bounce;
use super::probing::{Access, expect_reach};

/// udhcpc rests 3 s after a NAK; the rest is for a busy machine.
const AFTER_RENEWAL: Duration = Duration::from_secs(6);

pub fn play(cast: &mut Cast) -> Result<Expected, DemoError> {
    let plan = cast.plan;
    let all: Vec<usize> = (0..plan.subscribers).collect();
    let (activated, stay) = all.split_at(plan.activated);
    let renewal = Duration::from_secs(u64::from(plan.lease_seconds)) / 2;

    connect(cast)?;

    cast.story.step(format!(
        "{} are activated without a bounce: they stay in the garden until they renew, at most {} s later",
        activated.len(),
        renewal.as_secs()
    ));
    let mut moving = Vec::new();
    for index in activated {
        moving.push(activate(cast, *index, Bounce::No)?);
    }
    for one in &moving {
        if expect_moved(cast, one)?.is_some() {
            expect_own_renewal(cast, one.index, one.events_before, renewal)?;
        }
    }

    cast.story.step(format!(
        "the {} reach the internet host; {} stay in the garden and have renewed",
        activated.len(),
        stay.len()
    ));
    expect_reach(cast, activated, Access::Everything)?;
    for index in stay {
        expect_renewed(cast, *index, renewal)?;
        expect_session(cast, *index, GARDEN_POOL, GARDEN_POOL)?;
    }
    expect_reach(cast, stay, Access::ActivationGarden)?;
    cast.story.end_step();
    Ok(Expected {
        by_state: vec![(GARDEN_POOL, stay.len()), ("active", activated.len())],
        by_pool: vec![(GARDEN_POOL, stay.len()), (SERVICE.pool, activated.len())],
    })
}

/// Exactly one NAK led to the new lease, and not later than the client's own times explain.
fn expect_own_renewal(
    cast: &Cast,
    index: usize,
    events_before: usize,
    renewal: Duration,
) -> Result<(), DemoError> {
    let serial = cast.serial(index);
    let events = cpe_events(cast, index)?;
    let since = events.get(events_before..).unwrap_or_default();
    let naks: Vec<_> = since
        .iter()
        .filter(|event| event.kind == EventKind::Nak)
        .collect();
    cast.story
        .expect_equal(format!("{serial}: DHCPNAKs at his renewal"), 1, naks.len());
    let last_ack = events[..events_before.min(events.len())].last();
    let bound = since.iter().find(|event| event.kind == EventKind::Bound);
    if let (Some(last_ack), Some(nak), Some(bound)) = (last_ack, naks.first(), bound) {
        let (refused, moved) = (
            nak.at.saturating_sub(last_ack.at),
            bound.at.saturating_sub(nak.at),
        );
        cast.story.about(
            serial,
            format!(
                "renewed {:.1} s after his last ACK, was refused, and had his new lease {:.1} s later",
                refused.as_secs_f64(),
                moved.as_secs_f64()
            ),
        );
        let took = bound.at.saturating_sub(last_ack.at);
        cast.story.expect(
            format!("{serial}: time from his last ACK to the new lease"),
            took <= renewal + AFTER_RENEWAL,
            format!("at most {} s", (renewal + AFTER_RENEWAL).as_secs()),
            || format!("{:.1} s", took.as_secs_f64()),
        );
    }
    Ok(())
}

/// He who was not activated keeps his address through his renewals.
fn expect_renewed(cast: &Cast, index: usize, renewal: Duration) -> Result<(), DemoError> {
    let serial = cast.serial(index);
    let renewed = cast.interrupt.wait(renewal + AFTER_RENEWAL, || {
        let events = cpe_events(cast, index).ok()?;
        events
            .iter()
            .any(|event| event.kind == EventKind::Renew)
            .then_some(())
    })?;
    let events = cpe_events(cast, index)?;
    cast.story.expect(
        format!("{serial}: renewal of his garden lease"),
        renewed.is_some(),
        "at least one",
        || "none",
    );
    let naks = events.iter().filter(|event| event.kind == EventKind::Nak).count();
    cast.story.expect_equal(format!("{serial}: DHCPNAKs"), 0, naks);
    Ok(())
}
