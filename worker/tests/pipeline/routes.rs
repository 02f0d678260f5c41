//! Where the FIB leads: adjacencies, discard leaves, connected networks, nowhere.

use std::net::Ipv4Addr;

use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{Leaf, Prefix};
use shm_bridge::{DropReason, PuntReason};
use sluice_worker::StrippedTags;
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, UNREACHED, from_core};
use sluice_worker::testkit::{Link, Subscriber, World, packet};

#[test]
fn an_unresolved_next_hop_drops_until_it_is_resolved() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let frame = alice.frame(packet::udp(alice.ipv4, UNREACHED, 1, 2));
    world
        .summary(ACCESS, &frame)
        .assert_dropped(DropReason::AdjacencyUnresolved);

    let mac = [2, 0, 0x5e, 0, 2, 0xfd];
    let hop = NextHop { mac, port: CORE };
    let address = Ipv4Addr::new(192, 0, 2, 3);
    world
        .control
        .tables
        .adjacencies
        .set(AdjacencyIndex(1), address, Some(hop));

    let out = world.summary(ACCESS, &frame);
    assert_eq!(out.assert_forwarded(CORE)[..6], mac);
}

#[test]
fn an_unassigned_address_of_a_pool_does_not_loop_to_the_default_route() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let nobody = Ipv4Addr::new(10, 3, 3, 3);

    let up = world.summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, nobody, 1, 2)));
    let down = world.summary(CORE, &from_core(packet::udp(INTERNET, nobody, 1, 2)));

    up.assert_refused(DropReason::DiscardRoute, ACCESS);
    down.assert_refused(DropReason::DiscardRoute, CORE);
}

#[test]
fn without_a_route_there_is_no_way() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    world.fib.remove(Prefix::new(Ipv4Addr::UNSPECIFIED, 0));

    let up = world.summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, INTERNET, 1, 2)));
    let down = world.summary(CORE, &from_core(packet::udp(ROUTED, INTERNET, 1, 2)));

    up.assert_refused(DropReason::NoRoute, ACCESS);
    down.assert_refused(DropReason::NoRoute, CORE);
}

const ROUTED: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

#[test]
fn what_comes_from_the_core_does_not_go_back_there() {
    let mut world = World::new();
    for destination in [INTERNET, UNREACHED, Ipv4Addr::new(192, 0, 2, 77)] {
        world
            .summary(CORE, &from_core(packet::udp(ROUTED, destination, 1, 2)))
            .assert_dropped(DropReason::HairpinCore);
    }
}

#[test]
fn a_connected_host_that_is_not_resolved_is_gleaned_within_the_limit() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let neighbour = Ipv4Addr::new(192, 0, 2, 77);
    let link = alice.link(packet::udp(alice.ipv4, neighbour, 1, 2));

    let out = world.summary(ACCESS, &link.bytes());
    out.assert_punted(PuntReason::Glean);
    assert_eq!(out.outs[0].bytes, link.bytes(), "whole, as it was received");

    // The same from a NIC that strips.
    let bare = Link {
        tags: vec![(0x8100, 7)],
        ..link.clone()
    };
    let out = world.send_stripped(ACCESS, &bare.bytes(), StrippedTags::One { tci: 100 });
    assert_eq!(out.outs[0].bytes, link.bytes());

    let refused = (0..2000)
        .filter(|_| world.summary(ACCESS, &link.bytes()).drops == [(DropReason::PuntPoliced, 1)])
        .count();
    assert_eq!(refused, 2000 - 98, "a burst of 100, two of which are spent");
}

#[test]
fn a_longer_prefix_wins_and_its_removal_gives_the_shorter_one_back() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let frame = alice.frame(packet::udp(alice.ipv4, INTERNET, 1, 2));
    let host = Prefix::host(INTERNET);

    world.route(host, Leaf::Adjacency(AdjacencyIndex(1)));
    world
        .summary(ACCESS, &frame)
        .assert_dropped(DropReason::AdjacencyUnresolved);
    world.fib.remove(host);
    world.summary(ACCESS, &frame).assert_forwarded(CORE);
}
