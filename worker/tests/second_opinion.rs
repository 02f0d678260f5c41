//! The wire code against etherparse and smoltcp: what our parser accepts they read alike, and what we send they find right.

use etherparse::checksum::Sum16BitWords;
use etherparse::{LaxNetSlice, LaxSlicedPacket};
use proptest::prelude::*;
use sluice_worker::burst::{Marks, Meta};
use sluice_worker::stages::parse;
use sluice_worker::testkit::world::{ACCESS, CORE, RESIDENTIAL_GATEWAY};
use sluice_worker::testkit::{Subscriber, World, recipe};
use sluice_worker::{Burst, Frame, StrippedTags, Verdict, Way};
use smoltcp::wire::{ArpPacket, ArpRepr, EthernetFrame, Icmpv4Packet, Ipv4Packet};

/// What our parser makes of a frame, if it accepts it.
fn parsed(world: &mut World, port: u8, frame: &[u8]) -> Option<Meta> {
    let mut buffer = frame.to_vec();
    let port = *world.context.ports.get(port)?;
    let mut burst = Burst::new(&port, Way::Whole, world.now_ns);
    assert!(burst.push(Frame::new(&mut buffer, 0, frame.len()), StrippedTags::None));
    parse::run(&mut burst, &mut world.context);
    let lane = &burst.lanes()[0];
    lane.is_live().then_some(lane.meta)
}

/// Asserts that etherparse reads a frame as we did.
fn assert_etherparse_agrees(frame: &[u8], meta: &Meta) {
    let theirs = LaxSlicedPacket::from_ethernet(frame).expect("an Ethernet header");
    let ids: Vec<u16> = theirs.vlan_ids().iter().map(|id| id.value()).collect();
    let ours: Vec<u16> = [meta.s_vlan, meta.c_vlan]
        .into_iter()
        .filter(|id| *id != 0)
        .collect();
    // A priority tag is a tag to them and none to us.
    assert!(ids == ours || (ours.is_empty() && ids == [0]), "{ids:?} {ours:?}");
    if meta.marks.has(Marks::ARP) {
        return;
    }
    let Some(LaxNetSlice::Ipv4(ip)) = &theirs.net else {
        panic!("etherparse sees no IPv4 in {frame:02x?}");
    };
    let header = ip.header().to_header();
    assert_eq!(u32::from_be_bytes(header.source), meta.source);
    assert_eq!(u32::from_be_bytes(header.destination), meta.destination);
    assert_eq!(header.total_len, meta.total_len);
    assert_eq!(header.header_len(), usize::from(meta.header_len));
    assert_eq!(
        (header.protocol.0, header.time_to_live),
        (meta.protocol, meta.ttl)
    );
    assert_eq!(header.is_fragmenting_payload(), meta.fragment.is_fragment());
    assert_eq!(header.dont_fragment, meta.fragment.dont_fragment());
    assert_eq!(header.fragment_offset.value() != 0, meta.fragment.is_later());
    assert!(is_sealed(ip.header().slice()));
}

/// Whether etherparse finds a header's checksum right, over the bytes as they are: its own header type forgets the reserved
/// flag.
fn is_sealed(header: &[u8]) -> bool {
    Sum16BitWords::new().add_slice(header).ones_complement() == 0
}

/// Asserts that smoltcp finds all checksums of an IPv4 packet right, as far as it carries its ICMP whole.
fn assert_smoltcp_agrees(packet: &[u8]) {
    let ip = Ipv4Packet::new_checked(packet).expect("an IPv4 packet");
    assert!(ip.verify_checksum(), "{packet:02x?}");
}

proptest! {
    #[test]
    fn what_we_accept_etherparse_reads_alike(
        recipes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 128),
    ) {
        let mut world = World::new();
        let lines = recipe::populate(&mut world);
        for recipe in &recipes {
            let arriving = recipe::arriving(recipe, &lines);
            if let Some(meta) = parsed(&mut world, arriving.port, &arriving.frame) {
                assert_etherparse_agrees(&arriving.frame, &meta);
            }
        }
    }

    #[test]
    fn what_we_send_is_right_to_both(
        recipes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 128),
    ) {
        let mut world = World::new();
        let lines = recipe::populate(&mut world);
        for recipe in &recipes {
            let arriving = recipe::arriving(recipe, &lines);
            let frames = [(arriving.frame.as_slice(), arriving.stripped)];
            let out = world.burst(arriving.port, Way::Whole, &frames);
            let Verdict::Forward { port } = out.verdict() else {
                continue;
            };
            let bytes = &out.outs[0].bytes;
            // Read as a port of that kind would read it, and by the others.
            let theirs = LaxSlicedPacket::from_ethernet(bytes).expect("an Ethernet header");
            let ids: Vec<u16> = theirs.vlan_ids().iter().map(|id| id.value()).collect();
            match &theirs.net {
                Some(LaxNetSlice::Ipv4(ip)) => {
                    let header = ip.header().to_header();
                    prop_assert!(is_sealed(ip.header().slice()));
                    let start = 14 + 4 * ids.len();
                    assert_smoltcp_agrees(&bytes[start..]);
                    if out.originated == 1 {
                        let end = start + usize::from(header.total_len);
                        let error = Icmpv4Packet::new_checked(&bytes[start + 20..end]).expect("an ICMP message");
                        prop_assert!(error.verify_checksum());
                    }
                }
                Some(LaxNetSlice::Arp(_)) => {
                    let packet = ArpPacket::new_checked(&bytes[14 + 4 * ids.len()..]).expect("an ARP packet");
                    prop_assert!(ArpRepr::parse(&packet).is_ok());
                }
                other => prop_assert!(false, "neither IPv4 nor ARP: {other:?}"),
            }
            // A priority tag on a port without tags is kept in an answer.
            prop_assert!(
                ids.len() == match port { ACCESS => 2, CORE => 0, 2 => 1, _ => 0 } || ids == [0],
                "{ids:?} out of port {port}"
            );
        }
    }
}

#[test]
fn smoltcp_takes_our_arp_reply_as_one() {
    let mut world = World::new();
    let alice = world.subscribe(Subscriber::on_line(100, 7));

    let out = world.summary(ACCESS, &alice.arp_request(RESIDENTIAL_GATEWAY));

    let bytes = out.assert_forwarded(ACCESS);
    let frame = EthernetFrame::new_checked(bytes).unwrap();
    assert_eq!(frame.dst_addr().0, alice.mac);
    let ArpRepr::EthernetIpv4 {
        operation,
        source_hardware_addr,
        source_protocol_addr,
        target_hardware_addr,
        target_protocol_addr,
    } = ArpRepr::parse(&ArpPacket::new_checked(&bytes[22..]).unwrap()).unwrap()
    else {
        panic!("another kind of ARP");
    };
    assert_eq!(operation, smoltcp::wire::ArpOperation::Reply);
    assert_eq!(source_hardware_addr, frame.src_addr());
    assert_eq!(source_protocol_addr, RESIDENTIAL_GATEWAY);
    assert_eq!(target_hardware_addr.0, alice.mac);
    assert_eq!(target_protocol_addr, alice.ipv4);
}
