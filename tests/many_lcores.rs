//! Two lcores share the subscribers: whichever receives a packet, its owner finishes it. Leases, both directions and
//! subscribers of different owners among each other; each session's counters are exact.

use std::net::SocketAddrV4;

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::{World, WorldSpec};
use sluice_tests::gateway::{Conservation, session_of, traffic};
use sluice_tests::{Drops, PATIENCE, activate, connect, start};

const SUBSCRIBERS: u16 = 4;
const PORT: u16 = 7000;
const PACKETS: u64 = 500;
const PAYLOAD_BYTES: usize = 300;
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

    // Everybody to everybody: some pair has two owners.
    for (index, home) in world.subscribers().iter().enumerate() {
        for (other, address) in addresses.iter().enumerate().filter(|(other, _)| *other != index) {
            let pong = home.ping(*address, PATIENCE);
            assert!(pong.is_reached(), "{index} to {other}: {pong:?}");
        }
    }

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
    let spec = |flow| FlowSpec {
        flow,
        payload_bytes: PAYLOAD_BYTES,
        packets_per_second: 500,
        packets: PACKETS,
    };
    let senders: Vec<_> = world
        .subscribers()
        .iter()
        .zip(&addresses)
        .zip(0u32..)
        .map(|((home, address), flow)| {
            let up = home.send_flow(core.sink_address(), spec(flow)).unwrap();
            let down = core
                .send_flow(SocketAddrV4::new(*address, PORT), spec(flow))
                .unwrap();
            (up, down)
        })
        .collect();
    for (up, down) in senders {
        assert_eq!((up.finish().packets, down.finish().packets), (PACKETS, PACKETS));
    }
    for (flow, receiver) in (0u32..).zip(&receivers) {
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
        for count in [core.sink().flow(flow), receiver.meter.flow(flow)]
            .into_iter()
            .flatten()
        {
            assert_eq!((count.packets, count.duplicates), (PACKETS, 0));
        }
    }
    let sum = Conservation::at_rest(world.api());
    for (home, before) in world.subscribers().iter().zip(&before) {
        let after = traffic(&session_of(&world, home.serial()));
        for way in 0..2 {
            let grown = (after[way].0 - before[way].0, after[way].1 - before[way].1);
            assert_eq!(
                grown,
                (PACKETS, PACKETS * PACKET_BYTES),
                "{}, way {way}",
                home.serial()
            );
        }
    }

    // Both lcores had a part in it, and nothing was lost between them.
    let shares: Vec<u64> = forwarded_by_lcore(&world)
        .iter()
        .zip(&forwarded)
        .map(|(after, before)| after - before)
        .collect();
    assert!(shares.iter().all(|share| *share >= PACKETS), "{shares:?}");
    let refused = Drops::read(world.api()).since(&drops);
    assert!(
        refused.keys().all(|reason| reason == "arp_ignored"),
        "{refused:?}"
    );
    sum.assert_exact();
    eprintln!("forwarded by lcore: {shares:?}; {sum:?}");
    world.stop().unwrap();
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
