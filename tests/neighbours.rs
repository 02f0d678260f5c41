//! Two subscribers of one pool. They share a subnet and cannot hear each other: the BNG answers ARP for
//! everybody and routes between them, unless the operator has switched that off.

use std::net::Ipv4Addr;

use olt_sim::lab::probes::Reach;
use olt_sim::lab::world::{Settings, World, WorldSpec};
use serde_json::Value;
use sluice_tests::world::mac_of;
use sluice_tests::world::{forget_arrivals, settled_arrivals};
use sluice_tests::{BNG_MAC, Drops, PATIENCE, SILENCE, Scapy, activate_all, connect, start};

/// TTL of what a Linux host sends.
const TTL: u8 = 64;

#[test]
fn neighbours_reach_each_other_through_the_bng() {
    let (world, [a, b]) = neighbours("routed");
    let before = Drops::read(world.api());
    forget_arrivals(&world);

    let pong = world
        .subscriber(0)
        .ping(b, PATIENCE)
        .reached()
        .expect("B answers A");
    assert_eq!(
        pong.ttl,
        TTL - 1,
        "one hop each way, by whatever subscribers it leads"
    );
    let pong = world
        .subscriber(1)
        .ping(a, PATIENCE)
        .reached()
        .expect("A answers B");
    assert_eq!(pong.ttl, TTL - 1);

    // Each takes the BNG for the other; the core side has seen nothing, and nothing was lost.
    for (index, other) in [(0, b), (1, a)] {
        let known = world
            .subscriber(index)
            .namespace
            .ip(&["neigh", "show", &other.to_string()])
            .unwrap();
        assert!(known.contains(BNG_MAC), "{known}");
    }
    assert_eq!(settled_arrivals(&world), []);
    before.expect(world.api(), "two pings", &[]);
}

#[test]
fn neighbours_are_kept_apart_where_the_operator_says_so() {
    let (world, [a, b]) = neighbours("dropped");
    let internet = world.ground().core.config().internet;
    let before = Drops::read(world.api());

    assert_eq!(world.subscriber(0).ping(b, SILENCE), Reach::Silent);
    assert_eq!(world.subscriber(1).ping(a, SILENCE), Reach::Silent);

    before.expect(world.api(), "two pings", &[("subscriber_to_subscriber", 2)]);
    for index in [0, 1] {
        assert!(world.subscriber(index).ping(internet, PATIENCE).is_reached());
    }
}

#[test]
fn a_probe_for_the_own_address_stays_unanswered() {
    let (world, [a, b]) = neighbours("routed");
    let home = world.subscriber(0);
    let mut scapy = Scapy::start(&home.namespace);
    let own_mac = mac_of(home);
    // A probe (RFC 5227, 2.1.1) names no sender.
    let mut probe = |target: Ipv4Addr| -> Option<String> {
        let answer = scapy.exec(&format!(
            "answer = srp1(Ether(src='{own_mac}', dst='ff:ff:ff:ff:ff:ff')/\
             ARP(op=1, hwsrc='{own_mac}', psrc='0.0.0.0', pdst='{target}'), iface='eth0', timeout=1)\n\
             result = answer and [answer[ARP].op, answer[ARP].psrc, answer[ARP].hwsrc]"
        ));
        match answer {
            Value::Null => None,
            answer => {
                assert_eq!((&answer[0], &answer[1]), (&2.into(), &target.to_string().into()));
                answer[2].as_str().map(str::to_owned)
            }
        }
    };

    // An answer for the own address would make the client decline it, for ever.
    let before = Drops::read(world.api());
    assert_eq!(probe(a), None);
    before.expect(world.api(), "a probe for the own address", &[("arp_ignored", 1)]);

    // The neighbour's address is taken, and so is every other: the BNG has them all.
    let before = Drops::read(world.api());
    for taken in [b, Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 7, 7, 7)] {
        assert_eq!(probe(taken).as_deref(), Some(BNG_MAC), "{taken}");
    }
    before.expect(world.api(), "probes for others' addresses", &[]);

    // Another network's addresses are none of this subnet's business.
    assert_eq!(probe(Ipv4Addr::new(203, 0, 113, 10)), None);
    before.expect(
        world.api(),
        "a probe for an address beyond the subnet",
        &[("arp_ignored", 1)],
    );
}

/// Two active subscribers of isp-residential, and their addresses.
fn neighbours(subscriber_to_subscriber: &str) -> (World, [Ipv4Addr; 2]) {
    let mut world = start(WorldSpec {
        subscribers: 2,
        settings: Settings {
            subscriber_to_subscriber: subscriber_to_subscriber.into(),
            ..Settings::default()
        },
        ..WorldSpec::default()
    });
    for index in [0, 1] {
        connect(&mut world, index);
    }
    let addresses = activate_all(&world, [0, 1]).map(|lease| lease.address);
    (world, addresses)
}
