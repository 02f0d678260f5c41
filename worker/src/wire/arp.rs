//! ARP for IPv4 over Ethernet (RFC 826).

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

pub const PACKET_BYTES: usize = 28;

pub const REQUEST: u16 = 1;
pub const REPLY: u16 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Arp {
    pub hardware: U16,
    pub protocol: U16,
    pub hardware_len: u8,
    pub protocol_len: u8,
    pub operation: U16,
    pub sender_mac: [u8; 6],
    pub sender: U32,
    pub target_mac: [u8; 6],
    pub target: U32,
}

const _: () = assert!(size_of::<Arp>() == PACKET_BYTES);

impl Arp {
    pub fn new(operation: u16, sender: ([u8; 6], u32), target: ([u8; 6], u32)) -> Arp {
        Arp {
            hardware: U16::new(1),
            protocol: U16::new(super::ethernet::IPV4),
            hardware_len: 6,
            protocol_len: 4,
            operation: U16::new(operation),
            sender_mac: sender.0,
            sender: U32::new(sender.1),
            target_mac: target.0,
            target: U32::new(target.1),
        }
    }

    /// Whether it is a request or reply of IPv4 over Ethernet.
    pub fn is_ethernet_ipv4(&self) -> bool {
        self.hardware.get() == 1
            && self.protocol.get() == super::ethernet::IPV4
            && self.hardware_len == 6
            && self.protocol_len == 4
            && matches!(self.operation.get(), REQUEST | REPLY)
    }
}
