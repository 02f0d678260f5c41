//! A subscriber in the walled garden tries to get out, with what no stock program sends. Nothing of it arrives
//! at the core side, each try is counted under its reason, and what is permitted works before and after.

use std::net::{Ipv4Addr, SocketAddrV4};

use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::world::{World, WorldSpec};
use sluice_tests::world::{forget_arrivals, settled_arrivals};
use sluice_tests::{Attempt, BNG_MAC, Drops, PATIENCE, SILENCE, Scapy, connect, eventually, start};

const PORTAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(8, 8, 8, 8);

/// From the subscriber's own interface and with his own addresses: only the garden stands in the way.
const FROM_SUBSCRIBER: &[Attempt<'_>] = &[
    Attempt {
        what: "a foreign resolver",
        frames: "[ip(FOREIGN)/UDP(sport=5353+n, dport=53)/DNS(qd=DNSQR(qname='example.org')) for n in range(5)]",
        drops: &[("garden_destination", 5)],
    },
    Attempt {
        what: "DNS over TCP to a foreign resolver",
        frames: "ip(FOREIGN)/TCP(sport=1025, dport=53, flags='S')",
        drops: &[("garden_destination", 1)],
    },
    Attempt {
        what: "DNS over TCP to the permitted resolver, which is permitted by UDP",
        frames: "ip(RESOLVER)/TCP(sport=1025, dport=53, flags='S')",
        drops: &[("garden_destination", 1)],
    },
    Attempt {
        what: "another port of the permitted resolver (DNS over TLS, QUIC)",
        frames: "[ip(RESOLVER)/UDP(sport=1025, dport=port)/b'x' for port in (52, 54, 443, 853)]",
        drops: &[("garden_destination", 4)],
    },
    Attempt {
        what: "from port 53 to somewhere else",
        frames: "[ip(INTERNET)/UDP(sport=53, dport=53)/b'x', ip(INTERNET)/UDP(sport=53, dport=9)/b'x']",
        drops: &[("garden_destination", 2)],
    },
    Attempt {
        what: "a packet to the internet in three fragments: the first shows its port, the others none",
        frames: "fragment(ip(INTERNET)/UDP(sport=1025, dport=9)/(b'x'*1200), fragsize=480)",
        drops: &[("garden_destination", 1), ("garden_fragment", 2)],
    },
    Attempt {
        what: "later fragments to the portal and the resolver: of which flow, nobody can tell",
        frames: "[ip(PORTAL, frag=60, proto=6)/(b'x'*64), ip(RESOLVER, frag=60, proto=17)/(b'x'*64)]",
        drops: &[("garden_fragment", 2)],
    },
    Attempt {
        what: "fragments that would overwrite the ports of one that passed (RFC 1858)",
        frames: "[ip(PORTAL, frag=1, proto=6, flags='MF')/(b'x'*16), ip(PORTAL, frag=1, proto=6)/(b'x'*16)]",
        drops: &[("garden_fragment", 2)],
    },
    Attempt {
        what: "a first fragment that ends within its ports",
        frames: "ip(PORTAL, flags='MF', proto=6)/b'xy'",
        drops: &[("garden_fragment", 1)],
    },
    Attempt {
        what: "IPv4 options, even to the portal: record route, router alert",
        frames: "[ip(PORTAL, options=IPOption_RR(length=11, routers=['0.0.0.0', '0.0.0.0']))/TCP(dport=80, flags='S'), \
                  ip(PORTAL, options=IPOption_Router_Alert())/TCP(dport=80, flags='S')]",
        drops: &[("garden_options", 2)],
    },
    Attempt {
        what: "a source route by way of the portal",
        frames: "[ip(PORTAL, options=IPOption_LSRR(routers=[INTERNET]))/TCP(dport=80, flags='S'), \
                  ip(PORTAL, options=IPOption_SSRR(routers=[INTERNET]))/TCP(dport=80, flags='S')]",
        drops: &[("source_route", 2)],
    },
    Attempt {
        what: "tunnels and other protocols: IPIP, GRE, ESP, SCTP, and one that is none",
        frames: "[ip(host, proto=proto)/(b'x'*40) for host in (PORTAL, RESOLVER, INTERNET) \
                  for proto in (4, 47, 50, 132, 253)]",
        drops: &[("garden_destination", 15)],
    },
    Attempt {
        what: "the portal on another port, or by another protocol",
        frames: "[ip(PORTAL)/TCP(sport=1025, dport=22, flags='S'), ip(PORTAL)/TCP(sport=80, dport=8080, flags='SA'), \
                  ip(PORTAL)/UDP(sport=1025, dport=80)/b'x']",
        drops: &[("garden_destination", 3)],
    },
    Attempt {
        what: "the portal of the suspended",
        frames: "ip('198.51.100.81')/TCP(sport=1025, dport=80, flags='S')",
        drops: &[("garden_destination", 1)],
    },
    Attempt {
        what: "ICMP to the internet, and an error about a flow that never was",
        frames: "[ip(INTERNET)/ICMP(), ip(RESOLVER)/ICMP(), \
                  ip(INTERNET)/ICMP(type=3, code=4)/IP(src=INTERNET, dst=own)/UDP()]",
        drops: &[("garden_destination", 3)],
    },
    Attempt {
        what: "to another subscriber's address, and to all",
        frames: "[ip('10.0.0.77')/UDP(dport=9)/b'x', ip('255.255.255.255')/UDP(dport=9)/b'x', \
                  Ether(src=mac, dst='01:00:5e:00:00:09')/IP(src=own, dst='224.0.0.9')/UDP(dport=520)/b'x']",
        drops: &[("garden_destination", 1), ("broadcast", 1), ("multicast", 1)],
    },
    Attempt {
        what: "no IPv4: IPv6, PPPoE discovery, a loopback test",
        frames: "[Ether(src=mac, dst=BNG)/IPv6(dst='2001:db8::1')/UDP(), Ether(src=mac, dst=BNG, type=0x8863)/(b'x'*46), \
                  Ether(src=mac, dst=BNG, type=0x9000)/(b'x'*46)]",
        drops: &[("ipv6", 1), ("unknown_ethertype", 2)],
    },
    Attempt {
        what: "a third tag, by the subscriber himself",
        frames: "[Ether(src=mac, dst=BNG)/Dot1Q(vlan=200)/IP(src=own, dst=INTERNET)/UDP(dport=9)/b'x', \
                  Ether(src=mac, dst=BNG)/Dot1AD(vlan=100)/Dot1Q(vlan=1)/IP(src=own, dst=INTERNET)/UDP(dport=9)/b'x']",
        drops: &[("bad_tags", 2)],
    },
];

/// As a broken or foreign access node would write them, the packet inside permitted in itself.
const ON_TRUNK: &[Attempt<'_>] = &[
    Attempt {
        what: "no tag, one tag",
        frames: "[link/permitted, link/Dot1Q(vlan=1)/permitted, link/Dot1AD(vlan=100)/permitted]",
        drops: &[("bad_tags", 3)],
    },
    Attempt {
        what: "an outer TPID that the port does not have, an S-tag for the inner one",
        frames: "[Ether(src=mac, dst=BNG, type=0x9200)/(b'\\x00\\x64'+bytes(Dot1Q(vlan=1)/permitted)), \
                  link/Dot1AD(vlan=100)/Dot1AD(vlan=1)/permitted]",
        drops: &[("bad_tags", 2)],
    },
    Attempt {
        what: "VLAN ids that name none: 0 and 4095",
        frames: "[link/Dot1AD(vlan=s)/Dot1Q(vlan=c)/permitted for s, c in ((0, 1), (100, 0), (4095, 1), (100, 4095))]",
        drops: &[("bad_tags", 4)],
    },
    Attempt {
        what: "another's line, a line without a session, no line, the tags exchanged",
        frames: "[link/Dot1AD(vlan=s)/Dot1Q(vlan=c)/permitted for s, c in ((100, 2), (101, 1), (999, 1), (1, 100))]",
        drops: &[("spoofed_mac", 1), ("no_session", 1), ("unknown_line", 2)],
    },
    Attempt {
        what: "three and four tags",
        frames: "[link/Dot1AD(vlan=100)/Dot1Q(vlan=1)/Dot1Q(vlan=1)/permitted, \
                  link/Dot1AD(vlan=100)/Dot1AD(vlan=100)/Dot1Q(vlan=1)/Dot1Q(vlan=1)/permitted]",
        drops: &[("bad_tags", 2)],
    },
    Attempt {
        what: "to a station that is not the BNG, from one that is none",
        frames: "[Ether(src=mac, dst='02:00:5e:00:01:02')/Dot1AD(vlan=100)/Dot1Q(vlan=1)/permitted, \
                  Ether(src='ff:ff:ff:ff:ff:ff', dst=BNG)/Dot1AD(vlan=100)/Dot1Q(vlan=1)/permitted, \
                  Ether(src='00:00:00:00:00:00', dst=BNG)/Dot1AD(vlan=100)/Dot1Q(vlan=1)/permitted]",
        drops: &[("not_for_us", 1), ("bad_ethernet", 2)],
    },
    Attempt {
        what: "headers that are wrong: version, length, checksum, and a frame cut short",
        frames: "[link/Dot1AD(vlan=100)/Dot1Q(vlan=1, type=0x0800)/bad for bad in (\
                  IP(version=6, src=own, dst=PORTAL)/TCP(dport=80), IP(ihl=4, src=own, dst=PORTAL)/TCP(dport=80), \
                  IP(len=2000, src=own, dst=PORTAL)/TCP(dport=80), IP(chksum=1, src=own, dst=PORTAL)/TCP(dport=80), \
                  Raw(bytes(permitted)[:16]))]",
        drops: &[("bad_ip_header", 3), ("bad_ip_checksum", 1), ("truncated", 1)],
    },
];

#[test]
fn nothing_gets_out_of_the_garden_but_what_is_permitted() {
    let mut world = start(WorldSpec {
        subscribers: 2,
        ..WorldSpec::default()
    });
    let own = connect(&mut world, 0).address;
    connect(&mut world, 1);
    permitted_works(&world);

    // The access node lets everything through from here on.
    world.olt().set_filter(false);
    forget_arrivals(&world);
    let mut scapy = Scapy::start(&world.subscriber(0).namespace);
    scapy.exec(&preamble(own));
    for attempt in FROM_SUBSCRIBER {
        attempt.from_subscriber(&world, &mut scapy);
    }
    for attempt in ON_TRUNK {
        attempt.on_trunk(&world, &mut scapy);
    }
    assert_eq!(settled_arrivals(&world), [], "packets that reached the core side");

    permitted_works(&world);
}

#[test]
fn nobody_gets_into_the_garden_but_who_is_permitted() {
    let mut world = start(WorldSpec::default());
    let own = connect(&mut world, 0).address;
    let home = world.subscriber(0);
    let receiver = home.receive_flows(6000).unwrap();
    permitted_works(&world);

    let before = Drops::read(world.api());
    let spec = FlowSpec::bits_per_second(1, 1_000_000).packets(5);
    let sent = world.ground().core.send_flow(SocketAddrV4::new(own, 6000), spec);
    assert_eq!(sent.unwrap().finish().packets, 5);

    before.expect(
        world.api(),
        "unasked packets from the internet",
        &[("garden_destination", 5)],
    );
    assert_eq!(receiver.meter.flow(1), None);
    permitted_works(&world);
}

/// Names and addresses for the scripts. The permitted packet is one that would pass with the right tags.
fn preamble(own: Ipv4Addr) -> String {
    format!(
        "own, mac, BNG = '{own}', get_if_hwaddr('eth0'), '{BNG_MAC}'\n\
         PORTAL, RESOLVER, FOREIGN, INTERNET = '{PORTAL}', '{RESOLVER}', '9.9.9.9', '203.0.113.10'\n\
         link = Ether(src=mac, dst=BNG)\n\
         def ip(to, **fields): return link/IP(src=own, dst=to, **fields)\n\
         permitted = IP(src=own, dst=PORTAL)/TCP(sport=1025, dport=80, flags='S')"
    )
}

/// The portal and the resolver answer, and both have seen the subscriber.
#[track_caller]
fn permitted_works(world: &World) {
    let home = world.subscriber(0);
    let own = home.address().unwrap();
    let core = &world.ground().core;
    let asked = |resolver| core.resolver(resolver).unwrap().requests_from(own);
    let (visits, questions) = (core.portal().requests_from(own), asked(RESOLVER));

    let page = home.http_get(core.http_address(PORTAL), "/", PATIENCE);
    assert_eq!(page.reached().map(|answer| answer.status), Some(200));
    let found = home.resolve(RESOLVER, "portal.example", PATIENCE);
    assert_eq!(found.reached(), Some(vec![PORTAL]));
    assert!(home.ping(PORTAL, PATIENCE).is_reached());

    eventually("the far end has seen it", SILENCE, || {
        core.portal().requests_from(own) > visits && asked(RESOLVER) > questions
    });
}
