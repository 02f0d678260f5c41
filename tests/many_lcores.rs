//! Two lcores share the subscribers: whichever receives a packet, its owner finishes it. Leases, both directions and
//! subscribers of different owners among each other; each session's counters are exact, nothing is lost on the rings between the
//! lcores, and every flow keeps its order.

use std::collections::BTreeMap;
use std::net::SocketAddrV4;

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::{World, WorldSpec};
use sluice_tests::gateway::{Conservation, session_of, traffic};
use sluice_tests::{Drops, PATIENCE, Telemetry, activate, connect, start};

const SUBSCRIBERS: u16 = 4;
const PORT: u16 = 7000;
/// Of each subscriber and direction: the core TAP's queue follows from a flow's hash, so that some come to the owner and some do not.
const FLOWS: u32 = 8;
/// Of each flow.
const PACKETS: u64 = 100;
const PAYLOAD_BYTES: usize = 300;
/// Of each subscriber and direction.
const ALL: u64 = FLOWS as u64 * PACKETS;
/// With IPv4 and UDP headers.
const PACKET_BYTES: u64 = 328;

#[test]
fn two_lcores_forward_for_everybody_and_count_exactly() {
    let mut world = start(WorldSpec {
        subscribers: SUBSCRIBERS,
        lcores: "0,1".into(),
        ..WorldSpec::default()
    });
    let count = usize::from(SUBSCRIBERS);
    for index in 0..count {
        connect(&mut world, index);
    }
    let addresses: Vec<_> = (0..count).map(|index| activate(&world, index).address).collect();
    let core = &world.ground().core;
    let internet = core.config().internet;
    for home in world.subscribers() {
        let pong = home.ping(internet, PATIENCE);
        assert!(pong.is_reached(), "{}: {pong:?}", home.serial());
    }
    let drops = Drops::read(world.api());
    let forwarded = forwarded_by_lcore(&world);
    assert_eq!(forwarded.len(), 2, "{forwarded:?}");
    let telemetry = Telemetry::of(&world);
    let started = telemetry.handoffs();

    // Everybody to everybody: some pair has two owners.
    for (index, home) in world.subscribers().iter().enumerate() {
        for (other, address) in addresses.iter().enumerate().filter(|(other, _)| *other != index) {
            let pong = home.ping(*address, PATIENCE);
            assert!(pong.is_reached(), "{index} to {other}: {pong:?}");
        }
    }
    let met = since(&telemetry.handoffs(), &started);
    let half_way: u64 = ["access0/0/half_way", "access0/1/half_way"]
        .iter()
        .map(|key| met[*key])
        .sum();
    assert!(
        half_way > 0,
        "a sender's lcore hands over to the receiver's: {met:?}"
    );

    // Numbered flows of all, both ways at once, each counted to the packet and byte.
    Conservation::at_rest(world.api());
    let before: Vec<_> = world
        .subscribers()
        .iter()
        .map(|home| traffic(&session_of(&world, home.serial())))
        .collect();
    let receivers: Vec<_> = world
        .subscribers()
        .iter()
        .map(|home| home.receive_flows(PORT).unwrap())
        .collect();
    let before_flows = telemetry.handoffs();
    let spec = |flow| FlowSpec {
        flow,
        payload_bytes: PAYLOAD_BYTES,
        packets_per_second: 100,
        packets: PACKETS,
    };
    let flows = |home: usize| home as u32 * FLOWS..(home as u32 + 1) * FLOWS;
    let senders: Vec<_> = world
        .subscribers()
        .iter()
        .zip(&addresses)
        .enumerate()
        .flat_map(|(index, (home, address))| flows(index).map(move |flow| (home, *address, flow)))
        .map(|(home, address, flow)| {
            let up = home.send_flow(core.sink_address(), spec(flow)).unwrap();
            let down = core
                .send_flow(SocketAddrV4::new(address, PORT), spec(flow))
                .unwrap();
            (up, down)
        })
        .collect();
    for (up, down) in senders {
        assert_eq!((up.finish().packets, down.finish().packets), (PACKETS, PACKETS));
    }
    for (index, receiver) in receivers.iter().enumerate() {
        for flow in flows(index) {
            assert!(
                core.sink().wait_for(flow, PACKETS, PATIENCE),
                "{:?}",
                core.sink().flow(flow)
            );
            assert!(
                receiver.meter.wait_for(flow, PACKETS, PATIENCE),
                "{:?}",
                receiver.meter.flow(flow)
            );
            let counts = [core.sink().flow(flow), receiver.meter.flow(flow)];
            for count in counts.into_iter().flatten() {
                assert_eq!(
                    (count.packets, count.duplicates, count.reordered),
                    (PACKETS, 0, 0)
                );
            }
        }
    }
    let sum = Conservation::at_rest(world.api());
    for (home, before) in world.subscribers().iter().zip(&before) {
        let after = traffic(&session_of(&world, home.serial()));
        for way in 0..2 {
            let grown = (after[way].0 - before[way].0, after[way].1 - before[way].1);
            assert_eq!(grown, (ALL, ALL * PACKET_BYTES), "{}, way {way}", home.serial());
        }
    }

    // Both lcores had a part in it, and nothing was lost between them.
    let shares: Vec<u64> = forwarded_by_lcore(&world)
        .iter()
        .zip(&forwarded)
        .map(|(after, before)| after - before)
        .collect();
    assert!(shares.iter().all(|share| *share >= ALL), "{shares:?}");
    let handed_over = since(&telemetry.handoffs(), &before_flows);
    // The kernel does not look for addresses behind two tags: one lcore receives all that comes upstream.
    let upstream = [handed_over["access0/0"], handed_over["access0/1"]];
    assert!(
        upstream.contains(&0) && upstream.iter().sum::<u64>() >= PACKETS,
        "{upstream:?}"
    );
    for key in ["core0/0", "core0/1"] {
        assert!(handed_over[key] >= PACKETS, "{key}: {handed_over:?}");
    }
    assert_eq!(
        handed_over["core0/0/half_way"] + handed_over["core0/1/half_way"],
        0
    );
    let all: u64 = handed_over.values().sum();
    assert!(
        all < 2 * ALL * u64::from(SUBSCRIBERS),
        "what came to its owner stayed: {handed_over:?}"
    );
    // Who took them in counted them too.
    let lcores = world.api().get("/api/v1/lcores").unwrap();
    let handed_in: Vec<u64> = lcores["lcores"]
        .as_array()
        .unwrap()
        .iter()
        .map(|lcore| lcore["handed_in"].as_u64().unwrap())
        .collect();
    assert_eq!(
        handed_in.iter().sum::<u64>(),
        telemetry.handoffs().values().sum::<u64>(),
        "{handed_in:?}"
    );
    let refused = Drops::read(world.api()).since(&drops);
    assert!(
        refused.keys().all(|reason| reason == "arp_ignored"),
        "{refused:?}"
    );
    sum.assert_exact();
    eprintln!("forwarded by lcore: {shares:?}, handed over: {handed_over:?}; {sum:?}");
    world.stop().unwrap();
}

fn since(now: &BTreeMap<String, u64>, then: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    now.iter()
        .map(|(key, packets)| (key.clone(), packets - then[key]))
        .collect()
}

fn forwarded_by_lcore(world: &World) -> Vec<u64> {
    let list = world.api().get("/api/v1/lcores").unwrap();
    let lcores = list["lcores"].as_array().unwrap().clone();
    lcores
        .iter()
        .map(|lcore| {
            let forwarded = &lcore["forwarded"];
            forwarded["upstream"].as_u64().unwrap() + forwarded["downstream"].as_u64().unwrap()
        })
        .collect()
}
