//! Frames built here are read back by the same parser and by etherparse, and mutilated ones are refused by name.

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use proptest::prelude::*;
use sluice_config::Config;

use super::*;

const CORE_MAC: [u8; 6] = [2, 0, 0x5e, 0, 2, 1];
const CPE: Mac = Mac([2, 1, 2, 3, 4, 5]);

fn config() -> Config {
    let text = r#"
        [[ports]]
        name = "qinq"
        role = "access"
        device = "a"
        mac = "02:00:5e:00:01:01"
        outer_tpids = [0x88a8, 0x9100]
        lines = [{ s_vlans = "100", c_vlans = "1-100" }]

        [[ports]]
        name = "core"
        role = "core"
        device = "c"
        mac = "02:00:5e:00:02:01"
        address = "192.0.2.2/24"
        gateway = "192.0.2.1"

        [[ports]]
        name = "single"
        role = "access"
        device = "s"
        mac = "02:00:5e:00:01:02"
        tagging = "single"
        lines = [{ c_vlans = "7" }]

        [[ports]]
        name = "bare"
        role = "access"
        device = "u"
        mac = "02:00:5e:00:01:03"
        tagging = "untagged"

        [pools.wgar]
        network = "10.255.0.0/16"
    "#;
    Config::parse("test", text).expect("the test's configuration is right")
}

fn about(port: u16, reason: PuntReason) -> About {
    About {
        port,
        reason: reason as u8,
        ..About::default()
    }
}

/// A client's message as it comes up a line: what we would send, with the UDP ports exchanged.
fn from_client(config: &Config, line: &Line) -> Vec<u8> {
    let port = &config.ports[usize::from(line.port)];
    let mut frame = dhcp_to_line(
        port,
        line,
        CPE,
        Ipv4Addr::UNSPECIFIED,
        Ipv4Addr::BROADCAST,
        &[7; 300],
    )
    .unwrap();
    let tags = frame.len() - (14 + 20 + 8 + 300);
    frame[..6].fill(0xff);
    frame[6..12].copy_from_slice(&CPE.0);
    let udp = 14 + tags + 20;
    // Exchanging two words of a sum leaves the checksum as it is.
    frame[udp..udp + 4].copy_from_slice(&[0, 68, 0, 67]);
    frame
}

#[test]
fn a_message_comes_from_the_line_that_its_tags_and_port_name() {
    let config = config();
    for line in [
        Line {
            port: 0,
            s_vlan: 100,
            c_vlan: 42,
        },
        Line {
            port: 2,
            s_vlan: 0,
            c_vlan: 7,
        },
        Line {
            port: 3,
            s_vlan: 0,
            c_vlan: 0,
        },
    ] {
        let parsed = parse(
            &config,
            &about(line.port, PuntReason::Dhcp),
            &from_client(&config, &line),
        )
        .unwrap();

        let expected = DhcpIn {
            from: Ingress::Line { line, mac: CPE },
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
            payload: vec![7; 300],
        };
        assert_eq!(parsed, Punted::Dhcp(expected));
    }
}

#[test]
fn each_defect_has_its_name() {
    let config = config();
    let line = Line {
        port: 0,
        s_vlan: 100,
        c_vlan: 42,
    };
    let good = from_client(&config, &line);
    let punted = about(0, PuntReason::Dhcp);
    let with = |at: usize, bytes: &[u8]| {
        let mut frame = good.clone();
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        parse(&config, &punted, &frame).unwrap_err()
    };

    assert_eq!(with(12, &[0x81, 0x00]), Malformed::BadTags);
    assert_eq!(with(16, &[0x88, 0xa8]), Malformed::BadTags);
    assert_eq!(with(18, &[0, 101]), Malformed::UnknownLine);
    assert_eq!(with(14, &[0, 0]), Malformed::UnknownLine);
    assert_eq!(with(20, &[0x86, 0xdd]), Malformed::NotIpv4);
    assert_eq!(with(22, &[0x65]), Malformed::BadIpHeader);
    assert_eq!(with(22 + 6, &[0x20]), Malformed::Fragment);
    assert_eq!(with(22 + 9, &[6]), Malformed::NotDhcp);
    assert_eq!(with(22 + 22, &[0, 68]), Malformed::NotDhcp);
    assert_eq!(with(22 + 28, &[8]), Malformed::BadUdpChecksum);
    assert_eq!(
        parse(&config, &punted, &good[..20]).unwrap_err(),
        Malformed::Truncated
    );
    assert_eq!(
        parse(&config, &about(9, PuntReason::Dhcp), &good).unwrap_err(),
        Malformed::UnknownPort
    );
    assert_eq!(
        parse(&config, &about(1, PuntReason::Dhcp), &good).unwrap_err(),
        Malformed::UnknownPort
    );
    let unknown = About {
        reason: 250,
        ..About::default()
    };
    assert_eq!(
        parse(&config, &unknown, &good).unwrap_err(),
        Malformed::UnknownReason
    );
}

#[test]
fn a_checksum_that_was_left_out_is_accepted() {
    let config = config();
    let mut frame = from_client(
        &config,
        &Line {
            port: 0,
            s_vlan: 100,
            c_vlan: 42,
        },
    );
    frame[22 + 26..22 + 28].fill(0);

    assert!(parse(&config, &about(0, PuntReason::DhcpKnown), &frame).is_ok());
}

#[test]
fn etherparse_reads_what_is_sent_to_a_line() {
    let config = config();
    let line = Line {
        port: 0,
        s_vlan: 100,
        c_vlan: 42,
    };
    let server = Ipv4Addr::new(10, 255, 0, 1);

    let frame = dhcp_to_line(
        &config.ports[0],
        &line,
        CPE,
        server,
        Ipv4Addr::BROADCAST,
        &[1, 2, 3],
    )
    .unwrap();

    assert_eq!(frame[12..20], [0x88, 0xa8, 0, 100, 0x81, 0, 0, 42]);
    let packet = SlicedPacket::from_ethernet(&frame).unwrap();
    let Some(NetSlice::Ipv4(ip)) = packet.net else {
        panic!("no IPv4 in {frame:?}")
    };
    assert_eq!(ip.header().source_addr(), server);
    let Some(TransportSlice::Udp(udp)) = packet.transport else {
        panic!("no UDP in {frame:?}")
    };
    assert_eq!(
        (udp.source_port(), udp.destination_port(), udp.payload()),
        (67, 68, &[1u8, 2, 3][..])
    );
}

#[test]
fn a_question_for_a_neighbour_is_answered_and_the_answer_is_understood() {
    let config = config();
    let gateway = Ipv4Addr::new(192, 0, 2, 1);

    let request = arp_request(&config.ports[1], None, gateway).unwrap();
    assert_eq!(request[..6], [0xff; 6]);
    assert_eq!(arp_request(&config.ports[0], None, gateway), None);

    let mut reply = request.clone();
    reply[..6].copy_from_slice(&CORE_MAC);
    reply[21] = 2;
    reply[22..28].copy_from_slice(&[2, 9, 9, 9, 9, 9]);
    reply[28..32].copy_from_slice(&gateway.octets());
    let parsed = parse(&config, &about(1, PuntReason::Arp), &reply).unwrap();
    assert_eq!(
        parsed,
        Punted::Neighbour {
            port: 1,
            address: gateway,
            mac: Mac([2, 9, 9, 9, 9, 9])
        }
    );

    // Somebody who claims our own address, or one of another network.
    assert_eq!(
        parse(&config, &about(1, PuntReason::Arp), &request).unwrap_err(),
        Malformed::NoNetwork
    );
    reply[28..32].copy_from_slice(&[10, 255, 0, 9]);
    assert_eq!(
        parse(&config, &about(1, PuntReason::Arp), &reply).unwrap_err(),
        Malformed::NoNetwork
    );
}

#[test]
fn a_packet_to_a_connected_host_names_it() {
    let config = config();
    let line = Line {
        port: 0,
        s_vlan: 100,
        c_vlan: 42,
    };
    let host = Ipv4Addr::new(192, 0, 2, 77);
    let frame = dhcp_to_line(
        &config.ports[0],
        &line,
        CPE,
        Ipv4Addr::new(10, 255, 1, 1),
        host,
        &[0; 8],
    )
    .unwrap();

    let parsed = parse(&config, &about(0, PuntReason::Glean), &frame).unwrap();

    assert_eq!(
        parsed,
        Punted::Wanted {
            port: 1,
            address: host
        }
    );
}

proptest! {
    #[test]
    fn no_bytes_panic(port in 0u16..5, reason in 0u8..8, frame in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&config(), &About { port, reason, ..About::default() }, &frame);
    }

    #[test]
    fn no_damaged_message_panics(at in 0usize..350, value: u8, cut in 0usize..350) {
        let config = config();
        let mut frame = from_client(&config, &Line { port: 0, s_vlan: 100, c_vlan: 42 });
        let end = frame.len() - 1;
        frame[at.min(end)] = value;
        frame.truncate(frame.len().saturating_sub(cut));
        let _ = parse(&config, &about(0, PuntReason::Dhcp), &frame);
    }
}
