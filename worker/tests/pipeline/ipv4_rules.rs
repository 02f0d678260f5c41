//! What a frame must be to be looked at, and an IPv4 header to be forwarded (RFC 1812, 5.2.2).

use shm_bridge::DropReason;
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, from_core, port_mac};
use sluice_worker::testkit::{Link, Subscriber, World, packet};

/// The first byte of IPv4 behind two tags.
const L3: usize = 22;

fn good(world: &mut World) -> (Subscriber, Vec<u8>) {
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let frame = alice.frame(packet::udp_with(alice.ipv4, INTERNET, 1, 2, 18));
    (alice, frame)
}

/// Puts a right checksum into a header that was changed.
fn seal(frame: &mut [u8], header_len: usize) {
    use sluice_worker::wire::checksum;
    frame[L3 + 10..L3 + 12].fill(0);
    let sum = checksum::field(checksum::sum(&frame[L3..L3 + header_len]));
    frame[L3 + 10..L3 + 12].copy_from_slice(&sum);
}

#[test]
fn a_frame_cut_anywhere_in_its_headers_is_truncated() {
    let mut world = World::new();
    let (_, frame) = good(&mut world);

    for len in 0..L3 + 20 {
        world
            .summary(ACCESS, &frame[..len])
            .assert_dropped(DropReason::Truncated);
    }
    for len in L3 + 20..frame.len() {
        world
            .summary(ACCESS, &frame[..len])
            .assert_dropped(DropReason::BadIpHeader);
    }
    world.summary(ACCESS, &frame).assert_forwarded(CORE);
}

#[test]
fn a_wrong_checksum_is_found_whichever_bit_is_wrong() {
    let mut world = World::new();
    let (_, frame) = good(&mut world);

    for bit in 0..20 * 8 {
        let mut frame = frame.clone();
        frame[L3 + bit / 8] ^= 1 << (bit % 8);
        let drops = world.summary(ACCESS, &frame).drops;
        // The first four bytes hold version and lengths, which are looked at first.
        let expected = drops == [(DropReason::BadIpChecksum, 1)]
            || (bit < 32 && drops == [(DropReason::BadIpHeader, 1)])
            || (bit < 8 && drops == [(DropReason::Truncated, 1)]);
        assert!(expected, "bit {bit}: {drops:?}");
    }
}

#[test]
fn version_and_lengths_must_be_possible() {
    let mut world = World::new();
    let (_, frame) = good(&mut world);
    let cases: [(usize, &[u8]); 7] = [
        (0, &[0x65]),
        (0, &[0x05]),
        (0, &[0x44]),
        (0, &[0x40]),
        // Total length: less than the header, none, more than the frame.
        (2, &[0, 19]),
        (2, &[0, 0]),
        (2, &[0, 47]),
    ];

    for (offset, bytes) in cases {
        let mut frame = frame.clone();
        frame[L3 + offset..L3 + offset + bytes.len()].copy_from_slice(bytes);
        seal(&mut frame, 20);
        let drops = world.summary(ACCESS, &frame).drops;
        assert_eq!(drops, [(DropReason::BadIpHeader, 1)], "{bytes:x?} at {offset}");
    }
}

#[test]
fn options_are_part_of_the_checksum_and_must_be_walkable() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let with = |options: &[u8]| alice.frame(packet::udp(alice.ipv4, INTERNET, 1, 2).options(options));

    let mut wrong_sum = with(&[1, 1, 1, 0]);
    wrong_sum[L3 + 20] = 0;
    world
        .summary(ACCESS, &wrong_sum)
        .assert_dropped(DropReason::BadIpChecksum);
    world
        .summary(ACCESS, &with(&[7, 40, 4, 0]))
        .assert_dropped(DropReason::BadIpHeader);
    for route in [131, 137] {
        world
            .summary(ACCESS, &with(&[1, route, 7, 4, 198, 51, 100, 1]))
            .assert_dropped(DropReason::SourceRoute);
    }
    world.summary(ACCESS, &with(&[0; 40])).assert_forwarded(CORE);
}

#[test]
fn a_frame_from_a_group_or_from_nobody_is_wrong() {
    let mut world = World::new();
    let (_, frame) = good(&mut world);
    for source in [[0; 6], [0xff; 6], [1, 0, 0x5e, 0, 0, 1]] {
        let mut frame = frame.clone();
        frame[6..12].copy_from_slice(&source);
        world
            .summary(ACCESS, &frame)
            .assert_dropped(DropReason::BadEthernet);
    }
}

#[test]
fn only_frames_to_us_are_routed() {
    let mut world = World::new();
    let (_, frame) = good(&mut world);
    for (destination, reason) in [
        ([2, 0, 0x5e, 0, 1, 9], DropReason::NotForUs),
        ([0xff; 6], DropReason::Broadcast),
        ([1, 0, 0x5e, 1, 2, 3], DropReason::Multicast),
    ] {
        let mut frame = frame.clone();
        frame[..6].copy_from_slice(&destination);
        world.summary(ACCESS, &frame).assert_dropped(reason);
    }
}

#[test]
fn ipv6_and_what_we_do_not_know_are_named() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for (ethertype, destination, reason) in [
        (0x86dd, port_mac(ACCESS), DropReason::Ipv6),
        (0x86dd, [0x33, 0x33, 0, 0, 0, 1], DropReason::Ipv6),
        (0x8863, [0xff; 6], DropReason::UnknownEthertype),
        (0x0026, [1, 0x80, 0xc2, 0, 0, 0], DropReason::UnknownEthertype),
    ] {
        let link = Link {
            ethertype,
            destination,
            ..alice.link(packet::udp(alice.ipv4, INTERNET, 1, 2))
        };
        world.summary(ACCESS, &link.bytes()).assert_dropped(reason);
        let core = Link {
            tags: Vec::new(),
            destination: if destination == port_mac(ACCESS) {
                port_mac(CORE)
            } else {
                destination
            },
            ..link
        };
        world.summary(CORE, &core.bytes()).assert_dropped(reason);
    }
}

#[test]
fn sources_that_no_host_has_are_dropped_on_both_sides() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for source in [
        "0.0.0.0",
        "0.1.2.3",
        "127.0.0.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
    ] {
        let source = source.parse().unwrap();
        world
            .summary(ACCESS, &alice.frame(packet::udp(source, INTERNET, 1, 2)))
            .assert_dropped(DropReason::BadSourceAddress);
        world
            .summary(CORE, &from_core(packet::udp(source, alice.ipv4, 1, 2)))
            .assert_dropped(DropReason::BadSourceAddress);
    }
}

#[test]
fn destinations_that_no_host_has_are_dropped_on_both_sides() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for (destination, reason) in [
        ("255.255.255.255", DropReason::Broadcast),
        ("224.0.0.251", DropReason::Multicast),
        ("239.1.2.3", DropReason::Multicast),
        ("0.0.0.0", DropReason::BadDestination),
        ("127.0.0.1", DropReason::BadDestination),
        ("240.0.0.1", DropReason::BadDestination),
    ] {
        let destination = destination.parse().unwrap();
        world
            .summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, destination, 1, 2)))
            .assert_dropped(reason);
        world
            .summary(CORE, &from_core(packet::udp(INTERNET, destination, 1, 2)))
            .assert_dropped(reason);
    }
}

#[test]
fn directed_broadcasts_of_pools_and_of_the_core_network_are_broadcasts() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for destination in ["10.255.255.255", "10.15.255.255", "192.0.2.255"] {
        let destination = destination.parse().unwrap();
        world
            .summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, destination, 1, 2)))
            .assert_dropped(DropReason::Broadcast);
    }
    world
        .summary(
            CORE,
            &from_core(packet::udp(INTERNET, "10.15.255.255".parse().unwrap(), 1, 2)),
        )
        .assert_dropped(DropReason::Broadcast);
}
