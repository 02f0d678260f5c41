//! Frames for tests, field by field, right or wrong on purpose.

use std::net::Ipv4Addr;

use crate::wire::{arp, checksum, ethernet, icmp, ipv4};

/// The link header of a frame, and what it carries.
#[derive(Clone, Debug)]
pub struct Link {
    pub destination: [u8; 6],
    pub source: [u8; 6],
    /// (TPID, TCI), outermost first.
    pub tags: Vec<(u16, u16)>,
    pub ethertype: u16,
    pub payload: Vec<u8>,
}

impl Link {
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [self.destination, self.source].concat();
        for (tpid, tci) in &self.tags {
            bytes.extend(tpid.to_be_bytes());
            bytes.extend(tci.to_be_bytes());
        }
        bytes.extend(self.ethertype.to_be_bytes());
        bytes.extend(&self.payload);
        bytes
    }
}

/// An IPv4 packet. `bytes` computes the lengths and the checksum.
#[derive(Clone, Debug)]
pub struct Ip {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    pub ttl: u8,
    pub tos: u8,
    pub id: u16,
    /// Flags and offset, as they stand in the header.
    pub fragment: u16,
    /// A multiple of four bytes.
    pub options: Vec<u8>,
    pub payload: Vec<u8>,
}

pub const DONT_FRAGMENT: u16 = 0x4000;
pub const MORE_FRAGMENTS: u16 = 0x2000;

impl Ip {
    pub fn new(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: Vec<u8>) -> Ip {
        Ip {
            source,
            destination,
            protocol,
            ttl: 64,
            tos: 0,
            id: 0x1234,
            fragment: 0,
            options: Vec::new(),
            payload,
        }
    }

    pub fn ttl(self, ttl: u8) -> Ip {
        Ip { ttl, ..self }
    }

    pub fn fragment(self, fragment: u16) -> Ip {
        Ip { fragment, ..self }
    }

    pub fn options(self, options: &[u8]) -> Ip {
        Ip {
            options: options.to_vec(),
            ..self
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let header_len = ipv4::HEADER_BYTES + self.options.len();
        let mut bytes = vec![0x40 | (header_len / 4) as u8, self.tos];
        bytes.extend(((header_len + self.payload.len()) as u16).to_be_bytes());
        bytes.extend(self.id.to_be_bytes());
        bytes.extend(self.fragment.to_be_bytes());
        bytes.extend([self.ttl, self.protocol, 0, 0]);
        bytes.extend(self.source.octets());
        bytes.extend(self.destination.octets());
        bytes.extend(&self.options);
        let sum = checksum::field(checksum::sum(&bytes));
        bytes[10..12].copy_from_slice(&sum);
        bytes.extend(&self.payload);
        bytes
    }
}

/// Bytes that tell where they were.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| i as u8).collect()
}

/// A UDP datagram without payload; no checksum (RFC 768 permits that).
pub fn udp(source: Ipv4Addr, destination: Ipv4Addr, from: u16, to: u16) -> Ip {
    udp_with(source, destination, from, to, 0)
}

/// A UDP datagram with `len` bytes of payload.
pub fn udp_with(source: Ipv4Addr, destination: Ipv4Addr, from: u16, to: u16, len: usize) -> Ip {
    let mut payload = [
        from.to_be_bytes(),
        to.to_be_bytes(),
        (8 + len as u16).to_be_bytes(),
        [0; 2],
    ]
    .concat();
    payload.extend(pattern(len));
    Ip::new(source, destination, ipv4::UDP, payload)
}

/// A TCP segment with SYN set.
pub fn tcp(source: Ipv4Addr, destination: Ipv4Addr, from: u16, to: u16) -> Ip {
    let mut payload = [from.to_be_bytes(), to.to_be_bytes()].concat();
    payload.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    Ip::new(source, destination, ipv4::TCP, payload)
}

/// An ICMP echo request with its checksum.
pub fn echo(source: Ipv4Addr, destination: Ipv4Addr) -> Ip {
    Ip::new(
        source,
        destination,
        ipv4::ICMP,
        icmp_message(icmp::ECHO_REQUEST, 0, 56),
    )
}

/// An ICMP message with `len` bytes behind its header.
pub fn icmp_message(kind: u8, code: u8, len: usize) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0x12, 0x34, 0, 7];
    message.extend(pattern(len));
    let sum = checksum::field(checksum::sum(&message));
    message[2..4].copy_from_slice(&sum);
    message
}

/// A BOOTREQUEST of the least length, as a client that has no address sends it.
pub fn dhcp_discover(mac: [u8; 6]) -> Ip {
    dhcp_request(mac, Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST)
}

/// A BOOTREQUEST from and to given addresses.
pub fn dhcp_request(mac: [u8; 6], source: Ipv4Addr, destination: Ipv4Addr) -> Ip {
    let mut message = vec![1, 1, 6, 0];
    message.resize(28, 0);
    message.extend(mac);
    message.resize(236, 0);
    message.extend([99, 130, 83, 99, 53, 1, 1, 255]);
    message.resize(300, 0);
    let mut ip = udp_with(source, destination, 68, 67, message.len());
    ip.payload[8..].copy_from_slice(&message);
    ip
}

/// An ARP packet.
pub fn arp(operation: u16, sender: ([u8; 6], Ipv4Addr), target: ([u8; 6], Ipv4Addr)) -> Vec<u8> {
    use zerocopy::IntoBytes;
    let sender = (sender.0, u32::from(sender.1));
    arp::Arp::new(operation, sender, (target.0, u32::from(target.1)))
        .as_bytes()
        .to_vec()
}

/// An ARP request as hosts broadcast it.
pub fn arp_request(sender: ([u8; 6], Ipv4Addr), target: Ipv4Addr) -> Link {
    Link {
        destination: ethernet::BROADCAST,
        source: sender.0,
        tags: Vec::new(),
        ethertype: ethernet::ARP,
        payload: arp(arp::REQUEST, sender, ([0; 6], target)),
    }
}
