//! The Internet checksum (RFC 1071) and completing a transport checksum that the sending kernel left to
//! its network card.

use super::ethernet::{ETHERTYPE_IPV4, ethertype};
use super::ipv4::{Ipv4, PROTOCOL_TCP, PROTOCOL_UDP};

/// Sum of 16-bit words, carries not yet folded.
pub fn sum(bytes: &[u8], mut total: u32) -> u32 {
    let mut words = bytes.chunks_exact(2);
    for word in &mut words {
        total += u32::from(u16::from_be_bytes([word[0], word[1]]));
        // A frame has fewer than 2^11 words of 2^16: the total cannot overflow 32 bits.
    }
    if let [last] = words.remainder() {
        total += u32::from(*last) << 8;
    }
    total
}

pub fn finish(mut total: u32) -> u16 {
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    !(total as u16)
}

/// Checksum of a UDP datagram or TCP segment with its pseudo header; its checksum field must be zero.
pub fn transport(source: [u8; 4], destination: [u8; 4], protocol: u8, segment: &[u8]) -> u16 {
    let mut total = sum(&source, 0);
    total = sum(&destination, total);
    total += u32::from(protocol) + segment.len() as u32;
    finish(sum(segment, total))
}

/// Computes the TCP or UDP checksum of an untagged IPv4 frame anew. A kernel that believes its device will
/// do so leaves only the pseudo header's sum there (AF_PACKET says TP_STATUS_CSUMNOTREADY); past this node
/// nobody would finish it. Anything else is left as it is.
pub fn complete(frame: &mut [u8]) {
    if ethertype(frame) != Some(ETHERTYPE_IPV4) {
        return;
    }
    let Some(ip) = Ipv4::parse(frame) else { return };
    if ip.is_fragment() {
        return;
    }
    let field = match ip.protocol {
        PROTOCOL_TCP => 16,
        PROTOCOL_UDP => 6,
        _ => return,
    };
    let Some(segment) = frame.get_mut(ip.payload..ip.end) else {
        return;
    };
    if segment.len() < field + 2 {
        return;
    }
    segment[field..field + 2].fill(0);
    let checksum = transport(ip.source.octets(), ip.destination.octets(), ip.protocol, segment);
    segment[field..field + 2].copy_from_slice(&nonzero(checksum).to_be_bytes());
}

/// UDP sends a computed zero as all ones, since zero means "none" (RFC 768); for TCP both are equal.
pub fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}
