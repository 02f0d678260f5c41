//! Tags: which a port takes, which it sends, and what the NIC may take out.

use shm_bridge::{DropReason, PuntReason};
use sluice_worker::ports::Side;
use sluice_worker::testkit::world::{
    ACCESS, CORE, INTERNET, ROUTER_MAC, SINGLE, UNTAGGED, from_core, to_core,
};
use sluice_worker::testkit::{Link, Subscriber, World, packet};
use sluice_worker::{Port, Ports, StrippedTags};

const S: u16 = 0x88a8;
const C: u16 = 0x8100;
const LEGACY: u16 = 0x9100;

fn with_tags(line: &Subscriber, tags: &[(u16, u16)]) -> Vec<u8> {
    let link = line.link(packet::udp(line.ipv4, INTERNET, 1, 2));
    Link {
        tags: tags.to_vec(),
        ..link
    }
    .bytes()
}

#[test]
fn all_three_outer_tpids_are_taken_and_the_ports_own_is_sent() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    for tpid in [S, C, LEGACY] {
        world
            .summary(ACCESS, &with_tags(&alice, &[(tpid, 100), (C, 7)]))
            .assert_forwarded(CORE);
    }

    let down = world.summary(CORE, &from_core(packet::udp(INTERNET, alice.ipv4, 1, 2)));

    assert_eq!(
        down.assert_forwarded(ACCESS)[12..22],
        [0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 0]
    );
}

#[test]
fn the_tpid_sent_is_a_setting_of_the_port() {
    let mut world = World::new();
    let mut ports = Ports::default();
    for port in world.context.ports.iter() {
        let mut port = *port;
        if let Side::Access(access) = &mut port.side {
            access.outer_tpid_tx = LEGACY;
        }
        ports.push(port);
    }
    world.context.ports = ports;
    let alice = world.subscribe(Subscriber::on_line(100, 7));

    let down = world.summary(CORE, &from_core(packet::udp(INTERNET, alice.ipv4, 1, 2)));

    assert_eq!(down.assert_forwarded(ACCESS)[12..18], [0x91, 0, 0, 100, 0x81, 0]);
}

#[test]
fn an_outer_tpid_that_the_port_does_not_take_is_wrong() {
    let mut world = World::new();
    let mut ports = Ports::default();
    for port in world.context.ports.iter() {
        let mut port: Port = *port;
        if let (0, Side::Access(access)) = (port.index, &mut port.side) {
            access.outer_tpids = [S; 3];
        }
        ports.push(port);
    }
    world.context.ports = ports;
    let alice = world.subscribe(Subscriber::on_line(100, 7));

    for tpid in [C, LEGACY] {
        world
            .summary(ACCESS, &with_tags(&alice, &[(tpid, 100), (C, 7)]))
            .assert_dropped(DropReason::BadTags);
    }
}

#[test]
fn priorities_do_not_matter_and_are_not_sent() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));

    world
        .summary(ACCESS, &with_tags(&alice, &[(S, 0xe000 | 100), (C, 0x3000 | 7)]))
        .assert_forwarded(CORE);
}

#[test]
fn too_few_too_many_and_impossible_tags_are_wrong_on_every_kind_of_port() {
    let mut world = World::new();
    let qinq = world.subscribe(Subscriber::on_line(100, 7));
    let on = |port, c_vlan| Subscriber {
        port,
        s_vlan: 0,
        c_vlan,
        ..Subscriber::on_line(102, 8)
    };
    let single = world.subscribe(on(SINGLE, 8));
    let untagged = world.subscribe(on(UNTAGGED, 0));
    let wrong: &[(&Subscriber, &[(u16, u16)])] = &[
        (&qinq, &[]),
        (&qinq, &[(S, 100)]),
        (&qinq, &[(C, 7)]),
        (&qinq, &[(S, 100), (C, 7), (C, 7)]),
        (&qinq, &[(S, 100), (S, 7)]),
        (&qinq, &[(S, 100), (LEGACY, 7)]),
        (&qinq, &[(S, 0), (C, 7)]),
        (&qinq, &[(S, 100), (C, 0)]),
        (&qinq, &[(S, 4095), (C, 7)]),
        (&qinq, &[(S, 100), (C, 4095)]),
        (&single, &[]),
        (&single, &[(C, 0)]),
        (&single, &[(C, 4095)]),
        (&single, &[(S, 8)]),
        (&single, &[(C, 8), (C, 8)]),
        (&single, &[(S, 100), (C, 8)]),
        (&untagged, &[(C, 8)]),
        (&untagged, &[(S, 0)]),
        (&untagged, &[(C, 0), (C, 0)]),
    ];

    for (line, tags) in wrong {
        let out = world.summary(line.port, &with_tags(line, tags));
        assert_eq!(
            out.drops,
            [(DropReason::BadTags, 1)],
            "port {}, {tags:x?}",
            line.port
        );
    }
    let tagged_core = Link {
        tags: vec![(C, 5)],
        destination: sluice_worker::testkit::world::port_mac(CORE),
        source: ROUTER_MAC,
        ..qinq.link(packet::udp(INTERNET, qinq.ipv4, 1, 2))
    };
    world
        .summary(CORE, &tagged_core.bytes())
        .assert_dropped(DropReason::BadTags);
}

#[test]
fn a_priority_tag_on_a_port_without_tags_is_no_tag() {
    let mut world = World::new();
    let bob = world.subscribe(Subscriber {
        port: UNTAGGED,
        s_vlan: 0,
        c_vlan: 0,
        ..Subscriber::on_line(102, 8)
    });

    let up = world.summary(UNTAGGED, &with_tags(&bob, &[(C, 0xa000)]));

    let sent = packet::udp(bob.ipv4, INTERNET, 1, 2).ttl(63).bytes();
    assert_eq!(up.assert_forwarded(CORE), to_core(&sent));
}

#[test]
fn tags_that_the_nic_took_out_count_as_if_they_were_there() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let expected = to_core(&packet::udp(alice.ipv4, INTERNET, 1, 2).ttl(63).bytes());
    let both = StrippedTags::Two {
        outer_tci: 0xe000 | 100,
        inner_tci: 7,
    };

    let out = world.send_stripped(ACCESS, &with_tags(&alice, &[]), both);
    assert_eq!(out.assert_forwarded(CORE), expected);
    let outer = StrippedTags::One { tci: 100 };
    let out = world.send_stripped(ACCESS, &with_tags(&alice, &[(C, 7)]), outer);
    assert_eq!(out.assert_forwarded(CORE), expected);

    for (stripped, tags) in [
        (both, &[(C, 7)][..]),
        (outer, &[]),
        (outer, &[(S, 7)]),
        (outer, &[(S, 100), (C, 7)]),
    ] {
        world
            .send_stripped(ACCESS, &with_tags(&alice, tags), stripped)
            .assert_dropped(DropReason::BadTags);
    }
}

#[test]
fn a_punted_frame_has_its_stripped_tags_back() {
    let mut world = World::new();
    let line = Subscriber::on_line(100, 7);
    let discover = Link {
        destination: [0xff; 6],
        ..line.link(packet::dhcp_discover(line.mac))
    };
    let bare = Link {
        tags: Vec::new(),
        ..discover.clone()
    };
    let stripped = StrippedTags::Two {
        outer_tci: 100,
        inner_tci: 7,
    };

    let out = world.send_stripped(ACCESS, &bare.bytes(), stripped);

    out.assert_punted(PuntReason::Dhcp);
    assert_eq!(out.outs[0].bytes, discover.bytes());
}

#[test]
fn an_answer_has_stripped_tags_back_and_the_ports_tpid() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));
    let request = |tags: &[(u16, u16)]| {
        let link = packet::arp_request((alice.mac, alice.ipv4), "10.0.0.1".parse().unwrap());
        Link {
            tags: tags.to_vec(),
            ..link
        }
        .bytes()
    };
    let tags = [0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 6];

    let in_frame = world.summary(ACCESS, &request(&[(C, 100), (C, 7)]));
    let stripped = StrippedTags::One { tci: 100 };
    let taken_out = world.send_stripped(ACCESS, &request(&[(C, 7)]), stripped);

    assert_eq!(in_frame.assert_forwarded(ACCESS)[12..22], tags);
    assert_eq!(
        taken_out.assert_forwarded(ACCESS),
        in_frame.assert_forwarded(ACCESS)
    );
}

#[test]
fn a_line_that_is_not_configured_is_named_so_with_and_without_a_session_beside_it() {
    let mut world = World::new();
    world.subscribe(Subscriber::on_line(100, 7));
    let shared = world.subscribe(Subscriber {
        s_vlan: 200,
        c_vlan: 5,
        ..Subscriber::on_line(103, 9)
    });

    for (tags, reason) in [
        ([(S, 99), (C, 7)], DropReason::UnknownLine),
        ([(S, 100), (C, 8)], DropReason::NoSession),
        ([(S, 101), (C, 7)], DropReason::NoSession),
        ([(S, 200), (C, 6)], DropReason::NoSession),
        // Only C-VLANs 1 to 1000 of S-VLAN 200 are configured.
        ([(S, 200), (C, 1001)], DropReason::UnknownLine),
    ] {
        world
            .summary(ACCESS, &with_tags(&shared, &tags))
            .assert_dropped(reason);
    }
}
