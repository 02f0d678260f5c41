//! Tables that say impossible things: a counted drop, never a panic.

use shm_bridge::adjacency::{AdjacencyIndex, NextHop};
use shm_bridge::fib::{Leaf, Prefix};
use shm_bridge::session::{Policy, Row, RowState};
use shm_bridge::{DropReason, SessionIndex};
use sluice_worker::testkit::world::{
    ACCESS, CORE, INTERNET, ROUTER, ROUTER_MAC, SINGLE, UNTAGGED, from_core,
};
use sluice_worker::testkit::{Subscriber, World, packet};

fn one_line() -> (World, Subscriber, Vec<u8>, Vec<u8>) {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let up = alice.frame(packet::udp(alice.ipv4, INTERNET, 1, 2));
    let down = from_core(packet::udp(INTERNET, alice.ipv4, 1, 2));
    (world, alice, up, down)
}

fn refill(world: &World, line: &Subscriber, change: impl Fn(&mut Row)) {
    let mut row = line.row();
    change(&mut row);
    world.control.tables.rows.get(line.session).unwrap().fill(&row);
}

#[test]
fn a_leaf_or_slot_that_names_no_row_is_corrupt() {
    let (mut world, alice, up, down) = one_line();
    let beyond = SessionIndex::new(1 << 20).unwrap();

    world.route(Prefix::host(alice.ipv4), Leaf::Session(beyond));
    world
        .summary(CORE, &down)
        .assert_dropped(DropReason::CorruptTable);
    let key = shm_bridge::access::AccessKey {
        port: 0,
        s_vlan: 100,
        c_vlan: 7,
        mac: 0,
    };
    world
        .access
        .set(&key, beyond, &world.control.tables.rows)
        .unwrap();
    world
        .summary(ACCESS, &up)
        .assert_dropped(DropReason::CorruptTable);
}

#[test]
fn a_row_that_is_not_the_packets_is_no_session() {
    let (mut world, alice, up, down) = one_line();

    for change in [
        (|row| row.port = 2) as fn(&mut Row),
        |row| row.s_vlan = 101,
        |row| row.c_vlan = 8,
    ] {
        refill(&world, &alice, change);
        world.summary(ACCESS, &up).assert_dropped(DropReason::NoSession);
    }
    refill(&world, &alice, |row| row.ipv4 = INTERNET);
    world.summary(CORE, &down).assert_dropped(DropReason::NoSession);
}

#[test]
fn a_row_whose_line_cannot_be_sent_to_is_corrupt() {
    let (mut world, alice, _, down) = one_line();
    let lines = [
        (99, 100, 7),
        (u16::MAX, 100, 7),
        (256, 100, 7),
        (u16::from(CORE), 100, 7),
        (u16::from(ACCESS), 0, 7),
        (u16::from(ACCESS), 100, 0),
        (u16::from(ACCESS), 4095, 7),
        (u16::from(ACCESS), 100, 0xffff),
        (u16::from(SINGLE), 100, 7),
        (u16::from(SINGLE), 0, 0),
        (u16::from(UNTAGGED), 0, 7),
    ];
    for (port, s_vlan, c_vlan) in lines {
        refill(&world, &alice, |row| {
            (row.port, row.s_vlan, row.c_vlan) = (port, s_vlan, c_vlan);
        });
        let out = world.summary(CORE, &down);
        assert_eq!(
            out.drops,
            [(DropReason::CorruptTable, 1)],
            "port {port} {s_vlan}.{c_vlan}"
        );
    }
}

#[test]
fn a_policer_that_does_not_exist_is_corrupt() {
    let (mut world, alice, up, down) = one_line();
    world.set_policy(&alice, Policy::new(RowState::Active).with_policers(999, 999));

    world
        .summary(ACCESS, &up)
        .assert_dropped(DropReason::CorruptTable);
    world
        .summary(CORE, &down)
        .assert_dropped(DropReason::CorruptTable);
}

#[test]
fn an_adjacency_or_port_that_does_not_exist_is_corrupt() {
    let (mut world, _, up, _) = one_line();
    let host = Prefix::host(INTERNET);

    world.route(host, Leaf::Adjacency(AdjacencyIndex(4000)));
    world
        .summary(ACCESS, &up)
        .assert_dropped(DropReason::CorruptTable);
    world.route(host, Leaf::Adjacency(AdjacencyIndex(2)));
    for port in [99, ACCESS] {
        let hop = NextHop {
            mac: ROUTER_MAC,
            port,
        };
        world
            .control
            .tables
            .adjacencies
            .set(AdjacencyIndex(2), ROUTER, Some(hop));
        world
            .summary(ACCESS, &up)
            .assert_dropped(DropReason::CorruptTable);
    }
    world.route(host, Leaf::Glean(77));
    world
        .summary(ACCESS, &up)
        .assert_dropped(DropReason::CorruptTable);
}

#[test]
fn a_garden_profile_without_rules_permits_nothing() {
    let (mut world, alice, up, down) = one_line();
    for number in [9, 255] {
        world.set_policy(&alice, Policy::new(RowState::Wgar).with_garden(number));
        for (port, frame) in [(ACCESS, &up), (CORE, &down)] {
            world
                .summary(port, frame)
                .assert_dropped(DropReason::GardenMissing);
        }
    }
}
