//! DHCP on its way to control.

use std::net::Ipv4Addr;

use shm_bridge::session::{Policy, RowState};
use shm_bridge::{DropReason, PuntReason};
use sluice_config::{PuntLimits, PuntRate};
use sluice_worker::punt_policer::PuntPolicers;
use sluice_worker::testkit::packet::{self, Ip};
use sluice_worker::testkit::world::{ACCESS, CORE, CORE_ADDRESS, INTERNET, RESIDENTIAL_GATEWAY, from_core};
use sluice_worker::testkit::{Link, Subscriber, World};

const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 67);

fn broadcast(line: &Subscriber, packet: Ip) -> Vec<u8> {
    Link {
        destination: [0xff; 6],
        ..line.link(packet)
    }
    .bytes()
}

#[test]
fn a_discover_of_a_line_without_session_is_punted_as_it_came() {
    let mut world = World::new();
    let line = Subscriber::on_line(100, 7);
    let frame = broadcast(&line, packet::dhcp_discover(line.mac));

    let out = world.summary(ACCESS, &frame);

    out.assert_punted(PuntReason::Dhcp);
    assert_eq!(out.outs[0].bytes, frame);
}

#[test]
fn a_known_subscriber_is_of_the_protected_class_whichever_way_he_asks() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let renewal = alice.frame(packet::dhcp_request(alice.mac, alice.ipv4, RESIDENTIAL_GATEWAY));
    let rebinding = broadcast(
        &alice,
        packet::dhcp_request(alice.mac, alice.ipv4, Ipv4Addr::BROADCAST),
    );
    let discover = broadcast(&alice, packet::dhcp_discover(alice.mac));

    for frame in [renewal, rebinding, discover] {
        world.summary(ACCESS, &frame).assert_punted(PuntReason::DhcpKnown);
    }
}

#[test]
fn another_device_on_the_line_or_an_ended_session_is_not_protected() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let newcomer = Subscriber {
        mac: [2, 9, 9, 9, 9, 9],
        ..alice
    };
    world
        .summary(ACCESS, &broadcast(&newcomer, packet::dhcp_discover(newcomer.mac)))
        .assert_punted(PuntReason::Dhcp);

    world.set_policy(&alice, Policy::new(RowState::Terminated));
    world
        .summary(ACCESS, &broadcast(&alice, packet::dhcp_discover(alice.mac)))
        .assert_punted(PuntReason::Dhcp);
}

#[test]
fn a_line_that_is_not_configured_gets_nothing() {
    let mut world = World::new();
    let line = Subscriber::on_line(99, 7);

    world
        .summary(ACCESS, &broadcast(&line, packet::dhcp_discover(line.mac)))
        .assert_dropped(DropReason::UnknownLine);
}

#[test]
fn dhcp_to_a_foreign_server_is_an_ordinary_packet() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let gardened = world.subscribe(Subscriber::in_garden(100, 8));
    let to_internet = |line: &Subscriber| line.frame(packet::dhcp_request(line.mac, line.ipv4, INTERNET));

    world.summary(ACCESS, &to_internet(&alice)).assert_forwarded(CORE);
    world
        .summary(ACCESS, &to_internet(&gardened))
        .assert_dropped(DropReason::GardenDestination);
    // From the core it is the server's answer to a relay, or nothing of ours.
    let hairpin = from_core(packet::dhcp_request([2; 6], RELAY, INTERNET));
    world
        .summary(CORE, &hairpin)
        .assert_dropped(DropReason::HairpinCore);
}

#[test]
fn what_a_client_does_not_send_is_malformed() {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::on_line(100, 7));
    let good = || packet::dhcp_discover(line.mac);
    let short = |len: usize| {
        let mut packet = good();
        packet.payload.truncate(8 + len);
        packet.payload[4..6].copy_from_slice(&(8 + len as u16).to_be_bytes());
        packet
    };
    let changed = |offset: usize, bytes: &[u8]| {
        let mut packet = good();
        packet.payload[offset..offset + bytes.len()].copy_from_slice(bytes);
        packet
    };
    for packet in [
        short(0),
        short(239),
        // A reply: the subscriber plays the server.
        changed(8, &[2]),
        changed(2, &68u16.to_be_bytes()),
        // A UDP length that is not there, or that cuts the message.
        changed(4, &400u16.to_be_bytes()),
        changed(4, &100u16.to_be_bytes()),
        good().fragment(packet::MORE_FRAGMENTS),
    ] {
        world
            .summary(ACCESS, &broadcast(&line, packet))
            .assert_dropped(DropReason::DhcpMalformed);
    }
    // To the client port of anybody.
    let rogue = packet::udp_with(line.ipv4, Ipv4Addr::new(10, 0, 0, 9), 67, 68, 300);
    world
        .summary(ACCESS, &line.frame(rogue))
        .assert_dropped(DropReason::DhcpMalformed);
    world
        .summary(ACCESS, &broadcast(&line, short(240)))
        .assert_punted(PuntReason::DhcpKnown);
}

#[test]
fn a_storm_on_a_line_is_cut_to_its_rate_and_hurts_no_other_line() {
    let mut world = World::new();
    world.context.punts = PuntPolicers::new(&PuntLimits {
        line: PuntRate { pps: 20, burst: 20 },
        dhcp: PuntRate { pps: 100, burst: 50 },
        ..PuntLimits::default()
    });
    let storm = Subscriber::on_line(100, 7);
    let frame = broadcast(&storm, packet::dhcp_discover(storm.mac));
    let mut ends = (0..100).map(|_| world.summary(ACCESS, &frame).drops);

    assert_eq!(ends.by_ref().take(20).filter(Vec::is_empty).count(), 20);
    assert!(ends.all(|drops| drops == [(DropReason::PuntLinePoliced, 1)]));

    // Thirty tokens of all strangers together are left.
    let drops: Vec<_> = (1..=40)
        .map(|c_vlan| {
            let line = Subscriber::on_line(101, c_vlan);
            let frame = broadcast(&line, packet::dhcp_discover(line.mac));
            world.summary(ACCESS, &frame).drops
        })
        .collect();
    assert!(drops[..30].iter().all(Vec::is_empty));
    assert!(drops[30..].iter().all(|d| *d == [(DropReason::PuntPoliced, 1)]));

    let alice = world.subscribe(Subscriber::on_line(102, 1));
    let renewal = alice.frame(packet::dhcp_request(alice.mac, alice.ipv4, RESIDENTIAL_GATEWAY));
    world
        .summary(ACCESS, &renewal)
        .assert_punted(PuntReason::DhcpKnown);
}

#[test]
fn a_relays_message_to_one_of_our_addresses_is_punted() {
    let mut world = World::new();
    let request = |destination| from_core(packet::dhcp_request([2, 1, 1, 1, 1, 1], RELAY, destination));

    for ours in [CORE_ADDRESS, RESIDENTIAL_GATEWAY] {
        world
            .summary(CORE, &request(ours))
            .assert_punted(PuntReason::DhcpRelayed);
    }
    let mut reply = packet::dhcp_request([2, 1, 1, 1, 1, 1], RELAY, CORE_ADDRESS);
    reply.payload[8] = 2;
    world
        .summary(CORE, &from_core(reply))
        .assert_dropped(DropReason::DhcpMalformed);
}

#[test]
fn a_broadcast_of_a_client_on_the_core_is_not_ours() {
    let mut world = World::new();
    let mut frame = from_core(packet::dhcp_request([2; 6], RELAY, Ipv4Addr::BROADCAST));
    frame[..6].fill(0xff);

    world.summary(CORE, &frame).assert_dropped(DropReason::Broadcast);
}
