//! A subscriber pretends to be another: by source address, MAC address, tags, ARP. The access node does not
//! filter. Nothing reaches the core side, nobody else is disturbed, and the counters are exact.

use std::net::Ipv4Addr;

use olt_sim::lab::world::{World, WorldSpec};
use sluice_tests::hostile::put_on_trunk;
use sluice_tests::world::mac_of;
use sluice_tests::world::{forget_arrivals, settled_arrivals};
use sluice_tests::{
    Attempt, BNG_MAC, Drops, PATIENCE, Scapy, activate_all, connect, eventually, sessions, start,
};

/// Datagrams to the internet host's sink, from the first subscriber's line as its access node would tag it.
/// A is the sender's own name, B his neighbour's, C an ONT that is there and has no session.
const PACKETS: &[Attempt<'_>] = &[
    Attempt {
        what: "the neighbour's address",
        frames: "[on(100, 1, A_MAC)/packet(B)]*5",
        drops: &[("spoofed_address", 5)],
    },
    Attempt {
        what: "an address of the pool that nobody has, one of another pool, the internet's",
        frames: "[on(100, 1, A_MAC)/packet(source) for source in ('10.0.7.7', '10.255.1.1', '203.0.113.10')]",
        drops: &[("spoofed_address", 3)],
    },
    Attempt {
        what: "the gateway's address, the core port's",
        frames: "[on(100, 1, A_MAC)/packet(source) for source in ('10.0.0.1', '192.0.2.2')]",
        drops: &[("spoofed_address", 2)],
    },
    Attempt {
        what: "addresses that no host has",
        frames: "[on(100, 1, A_MAC)/packet(source) for source in \
                  ('0.0.0.0', '127.0.0.1', '224.0.0.1', '255.255.255.255')]",
        drops: &[("bad_source_address", 4)],
    },
    Attempt {
        what: "the neighbour's MAC address, a stranger's, the BNG's own",
        frames: "[on(100, 1, mac)/packet(A) for mac in (B_MAC, '02:00:00:00:99:99', BNG)]",
        drops: &[("spoofed_mac", 3)],
    },
    Attempt {
        what: "the neighbour's tags",
        frames: "[on(100, 2, A_MAC)/packet(A)]*5",
        drops: &[("spoofed_mac", 5)],
    },
    Attempt {
        what: "tags of a line without a session, and of none",
        frames: "[on(100, 3, A_MAC)/packet(A), on(105, 1, A_MAC)/packet(A), on(300, 1, A_MAC)/packet(A)]",
        drops: &[("no_session", 2), ("unknown_line", 1)],
    },
    Attempt {
        what: "the neighbour's tags and MAC address, the own address",
        frames: "on(100, 2, B_MAC)/packet(A)",
        drops: &[("spoofed_address", 1)],
    },
    Attempt {
        what: "the neighbour's MAC address and address on the own line",
        frames: "on(100, 1, B_MAC)/packet(B)",
        drops: &[("spoofed_mac", 1)],
    },
    Attempt {
        what: "the neighbour's tags and address, the own MAC address",
        frames: "on(100, 2, A_MAC)/packet(B)",
        drops: &[("spoofed_mac", 1)],
    },
];

/// ARP, from the first subscriber's own interface.
const ARP: &[Attempt<'_>] = &[
    Attempt {
        what: "the neighbour's address announced as the own",
        frames: "[arp(op=op, psrc=B, pdst=B) for op in (1, 2)]",
        drops: &[("arp_spoofed", 2)],
    },
    Attempt {
        what: "the gateway's address announced as the own",
        frames: "[arp(op=op, psrc='10.0.0.1', pdst='10.0.0.1') for op in (1, 2)]",
        drops: &[("arp_spoofed", 2)],
    },
    Attempt {
        what: "a question in the neighbour's name",
        frames: "arp(op=1, psrc=B, pdst='10.0.0.1')",
        drops: &[("arp_spoofed", 1)],
    },
    Attempt {
        what: "a question from a stranger's MAC address",
        frames: "Ether(src='02:00:00:00:99:99', dst='ff:ff:ff:ff:ff:ff')/\
                 ARP(op=1, hwsrc='02:00:00:00:99:99', psrc=A, pdst='10.0.0.1')",
        drops: &[("arp_spoofed", 1)],
    },
    Attempt {
        what: "another sender inside than outside",
        frames: "Ether(src=A_MAC, dst='ff:ff:ff:ff:ff:ff')/ARP(op=1, hwsrc=B_MAC, psrc=B, pdst='10.0.0.1')",
        drops: &[("arp_malformed", 1)],
    },
    Attempt {
        what: "no ARP of IPv4 over Ethernet",
        frames: "[changed(arp(op=1, psrc=A, pdst='10.0.0.1'), at, new) for at, new in \
                  ((14, b'\\x00\\x06'), (16, b'\\x86\\xdd'), (18, b'\\x08'), (19, b'\\x10'))]",
        drops: &[("arp_malformed", 4)],
    },
    Attempt {
        what: "an answer that nobody asked for, in the own name",
        frames: "Ether(src=A_MAC, dst=BNG)/ARP(op=2, hwsrc=A_MAC, psrc=A, hwdst=BNG, pdst='10.0.0.1')",
        drops: &[("arp_ignored", 1)],
    },
];

#[test]
fn nobody_sends_in_anothers_name() {
    let (world, addresses) = neighbours();
    let mut scapy = Scapy::start(&world.subscriber(0).namespace);
    scapy.exec(&preamble(&world, addresses));

    forget_arrivals(&world);
    for attempt in PACKETS {
        attempt.on_trunk(&world, &mut scapy);
    }
    // The same through an access node that does not filter, as a subscriber can send it.
    let by_himself = Attempt {
        what: "the neighbour's address, and his MAC address, from the subscriber's interface",
        frames: "[Ether(src=A_MAC, dst=BNG)/packet(B), Ether(src=B_MAC, dst=BNG)/packet(A)]",
        drops: &[("spoofed_address", 1), ("spoofed_mac", 1)],
    };
    by_himself.from_subscriber(&world, &mut scapy);
    assert_eq!(settled_arrivals(&world), [], "packets that reached the core side");

    // In his own name he gets through on the same ways: the silence was not theirs.
    let before = Drops::read(world.api());
    put_on_trunk(&world, &mut scapy, "on(100, 1, A_MAC)/packet(A)");
    scapy.exec("sendp(Ether(src=A_MAC, dst=BNG)/packet(A), iface='eth0')");
    let core = &world.ground().core;
    eventually("both ways lead to the core side", PATIENCE, || {
        core.watch().packets_from(addresses[0]) == 2
    });
    before.expect(world.api(), "his own name", &[]);
    both_are_well(&world);
}

#[test]
fn nobody_takes_anothers_address_by_arp() {
    let (world, addresses) = neighbours();
    let mut scapy = Scapy::start(&world.subscriber(0).namespace);
    scapy.exec(&preamble(&world, addresses));

    for attempt in ARP {
        attempt.from_subscriber(&world, &mut scapy);
    }

    both_are_well(&world);
    // The neighbour still finds his gateway, and the BNG the neighbour, each under the right MAC address.
    let known = world
        .subscriber(1)
        .namespace
        .ip(&["neigh", "show", "10.0.0.1"])
        .unwrap();
    assert!(known.contains(BNG_MAC), "{known}");
    let session = sessions(&world, &format!("ip={}", addresses[1])).pop().unwrap();
    assert_eq!(session["mac"], mac_of(world.subscriber(1)));
}

/// Two active subscribers, a third ONT without one, and an access node that filters nothing.
fn neighbours() -> (World, [Ipv4Addr; 2]) {
    let mut world = start(WorldSpec {
        subscribers: 3,
        ..WorldSpec::default()
    });
    for index in [0, 1] {
        connect(&mut world, index);
    }
    let addresses = activate_all(&world, [0, 1]).map(|lease| lease.address);
    world.olt().connect(world.subscriber(2).ont.clone()).unwrap();
    both_are_well(&world);
    world.olt().set_filter(false);
    (world, addresses)
}

#[track_caller]
fn both_are_well(world: &World) {
    let internet = world.ground().core.config().internet;
    for index in [0, 1] {
        let pong = world.subscriber(index).ping(internet, PATIENCE);
        assert!(pong.is_reached(), "subscriber {index}: {pong:?}");
    }
}

fn preamble(world: &World, [a, b]: [Ipv4Addr; 2]) -> String {
    let [a_mac, b_mac] = [0, 1].map(|index| mac_of(world.subscriber(index)));
    format!(
        "A, A_MAC, B, B_MAC, BNG = '{a}', '{a_mac}', '{b}', '{b_mac}', '{BNG_MAC}'\n\
         def on(s, c, mac): return Ether(src=mac, dst=BNG)/Dot1AD(vlan=s)/Dot1Q(vlan=c)\n\
         def packet(source): return IP(src=source, dst='203.0.113.10')/UDP(sport=1025, dport=9)/b'x'\n\
         def arp(**fields): return Ether(src=A_MAC, dst='ff:ff:ff:ff:ff:ff')/ARP(hwsrc=A_MAC, **fields)\n\
         def changed(frame, at, new): return Raw(bytes(frame)[:at] + new + bytes(frame)[at + len(new):])"
    )
}
