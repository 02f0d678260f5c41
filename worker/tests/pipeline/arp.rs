//! ARP on both sides.

use std::net::Ipv4Addr;

use shm_bridge::session::{Policy, RowState};
use shm_bridge::{DropReason, PuntReason};
use sluice_worker::testkit::packet::{self, arp_request};
use sluice_worker::testkit::world::{
    ACCESS, CORE, CORE_ADDRESS, RESIDENTIAL_GATEWAY, ROUTER, ROUTER_MAC, port_mac,
};
use sluice_worker::testkit::{Link, Subscriber, World};

const REQUEST: u16 = 1;
const REPLY: u16 = 2;
const NEIGHBOUR: Ipv4Addr = Ipv4Addr::new(10, 7, 7, 7);

fn one_line() -> (World, Subscriber) {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    (world, alice)
}

/// What the gateway answers to a line's request.
fn reply_to(line: &Subscriber, port: u8, asked: Ipv4Addr) -> Vec<u8> {
    Link {
        destination: line.mac,
        source: port_mac(port),
        tags: line.tags(),
        ethertype: 0x0806,
        payload: packet::arp(REPLY, (port_mac(port), asked), (line.mac, line.ipv4)),
    }
    .bytes()
}

#[test]
fn the_gateway_answers_for_itself_and_for_every_neighbour_of_the_subnet() {
    let (mut world, alice) = one_line();
    let edges = [Ipv4Addr::new(10, 0, 0, 0), Ipv4Addr::new(10, 15, 255, 254)];
    for target in [RESIDENTIAL_GATEWAY, NEIGHBOUR].into_iter().chain(edges) {
        let out = world.summary(ACCESS, &alice.arp_request(target));
        assert_eq!(out.assert_forwarded(ACCESS), reply_to(&alice, ACCESS, target));
        assert_eq!(out.forwarded_upstream, 0, "an answer is no subscriber traffic");
    }
}

#[test]
fn it_does_not_answer_for_the_askers_own_address_or_for_other_subnets() {
    let (mut world, alice) = one_line();
    for target in [alice.ipv4, Ipv4Addr::new(10, 16, 0, 1), CORE_ADDRESS] {
        world
            .summary(ACCESS, &alice.arp_request(target))
            .assert_dropped(DropReason::ArpIgnored);
    }
}

#[test]
fn a_probe_for_ones_own_address_is_not_answered_and_for_anothers_it_is() {
    let (mut world, alice) = one_line();
    let probe = |target| alice.arp(arp_request((alice.mac, Ipv4Addr::UNSPECIFIED), target));

    world
        .summary(ACCESS, &probe(alice.ipv4))
        .assert_dropped(DropReason::ArpIgnored);
    let out = world.summary(ACCESS, &probe(NEIGHBOUR));
    let payload = packet::arp(
        REPLY,
        (port_mac(ACCESS), NEIGHBOUR),
        (alice.mac, Ipv4Addr::UNSPECIFIED),
    );
    assert_eq!(out.assert_forwarded(ACCESS)[22..], payload);
}

#[test]
fn announcements_and_replies_of_subscribers_are_ignored() {
    let (mut world, alice) = one_line();
    let own = (alice.mac, alice.ipv4);
    for payload in [
        packet::arp(REQUEST, own, ([0; 6], alice.ipv4)),
        packet::arp(REPLY, own, own),
        packet::arp(REPLY, own, (port_mac(ACCESS), RESIDENTIAL_GATEWAY)),
    ] {
        let frame = alice.arp(Link {
            payload,
            ..arp_request(own, alice.ipv4)
        });
        world
            .summary(ACCESS, &frame)
            .assert_dropped(DropReason::ArpIgnored);
    }
}

#[test]
fn a_sender_that_is_not_the_lines_session_is_spoofed() {
    let (mut world, alice) = one_line();
    let other_mac = [2, 9, 9, 9, 9, 9];
    for sender in [
        (alice.mac, NEIGHBOUR),
        (other_mac, alice.ipv4),
        (other_mac, Ipv4Addr::UNSPECIFIED),
    ] {
        world
            .summary(ACCESS, &alice.arp(arp_request(sender, RESIDENTIAL_GATEWAY)))
            .assert_dropped(DropReason::ArpSpoofed);
    }
}

#[test]
fn a_line_without_a_session_is_not_answered() {
    let (mut world, alice) = one_line();
    let request = |line: Subscriber| line.arp_request(RESIDENTIAL_GATEWAY);

    world
        .summary(ACCESS, &request(Subscriber { c_vlan: 8, ..alice }))
        .assert_dropped(DropReason::ArpNoSession);
    world
        .summary(ACCESS, &request(Subscriber { s_vlan: 99, ..alice }))
        .assert_dropped(DropReason::UnknownLine);
    for (state, reason) in [
        (RowState::Free, DropReason::ArpNoSession),
        (RowState::Discovered, DropReason::ArpNoSession),
        (RowState::Terminated, DropReason::SessionTerminated),
    ] {
        world.set_policy(&alice, Policy::new(state));
        world.summary(ACCESS, &request(alice)).assert_dropped(reason);
    }
}

#[test]
fn a_gardened_or_suspended_subscriber_still_finds_his_gateway() {
    let (mut world, alice) = one_line();
    for state in [RowState::Wgar, RowState::Activating, RowState::Suspended] {
        world.set_policy(&alice, Policy::new(state).with_garden(1));
        world
            .summary(ACCESS, &alice.arp_request(RESIDENTIAL_GATEWAY))
            .assert_forwarded(ACCESS);
    }
}

#[test]
fn arp_that_is_malformed_or_contradicts_its_frame_is_dropped_on_both_sides() {
    let (mut world, alice) = one_line();
    let good = arp_request((alice.mac, alice.ipv4), RESIDENTIAL_GATEWAY);
    let mut wrong: Vec<Vec<u8>> = [
        (0, 2),
        (1, 6),
        (2, 0x86),
        (4, 8),
        (5, 16),
        (7, 3),
        (7, 0),
        (9, 0x55),
    ]
    .into_iter()
    .map(|(offset, value)| {
        let mut payload = good.payload.clone();
        payload[offset] = value;
        payload
    })
    .collect();
    wrong.extend((0..28).map(|len| good.payload[..len].to_vec()));

    for payload in wrong {
        let link = Link {
            payload,
            ..good.clone()
        };
        world
            .summary(ACCESS, &alice.arp(link.clone()))
            .assert_dropped(DropReason::ArpMalformed);
        world
            .summary(CORE, &link.bytes())
            .assert_dropped(DropReason::ArpMalformed);
    }
}

#[test]
fn a_unicast_request_is_answered_too() {
    let (mut world, alice) = one_line();
    let link = Link {
        destination: port_mac(ACCESS),
        ..arp_request((alice.mac, alice.ipv4), RESIDENTIAL_GATEWAY)
    };

    world.summary(ACCESS, &alice.arp(link)).assert_forwarded(ACCESS);
}

#[test]
fn the_core_port_answers_for_its_own_address_only() {
    let mut world = World::new();
    let request = |target| arp_request((ROUTER_MAC, ROUTER), target).bytes();

    let out = world.summary(CORE, &request(CORE_ADDRESS));
    let expected = Link {
        destination: ROUTER_MAC,
        source: port_mac(CORE),
        tags: Vec::new(),
        ethertype: 0x0806,
        payload: packet::arp(REPLY, (port_mac(CORE), CORE_ADDRESS), (ROUTER_MAC, ROUTER)),
    };
    assert_eq!(out.assert_forwarded(CORE), expected.bytes());
    for target in [Ipv4Addr::new(192, 0, 2, 9), RESIDENTIAL_GATEWAY] {
        world
            .summary(CORE, &request(target))
            .assert_dropped(DropReason::ArpIgnored);
    }
}

#[test]
fn replies_and_announcements_on_the_core_go_to_control_within_the_limit() {
    let mut world = World::new();
    let frame = |payload| Link {
        destination: port_mac(CORE),
        payload,
        ..arp_request((ROUTER_MAC, ROUTER), ROUTER)
    };
    let ours = (port_mac(CORE), CORE_ADDRESS);
    let reply = frame(packet::arp(REPLY, (ROUTER_MAC, ROUTER), ours)).bytes();
    let announcement = arp_request((ROUTER_MAC, ROUTER), ROUTER).bytes();

    for frame in [&reply, &announcement] {
        let out = world.summary(CORE, frame);
        out.assert_punted(PuntReason::Arp);
        assert_eq!(&out.outs[0].bytes, frame);
    }
    let refused = (0..500)
        .filter(|_| world.summary(CORE, &reply).drops == [(DropReason::PuntPoliced, 1)])
        .count();
    assert_eq!(refused, 500 - 98, "a burst of 100, two of which are spent");

    let nobody = packet::arp(REPLY, (ROUTER_MAC, Ipv4Addr::UNSPECIFIED), ours);
    world
        .summary(CORE, &frame(nobody).bytes())
        .assert_dropped(DropReason::ArpIgnored);
}
