//! From one subscriber to another: the sender's upstream, then the receiver's downstream.

use shm_bridge::session::{Policy, RowState};
use shm_bridge::{Direction, DropReason};
use sluice_worker::testkit::world::{ACCESS, GARDEN, RESIDENTIAL_GATEWAY, SINGLE};
use sluice_worker::testkit::{Subscriber, World, packet};

const ACTIVE: Policy = Policy::new(RowState::Active);

fn pair() -> (World, Subscriber, Subscriber) {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let bob = world.subscribe(Subscriber {
        port: SINGLE,
        s_vlan: 0,
        c_vlan: 33,
        mtu: 1400,
        ..Subscriber::on_line(101, 33)
    });
    (world, alice, bob)
}

#[test]
fn a_packet_goes_from_line_to_line_one_hop_older_and_counts_for_both() {
    let (mut world, alice, bob) = pair();
    let sent = packet::udp(alice.ipv4, bob.ipv4, 1, 2);

    let out = world.summary(ACCESS, &alice.frame(sent.clone()));

    assert_eq!(
        out.assert_forwarded(SINGLE),
        bob.downstream(&sent.ttl(63).bytes())
    );
    assert_eq!((out.forwarded_upstream, out.forwarded_downstream), (1, 1));
    assert_eq!(world.traffic(&alice, Direction::Upstream).packets, 1);
    assert_eq!(world.traffic(&alice, Direction::Downstream).packets, 0);
    assert_eq!(world.traffic(&bob, Direction::Downstream).packets, 1);
    assert_eq!(world.traffic(&bob, Direction::Upstream).packets, 0);
}

#[test]
fn an_isolated_sender_or_receiver_has_no_such_traffic() {
    for (of_alice, of_bob) in [(ACTIVE.isolated(), ACTIVE), (ACTIVE, ACTIVE.isolated())] {
        let (mut world, alice, bob) = pair();
        world.set_policy(&alice, of_alice);
        world.set_policy(&bob, of_bob);

        let out = world.summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, bob.ipv4, 1, 2)));

        assert_eq!(out.drops, [(DropReason::SubscriberToSubscriber, 1)]);
        assert_eq!(out.forwarded_downstream, 0);
        assert_eq!(world.traffic(&bob, Direction::Downstream).packets, 0);
    }
}

#[test]
fn isolation_is_from_subscribers_and_not_from_the_network() {
    let (mut world, alice, _) = pair();
    world.set_policy(&alice, ACTIVE.isolated());

    let far = sluice_worker::testkit::world::INTERNET;
    world
        .summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, far, 1, 2)))
        .assert_forwarded(1);
    let down = sluice_worker::testkit::world::from_core(packet::udp(far, alice.ipv4, 1, 2));
    world.summary(1, &down).assert_forwarded(ACCESS);
    world
        .summary(
            ACCESS,
            &alice.frame(packet::echo(alice.ipv4, RESIDENTIAL_GATEWAY)),
        )
        .assert_forwarded(ACCESS);
}

#[test]
fn the_receivers_garden_state_and_policer_hold_too() {
    let (mut world, alice, bob) = pair();
    let frame = alice.frame(packet::udp_with(alice.ipv4, bob.ipv4, 1, 2, 472));
    let wgar = Policy::new(RowState::Wgar).with_garden(GARDEN);

    for (policy, reason) in [
        (wgar, DropReason::GardenDestination),
        (Policy::new(RowState::Terminated), DropReason::SessionTerminated),
    ] {
        world.set_policy(&bob, policy);
        let out = world.summary(ACCESS, &frame);
        assert_eq!(out.drops, [(reason, 1)]);
        assert_eq!(out.forwarded_downstream, 0);
    }

    world.policer(3, 8_000, 1_000);
    world.set_policy(&bob, ACTIVE.with_policers(0, 3));
    let out = world.repeat(ACCESS, &frame, 5);
    assert_eq!(out.drops, [(DropReason::Policed, 3)]);
    assert_eq!(world.traffic(&bob, Direction::Downstream).policed, 3);
    assert_eq!(world.traffic(&alice, Direction::Upstream).policed, 0);
}

#[test]
fn a_gardened_sender_reaches_no_neighbour() {
    let (mut world, alice, bob) = pair();
    world.set_policy(&alice, Policy::new(RowState::Wgar).with_garden(GARDEN));

    world
        .summary(ACCESS, &alice.frame(packet::udp(alice.ipv4, bob.ipv4, 1, 53)))
        .assert_dropped(DropReason::GardenDestination);
}

#[test]
fn errors_go_back_to_the_sender_in_his_gateways_name() {
    let (mut world, alice, bob) = pair();
    let old = packet::udp(alice.ipv4, bob.ipv4, 1, 2).ttl(1);
    let big = packet::udp_with(alice.ipv4, bob.ipv4, 1, 2, 1401 - 28).fragment(packet::DONT_FRAGMENT);

    for (sent, reason, kind) in [
        (old, DropReason::TtlExceeded, [11, 0]),
        (big, DropReason::TooBig, [3, 4]),
    ] {
        let out = world.summary(ACCESS, &alice.frame(sent));
        let error = out.assert_refused(reason, ACCESS);
        assert_eq!(error[..6], alice.mac);
        assert_eq!(error[12..20], [0x88, 0xa8, 0, 100, 0x81, 0, 0, 7]);
        assert_eq!(error[22 + 12..22 + 16], RESIDENTIAL_GATEWAY.octets());
        assert_eq!(error[22 + 20..22 + 22], kind);
    }
}
