//! Each of tag, MAC address and IPv4 address wrong in turn: nothing reaches the core, and the counter says which.

use std::net::Ipv4Addr;

use shm_bridge::{Direction, DropReason};
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET};
use sluice_worker::testkit::{Subscriber, World, packet};

#[test]
fn a_wrong_tag_mac_or_address_is_dropped_under_its_own_reason() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let mallory = world.subscribe(Subscriber::on_line(100, 8));

    // Alice's MAC and address on Mallory's line.
    let wrong_line = Subscriber {
        c_vlan: mallory.c_vlan,
        ..alice
    };
    world
        .summary(ACCESS, &wrong_line.frame(packet::udp(alice.ipv4, INTERNET, 1, 2)))
        .assert_dropped(DropReason::SpoofedMac);
    // A line where nobody is.
    let empty_line = Subscriber { c_vlan: 9, ..alice };
    world
        .summary(ACCESS, &empty_line.frame(packet::udp(alice.ipv4, INTERNET, 1, 2)))
        .assert_dropped(DropReason::NoSession);
    // Mallory's own line and address from another device.
    let wrong_mac = Subscriber {
        mac: alice.mac,
        ..mallory
    };
    world
        .summary(
            ACCESS,
            &wrong_mac.frame(packet::udp(mallory.ipv4, INTERNET, 1, 2)),
        )
        .assert_dropped(DropReason::SpoofedMac);
    // Alice's address from Mallory's line and device.
    world
        .summary(ACCESS, &mallory.frame(packet::udp(alice.ipv4, INTERNET, 1, 2)))
        .assert_dropped(DropReason::SpoofedAddress);
    // A stranger's address.
    let stranger = Ipv4Addr::new(203, 0, 113, 1);
    world
        .summary(ACCESS, &mallory.frame(packet::udp(stranger, INTERNET, 1, 2)))
        .assert_dropped(DropReason::SpoofedAddress);

    for line in [&alice, &mallory] {
        assert_eq!(world.traffic(line, Direction::Upstream).packets, 0);
    }
    world
        .summary(ACCESS, &mallory.frame(packet::udp(mallory.ipv4, INTERNET, 1, 2)))
        .assert_forwarded(CORE);
}

#[test]
fn a_one_bit_difference_in_mac_or_address_is_a_difference() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    // The group bit would make it no station at all.
    for bit in (0..48).filter(|bit| *bit != 40) {
        let mut mac = alice.mac;
        mac[5 - bit / 8] ^= 1 << (bit % 8);
        let other = Subscriber { mac, ..alice };
        world
            .summary(ACCESS, &other.frame(packet::udp(alice.ipv4, INTERNET, 1, 2)))
            .assert_dropped(DropReason::SpoofedMac);
    }
    for bit in 0..32 {
        let source = Ipv4Addr::from(u32::from(alice.ipv4) ^ 1 << bit);
        let drops = world
            .summary(ACCESS, &alice.frame(packet::udp(source, INTERNET, 1, 2)))
            .drops;
        assert_eq!(drops, [(DropReason::SpoofedAddress, 1)], "{source}");
    }
}
