//! Golden cases: frames in and frames out as pcap files, made by etherparse and not by us, to be looked at with any tool.
//!
//! `tests/golden/NAME.in.pcap` comes to a port of the test kit's world (two active subscribers on 100.1 and 100.2, one in the garden on
//! 101.1), `NAME.out.pcap` is everything that leaves, in order. After a wanted change: `SLUICE_GOLDEN=write cargo test -p
//! sluice-worker --test golden`, and look at the difference.

use std::net::Ipv4Addr;
use std::path::PathBuf;

use etherparse::{EtherType, IpNumber, Ipv4Header, PacketBuilder, SingleVlanHeader, VlanId};
use shm_bridge::DropReason;
use sluice_worker::testkit::world::{
    ACCESS, CORE, INTERNET, PORTAL, RESIDENTIAL_GATEWAY, RESOLVER, ROUTER_MAC, port_mac,
};
use sluice_worker::testkit::{Subscriber, World, pcap};
use sluice_worker::{StrippedTags, Verdict, Way};

/// A case: what comes to a port, what leaves, and what was counted.
struct Case {
    name: &'static str,
    port: u8,
    come: Vec<Vec<u8>>,
    leave: Vec<Vec<u8>>,
    drops: &'static [(DropReason, u64)],
}

fn alice() -> Subscriber {
    Subscriber::on_line(100, 1)
}

fn bob() -> Subscriber {
    Subscriber::on_line(100, 2)
}

fn gardened() -> Subscriber {
    Subscriber::in_garden(101, 1)
}

fn cases() -> Vec<Case> {
    let (a, b, g) = (alice(), bob(), gardened());
    let udp = |from: Ipv4Addr, to: Ipv4Addr, ttl: u8, port: u16| Datagram { from, to, ttl, port };
    vec![
        Case {
            name: "upstream",
            port: ACCESS,
            come: vec![
                from_line(&a, &udp(a.ipv4, INTERNET, 64, 9)),
                from_line(&b, &udp(b.ipv4, INTERNET, 2, 443)),
            ],
            leave: vec![
                to_router(&udp(a.ipv4, INTERNET, 63, 9)),
                to_router(&udp(b.ipv4, INTERNET, 1, 443)),
            ],
            drops: &[],
        },
        Case {
            name: "downstream",
            port: CORE,
            come: vec![
                from_router(&udp(INTERNET, a.ipv4, 55, 9)),
                from_router(&udp(INTERNET, b.ipv4, 255, 9)),
                from_router(&udp(INTERNET, Ipv4Addr::new(192, 0, 2, 77), 64, 9)),
            ],
            leave: vec![
                to_line(&a, &udp(INTERNET, a.ipv4, 54, 9)),
                to_line(&b, &udp(INTERNET, b.ipv4, 254, 9)),
            ],
            drops: &[(DropReason::HairpinCore, 1)],
        },
        Case {
            name: "garden",
            port: ACCESS,
            come: vec![
                from_line(&g, &udp(g.ipv4, RESOLVER, 64, 53)),
                from_line(&g, &udp(g.ipv4, INTERNET, 64, 53)),
                from_line(&g, &udp(g.ipv4, PORTAL, 64, 80)),
            ],
            leave: vec![to_router(&udp(g.ipv4, RESOLVER, 63, 53))],
            drops: &[(DropReason::GardenDestination, 2)],
        },
        Case {
            name: "spoofed",
            port: ACCESS,
            come: vec![
                from_line(&a, &udp(b.ipv4, INTERNET, 64, 9)),
                from_line(&Subscriber { mac: b.mac, ..a }, &udp(a.ipv4, INTERNET, 64, 9)),
                from_line(&Subscriber { c_vlan: 3, ..a }, &udp(a.ipv4, INTERNET, 64, 9)),
                from_line(&Subscriber { s_vlan: 99, ..a }, &udp(a.ipv4, INTERNET, 64, 9)),
            ],
            leave: vec![],
            drops: &[
                (DropReason::UnknownLine, 1),
                (DropReason::NoSession, 1),
                (DropReason::SpoofedMac, 1),
                (DropReason::SpoofedAddress, 1),
            ],
        },
        Case {
            name: "subscriber_to_subscriber",
            port: ACCESS,
            come: vec![from_line(&a, &udp(a.ipv4, b.ipv4, 64, 9))],
            leave: vec![to_line(&b, &udp(a.ipv4, b.ipv4, 63, 9))],
            drops: &[],
        },
        Case {
            name: "ping_the_gateway",
            port: ACCESS,
            come: vec![ping(&a, true)],
            leave: vec![ping(&a, false)],
            drops: &[],
        },
        Case {
            name: "ttl_exceeded",
            port: ACCESS,
            come: vec![from_line(&a, &udp(a.ipv4, INTERNET, 1, 33434))],
            leave: vec![ttl_exceeded(&a, &udp(a.ipv4, INTERNET, 1, 33434))],
            drops: &[(DropReason::TtlExceeded, 1)],
        },
    ]
}

struct Datagram {
    from: Ipv4Addr,
    to: Ipv4Addr,
    ttl: u8,
    port: u16,
}

const PAYLOAD: &[u8] = b"golden payload";

impl Datagram {
    /// The packet, by etherparse.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4(self.from.octets(), self.to.octets(), self.ttl)
            .udp(4000, self.port)
            .write(&mut bytes, PAYLOAD)
            .unwrap();
        bytes
    }
}

/// An Ethernet frame, by etherparse: with two tags where there is a line.
fn frame(source: [u8; 6], destination: [u8; 6], line: Option<&Subscriber>, packet: &[u8]) -> Vec<u8> {
    let ethertype = if line.is_some() {
        EtherType::PROVIDER_BRIDGING
    } else {
        EtherType::IPV4
    };
    let ethernet = etherparse::Ethernet2Header {
        source,
        destination,
        ether_type: ethertype,
    };
    let mut bytes = Vec::new();
    ethernet.write(&mut bytes).unwrap();
    if let Some(line) = line {
        let tag = |id, ether_type| SingleVlanHeader {
            vlan_id: VlanId::try_new(id).unwrap(),
            ether_type,
            ..SingleVlanHeader::default()
        };
        for tag in [
            tag(line.s_vlan, EtherType::VLAN_TAGGED_FRAME),
            tag(line.c_vlan, EtherType::IPV4),
        ] {
            tag.write(&mut bytes).unwrap();
        }
    }
    bytes.extend(packet);
    bytes
}

fn from_line(line: &Subscriber, datagram: &Datagram) -> Vec<u8> {
    frame(line.mac, port_mac(ACCESS), Some(line), &datagram.bytes())
}

fn to_line(line: &Subscriber, datagram: &Datagram) -> Vec<u8> {
    frame(port_mac(ACCESS), line.mac, Some(line), &datagram.bytes())
}

fn from_router(datagram: &Datagram) -> Vec<u8> {
    frame(ROUTER_MAC, port_mac(CORE), None, &datagram.bytes())
}

fn to_router(datagram: &Datagram) -> Vec<u8> {
    frame(port_mac(CORE), ROUTER_MAC, None, &datagram.bytes())
}

/// A ping of the gateway, or its answer.
fn ping(line: &Subscriber, request: bool) -> Vec<u8> {
    let (us, them) = (RESIDENTIAL_GATEWAY.octets(), line.ipv4.octets());
    let mut packet = Vec::new();
    if request {
        let builder = PacketBuilder::ipv4(them, us, 7).icmpv4_echo_request(3, 4);
        builder.write(&mut packet, PAYLOAD).unwrap();
        frame(line.mac, port_mac(ACCESS), Some(line), &packet)
    } else {
        let builder = PacketBuilder::ipv4(us, them, 64).icmpv4_echo_reply(3, 4);
        builder.write(&mut packet, PAYLOAD).unwrap();
        frame(port_mac(ACCESS), line.mac, Some(line), &packet)
    }
}

/// "Time exceeded" about a datagram, with the type of service and number that our first error has.
fn ttl_exceeded(line: &Subscriber, datagram: &Datagram) -> Vec<u8> {
    let quoted = datagram.bytes();
    let exceeded =
        etherparse::Icmpv4Type::TimeExceeded(etherparse::icmpv4::TimeExceededCode::TtlExceededInTransit);
    let icmp = etherparse::Icmpv4Header::with_checksum(exceeded, &quoted);
    let mut ip = Ipv4Header::new(
        (icmp.header_len() + quoted.len()) as u16,
        64,
        IpNumber::ICMP,
        RESIDENTIAL_GATEWAY.octets(),
        line.ipv4.octets(),
    )
    .unwrap();
    ip.dscp = etherparse::IpDscp::try_new(0xc0 >> 2).unwrap();
    ip.dont_fragment = false;
    ip.identification = 1;
    let mut packet = Vec::new();
    ip.write(&mut packet).unwrap();
    icmp.write(&mut packet).unwrap();
    packet.extend(quoted);
    frame(port_mac(ACCESS), line.mac, Some(line), &packet)
}

#[test]
fn golden_cases_leave_as_their_files_say() {
    let write = std::env::var("SLUICE_GOLDEN").is_ok_and(|value| value == "write");
    for case in cases() {
        let path = |which: &str| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR"))
                .join("tests/golden")
                .join(format!("{}.{which}.pcap", case.name))
        };
        if write {
            pcap::write(&path("in"), &case.come).unwrap();
            pcap::write(&path("out"), &case.leave).unwrap();
        }
        let (come, leave) = (
            pcap::read(&path("in")).unwrap(),
            pcap::read(&path("out")).unwrap(),
        );
        assert_eq!(
            come, case.come,
            "{}: the input file is not what etherparse makes",
            case.name
        );
        assert_eq!(
            leave, case.leave,
            "{}: the output file is not what etherparse makes",
            case.name
        );

        let mut world = World::new();
        for line in [alice(), bob(), gardened()] {
            world.subscribe(line);
        }
        let frames: Vec<_> = come.iter().map(|f| (f.as_slice(), StrippedTags::None)).collect();
        let out = world.burst(case.port, Way::Whole, &frames);

        let left: Vec<Vec<u8>> = out
            .outs
            .iter()
            .filter(|out| matches!(out.verdict, Verdict::Forward { .. }))
            .map(|out| out.bytes.clone())
            .collect();
        assert_eq!(left, leave, "{}", case.name);
        assert_eq!(out.drops, case.drops, "{}", case.name);
    }
}
