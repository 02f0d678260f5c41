//! Activation through the REST API, and the client's way to its new address.

use std::time::{Duration, Instant};

use olt_sim::lab::Lease;
use olt_sim::lab::cpe::{CpeEvent, EventKind};

use super::cast::{Cast, GARDEN_POOL, SERVICE};
use super::connect::{expect_session, wait_for_lease};
use super::error::{DemoError, While};
use super::gateway::{Bounce, Change};

/// A NAK, after which stock clients wait up to 3 s, and a lease from the beginning; before it, without a bounce, the renewal.
const MOVE_PATIENCE: Duration = Duration::from_secs(30);

/// An activation under way.
#[derive(Debug)]
pub struct Moving {
    pub index: usize,
    /// The client's events before it.
    pub events_before: usize,
    pub asked_at: Instant,
}

/// Asks for the service; the answer must be the documented one.
pub fn activate(cast: &mut Cast, index: usize, bounce: Bounce) -> Result<Moving, DemoError> {
    let subscriber = cast.subscriber(index);
    let serial = subscriber.serial().to_owned();
    let address = subscriber.address().map(|address| address.to_string());
    let events_before = cpe_events(cast, index)?.len();
    let asked_at = Instant::now();
    let change = cast
        .gateway
        .activate(&serial, SERVICE, bounce)
        .during(format!("activating {serial}"))?;
    cast.answer_times.push(change.took);
    let story = &cast.story;
    story.about(
        &serial,
        format!(
            "activate {} {}/{} Mbit/s: {} in {:.1} ms: {}",
            SERVICE.pool,
            SERVICE.download_bps / 1_000_000,
            SERVICE.upload_bps / 1_000_000,
            change.status,
            change.took.as_secs_f64() * 1e3,
            change.message,
        ),
    );
    expect_answer(cast, &serial, &change, ["success", GARDEN_POOL, "activating"]);
    story.expect(
        format!("{serial}: old_ip of the answer"),
        change.old_ip == address,
        address.as_deref().unwrap_or("none"),
        || change.old_ip.clone().unwrap_or_else(|| "none".into()),
    );
    Ok(Moving {
        index,
        events_before,
        asked_at,
    })
}

pub fn expect_answer(cast: &Cast, serial: &str, change: &Change, [status, old_state, new_state]: [&str; 3]) {
    let story = &cast.story;
    story.expect_equal(format!("{serial}: status of the answer"), status, &change.status);
    story.expect_equal(
        format!("{serial}: old_state of the answer"),
        old_state,
        &change.old_state,
    );
    story.expect_equal(
        format!("{serial}: new_state of the answer"),
        new_state,
        &change.new_state,
    );
}

/// Waits until the client has moved to the service's pool.
pub fn expect_moved(cast: &Cast, moving: &Moving) -> Result<Option<Lease>, DemoError> {
    let index = moving.index;
    let Some(lease) = wait_for_lease(cast, index, MOVE_PATIENCE, is_residential)? else {
        return Ok(None);
    };
    let serial = cast.serial(index);
    if !cast.plan.is_crowded() {
        cast.story.about(
            serial,
            format!(
                "has moved to {}, {:.1} s after its activation",
                lease.address,
                moving.asked_at.elapsed().as_secs_f64()
            ),
        );
    }
    expect_session(cast, index, "active", SERVICE.pool)?;
    let naks = cpe_events(cast, index)?
        .iter()
        .skip(moving.events_before)
        .filter(|event| event.kind == EventKind::Nak)
        .count();
    cast.story.expect(
        format!("{serial}: DHCPNAKs on the way"),
        naks <= 1,
        "at most one",
        || naks,
    );
    expect_line(cast, index);
    Ok(Some(lease))
}

/// The access node was told of the service.
fn expect_line(cast: &Cast, index: usize) {
    let serial = cast.serial(index);
    let line = cast
        .world
        .olt()
        .onts()
        .into_iter()
        .find(|ont| ont.ont_serial == serial);
    let pool = line.and_then(|ont| ont.profile.pool);
    cast.story.expect(
        format!("{serial}: service profile at the access node"),
        pool.as_deref() == Some(SERVICE.pool),
        SERVICE.pool,
        || pool.clone().unwrap_or_else(|| "none".into()),
    );
}

pub fn cpe_events(cast: &Cast, index: usize) -> Result<Vec<CpeEvent>, DemoError> {
    let subscriber = cast.subscriber(index);
    let cpe = subscriber
        .cpe()
        .during(format!("reading the events of {}", subscriber.serial()))?;
    Ok(cpe.events())
}

/// 10.0.0.0/12, which the lab gives to the pool isp-residential.
fn is_residential(lease: &Lease) -> bool {
    u32::from(lease.address) >> 20 == 10 << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_pool_is_told_from_the_garden_by_address() {
        let lease = |address: &str| Lease {
            address: address.parse().unwrap(),
            prefix: 12,
            router: None,
            resolvers: Vec::new(),
            lease_seconds: None,
            server: None,
        };
        assert!(is_residential(&lease("10.15.255.254")));
        assert!(!is_residential(&lease("10.16.0.2")) && !is_residential(&lease("10.255.1.0")));
    }
}
