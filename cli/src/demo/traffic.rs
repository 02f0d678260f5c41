//! Traffic: paced UDP up and down, more than the service allows, counted at both ends and by the gateway.
//!
//! What arrives may not exceed rate × time + burst, where time runs from the first packet sent to the last that arrived: the policer's
//! own interval lies within. What the gateway counts must be what arrived, to the byte; and what it says it policed must be what did not,
//! but for what a busy machine lost in the lab's own TAP queues before the gateway saw it, which the kernel counts.

use std::net::SocketAddrV4;
use std::thread;
use std::time::{Duration, Instant};

use olt_sim::lab::flow::{FlowCount, FlowMeter, FlowSender, FlowSpec, IP_OVERHEAD_BYTES};
use olt_sim::lab::world::ACCESS_INTERFACE;

use super::cast::{Cast, SERVICE};
use super::error::{DemoError, While};
use super::gateway::Totals;

/// In all and over all, as IP bytes that arrived.
const WANTED_BYTES: u64 = 100_000_000;
/// Offered in hundredths of the rate.
const OFFERED_PERCENT: u64 = 125;
/// What is still missing at the end is sent slowly enough to arrive, in hundredths of the rate.
const TOP_UP_PERCENT: u64 = 50;
/// Each again for what a busy machine lost of the one before.
const TOP_UPS_MAX: usize = 5;
/// The gateway's policers allow 10 ms at the rate, at least ten full packets.
const BURST_BYTES_MIN: u64 = 15_000;
const RECEIVER_PORT: u16 = 6000;
/// Nothing more is under way when nothing has come for this long.
const QUIET: Duration = Duration::from_millis(200);
const QUIET_PATIENCE: Duration = Duration::from_secs(3);
/// Numbers of the flows: the subscriber's index on top of these.
const UPSTREAM_FLOWS: u32 = 10_000;
const DOWNSTREAM_FLOWS: u32 = 20_000;
const TOP_UP_FLOW: u32 = 30_000;

/// What came of a flow.
#[derive(Clone, Copy, Debug)]
struct Carried {
    sent: u64,
    received: u64,
    bytes: u64,
    /// From the first packet sent to the last that arrived.
    seconds: f64,
}

impl Carried {
    fn bits_per_second(&self) -> f64 {
        if self.seconds > 0.0 {
            self.bytes as f64 * 8.0 / self.seconds
        } else {
            0.0
        }
    }
}

pub fn run_traffic(cast: &mut Cast, subscribers: &[usize]) -> Result<(), DemoError> {
    let (rates, count) = (SERVICE.download_bps + SERVICE.upload_bps, subscribers.len());
    let share = WANTED_BYTES as f64 / count as f64;
    let seconds = share * 8.0 / rates as f64;
    cast.story.step(format!(
        "{count} subscribers send and receive {} MB in all, each at {OFFERED_PERCENT} % of his rates",
        WANTED_BYTES / 1_000_000
    ));
    let pitch = if cast.plan.traffic_at.is_zero() {
        Duration::ZERO
    } else {
        // Spread over the time the step has.
        cast.plan
            .suspension_at
            .saturating_sub(cast.plan.traffic_at + Duration::from_secs(2))
            / count.max(1) as u32
    };
    let began = Instant::now();
    let mut arrived = 0;
    for (round, group) in subscribers.chunks(cast.plan.at_a_time).enumerate() {
        cast.sleep_until(began + pitch * (round * cast.plan.at_a_time) as u32)?;
        let lost_before = lost_in_lab(cast, group)?;
        let carried = thread::scope(|scope| {
            let running: Vec<_> = group
                .iter()
                .map(|index| {
                    let cast = &*cast;
                    scope.spawn(move || one(cast, *index, seconds))
                })
                .collect();
            running
                .into_iter()
                .map(|one| {
                    one.join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect::<Result<Vec<_>, _>>()
        })?;
        expect_nothing_unexplained(cast, group, &carried, lost_before)?;
        arrived += carried.iter().map(|home| home.bytes).sum::<u64>();
    }
    for _ in 0..TOP_UPS_MAX {
        if let Some(last) = subscribers.last()
            && arrived < WANTED_BYTES
        {
            arrived += top_up(cast, *last, WANTED_BYTES - arrived)?;
        }
    }
    cast.story.expect(
        "traffic in all",
        arrived >= WANTED_BYTES,
        format!("{WANTED_BYTES} bytes"),
        || arrived,
    );
    cast.story
        .line(format!("{:.1} MB arrived in all", arrived as f64 / 1e6));
    Ok(())
}

/// Packets that the lab's TAPs dropped on the way to the gateway or home: it is no part of what is tested.
fn lost_in_lab(cast: &Cast, group: &[usize]) -> Result<u64, DemoError> {
    let ground = cast.world.ground();
    let reading = "reading the lab's own drops";
    let core = &ground.core_namespace;
    let mut lost = cast.world.olt().stats().counters.drops.iter().sum::<u64>();
    for interface in [ACCESS_INTERFACE, &ground.core.config().interface] {
        lost += core.transmit_drops(interface).during(reading)?;
    }
    for index in group {
        let subscriber = cast.subscriber(*index);
        lost += subscriber
            .namespace
            .transmit_drops(&subscriber.ont.interface)
            .during(reading)?;
    }
    Ok(lost)
}

/// What neither arrived nor was policed was lost in the lab, and is counted there.
fn expect_nothing_unexplained(
    cast: &Cast,
    group: &[usize],
    carried: &[Home],
    lost_before: u64,
) -> Result<(), DemoError> {
    let missing: u64 = carried.iter().map(|home| home.missing).sum();
    let lost = lost_in_lab(cast, group)? - lost_before;
    cast.story.expect(
        "packets that neither arrived nor were policed",
        missing <= lost,
        format!("none but the {lost} that the lab's own queues dropped"),
        || missing,
    );
    if missing > 0 {
        cast.story.line(format!(
            "this machine is busy: the lab's own queues dropped {lost} packets"
        ));
    }
    Ok(())
}

/// What came of both directions of one subscriber.
#[derive(Clone, Copy, Debug)]
struct Home {
    bytes: u64,
    /// Packets sent that neither arrived nor were policed.
    missing: u64,
}

/// Both directions of one subscriber at once.
fn one(cast: &Cast, index: usize, seconds: f64) -> Result<Home, DemoError> {
    cast.interrupt.check()?;
    let before = cast.session(index)?.traffic;
    let (upstream, downstream) = thread::scope(|scope| {
        let up = scope.spawn(|| upstream(cast, index, seconds));
        let down = downstream(cast, index, seconds);
        let up = up.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        (up, down)
    });
    let (upstream, downstream) = (upstream?, downstream?);
    let after = cast.session(index)?.traffic;

    let serial = cast.serial(index);
    let mut home = Home {
        bytes: upstream.bytes + downstream.bytes,
        missing: 0,
    };
    for (direction, carried, counted, rate) in [
        (
            "downstream",
            downstream,
            after.downstream.since(before.downstream),
            SERVICE.download_bps,
        ),
        (
            "upstream",
            upstream,
            after.upstream.since(before.upstream),
            SERVICE.upload_bps,
        ),
    ] {
        home.missing += (carried.sent - carried.received).saturating_sub(counted.policed);
        expect_carried(cast, &format!("{serial} {direction}"), &carried, counted, rate);
        if !cast.plan.is_crowded() {
            cast.story.about(
                serial,
                format!(
                    "{direction:<10}  {:>5.1} Mbit/s of {:>3} allowed, {:>5} packets of {:>5} arrived, {:>4} policed",
                    carried.bits_per_second() / 1e6,
                    rate / 1_000_000,
                    carried.received,
                    carried.sent,
                    counted.policed,
                ),
            );
        }
    }
    Ok(home)
}

fn expect_carried(cast: &Cast, what: &str, carried: &Carried, counted: Totals, rate: u64) {
    let story = &cast.story;
    let burst = (rate / 8 / 100).max(BURST_BYTES_MIN);
    let most = rate as f64 / 8.0 * carried.seconds + (burst + packet_bytes()) as f64;
    story.expect(
        format!("{what}: bytes that arrived"),
        carried.bytes as f64 <= most,
        format!("at most {most:.0} in {:.3} s", carried.seconds),
        || carried.bytes,
    );
    story.expect(
        format!("{what}: bytes that arrived"),
        carried.bytes > 0,
        "some",
        || "none",
    );
    story.expect_equal(
        format!("{what}: packets counted"),
        carried.received,
        counted.packets,
    );
    story.expect_equal(format!("{what}: bytes counted"), carried.bytes, counted.bytes);
    story.expect(
        format!("{what}: packets policed"),
        counted.policed <= carried.sent - carried.received,
        format!(
            "at most the {} that did not arrive",
            carried.sent - carried.received
        ),
        || counted.policed,
    );
    // A sender that a busy machine held back may have kept within the rate.
    let offered = ((carried.received + counted.policed) * packet_bytes()) as f64;
    if offered > most {
        story.expect(
            format!("{what}: packets policed"),
            counted.policed > 0,
            "some, more was offered than allowed",
            || "none",
        );
    }
}

fn upstream(cast: &Cast, index: usize, seconds: f64) -> Result<Carried, DemoError> {
    let core = &cast.world.ground().core;
    let flow = UPSTREAM_FLOWS + index as u32;
    let spec = offered(flow, SERVICE.upload_bps, seconds);
    let what = format!("sending from {}", cast.serial(index));
    let began = Instant::now();
    let sender = cast
        .subscriber(index)
        .send_flow(core.sink_address(), spec)
        .during(what)?;
    carried(cast, began, sender, spec, core.sink())
}

fn downstream(cast: &Cast, index: usize, seconds: f64) -> Result<Carried, DemoError> {
    let spec = offered(DOWNSTREAM_FLOWS + index as u32, SERVICE.download_bps, seconds);
    to_home(cast, index, spec)
}

fn to_home(cast: &Cast, index: usize, spec: FlowSpec) -> Result<Carried, DemoError> {
    let subscriber = cast.subscriber(index);
    let what = || format!("sending to {}", subscriber.serial());
    let receiver = subscriber.receive_flows(RECEIVER_PORT).during(what())?;
    let address = subscriber.address().ok_or_else(|| DemoError::Failed {
        what: what(),
        cause: std::io::Error::other("he has no address"),
    })?;
    let began = Instant::now();
    let sender = cast
        .world
        .ground()
        .core
        .send_flow(SocketAddrV4::new(address, RECEIVER_PORT), spec)
        .during(what())?;
    carried(cast, began, sender, spec, &receiver.meter)
}

/// What is missing of the whole, slowly enough not to be policed.
fn top_up(cast: &Cast, index: usize, bytes: u64) -> Result<u64, DemoError> {
    let rate = SERVICE.download_bps * TOP_UP_PERCENT / 100;
    let spec = FlowSpec::bits_per_second(TOP_UP_FLOW, rate).packets(bytes.div_ceil(packet_bytes()));
    to_home(cast, index, spec).map(|carried| carried.bytes)
}

fn offered(flow: u32, rate: u64, seconds: f64) -> FlowSpec {
    let spec = FlowSpec::bits_per_second(flow, rate * OFFERED_PERCENT / 100);
    spec.packets((spec.packets_per_second as f64 * seconds).ceil() as u64)
}

fn packet_bytes() -> u64 {
    let spec = FlowSpec::bits_per_second(0, 1);
    (spec.payload_bytes + IP_OVERHEAD_BYTES) as u64
}

/// Waits until all is sent and no more arrives.
fn carried(
    cast: &Cast,
    began: Instant,
    sender: FlowSender,
    spec: FlowSpec,
    meter: &FlowMeter,
) -> Result<Carried, DemoError> {
    while sender.sent().packets + sender.sent().refused < spec.packets {
        cast.interrupt.sleep(Duration::from_millis(20))?;
    }
    let sent = sender.finish();
    let quiet = || match meter.flow(spec.flow) {
        Some(count) if count.packets >= sent.packets || count.last_at.elapsed() > QUIET => Some(count),
        _ => None,
    };
    let count: Option<FlowCount> = cast.interrupt.wait(QUIET_PATIENCE, quiet)?;
    let count = count.or_else(|| meter.flow(spec.flow));
    Ok(Carried {
        sent: sent.packets,
        received: count.as_ref().map_or(0, |count| count.packets),
        bytes: count.as_ref().map_or(0, |count| count.bytes),
        seconds: count.map_or(0.0, |count| (count.last_at - began).as_secs_f64()),
    })
}
