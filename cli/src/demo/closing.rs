//! The end of the story: everything the gateway says of itself, checked against what was done.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::cast::Cast;
use super::error::{DemoError, While};
use super::gateway::{Conservation, Latency, Pool, Reason, Session, Traffic};

/// All that is under way at the end arrives well within this.
const QUIET_PATIENCE: Duration = Duration::from_secs(5);
/// Reasons that would be a fault of the gateway or of the lab, whatever the scenario.
const NEVER: [&str; 13] = [
    "truncated",
    "multi_segment",
    "bad_tags",
    "bad_ethernet",
    "bad_ip_header",
    "bad_ip_checksum",
    "unknown_line",
    "no_mbuf",
    "no_headroom",
    "inject_invalid",
    "punt_ring_full",
    "tx_full",
    "corrupt_table",
];

/// How the ONTs should stand, by state and by pool.
#[derive(Clone, Debug)]
pub struct Expected {
    pub by_state: Vec<(&'static str, usize)>,
    pub by_pool: Vec<(&'static str, usize)>,
}

/// What the final tables show.
#[derive(Clone, Debug, Serialize)]
pub struct Closing {
    /// Of the story: without setting up and taking down.
    pub seconds: f64,
    pub onts_by_state: BTreeMap<String, usize>,
    pub onts_by_pool: BTreeMap<String, usize>,
    pub pools: Vec<Pool>,
    pub subscribers: Vec<SubscriberTraffic>,
    pub traffic: Traffic,
    /// Only reasons that occurred.
    pub drops: Vec<Reason>,
    pub latency: Vec<Latency>,
    pub conservation: Conservation,
    /// Answers of the REST API to commands, slowest last.
    pub command_milliseconds: Vec<f64>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SubscriberTraffic {
    pub ont_serial: String,
    pub circuit_id: String,
    pub state: String,
    pub pool: String,
    pub ip: String,
    #[serde(flatten)]
    pub traffic: Traffic,
}

pub fn close(cast: &mut Cast, expected: &Expected) -> Result<Closing, DemoError> {
    cast.story.step("the gateway's own figures");
    let conservation = settled(cast)?;
    let asking = "asking for the final figures";
    let gateway = &cast.gateway;
    let sessions = gateway.sessions().during(asking)?;
    let drops = gateway.drops().during(asking)?;
    let pools = gateway.pools().during(asking)?;
    let latency = gateway.latency().during(asking)?;
    let by = |member: fn(&Session) -> Option<&str>| {
        let mut counts = BTreeMap::new();
        for session in &sessions {
            *counts
                .entry(member(session).unwrap_or("none").to_owned())
                .or_insert(0) += 1;
        }
        counts
    };
    let onts_by_state = by(|session| Some(&session.state));
    let onts_by_pool = by(|session| session.pool.as_deref());
    expect_counts(cast, "ONTs by state", &expected.by_state, &onts_by_state);
    expect_counts(cast, "ONTs by pool", &expected.by_pool, &onts_by_pool);
    expect_pools(cast, &expected.by_pool, &pools);
    expect_figures(cast, &conservation, &drops, &latency);
    cast.story.end_step();

    let mut command_milliseconds: Vec<f64> = cast
        .answer_times
        .iter()
        .map(|took| took.as_secs_f64() * 1e3)
        .collect();
    command_milliseconds.sort_by(f64::total_cmp);
    Ok(Closing {
        seconds: cast.story.elapsed().as_secs_f64(),
        onts_by_state,
        onts_by_pool,
        pools,
        traffic: total(&sessions),
        subscribers: by_subscriber(sessions),
        drops: drops.into_iter().filter(|drop| drop.packets != 0).collect(),
        latency,
        conservation,
        command_milliseconds,
    })
}

/// The sum once nothing is in hand any more.
fn settled(cast: &Cast) -> Result<Conservation, DemoError> {
    let read = || cast.gateway.conservation();
    let settled = cast
        .interrupt
        .wait(QUIET_PATIENCE, || read().ok().filter(|sum| sum.in_hand == 0))?;
    match settled {
        Some(sum) => Ok(sum),
        None => read().during("reading the conservation sum"),
    }
}

fn expect_counts(cast: &Cast, what: &str, expected: &[(&str, usize)], seen: &BTreeMap<String, usize>) {
    let expected: BTreeMap<String, usize> = expected
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| ((*name).to_owned(), *count))
        .collect();
    cast.story
        .expect(what, expected == *seen, counts(&expected), || counts(seen));
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    let words: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    words.join(", ")
}

fn expect_pools(cast: &Cast, expected: &[(&str, usize)], pools: &[Pool]) {
    for (name, bound) in expected {
        let seen = pools
            .iter()
            .find(|pool| pool.name == *name)
            .map_or(0, |pool| pool.bound);
        cast.story.expect_equal(
            format!("addresses of pool {name} that are bound"),
            *bound as u64,
            seen,
        );
    }
}

fn expect_figures(cast: &Cast, sum: &Conservation, drops: &[Reason], latency: &[Latency]) {
    let story = &cast.story;
    story.expect(
        "rx + injected + originated = tx + drops + punts",
        sum.came() == sum.went() && sum.lost_in_flight == 0,
        sum.came(),
        || format!("{} ({} in hand)", sum.went(), sum.in_hand),
    );
    let by_reason: u64 = drops.iter().map(|drop| drop.packets).sum();
    story.expect(
        "the drops of all reasons together",
        by_reason >= sum.drops,
        format!("the {} of the sum", sum.drops),
        || by_reason,
    );
    for name in NEVER {
        let seen = drops
            .iter()
            .find(|drop| drop.reason == name)
            .map_or(0, |drop| drop.packets);
        story.expect_equal(format!("drops for the reason {name}"), 0, seen);
    }
    for direction in latency {
        story.expect(
            format!("{} packets with a measured latency", direction.direction),
            direction.count > 0,
            "some",
            || "none",
        );
    }
}

fn total(sessions: &[Session]) -> Traffic {
    let mut total = Traffic::default();
    for session in sessions {
        for (sum, one) in [
            (&mut total.upstream, session.traffic.upstream),
            (&mut total.downstream, session.traffic.downstream),
        ] {
            sum.packets += one.packets;
            sum.bytes += one.bytes;
            sum.policed += one.policed;
        }
    }
    total
}

fn by_subscriber(sessions: Vec<Session>) -> Vec<SubscriberTraffic> {
    let text = |value: Option<String>| value.unwrap_or_else(|| "-".into());
    let mut all: Vec<_> = sessions
        .into_iter()
        .map(|session| SubscriberTraffic {
            ont_serial: text(session.ont_serial),
            circuit_id: text(session.circuit_id),
            state: session.state,
            pool: text(session.pool),
            ip: text(session.ip),
            traffic: session.traffic,
        })
        .collect();
    all.sort_by(|a, b| a.ont_serial.cmp(&b.ont_serial));
    all
}
