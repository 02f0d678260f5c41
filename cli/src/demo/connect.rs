//! ONTs light up one after the other; each is discovered and gets an address of the walled garden's pool.

use std::time::{Duration, Instant};

use olt_sim::lab::Lease;

use super::cast::{Cast, GARDEN_POOL};
use super::error::{DemoError, While};

/// A first lease: two messages, with a lost one or two.
const LEASE_PATIENCE: Duration = Duration::from_secs(15);
/// A lease ends with its binding, which began before it was on disk: so much less may be left of it, in whole seconds.
const COMMIT_SECONDS: u32 = 2;
/// The lease is at the client, and its record is shown a moment later.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

pub fn connect(cast: &mut Cast) -> Result<(), DemoError> {
    let plan = cast.plan;
    cast.story.step(format!(
        "{} ONTs connect within {} s; each client asks for an address",
        plan.subscribers,
        plan.connecting.as_secs()
    ));
    let began = Instant::now();
    let mut asked_at = Vec::new();
    for index in 0..plan.subscribers {
        cast.sleep_until(began + plan.connecting.mul_f64(index as f64 / plan.subscribers as f64))?;
        asked_at.push(Instant::now());
        let serial = cast.serial(index).to_owned();
        cast.world
            .connect_without_waiting(index)
            .during(format!("connecting {serial}"))?;
    }
    for index in 0..plan.subscribers {
        let lease = wait_for_lease(cast, index, LEASE_PATIENCE, |_| true)?;
        if let Some(lease) = lease {
            check_garden_lease(cast, index, &lease)?;
        }
    }
    cast.sleep_until(began + plan.connecting)
}

/// The client's lease, once it is one that `wanted` accepts; a failed expectation if there is none.
pub fn wait_for_lease(
    cast: &Cast,
    index: usize,
    patience: Duration,
    wanted: impl Fn(&Lease) -> bool,
) -> Result<Option<Lease>, DemoError> {
    let subscriber = cast.subscriber(index);
    let found = cast
        .interrupt
        .wait(patience, || subscriber.lease().filter(&wanted))?;
    cast.story.expect(
        format!("the DHCP client of {}", subscriber.serial()),
        found.is_some(),
        format!("a lease of the right pool within {} s", patience.as_secs()),
        || match subscriber.address() {
            Some(address) => format!("{address}"),
            None => "no lease".to_owned(),
        },
    );
    Ok(found)
}

fn check_garden_lease(cast: &Cast, index: usize, lease: &Lease) -> Result<(), DemoError> {
    let core = cast.world.ground().core.config();
    let serial = cast.serial(index);
    let story = &cast.story;
    let garden_resolvers = core.resolvers.iter().take(lease.resolvers.len());
    story.expect(
        format!("{serial}: resolvers (option 6)"),
        lease.resolvers.len() == 2 && lease.resolvers.iter().eq(garden_resolvers),
        "8.8.8.8 and 8.8.4.4",
        || format!("{:?}", lease.resolvers),
    );
    story.expect(
        format!("{serial}: lease time (option 51)"),
        lease.lease_seconds.is_some_and(|seconds| {
            seconds <= cast.plan.lease_seconds && seconds + COMMIT_SECONDS >= cast.plan.lease_seconds
        }),
        cast.plan.lease_seconds,
        || format!("{:?}", lease.lease_seconds),
    );
    let discovered = || {
        cast.feed
            .of(serial)
            .iter()
            .any(|event| event.kind == "NewONTDetected")
            .then_some(())
    };
    let announced = cast.interrupt.wait(SETTLE_PATIENCE, discovered)?;
    story.expect(
        format!("{serial}: event NewONTDetected"),
        announced.is_some(),
        "one",
        || "none",
    );
    expect_session(cast, index, GARDEN_POOL, GARDEN_POOL)
}

/// The gateway shows the session in this state, with an address of this pool that is the client's own.
pub fn expect_session(cast: &Cast, index: usize, state: &str, pool: &str) -> Result<(), DemoError> {
    let subscriber = cast.subscriber(index);
    let serial = subscriber.serial();
    let settled = cast.interrupt.wait(SETTLE_PATIENCE, || {
        let session = cast.gateway.session(serial).ok()?;
        (session.state == state && session.pool.as_deref() == Some(pool)).then_some(session)
    })?;
    let session = match settled {
        Some(session) => session,
        None => cast.session(index)?,
    };
    let story = &cast.story;
    story.expect_equal(format!("{serial}: state"), state, session.state.as_str());
    story.expect_equal(
        format!("{serial}: pool"),
        pool,
        session.pool.as_deref().unwrap_or("none"),
    );
    let own = subscriber.address().map(|address| address.to_string());
    story.expect(
        format!("{serial}: the address that the gateway shows"),
        session.ip == own,
        format!("the client's own, {}", own.as_deref().unwrap_or("none")),
        || session.ip.clone().unwrap_or_else(|| "none".into()),
    );
    let circuit_id = format!("agg-01|1/1/{}", index + 1);
    story.expect_equal(
        format!("{serial}: circuit-id"),
        circuit_id.as_str(),
        session.circuit_id.as_deref().unwrap_or("none"),
    );
    Ok(())
}
