//! Attempts to leave the walled garden.

use std::net::Ipv4Addr;

use shm_bridge::DropReason;
use sluice_worker::testkit::packet::{self, Ip, MORE_FRAGMENTS};
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, PORTAL, RESOLVER, from_core};
use sluice_worker::testkit::{Subscriber, World};

const FOREIGN_RESOLVER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);

fn gardened() -> (World, Subscriber) {
    let mut world = World::new();
    let line = world.subscribe(Subscriber::in_garden(100, 7));
    (world, line)
}

#[test]
fn the_portal_and_the_permitted_resolver_are_reached_and_answer() {
    let (mut world, line) = gardened();
    let me = line.ipv4;
    let pairs = [
        (
            packet::tcp(me, PORTAL, 4000, 80),
            packet::tcp(PORTAL, me, 80, 4000),
        ),
        (
            packet::tcp(me, PORTAL, 4000, 443),
            packet::tcp(PORTAL, me, 443, 4000),
        ),
        (
            packet::udp(me, RESOLVER, 4000, 53),
            packet::udp(RESOLVER, me, 53, 4000),
        ),
        (packet::echo(me, PORTAL), packet::echo(PORTAL, me)),
    ];
    for (asked, answered) in pairs {
        world.summary(ACCESS, &line.frame(asked)).assert_forwarded(CORE);
        world.summary(CORE, &from_core(answered)).assert_forwarded(ACCESS);
    }
}

#[test]
fn everything_else_is_refused_upstream() {
    let (mut world, line) = gardened();
    let me = line.ipv4;
    let refused = [
        // Port 53 to any host is a hole, not a garden.
        packet::udp(me, FOREIGN_RESOLVER, 4000, 53),
        packet::tcp(me, RESOLVER, 4000, 53),
        packet::udp(me, RESOLVER, 53, 54),
        packet::udp(me, RESOLVER, 53, 52),
        packet::echo(me, RESOLVER),
        packet::tcp(me, PORTAL, 80, 8080),
        packet::udp(me, PORTAL, 4000, 80),
        packet::tcp(me, Ipv4Addr::new(198, 51, 100, 81), 4000, 80),
        // The port of the near end opens nothing.
        packet::tcp(me, INTERNET, 80, 4000),
        packet::udp(me, INTERNET, 53, 4000),
    ];
    for packet in refused {
        world
            .summary(ACCESS, &line.frame(packet))
            .assert_dropped(DropReason::GardenDestination);
    }
}

#[test]
fn other_protocols_are_refused() {
    let (mut world, line) = gardened();
    // IGMP, IP in IP, GRE, ESP, AH, SCTP, UDP-Lite, and one nobody uses.
    for protocol in [2, 4, 41, 47, 50, 51, 132, 136, 253] {
        let payload = vec![0x0f, 0xa0, 0, 80, 0, 0, 0, 0];
        world
            .summary(ACCESS, &line.frame(Ip::new(line.ipv4, PORTAL, protocol, payload)))
            .assert_dropped(DropReason::GardenDestination);
    }
}

#[test]
fn options_are_refused_even_to_the_portal() {
    let (mut world, line) = gardened();
    for options in [&[1, 1, 1, 0][..], &[148, 4, 0, 0], &[7, 7, 4, 0, 0, 0, 0, 0]] {
        world
            .summary(
                ACCESS,
                &line.frame(packet::tcp(line.ipv4, PORTAL, 4000, 80).options(options)),
            )
            .assert_dropped(DropReason::GardenOptions);
        world
            .summary(
                CORE,
                &from_core(packet::tcp(PORTAL, line.ipv4, 80, 4000).options(options)),
            )
            .assert_dropped(DropReason::GardenOptions);
    }
}

#[test]
fn a_fragment_without_ports_slips_through_no_port_rule() {
    let (mut world, line) = gardened();
    let me = line.ipv4;
    // What stands where the ports would be looks like the right ports.
    let lookalike = |protocol| Ip::new(me, PORTAL, protocol, vec![0x0f, 0xa0, 0, 80, 0, 0, 0, 0]);
    for fragment in [1, 185, MORE_FRAGMENTS | 1, MORE_FRAGMENTS | 185] {
        world
            .summary(ACCESS, &line.frame(lookalike(6).fragment(fragment)))
            .assert_dropped(DropReason::GardenFragment);
    }
    // A first fragment cut inside its ports.
    for len in 0..4 {
        let mut tiny = packet::tcp(me, PORTAL, 4000, 80).fragment(MORE_FRAGMENTS);
        tiny.payload.truncate(len);
        let mut frame = line.frame(tiny);
        // Padding that completes the ports is not part of the packet.
        frame.extend([0, 80, 0, 80, 0, 80]);
        world
            .summary(ACCESS, &frame)
            .assert_dropped(DropReason::GardenFragment);
    }
    // Downstream the same.
    let late = Ip::new(PORTAL, me, 6, vec![0, 80, 0x0f, 0xa0]).fragment(1);
    world
        .summary(CORE, &from_core(late))
        .assert_dropped(DropReason::GardenFragment);
}

#[test]
fn fragments_fit_rules_without_ports_and_first_ones_fit_by_their_port() {
    let (mut world, line) = gardened();
    let me = line.ipv4;

    let ping = Ip::new(me, PORTAL, 1, vec![0; 8]).fragment(185);
    world.summary(ACCESS, &line.frame(ping)).assert_forwarded(CORE);
    let first = packet::tcp(me, PORTAL, 4000, 80).fragment(MORE_FRAGMENTS);
    world.summary(ACCESS, &line.frame(first)).assert_forwarded(CORE);
    let first = packet::tcp(me, PORTAL, 4000, 81).fragment(MORE_FRAGMENTS);
    world
        .summary(ACCESS, &line.frame(first))
        .assert_dropped(DropReason::GardenDestination);
}

#[test]
fn a_packet_cut_before_its_ports_shows_none() {
    let (mut world, line) = gardened();
    for len in 0..4 {
        let mut cut = packet::tcp(line.ipv4, PORTAL, 4000, 80);
        cut.payload.truncate(len);
        world
            .summary(ACCESS, &line.frame(cut))
            .assert_dropped(DropReason::GardenDestination);
    }
}

#[test]
fn what_was_not_permitted_to_go_may_not_come() {
    let (mut world, line) = gardened();
    let me = line.ipv4;
    for packet in [
        packet::tcp(INTERNET, me, 80, 4000),
        packet::udp(FOREIGN_RESOLVER, me, 53, 4000),
        packet::udp(RESOLVER, me, 54, 53),
        packet::tcp(PORTAL, me, 8080, 80),
        packet::echo(INTERNET, me),
    ] {
        world
            .summary(CORE, &from_core(packet))
            .assert_dropped(DropReason::GardenDestination);
    }
}

#[test]
fn the_gateway_answers_pings_in_the_garden() {
    let (mut world, line) = gardened();
    let ping = packet::echo(line.ipv4, sluice_worker::testkit::world::WGAR_GATEWAY);

    world.summary(ACCESS, &line.frame(ping)).assert_forwarded(ACCESS);
}
