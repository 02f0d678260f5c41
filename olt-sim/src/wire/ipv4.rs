//! The IPv4 and UDP headers of an untagged frame, as offsets into it.

use std::net::Ipv4Addr;

use super::checksum;
use super::ethernet::{HEADER_BYTES, read_u16};

pub const PROTOCOL_TCP: u8 = 6;
pub const PROTOCOL_UDP: u8 = 17;
const MORE_FRAGMENTS_AND_OFFSET: u16 = 0x3fff;

/// An IPv4 header whose lengths agree with the frame: `HEADER_BYTES <= payload <= end <= frame.len()`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4 {
    pub source: Ipv4Addr,
    pub destination: Ipv4Addr,
    pub protocol: u8,
    fragment: u16,
    /// Where the payload begins, counted from the frame's first byte.
    pub payload: usize,
    /// Where the packet ends: what follows is Ethernet padding.
    pub end: usize,
}

impl Ipv4 {
    /// The header behind the Ethernet header. The caller has seen the EtherType.
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let header = frame.get(HEADER_BYTES..)?;
        let fixed = header.first_chunk::<20>()?;
        let header_bytes = usize::from(fixed[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4 || header_bytes < 20 || total < header_bytes || total > header.len() {
            return None;
        }
        Some(Self {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            protocol: fixed[9],
            fragment: u16::from_be_bytes([fixed[6], fixed[7]]),
            payload: HEADER_BYTES + header_bytes,
            end: HEADER_BYTES + total,
        })
    }

    pub fn is_fragment(&self) -> bool {
        self.fragment & MORE_FRAGMENTS_AND_OFFSET != 0
    }

    /// Source and destination port of an unfragmented UDP datagram.
    pub fn udp_ports(&self, frame: &[u8]) -> Option<(u16, u16)> {
        if self.protocol != PROTOCOL_UDP || self.is_fragment() || self.end < self.payload + 8 {
            return None;
        }
        Some((read_u16(frame, self.payload)?, read_u16(frame, self.payload + 2)?))
    }
}

/// Writes the lengths and checksums of an IPv4/UDP frame whose payload has changed its size: `ip.end` is the
/// old end, `end` the new one. A UDP checksum that was absent stays absent.
pub fn refit_udp(frame: &mut [u8], ip: &Ipv4, end: usize) {
    let (Ok(total), Ok(udp_bytes)) = (u16::try_from(end - HEADER_BYTES), u16::try_from(end - ip.payload))
    else {
        return;
    };
    let header = &mut frame[HEADER_BYTES..ip.payload];
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[10..12].fill(0);
    let checksum = checksum::finish(checksum::sum(header, 0));
    header[10..12].copy_from_slice(&checksum.to_be_bytes());

    let datagram = &mut frame[ip.payload..end];
    datagram[4..6].copy_from_slice(&udp_bytes.to_be_bytes());
    if datagram[6..8] == [0, 0] {
        return;
    }
    datagram[6..8].fill(0);
    let checksum = checksum::transport(
        ip.source.octets(),
        ip.destination.octets(),
        PROTOCOL_UDP,
        datagram,
    );
    datagram[6..8].copy_from_slice(&checksum::nonzero(checksum).to_be_bytes());
}
