//! Several lcores: a packet is judged by the one that owns its subscriber.

use shm_bridge::{Direction, DropReason, PuntReason};
use sluice_worker::testkit::world::{ACCESS, CORE, INTERNET, RESIDENTIAL_GATEWAY, from_core, to_core};
use sluice_worker::testkit::{Link, Subscriber, World, packet};
use sluice_worker::{Owners, Spread, StrippedTags, Verdict, Way};

const SLOTS: [u8; 2] = [0, 1];

fn owners(me: u8) -> Owners {
    Owners::new(me, &SLOTS, Spread::Software)
}

/// A world whose lcore is in slot 0, with one subscriber of each lcore.
fn shared() -> (World, Subscriber, Subscriber) {
    let mut world = World::new();
    world.own(owners(0));
    let owned_by = |slot: u8, from: u16| {
        (from..from + 100)
            .map(|c_vlan| Subscriber::on_line(100, c_vlan))
            .find(|line| owners(0).of(u32::from(line.ipv4)) == slot)
            .expect("a line of each lcore")
    };
    let ours = world.subscribe(owned_by(0, 1));
    let theirs = world.subscribe(owned_by(1, 200));
    (world, ours, theirs)
}

#[test]
fn own_packets_are_forwarded_and_others_handed_over_as_they_came() {
    let (mut world, ours, theirs) = shared();
    let up = |line: &Subscriber| line.frame(packet::udp(line.ipv4, INTERNET, 1, 2));
    let down = |line: &Subscriber| from_core(packet::udp(INTERNET, line.ipv4, 1, 2));

    world.summary(ACCESS, &up(&ours)).assert_forwarded(CORE);
    world.summary(CORE, &down(&ours)).assert_forwarded(ACCESS);
    for (port, frame) in [(ACCESS, up(&theirs)), (CORE, down(&theirs))] {
        let out = world.summary(port, &frame);
        let way = Way::Whole;
        assert_eq!(out.verdict(), Verdict::HandOver { slot: 1, way });
        assert_eq!(out.outs[0].bytes, frame);
        assert_eq!(out.drops, []);
    }
    assert_eq!(world.traffic(&theirs, Direction::Upstream).packets, 0);

    world.own(owners(1));
    world.summary(ACCESS, &up(&theirs)).assert_forwarded(CORE);
    world.summary(CORE, &down(&theirs)).assert_forwarded(ACCESS);
}

#[test]
fn between_lcores_a_packet_does_one_half_on_each() {
    let (mut world, alice, bob) = shared();
    let sent = packet::udp(alice.ipv4, bob.ipv4, 1, 2);
    let frame = alice.frame(sent.clone());

    let first = world.summary(ACCESS, &frame);
    let way = Way::Downstream;
    assert_eq!(first.verdict(), Verdict::HandOver { slot: 1, way });
    assert_eq!(first.outs[0].bytes, frame);
    assert_eq!((first.forwarded_upstream, first.forwarded_downstream), (1, 0));

    world.own(owners(1));
    let second = world.burst(ACCESS, way, &[(&frame, StrippedTags::None)]);
    assert_eq!(
        second.assert_forwarded(ACCESS),
        bob.downstream(&sent.ttl(63).bytes())
    );
    assert_eq!((second.forwarded_upstream, second.forwarded_downstream), (0, 1));
    assert_eq!(world.traffic(&alice, Direction::Upstream).packets, 1);
    assert_eq!(world.traffic(&bob, Direction::Downstream).packets, 1);
}

#[test]
fn a_half_way_packet_that_does_not_fit_is_told_to_the_sender_from_the_other_lcore() {
    let (mut world, alice, _) = shared();
    world.own(owners(1));
    let bob = world.subscribe(Subscriber {
        mtu: 1000,
        ..Subscriber::on_line(101, 1)
    });
    let sent = packet::udp_with(alice.ipv4, bob.ipv4, 1, 2, 1100).fragment(packet::DONT_FRAGMENT);

    let out = world.burst(
        ACCESS,
        Way::Downstream,
        &[(&alice.frame(sent), StrippedTags::None)],
    );

    let error = out.assert_refused(DropReason::TooBig, ACCESS);
    assert_eq!(error[..6], alice.mac);
    assert_eq!(error[22 + 20..22 + 22], [3, 4]);
}

#[test]
fn dhcp_and_arp_are_done_where_they_arrive() {
    let (mut world, _, theirs) = shared();
    let discover = Link {
        destination: [0xff; 6],
        ..theirs.link(packet::dhcp_discover(theirs.mac))
    };

    world
        .summary(ACCESS, &discover.bytes())
        .assert_punted(PuntReason::DhcpKnown);
    world
        .summary(ACCESS, &theirs.arp_request(RESIDENTIAL_GATEWAY))
        .assert_forwarded(ACCESS);
}

#[test]
fn a_forged_source_is_dropped_by_whoever_owns_it() {
    let (mut world, ours, theirs) = shared();
    let frame = ours.frame(packet::udp(theirs.ipv4, INTERNET, 1, 2));
    let way = Way::Whole;
    assert_eq!(
        world.summary(ACCESS, &frame).verdict(),
        Verdict::HandOver { slot: 1, way }
    );

    world.own(owners(1));
    world
        .summary(ACCESS, &frame)
        .assert_dropped(DropReason::SpoofedAddress);
    let honest = theirs.frame(packet::udp(theirs.ipv4, INTERNET, 1, 2));
    let sent = packet::udp(theirs.ipv4, INTERNET, 1, 2).ttl(63).bytes();
    assert_eq!(
        world.summary(ACCESS, &honest).assert_forwarded(CORE),
        to_core(&sent)
    );
}
