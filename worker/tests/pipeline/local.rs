//! Our own addresses: pings, and what nobody serves.

use shm_bridge::DropReason;
use sluice_worker::testkit::packet::{self, Ip};
use sluice_worker::testkit::world::{
    ACCESS, CORE, CORE_ADDRESS, INTERNET, RESIDENTIAL_GATEWAY, WGAR_GATEWAY, from_core, port_mac, to_core,
};
use sluice_worker::testkit::{Subscriber, World};

/// The reply to an echo request, as bytes of IP.
fn reply_to(request: &Ip) -> Vec<u8> {
    Ip {
        source: request.destination,
        destination: request.source,
        ttl: 64,
        payload: packet::icmp_message(0, 0, 56),
        ..request.clone()
    }
    .bytes()
}

#[test]
fn every_address_of_ours_answers_pings_from_both_sides() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for ours in [RESIDENTIAL_GATEWAY, WGAR_GATEWAY, CORE_ADDRESS] {
        for ttl in [1, 64, 255] {
            let ping = packet::echo(alice.ipv4, ours).ttl(ttl);
            let out = world.summary(ACCESS, &alice.frame(ping.clone()));
            assert_eq!(out.assert_forwarded(ACCESS), alice.downstream(&reply_to(&ping)));
            assert_eq!(out.forwarded_upstream, 0, "not the subscriber's traffic");

            let ping = packet::echo(INTERNET, ours).ttl(ttl);
            let out = world.summary(CORE, &from_core(ping.clone()));
            assert_eq!(out.assert_forwarded(CORE), to_core(&reply_to(&ping)));
        }
    }
}

#[test]
fn a_ping_with_options_is_answered_with_them() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let ping = packet::echo(alice.ipv4, RESIDENTIAL_GATEWAY).options(&[7, 7, 4, 0, 0, 0, 0, 0]);

    let out = world.summary(ACCESS, &alice.frame(ping.clone()));

    assert_eq!(out.assert_forwarded(ACCESS), alice.downstream(&reply_to(&ping)));
}

#[test]
fn a_ping_from_a_forged_source_is_not_answered() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));

    world
        .summary(ACCESS, &alice.frame(packet::echo(INTERNET, RESIDENTIAL_GATEWAY)))
        .assert_dropped(DropReason::SpoofedAddress);
}

#[test]
fn what_nobody_here_serves_is_dropped_and_udp_is_told() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let to_us = |protocol, payload| alice.frame(Ip::new(alice.ipv4, RESIDENTIAL_GATEWAY, protocol, payload));
    for frame in [
        alice.frame(packet::tcp(alice.ipv4, RESIDENTIAL_GATEWAY, 4000, 22)),
        to_us(47, vec![0; 8]),
        // An echo reply, an echo request of another code, one cut before its header ends, a fragment of one.
        to_us(1, packet::icmp_message(0, 0, 8)),
        to_us(1, packet::icmp_message(8, 1, 8)),
        to_us(1, vec![8, 0, 0xf7, 0xff, 0, 0, 0]),
        alice.frame(packet::echo(alice.ipv4, RESIDENTIAL_GATEWAY).fragment(packet::MORE_FRAGMENTS)),
        alice.frame(packet::echo(alice.ipv4, RESIDENTIAL_GATEWAY).fragment(5)),
    ] {
        world
            .summary(ACCESS, &frame)
            .assert_dropped(DropReason::LocalUnserved);
    }

    let asked = packet::udp_with(alice.ipv4, RESIDENTIAL_GATEWAY, 4000, 33434, 12);
    let out = world.summary(ACCESS, &alice.frame(asked.clone()));
    let error = out.assert_refused(DropReason::LocalUnserved, ACCESS);
    assert_eq!(error[..6], alice.mac);
    assert_eq!(error[6..12], port_mac(ACCESS));
    assert_eq!(error[22 + 20..22 + 22], [3, 3], "port unreachable");
    assert_eq!(error[22 + 28..], asked.bytes());
}
