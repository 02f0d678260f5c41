use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use proptest::prelude::*;

use super::super::dhcp;
use super::*;

const CLIENT: [u8; 6] = [2, 0, 0, 0, 0, 1];

fn frame_of(message: &Message, source_port: u16, destination_port: u16, padding: usize) -> Frame {
    let mut payload = Vec::new();
    message.encode(&mut Encoder::new(&mut payload)).unwrap();
    payload.extend(std::iter::repeat_n(0, padding));
    let builder = PacketBuilder::ethernet2(CLIENT, [0xff; 6])
        .ipv4([10, 255, 1, 2], [255, 255, 255, 255], 64)
        .udp(source_port, destination_port);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &payload).unwrap();
    Frame::from_bytes(&bytes).unwrap()
}

fn discover() -> Message {
    let mut message = Message::default();
    message.set_opcode(Opcode::BootRequest).set_chaddr(&CLIENT);
    message
        .opts_mut()
        .insert(DhcpOption::MessageType(MessageType::Discover));
    message.opts_mut().insert(DhcpOption::Hostname("cpe".into()));
    message
}

/// Reads the frame with independent code: lengths and both checksums must hold.
fn second_opinion(frame: &Frame) -> Message {
    let sliced = SlicedPacket::from_ethernet(frame.bytes()).unwrap();
    let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else {
        panic!("not IPv4")
    };
    let header = ip.header().to_header();
    assert_eq!(header.header_checksum, header.calc_header_checksum());
    let Some(TransportSlice::Udp(udp)) = &sliced.transport else {
        panic!("not UDP")
    };
    let expected = udp
        .to_header()
        .calc_checksum_ipv4(&header, udp.payload())
        .unwrap();
    assert_eq!(udp.checksum(), expected);
    assert_eq!(usize::from(udp.length()), udp.payload().len() + 8);
    Message::decode(&mut Decoder::new(udp.payload())).unwrap()
}

#[test]
fn a_discover_leaves_with_circuit_id_and_remote_id() {
    let mut frame = frame_of(&discover(), 68, 67, 0);
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();
    let option = Option82::new("agg-01|1/1/1", "ADTN12345678").unwrap();

    option.insert(&mut frame, &dhcp).unwrap();

    let message = second_opinion(&frame);
    let Some(DhcpOption::RelayAgentInformation(info)) = message.opts().get(OptionCode::RelayAgentInformation)
    else {
        panic!("no Option 82")
    };
    let text = format!("{info:?}");
    assert_eq!(info.iter().count(), 2, "{text}");
    assert_eq!(message.giaddr(), Ipv4Addr::UNSPECIFIED);
    let again = Dhcp::parse(frame.bytes()).unwrap();
    assert_eq!(circuit_id(frame.bytes(), &again), Some(&b"agg-01|1/1/1"[..]));
    assert_eq!(remote_id(frame.bytes(), &again), Some(&b"ADTN12345678"[..]));
}

#[test]
fn padding_behind_the_end_option_is_used_up_first() {
    let mut frame = frame_of(&discover(), 68, 67, 60);
    let before = frame.len();
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();

    Option82::new("agg-01|1/1/1", "ADTN12345678")
        .unwrap()
        .insert(&mut frame, &dhcp)
        .unwrap();

    assert_eq!(frame.len(), before);
    second_opinion(&frame);
}

#[test]
fn an_absent_udp_checksum_stays_absent() {
    let mut frame = frame_of(&discover(), 68, 67, 0);
    frame.bytes_mut()[40..42].fill(0);
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();

    Option82::new("c", "r")
        .unwrap()
        .insert(&mut frame, &dhcp)
        .unwrap();

    assert_eq!(frame.bytes()[40..42], [0, 0]);
}

#[test]
fn a_message_that_would_outgrow_the_mtu_is_left_alone() {
    let mut message = discover();
    for code in 150..155 {
        message
            .opts_mut()
            .insert(DhcpOption::Unknown(dhcproto::v4::UnknownOption::new(
                code.into(),
                vec![7; 235],
            )));
    }
    let mut frame = frame_of(&message, 68, 67, 0);
    let before = frame.bytes().to_vec();
    assert!(before.len() > 1440, "{}", before.len());
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();

    let long = Option82::new(&"c".repeat(100), "r").unwrap();

    assert_eq!(long.insert(&mut frame, &dhcp), Err(NoRoom));
    assert_eq!(frame.bytes(), before);
}

#[test]
fn what_was_inserted_is_removed_and_the_rest_is_as_before() {
    let mut frame = frame_of(&discover(), 68, 67, 0);
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();
    Option82::new("agg-01|1/1/9", "ADTN00000009")
        .unwrap()
        .insert(&mut frame, &dhcp)
        .unwrap();
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();

    assert_eq!(remove(&mut frame, &dhcp), Ok(true));

    let message = second_opinion(&frame);
    assert!(message.opts().get(OptionCode::RelayAgentInformation).is_none());
    assert_eq!(
        message.opts().get(OptionCode::Hostname),
        Some(&DhcpOption::Hostname("cpe".into()))
    );
    let dhcp = Dhcp::parse(frame.bytes()).unwrap();
    assert!(
        dhcp.ip.end - dhcp.message >= MESSAGE_BYTES_MIN,
        "shorter than BOOTP allows"
    );
    assert_eq!(remove(&mut frame, &dhcp), Ok(false));
}

#[test]
fn identifiers_that_do_not_fit_are_refused() {
    assert!(Option82::new(&"c".repeat(126), &"r".repeat(125)).is_ok());
    assert!(Option82::new(&"c".repeat(126), &"r".repeat(126)).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_the_walk_panic(mutations in prop::collection::vec((0usize..400, any::<u8>()), 0..40), cut in 0usize..400) {
        let mut bytes = frame_of(&discover(), 68, 67, 0).bytes().to_vec();
        for (at, value) in mutations {
            let length = bytes.len();
            bytes[at % length] = value;
        }
        bytes.truncate(cut);
        let mut frame = Frame::from_bytes(&bytes).unwrap();
        if dhcp::ports(frame.bytes()).is_some() && let Ok(dhcp) = Dhcp::parse(frame.bytes()) {
            let mut other = frame.clone();
            if Option82::new("agg-01|1/1/1", "ADTN12345678").unwrap().insert(&mut frame, &dhcp).is_ok() {
                prop_assert!(Dhcp::parse(frame.bytes()).is_ok());
            }
            let _ = remove(&mut other, &dhcp);
        }
    }
}
