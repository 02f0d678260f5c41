//! ICMP errors: form, addresses, limits, and when there must be none.

use std::net::Ipv4Addr;

use shm_bridge::DropReason;
use sluice_worker::StrippedTags;
use sluice_worker::testkit::packet::{self, DONT_FRAGMENT, Ip, MORE_FRAGMENTS};
use sluice_worker::testkit::world::{
    ACCESS, CORE, CORE_ADDRESS, INTERNET, RESIDENTIAL_GATEWAY, from_core, to_core,
};
use sluice_worker::testkit::{Subscriber, World};

fn one_line() -> (World, Subscriber) {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    (world, alice)
}

/// The error as it should be: the packet quoted as it came, up to 576 bytes in all.
fn error(from: Ipv4Addr, about: &Ip, kind: u8, code: u8, mtu: u16, id: u16) -> Vec<u8> {
    let quoted = about.bytes();
    let mut message = vec![kind, code, 0, 0, 0, 0];
    message.extend(mtu.to_be_bytes());
    message.extend(&quoted[..quoted.len().min(548)]);
    let sum = sluice_worker::wire::checksum::field(sluice_worker::wire::checksum::sum(&message));
    message[2..4].copy_from_slice(&sum);
    let mut packet = Ip::new(from, about.source, 1, message);
    (packet.tos, packet.id) = (0xc0, id);
    packet.bytes()
}

#[test]
fn an_exceeded_ttl_is_told_from_the_gateway_to_the_subscriber_and_from_the_core_address_to_the_core() {
    let (mut world, alice) = one_line();
    for (number, ttl) in [1, 0].into_iter().enumerate() {
        let id = 2 * number as u16;
        let up = packet::udp_with(alice.ipv4, INTERNET, 1, 2, 40).ttl(ttl);
        let out = world.summary(ACCESS, &alice.frame(up.clone()));
        let expected = error(RESIDENTIAL_GATEWAY, &up, 11, 0, 0, id + 1);
        assert_eq!(
            out.assert_refused(DropReason::TtlExceeded, ACCESS),
            alice.downstream(&expected)
        );

        let down = packet::udp_with(INTERNET, alice.ipv4, 1, 2, 40).ttl(ttl);
        let out = world.summary(CORE, &from_core(down.clone()));
        let expected = error(CORE_ADDRESS, &down, 11, 0, 0, id + 2);
        assert_eq!(
            out.assert_refused(DropReason::TtlExceeded, CORE),
            to_core(&expected)
        );
    }
}

#[test]
fn a_packet_too_big_for_the_line_is_told_the_mtu_if_it_must_not_be_cut() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber {
        mtu: 1492,
        ..Subscriber::on_line(100, 7)
    });
    let sized = |len: usize| packet::udp_with(INTERNET, alice.ipv4, 1, 2, len - 28);

    world
        .summary(CORE, &from_core(sized(1492).fragment(DONT_FRAGMENT)))
        .assert_forwarded(ACCESS);
    let big = sized(1493).fragment(DONT_FRAGMENT);
    let out = world.summary(CORE, &from_core(big.clone()));
    let expected = error(CORE_ADDRESS, &big, 3, 4, 1492, 1);
    assert_eq!(out.assert_refused(DropReason::TooBig, CORE), to_core(&expected));
    assert_eq!(expected.len(), 576);
    world
        .summary(CORE, &from_core(sized(1493)))
        .assert_dropped(DropReason::TooBig);
}

#[test]
fn a_packet_too_big_for_the_core_is_told_the_core_ports_mtu() {
    let (mut world, alice) = one_line();
    let big = packet::udp_with(alice.ipv4, INTERNET, 1, 2, 1501 - 28).fragment(DONT_FRAGMENT);

    let out = world.summary(ACCESS, &alice.frame(big.clone()));

    let expected = error(RESIDENTIAL_GATEWAY, &big, 3, 4, 1500, 1);
    assert_eq!(
        out.assert_refused(DropReason::TooBig, ACCESS),
        alice.downstream(&expected)
    );
}

#[test]
fn unreachable_destinations_are_told_apart() {
    let (mut world, alice) = one_line();
    let nobody = packet::udp(alice.ipv4, Ipv4Addr::new(10, 9, 9, 9), 1, 2);
    let out = world.summary(ACCESS, &alice.frame(nobody.clone()));
    let expected = error(RESIDENTIAL_GATEWAY, &nobody, 3, 1, 0, 1);
    assert_eq!(
        out.assert_refused(DropReason::DiscardRoute, ACCESS),
        alice.downstream(&expected)
    );

    world
        .fib
        .remove(shm_bridge::fib::Prefix::new(Ipv4Addr::UNSPECIFIED, 0));
    let nowhere = packet::udp(alice.ipv4, INTERNET, 1, 2);
    let out = world.summary(ACCESS, &alice.frame(nowhere.clone()));
    let expected = error(RESIDENTIAL_GATEWAY, &nowhere, 3, 0, 0, 2);
    assert_eq!(
        out.assert_refused(DropReason::NoRoute, ACCESS),
        alice.downstream(&expected)
    );
}

#[test]
fn a_quoted_packet_keeps_its_options_and_loses_its_padding() {
    let (mut world, alice) = one_line();
    let sent = packet::udp(alice.ipv4, INTERNET, 1, 2)
        .ttl(1)
        .options(&[148, 4, 0, 0]);
    let mut frame = alice.frame(sent.clone());
    frame.extend([0; 18]);

    let out = world.summary(ACCESS, &frame);

    let expected = error(RESIDENTIAL_GATEWAY, &sent, 11, 0, 0, 1);
    assert_eq!(
        out.assert_refused(DropReason::TtlExceeded, ACCESS),
        alice.downstream(&expected)
    );
}

#[test]
fn no_error_is_sent_about_errors_and_later_fragments() {
    let (mut world, alice) = one_line();
    let icmp = |kind| Ip::new(alice.ipv4, INTERNET, 1, packet::icmp_message(kind, 0, 28)).ttl(1);
    for kind in [3, 4, 5, 11, 12] {
        world
            .summary(ACCESS, &alice.frame(icmp(kind)))
            .assert_dropped(DropReason::TtlExceeded);
    }
    // A message whose type is not there could be an error.
    let bare = Ip::new(alice.ipv4, INTERNET, 1, vec![]).ttl(1);
    world
        .summary(ACCESS, &alice.frame(bare))
        .assert_dropped(DropReason::TtlExceeded);
    for fragment in [5, MORE_FRAGMENTS | 5] {
        let later = packet::udp(alice.ipv4, INTERNET, 1, 2).ttl(1).fragment(fragment);
        world
            .summary(ACCESS, &alice.frame(later))
            .assert_dropped(DropReason::TtlExceeded);
    }
    for kind in [0, 8] {
        world
            .summary(ACCESS, &alice.frame(icmp(kind)))
            .assert_refused(DropReason::TtlExceeded, ACCESS);
    }
    let first = packet::udp(alice.ipv4, INTERNET, 1, 2)
        .ttl(1)
        .fragment(MORE_FRAGMENTS);
    world
        .summary(ACCESS, &alice.frame(first))
        .assert_refused(DropReason::TtlExceeded, ACCESS);
}

#[test]
fn errors_are_limited_and_the_rest_are_plain_drops() {
    let (mut world, alice) = one_line();
    let frame = alice.frame(packet::udp(alice.ipv4, INTERNET, 1, 2).ttl(1));
    let mut originated = 0;
    for _ in 0..20 {
        let out = world.repeat(ACCESS, &frame, 32);
        assert_eq!(out.drops, [(DropReason::TtlExceeded, 32)]);
        originated += out.originated;
    }
    assert_eq!(originated, 100, "the burst");

    // A millisecond is one more.
    world.now_ns += 1_000_000;
    let out = world.repeat(ACCESS, &frame, 32);
    assert_eq!(out.originated, 1);
}

#[test]
fn an_error_about_a_frame_with_stripped_tags_has_them() {
    let (mut world, alice) = one_line();
    let sent = packet::udp(alice.ipv4, INTERNET, 1, 2).ttl(1);
    let bare = sluice_worker::testkit::Link {
        tags: Vec::new(),
        ..alice.link(sent.clone())
    };
    let stripped = StrippedTags::Two {
        outer_tci: 100,
        inner_tci: 7,
    };

    let out = world.send_stripped(ACCESS, &bare.bytes(), stripped);

    let expected = error(RESIDENTIAL_GATEWAY, &sent, 11, 0, 0, 1);
    assert_eq!(
        out.assert_refused(DropReason::TtlExceeded, ACCESS),
        alice.downstream(&expected)
    );
}
