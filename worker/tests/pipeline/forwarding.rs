//! Both directions, as it should be.

use shm_bridge::session::Traffic;
use shm_bridge::{Direction, DropReason};
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, SINGLE, UNTAGGED, from_core, to_core};
use sluice_worker::testkit::{Subscriber, World, packet};
use sluice_worker::{StrippedTags, Verdict, Way};

#[test]
fn a_subscribers_packet_reaches_the_router_without_tags_and_one_hop_older() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let sent = packet::udp_with(alice.ipv4, INTERNET, 4000, 9, 100);

    let out = world.summary(ACCESS, &alice.frame(sent.clone()));

    assert_eq!(out.assert_forwarded(CORE), to_core(&sent.ttl(63).bytes()));
    assert_eq!((out.forwarded_upstream, out.forwarded_downstream), (1, 0));
    let counted = Traffic {
        packets: 1,
        bytes: 128,
        policed: 0,
    };
    assert_eq!(world.traffic(&alice, Direction::Upstream), counted);
    assert_eq!(world.traffic(&alice, Direction::Downstream), Traffic::default());
}

#[test]
fn a_packet_from_the_core_reaches_the_subscribers_line_with_both_tags() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let sent = packet::udp_with(INTERNET, alice.ipv4, 9, 4000, 100);

    let out = world.summary(CORE, &from_core(sent.clone()));

    assert_eq!(
        out.assert_forwarded(ACCESS),
        alice.downstream(&sent.ttl(63).bytes())
    );
    assert_eq!((out.forwarded_upstream, out.forwarded_downstream), (0, 1));
    assert_eq!(world.traffic(&alice, Direction::Downstream).bytes, 128);
    assert_eq!(world.traffic(&alice, Direction::Upstream), Traffic::default());
}

#[test]
fn single_tagged_and_untagged_lines_go_both_ways_too() {
    for (port, c_vlan) in [(SINGLE, 33), (UNTAGGED, 0)] {
        let mut world = World::new();
        let bob = world.subscribe(Subscriber {
            port,
            s_vlan: 0,
            c_vlan,
            ..Subscriber::on_line(101, 33)
        });
        let sent = packet::tcp(bob.ipv4, INTERNET, 4000, 80);
        let answer = packet::tcp(INTERNET, bob.ipv4, 80, 4000);

        let up = world.summary(port, &bob.frame(sent.clone()));
        let down = world.summary(CORE, &from_core(answer.clone()));

        assert_eq!(up.assert_forwarded(CORE), to_core(&sent.ttl(63).bytes()));
        assert_eq!(
            down.assert_forwarded(port),
            bob.downstream(&answer.ttl(63).bytes())
        );
    }
}

#[test]
fn hosts_of_a_shared_line_are_told_apart_by_their_mac_address() {
    let mut world = World::new();
    let on = |host: u8| Subscriber {
        s_vlan: 200,
        c_vlan: 5,
        mac: [2, 0xbb, 0, 0, 0, host],
        ..Subscriber::on_line(100, u16::from(host))
    };
    let (one, two) = (world.subscribe(on(1)), world.subscribe(on(2)));

    for host in [&one, &two] {
        let sent = packet::udp(host.ipv4, INTERNET, 1, 2);
        world.summary(ACCESS, &host.frame(sent)).assert_forwarded(CORE);
    }
    let stranger = Subscriber {
        mac: [2, 0xbb, 0, 0, 0, 3],
        ..one
    };
    let sent = packet::udp(one.ipv4, INTERNET, 1, 2);

    assert_eq!(world.traffic(&one, Direction::Upstream).packets, 1);
    assert_eq!(world.traffic(&two, Direction::Upstream).packets, 1);
    world
        .summary(ACCESS, &stranger.frame(sent))
        .assert_dropped(DropReason::NoSession);
}

#[test]
fn options_other_than_source_routes_travel_along() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    // Router alert (RFC 2113).
    let sent = packet::udp(alice.ipv4, INTERNET, 1, 2).options(&[148, 4, 0, 0]);

    let out = world.summary(ACCESS, &alice.frame(sent.clone()));

    assert_eq!(out.assert_forwarded(CORE), to_core(&sent.ttl(63).bytes()));
}

#[test]
fn fragments_and_padding_travel_along() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for fragment in [packet::MORE_FRAGMENTS, packet::MORE_FRAGMENTS | 100, 185] {
        let sent = packet::udp(alice.ipv4, INTERNET, 1, 67).fragment(fragment);
        let mut frame = alice.frame(sent.clone());
        frame.extend([0xee; 6]);

        let out = world.summary(ACCESS, &frame);

        let mut expected = to_core(&sent.ttl(63).bytes());
        expected.extend([0xee; 6]);
        assert_eq!(out.assert_forwarded(CORE), expected);
    }
    // Padding is no traffic of the subscriber's.
    assert_eq!(world.traffic(&alice, Direction::Upstream).bytes, 3 * 28);
}

#[test]
fn every_ttl_keeps_the_checksum_right_on_both_ways() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for ttl in 2..=255 {
        let up = packet::udp(alice.ipv4, INTERNET, u16::from(ttl), 2).ttl(ttl);
        let down = packet::udp(INTERNET, alice.ipv4, u16::from(ttl), 2).ttl(ttl);

        let out = world.summary(ACCESS, &alice.frame(up.clone()));
        assert_eq!(out.assert_forwarded(CORE), to_core(&up.ttl(ttl - 1).bytes()));
        let out = world.summary(CORE, &from_core(down.clone()));
        assert_eq!(
            out.assert_forwarded(ACCESS),
            alice.downstream(&down.ttl(ttl - 1).bytes())
        );
    }
}

#[test]
fn a_burst_of_good_and_bad_keeps_its_order_and_counts_each_once() {
    let mut world = World::new();
    let lines: Vec<Subscriber> = (1..=32)
        .map(|c_vlan| world.subscribe(Subscriber::on_line(100, c_vlan)))
        .collect();
    let frames: Vec<Vec<u8>> = lines
        .iter()
        .enumerate()
        .map(|(place, line)| {
            let sent = packet::udp(line.ipv4, INTERNET, 1, 2);
            match place % 4 {
                0 => line.frame(sent.ttl(1)),
                1 => line.frame(packet::udp(INTERNET, INTERNET, 1, 2)),
                _ => line.frame(sent),
            }
        })
        .collect();
    let frames: Vec<_> = frames
        .iter()
        .map(|frame| (frame.as_slice(), StrippedTags::None))
        .collect();

    let out = world.burst(ACCESS, Way::Whole, &frames);

    for (place, out) in out.outs.iter().enumerate() {
        let expected = match place % 4 {
            0 => Verdict::Forward { port: ACCESS },
            1 => Verdict::Drop(DropReason::SpoofedAddress),
            _ => Verdict::Forward { port: CORE },
        };
        assert_eq!(out.verdict, expected, "lane {place}");
    }
    assert_eq!(
        out.drops,
        [(DropReason::SpoofedAddress, 8), (DropReason::TtlExceeded, 8)]
    );
    assert_eq!((out.originated, out.forwarded_upstream), (8, 16));
}

#[test]
fn two_packets_of_one_session_in_one_burst_are_both_counted() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let frame = alice.frame(packet::udp(alice.ipv4, INTERNET, 1, 2));

    world.repeat(ACCESS, &frame, 32);

    assert_eq!(world.traffic(&alice, Direction::Upstream).packets, 32);
    assert_eq!(world.traffic(&alice, Direction::Upstream).bytes, 32 * 28);
}
