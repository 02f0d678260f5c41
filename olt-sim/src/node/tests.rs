use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};

use super::*;
use crate::config::VlanModel;
use crate::wire::{Frame, VlanId};

const BNG: [u8; 6] = [2, 0, 0x5e, 0, 1, 1];
const CPE1: [u8; 6] = [2, 0, 0, 0, 0, 1];
const CPE2: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ADDRESS1: Ipv4Addr = Ipv4Addr::new(10, 255, 1, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);

fn node() -> AccessNode {
    AccessNode::new("agg-01", Tagging::Qinq, Tpid::S, PolicyConfig::default())
}

fn vlan(id: u16) -> VlanId {
    VlanId::new(id).unwrap()
}

fn ont(number: u16, c_vlan: u16, model: VlanModel) -> OntConfig {
    let mut config = OntConfig::qinq(
        &format!("ADTN{number:08}"),
        &format!("1/1/{number}"),
        vlan(100),
        vlan(c_vlan),
        "nowhere",
    );
    config.model = model;
    config
}

fn udp(
    source: [u8; 6],
    destination: [u8; 6],
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    payload: &[u8],
) -> Frame {
    let builder = PacketBuilder::ethernet2(source, destination)
        .ipv4(from.0.octets(), to.0.octets(), 64)
        .udp(from.1, to.1);
    let mut bytes = Vec::new();
    builder.write(&mut bytes, payload).unwrap();
    Frame::from_bytes(&bytes).unwrap()
}

fn encoded(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(&mut Encoder::new(&mut bytes)).unwrap();
    bytes
}

fn client_message(mac: [u8; 6], kind: MessageType, change: impl FnOnce(&mut Message)) -> Frame {
    let mut message = Message::default();
    message.set_opcode(Opcode::BootRequest).set_chaddr(&mac);
    message.opts_mut().insert(DhcpOption::MessageType(kind));
    change(&mut message);
    let from = (message.ciaddr(), 68);
    udp(
        mac,
        [0xff; 6],
        from,
        (Ipv4Addr::BROADCAST, 67),
        &encoded(&message),
    )
}

fn ack(mac: [u8; 6], address: Ipv4Addr, change: impl FnOnce(&mut Message)) -> Frame {
    let mut message = Message::default();
    message
        .set_opcode(Opcode::BootReply)
        .set_chaddr(&mac)
        .set_yiaddr(address);
    message
        .opts_mut()
        .insert(DhcpOption::MessageType(MessageType::Ack));
    message.opts_mut().insert(DhcpOption::AddressLeaseTime(60));
    change(&mut message);
    udp(
        BNG,
        [0xff; 6],
        (SERVER, 67),
        (Ipv4Addr::BROADCAST, 68),
        &encoded(&message),
    )
}

fn tagged(mut frame: Frame, s_vlan: u16, c_vlan: u16) -> Frame {
    frame.push_tag(0x8100, c_vlan).unwrap();
    frame.push_tag(0x88a8, s_vlan).unwrap();
    frame
}

fn dhcp_of(frame: &Frame) -> Message {
    let sliced = SlicedPacket::from_ethernet(frame.bytes()).unwrap();
    let Some(TransportSlice::Udp(udp)) = sliced.transport else {
        panic!("not UDP")
    };
    Message::decode(&mut Decoder::new(udp.payload())).unwrap()
}

fn data(mac: [u8; 6], from: Ipv4Addr) -> Frame {
    udp(
        mac,
        BNG,
        (from, 5000),
        (Ipv4Addr::new(198, 51, 100, 80), 80),
        b"hello",
    )
}

/// A node with one ONT, whose client CPE1 has leased ADDRESS1 until a minute after `now`.
fn leased(now: Instant) -> (AccessNode, OntIndex) {
    let mut node = node();
    let index = node.connect(ont(1, 1, VlanModel::OneToOne)).unwrap();
    let mut to = Vec::new();
    node.downstream(&mut tagged(ack(CPE1, ADDRESS1, |_| {}), 100, 1), &mut to, now)
        .unwrap();
    assert_eq!(to, [index]);
    (node, index)
}

#[test]
fn a_discover_leaves_tagged_and_with_option_82() {
    let mut node = node();
    let index = node.connect(ont(1, 7, VlanModel::OneToOne)).unwrap();
    let mut frame = client_message(CPE1, MessageType::Discover, |_| {});

    node.upstream(index, &mut frame, Instant::now()).unwrap();

    assert_eq!(frame.bytes()[12..20], [0x88, 0xa8, 0, 100, 0x81, 0, 0, 7]);
    assert!(dhcp_of(&frame).opts().contains(OptionCode::RelayAgentInformation));
    let text = b"\x01\x0cagg-01|1/1/1\x02\x0cADTN00000001";
    assert!(frame.bytes().windows(text.len()).any(|window| window == text));
    assert_eq!(node.counters().option82_inserted, 1);
}

#[test]
fn an_ack_reaches_the_client_without_option_82_and_opens_its_address() {
    let now = Instant::now();
    let mut node = node();
    let index = node.connect(ont(1, 1, VlanModel::OneToOne)).unwrap();
    assert_eq!(
        node.upstream(index, &mut data(CPE1, ADDRESS1), now),
        Err(DropReason::SpoofedIp)
    );
    let mut relayed = client_message(CPE1, MessageType::Request, |_| {});
    node.upstream(index, &mut relayed, now).unwrap();
    let option = dhcp_of(&relayed)
        .opts()
        .get(OptionCode::RelayAgentInformation)
        .cloned()
        .unwrap();

    let mut frame = tagged(
        ack(CPE1, ADDRESS1, |message| {
            message.opts_mut().insert(option);
        }),
        100,
        1,
    );
    let mut to = Vec::new();
    node.downstream(&mut frame, &mut to, now).unwrap();

    assert_eq!(to, [index]);
    assert!(!dhcp_of(&frame).opts().contains(OptionCode::RelayAgentInformation));
    assert_eq!(node.counters().option82_removed, 1);
    node.upstream(index, &mut data(CPE1, ADDRESS1), now).unwrap();
    let later = now + Duration::from_secs(61);
    assert_eq!(
        node.upstream(index, &mut data(CPE1, ADDRESS1), later),
        Err(DropReason::SpoofedIp)
    );
}

#[test]
fn hostile_frames_stop_here_and_each_has_its_reason() {
    let now = Instant::now();
    let (mut node, index) = leased(now);
    let option82 = |message: &mut Message| {
        let mut info = dhcproto::v4::relay::RelayAgentInformation::default();
        info.insert(dhcproto::v4::relay::RelayInfo::AgentCircuitId(
            b"agg-01|1/1/9".to_vec(),
        ));
        message.opts_mut().insert(DhcpOption::RelayAgentInformation(info));
    };
    let mut single = data(CPE1, ADDRESS1);
    single.push_tag(0x8100, 5).unwrap();
    let mut cut = client_message(CPE1, MessageType::Discover, |_| {});
    let end = cut.bytes().iter().rposition(|byte| *byte == 255).unwrap();
    cut.bytes_mut()[end] = 0;
    let mut arp = [
        &[0xff; 6][..],
        &CPE1,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &CPE1,
        &[10, 255, 1, 9],
    ]
    .concat();
    arp.extend_from_slice(&[0; 10]);

    let cases = [
        (
            udp(
                CPE1,
                [0xff; 6],
                (ADDRESS1, 67),
                (Ipv4Addr::BROADCAST, 68),
                b"offer",
            ),
            DropReason::DhcpServer,
        ),
        (
            client_message(CPE1, MessageType::Discover, option82),
            DropReason::DhcpOption82,
        ),
        (
            client_message(CPE1, MessageType::Discover, |message| {
                message.set_giaddr(Ipv4Addr::new(192, 0, 2, 67));
            }),
            DropReason::DhcpRelayed,
        ),
        (
            client_message(CPE1, MessageType::Discover, |message| {
                message.set_chaddr(&CPE2);
            }),
            DropReason::SpoofedMac,
        ),
        (cut, DropReason::DhcpMalformed),
        (data(CPE1, Ipv4Addr::new(10, 255, 1, 2)), DropReason::SpoofedIp),
        (data(CPE2, ADDRESS1), DropReason::SpoofedIp),
        (data(BNG, ADDRESS1), DropReason::SpoofedMac),
        (data([1, 0, 0, 0, 0, 1], ADDRESS1), DropReason::SpoofedMac),
        (Frame::from_bytes(&arp).unwrap(), DropReason::SpoofedArp),
        (single, DropReason::TaggedBySubscriber),
        (Frame::from_bytes(&[0; 13]).unwrap(), DropReason::Runt),
    ];

    for (frame, reason) in cases {
        let before = node.counters().dropped(reason);
        assert_eq!(node.upstream(index, &mut frame.clone(), now), Err(reason));
        assert_eq!(node.counters().dropped(reason), before + 1);
        if reason != DropReason::Runt {
            node.policy_mut().filter = false;
            let untouched = frame.bytes()[12..].to_vec();
            let mut through = frame;
            node.upstream(index, &mut through, now).unwrap();
            if reason != DropReason::SpoofedMac && reason != DropReason::DhcpRelayed {
                assert_eq!(through.bytes()[20..], untouched, "{reason:?} was changed");
            }
            node.policy_mut().filter = true;
        }
    }
    assert_eq!(node.counters().upstream.frames, 11);
}

#[test]
fn a_renewal_and_an_arp_probe_pass_the_filter() {
    let now = Instant::now();
    let (mut node, index) = leased(now);
    let mut renewal = client_message(CPE1, MessageType::Request, |message| {
        message.set_ciaddr(ADDRESS1);
    });
    let mut probe = [
        &[0xff; 6][..],
        &CPE1,
        &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1],
        &CPE1,
        &[0; 4],
    ]
    .concat();
    probe.extend_from_slice(&[0, 0, 0, 0, 0, 0, 10, 255, 1, 77]);

    node.upstream(index, &mut renewal, now).unwrap();
    node.upstream(index, &mut Frame::from_bytes(&probe).unwrap(), now)
        .unwrap();
}

#[test]
fn a_release_closes_the_address() {
    let now = Instant::now();
    let (mut node, index) = leased(now);
    node.upstream(index, &mut data(CPE1, ADDRESS1), now).unwrap();

    let mut release = client_message(CPE1, MessageType::Release, |message| {
        message.set_ciaddr(ADDRESS1);
    });
    node.upstream(index, &mut release, now).unwrap();

    assert_eq!(
        node.upstream(index, &mut data(CPE1, ADDRESS1), now),
        Err(DropReason::SpoofedIp)
    );
}

#[test]
fn on_a_shared_line_unicast_follows_the_mac_and_broadcast_reaches_all() {
    let now = Instant::now();
    let mut node = node();
    let one = node.connect(ont(1, 9, VlanModel::ManyToOne)).unwrap();
    let two = node.connect(ont(2, 9, VlanModel::ManyToOne)).unwrap();
    node.upstream(one, &mut client_message(CPE1, MessageType::Discover, |_| {}), now)
        .unwrap();
    node.upstream(two, &mut client_message(CPE2, MessageType::Discover, |_| {}), now)
        .unwrap();
    let to_mac = |mac: [u8; 6]| tagged(udp(BNG, mac, (SERVER, 9), (ADDRESS1, 9), b"x"), 100, 9);
    let mut to = Vec::new();

    node.downstream(&mut to_mac(CPE2), &mut to, now).unwrap();
    assert_eq!(to, [two]);
    node.downstream(&mut to_mac([0xff; 6]), &mut to, now).unwrap();
    assert_eq!(to, [one, two]);
    assert_eq!(
        node.downstream(&mut to_mac([2; 6]), &mut to, now),
        Err(DropReason::UnknownMac)
    );
    // A broadcast ACK is for one client only, by its MAC or by the circuit-id that the server echoes.
    node.downstream(&mut tagged(ack(CPE1, ADDRESS1, |_| {}), 100, 9), &mut to, now)
        .unwrap();
    assert_eq!(to, [one]);
    // The neighbour's MAC cannot be taken over while the neighbour is there.
    let mut stolen = client_message(CPE1, MessageType::Discover, |_| {});
    assert_eq!(node.upstream(two, &mut stolen, now), Err(DropReason::SpoofedMac));
}

#[test]
fn frames_for_nobody_are_counted() {
    let now = Instant::now();
    let (mut node, index) = leased(now);
    let frame = || udp(BNG, CPE1, (SERVER, 9), (ADDRESS1, 9), b"x");
    let mut wrong_tpid = frame();
    wrong_tpid.push_tag(0x8100, 1).unwrap();
    wrong_tpid.push_tag(0x8100, 100).unwrap();
    let mut to = Vec::new();

    assert_eq!(
        node.downstream(&mut tagged(frame(), 100, 2), &mut to, now),
        Err(DropReason::UnknownLine)
    );
    assert_eq!(
        node.downstream(&mut frame(), &mut to, now),
        Err(DropReason::UnknownLine)
    );
    assert_eq!(
        node.downstream(&mut wrong_tpid, &mut to, now),
        Err(DropReason::UnknownTpid)
    );
    node.ont_mut(index).unwrap().carrier = crate::net::Carrier::Down;
    assert_eq!(
        node.downstream(&mut tagged(frame(), 100, 1), &mut to, now),
        Err(DropReason::LineDown)
    );
    assert!(to.is_empty());
}

#[test]
fn a_line_has_one_owner_unless_all_share_it() {
    let mut node = node();
    node.connect(ont(1, 1, VlanModel::OneToOne)).unwrap();
    node.connect(ont(2, 2, VlanModel::OneToOne)).unwrap();

    assert!(matches!(
        node.connect(ont(1, 3, VlanModel::OneToOne)),
        Err(LineError::SerialInUse { .. })
    ));
    assert!(matches!(
        node.connect(ont(3, 1, VlanModel::ManyToOne)),
        Err(LineError::TagsInUse { .. })
    ));
    let taken = LineTags::Double {
        s_vlan: vlan(100),
        c_vlan: vlan(2),
    };
    assert!(matches!(
        node.move_line("ADTN00000001", taken),
        Err(LineError::TagsInUse { .. })
    ));
    node.disconnect("ADTN00000002").unwrap();
    node.move_line("ADTN00000001", taken).unwrap();
    assert!(matches!(
        node.disconnect("ADTN00000002"),
        Err(LineError::UnknownOnt { .. })
    ));
}

#[test]
fn a_line_that_moved_has_forgotten_its_hosts() {
    let now = Instant::now();
    let (mut node, index) = leased(now);

    node.move_line(
        "ADTN00000001",
        LineTags::Double {
            s_vlan: vlan(200),
            c_vlan: vlan(5),
        },
    )
    .unwrap();

    assert_eq!(
        node.upstream(index, &mut data(CPE1, ADDRESS1), now),
        Err(DropReason::SpoofedIp)
    );
    let mut discover = client_message(CPE1, MessageType::Discover, |_| {});
    node.upstream(index, &mut discover, now).unwrap();
    assert_eq!(discover.bytes()[12..20], [0x88, 0xa8, 0, 200, 0x81, 0, 0, 5]);
}

#[test]
fn a_line_has_room_for_a_few_hosts_only() {
    let now = Instant::now();
    let mut node = node();
    let index = node.connect(ont(1, 1, VlanModel::OneToOne)).unwrap();
    let discover = |number: u8| client_message([2, 0, 0, 0, 1, number], MessageType::Discover, |_| {});

    for number in 0..16 {
        node.upstream(index, &mut discover(number), now).unwrap();
    }

    assert_eq!(
        node.upstream(index, &mut discover(16), now),
        Err(DropReason::TooManyMacs)
    );
    let later = now + Duration::from_secs(301);
    node.upstream(index, &mut discover(16), later).unwrap();
}

#[test]
fn single_tagged_and_untagged_trunks_carry_one_tag_or_none() {
    let now = Instant::now();
    for (tagging, tags) in [(Tagging::Single, &[0x81, 0, 0, 1][..]), (Tagging::Untagged, &[])] {
        let mut node = AccessNode::new("agg-01", tagging, Tpid::C, PolicyConfig::default());
        let mut config = ont(1, 1, VlanModel::OneToOne);
        assert!(matches!(
            node.connect(config.clone()),
            Err(LineError::WrongTags(_))
        ));
        config.s_vlan = None;
        if tagging == Tagging::Untagged {
            config.c_vlan = None;
        }
        let index = node.connect(config).unwrap();
        let mut frame = client_message(CPE1, MessageType::Discover, |_| {});

        node.upstream(index, &mut frame, now).unwrap();

        assert_eq!(frame.bytes()[12..12 + tags.len()], *tags);
        assert_eq!(frame.bytes()[12 + tags.len()..14 + tags.len()], [8, 0]);
    }
}
