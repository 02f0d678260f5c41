//! Suspension: an established flow ends with the command, both ways, and only the payment portal is left.

use std::net::SocketAddrV4;
use std::time::Duration;

use olt_sim::lab::cpe::EventKind;
use olt_sim::lab::flow::{FlowMeter, FlowSender, FlowSpec};

use super::activation::{cpe_events, expect_answer};
use super::cast::{Cast, GARDEN_POOL};
use super::connect::{expect_session, wait_for_lease};
use super::error::{DemoError, While};
use super::probing::{Access, expect_reach};

/// A telephone call, roughly.
const FLOW: FlowSpec = FlowSpec {
    flow: 0,
    payload_bytes: 172,
    packets_per_second: 500,
    packets: 0,
};
const UPSTREAM_FLOW: u32 = 40_000;
const DOWNSTREAM_FLOW: u32 = 40_001;
const RECEIVER_PORT: u16 = 6001;
const FLOWS_PATIENCE: Duration = Duration::from_secs(3);
/// The flow is watched this long after it should have ended.
const AFTERWARDS: Duration = Duration::from_millis(500);
const MOVE_PATIENCE: Duration = Duration::from_secs(15);

pub fn suspend(cast: &mut Cast, index: usize) -> Result<(), DemoError> {
    let serial = cast.serial(index).to_owned();
    cast.story.step(format!(
        "{serial} has not paid and is suspended in the middle of a flow"
    ));
    let subscriber = cast.subscriber(index);
    let core = &cast.world.ground().core;
    let flows = || format!("running flows of {serial}");
    let receiver = subscriber.receive_flows(RECEIVER_PORT).during(flows())?;
    let address = subscriber.address();
    let home = address.ok_or_else(|| DemoError::Failed {
        what: flows(),
        cause: std::io::Error::other("he has no address"),
    })?;
    let upstream = FlowSpec {
        flow: UPSTREAM_FLOW,
        ..FLOW
    };
    let downstream = FlowSpec {
        flow: DOWNSTREAM_FLOW,
        ..FLOW
    };
    let up = subscriber
        .send_flow(core.sink_address(), upstream)
        .during(flows())?;
    let down = core
        .send_flow(SocketAddrV4::new(home, RECEIVER_PORT), downstream)
        .during(flows())?;
    let running = cast.interrupt.wait(FLOWS_PATIENCE, || {
        let both = core.sink().packets(UPSTREAM_FLOW) > 0 && receiver.meter.packets(DOWNSTREAM_FLOW) > 0;
        both.then_some(())
    })?;
    cast.story.expect(
        format!("{serial}: flows before the suspension"),
        running.is_some(),
        "packets in both directions",
        || "none in at least one",
    );
    cast.interrupt.sleep(cast.plan.established)?;

    let events_before = cpe_events(cast, index)?.len();
    let counting = "counting the garden's drops";
    let dropped_before = cast.gateway.dropped("garden_destination").during(counting)?;
    let change = cast
        .gateway
        .suspend(&serial, "payment failed")
        .during(format!("suspending {serial}"))?;
    // Whatever is sent from here on is sent after the answer.
    let sent_by_then = (up.sent(), down.sent());
    cast.story.about(
        &serial,
        format!(
            "suspend: {} in {:.1} ms: {}",
            change.status,
            change.took.as_secs_f64() * 1e3,
            change.message
        ),
    );
    expect_answer(cast, &serial, &change, ["success", "active", "suspended"]);
    cast.interrupt.sleep(AFTERWARDS)?;
    let ways = [
        ("upstream", core.sink(), UPSTREAM_FLOW, up, sent_by_then.0.packets),
        (
            "downstream",
            &receiver.meter,
            DOWNSTREAM_FLOW,
            down,
            sent_by_then.1.packets,
        ),
    ];
    for (direction, meter, flow, sender, sent_by_then) in ways {
        expect_stopped(cast, &serial, direction, meter, flow, sender, sent_by_then);
    }
    drop(receiver);
    let dropped = cast
        .gateway
        .dropped("garden_destination")
        .during(counting)?
        .wrapping_sub(dropped_before);
    cast.story.expect(
        format!("{serial}: packets of his flows that the gateway dropped"),
        dropped > 0,
        "some, for the reason garden_destination",
        || "none",
    );
    cast.answer_times.push(change.took);
    expect_return(cast, index, events_before)
}

/// Not one packet that was sent after the answer arrived: told by sequence numbers, not by clocks.
fn expect_stopped(
    cast: &Cast,
    serial: &str,
    direction: &str,
    meter: &FlowMeter,
    flow: u32,
    sender: FlowSender,
    sent_by_then: u64,
) {
    let sent = sender.stop();
    let (arrived, highest) = meter
        .flow(flow)
        .map_or((0, 0), |count| (count.packets, count.highest));
    cast.story.expect(
        format!("{serial}: {direction} flow after the suspension"),
        // A packet just being sent was not counted as sent yet.
        highest <= sent_by_then,
        format!("no packet sent after the answer, number {sent_by_then}"),
        || format!("packet {highest}"),
    );
    cast.story.expect(
        format!("{serial}: {direction} flow"),
        sent.packets + sent.refused > sent_by_then,
        "to go on after the suspension",
        || format!("its end at packet {}", sent.packets),
    );
    cast.story.about(
        serial,
        format!(
            "{direction:<10}  {arrived} of {} packets arrived, the last was number {highest}; {sent_by_then} had been sent at the answer",
            sent.packets
        ),
    );
}

/// The access node bounces his line; his router asks again, is refused its address, and gets one of the garden's pool.
fn expect_return(cast: &mut Cast, index: usize, events_before: usize) -> Result<(), DemoError> {
    let subscriber = cast.subscriber(index);
    let serial = subscriber.serial().to_owned();
    let lease = wait_for_lease(cast, index, MOVE_PATIENCE, |lease| {
        lease.address.octets()[..2] == [10, 255]
    })?;
    let Some(lease) = lease else { return Ok(()) };
    cast.story.about(
        &serial,
        format!("asked again and has {} of pool {GARDEN_POOL}", lease.address),
    );
    let naks = cpe_events(cast, index)?
        .iter()
        .skip(events_before)
        .filter(|event| event.kind == EventKind::Nak)
        .count();
    cast.story
        .expect_equal(format!("{serial}: DHCPNAKs on the way"), 1, naks);
    expect_session(cast, index, "suspended", GARDEN_POOL)?;
    expect_reach(cast, &[index], Access::SuspendedGarden)
}
