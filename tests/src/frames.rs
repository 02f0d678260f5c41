//! Frames made by hand, for the trunk: what a broken or foreign access node would send.

use std::net::Ipv4Addr;

use olt_sim::wire::MacAddr;
use olt_sim::wire::checksum;

const TPID_S: u16 = 0x88a8;
const TPID_C: u16 = 0x8100;
const IPV4: u16 = 0x0800;
const UDP: u8 = 17;
const IP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags {
    pub s_vlan: u16,
    pub c_vlan: u16,
}

/// A UDP packet, TTL 64, in a frame with two tags.
pub fn udp_frame(
    destination: MacAddr,
    source: MacAddr,
    tags: Tags,
    from: (Ipv4Addr, u16),
    to: (Ipv4Addr, u16),
    payload: &[u8],
) -> Vec<u8> {
    let mut frame = [&destination.0[..], &source.0].concat();
    for half in [TPID_S, tags.s_vlan, TPID_C, tags.c_vlan, IPV4] {
        frame.extend_from_slice(&half.to_be_bytes());
    }
    frame.extend_from_slice(&udp_packet(from, to, payload));
    frame
}

/// An IPv4 packet with a UDP datagram, checksums and all.
pub fn udp_packet(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let udp_bytes = UDP_HEADER_BYTES + payload.len();
    let mut udp = Vec::with_capacity(udp_bytes);
    for half in [from.1, to.1, length(udp_bytes), 0] {
        udp.extend_from_slice(&half.to_be_bytes());
    }
    udp.extend_from_slice(payload);
    let sum = checksum::nonzero(checksum::transport(from.0.octets(), to.0.octets(), UDP, &udp));
    udp[6..8].copy_from_slice(&sum.to_be_bytes());

    let mut packet = vec![0x45, 0];
    packet.extend_from_slice(&length(IP_HEADER_BYTES + udp_bytes).to_be_bytes());
    packet.extend_from_slice(&[0, 0, 0x40, 0, 64, UDP, 0, 0]);
    packet.extend_from_slice(&from.0.octets());
    packet.extend_from_slice(&to.0.octets());
    let sum = checksum::finish(checksum::sum(&packet, 0));
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend_from_slice(&udp);
    packet
}

fn length(bytes: usize) -> u16 {
    u16::try_from(bytes).expect("a packet of a story fits a frame")
}
