//! A frame of a session, and the one that must come out of the gateway: made anew, not derived from what went in.
//!
//! Lengths include the FCS, as line rates are stated; the bytes do not.

use std::net::Ipv4Addr;

use etherparse::PacketBuilder;
use shm_bridge::{Direction, DropReason};
use sluice_worker::ndr::subscribers::Subscriber;

use super::mix::Malformation;
use super::network::{FarEnd, Network};

const FCS_BYTES: usize = 4;
const ETHERNET_BYTES: usize = 14;
const TAGS_BYTES: usize = 8;
const IP_UDP_BYTES: usize = 28;
const TTL: u8 = 64;
/// Discard (RFC 863).
const PORTS: (u16, u16) = (9, 9);
const DHCP_PORTS: (u16, u16) = (68, 67);
/// What a host cannot have: loopback, from the core side.
const MARTIAN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);

/// What is measured, a frame at a time.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'n> {
    pub network: &'n Network,
    pub direction: Direction,
    pub far_end: FarEnd,
}

/// Who sends to whom.
struct Way {
    macs: [[u8; 6]; 2],
    addresses: [Ipv4Addr; 2],
    /// Tags in front of the packet: the access side.
    line: Option<Subscriber>,
}

impl Frames<'_> {
    /// A frame as the gateway receives it.
    pub fn plain(&self, session: u32, bytes: usize) -> Vec<u8> {
        self.build(&self.received(session), (PORTS, TTL), bytes)
    }

    /// What the gateway makes of [`Frames::plain`] of the same length: as long as that one, less or more its tags.
    pub fn forwarded(&self, session: u32, bytes: usize) -> Vec<u8> {
        let bytes = match self.direction {
            Direction::Upstream => bytes.saturating_sub(TAGS_BYTES),
            Direction::Downstream => bytes + TAGS_BYTES,
        };
        self.build(&self.sent(session), (PORTS, TTL - 1), bytes)
    }

    /// With an address that is not the session's (upstream), or no host's (downstream).
    pub fn spoofed_address(&self, session: u32, bytes: usize) -> (Vec<u8>, DropReason) {
        let mut way = self.received(session);
        let reason = match self.direction {
            Direction::Upstream => {
                way.addresses[0] = Ipv4Addr::from(self.neighbour(session).ipv4);
                DropReason::SpoofedAddress
            }
            Direction::Downstream => {
                way.addresses[0] = MARTIAN;
                DropReason::BadSourceAddress
            }
        };
        (self.build(&way, (PORTS, TTL), bytes), reason)
    }

    /// With a neighbour's MAC address; the core side has no such thing, and gets a martian.
    pub fn spoofed_mac(&self, session: u32, bytes: usize) -> (Vec<u8>, DropReason) {
        if self.direction == Direction::Downstream {
            return self.spoofed_address(session, bytes);
        }
        let mut way = self.received(session);
        way.macs[0] = self.neighbour(session).mac;
        (self.build(&way, (PORTS, TTL), bytes), DropReason::SpoofedMac)
    }

    pub fn malformed(&self, session: u32, bytes: usize, how: Malformation) -> (Vec<u8>, DropReason) {
        let mut frame = self.plain(session, bytes);
        let ip = match self.direction {
            Direction::Upstream => ETHERNET_BYTES + TAGS_BYTES,
            Direction::Downstream => ETHERNET_BYTES,
        };
        let reason = match how {
            Malformation::CutShort => {
                frame.truncate(ip + 10);
                DropReason::Truncated
            }
            Malformation::WrongTags => {
                match self.direction {
                    Direction::Upstream => frame[16..18].copy_from_slice(&[0x91, 0x00]),
                    Direction::Downstream => drop(frame.splice(12..12, [0x81, 0x00, 0x00, 0x05])),
                }
                DropReason::BadTags
            }
            Malformation::UnknownEthertype => {
                // For local experiments (IEEE 802, clause 9.2.3).
                frame[ip - 2..ip].copy_from_slice(&[0x88, 0xb5]);
                DropReason::UnknownEthertype
            }
            Malformation::WrongVersion => {
                frame[ip] = 0x65;
                DropReason::BadIpHeader
            }
            Malformation::WrongLength => {
                frame[ip + 2..ip + 4].copy_from_slice(&[0xff, 0xff]);
                DropReason::BadIpHeader
            }
            Malformation::WrongChecksum => {
                frame[ip + 11] ^= 0x01;
                DropReason::BadIpChecksum
            }
        };
        (frame, reason)
    }

    /// A DISCOVER as a client without an address sends it (RFC 2131, section 4.4.1): 300 bytes of message, whatever the frames' length.
    pub fn discover(&self, session: u32) -> Vec<u8> {
        const MESSAGE_BYTES: usize = 300;
        let who = self.network.subscribers.get(session);
        let way = Way {
            macs: [who.mac, [0xff; 6]],
            addresses: [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST],
            line: Some(who),
        };
        let head = ETHERNET_BYTES + TAGS_BYTES + IP_UDP_BYTES;
        let mut frame = self.build(&way, (DHCP_PORTS, TTL), head + MESSAGE_BYTES + FCS_BYTES);
        let message = &mut frame[head..];
        message[..4].copy_from_slice(&[1, 1, 6, 0]);
        message[4..8].copy_from_slice(&session.to_be_bytes());
        message[28..34].copy_from_slice(&who.mac);
        message[236..244].copy_from_slice(&[99, 130, 83, 99, 53, 1, 1, 255]);
        // No UDP checksum: the message was written after it (RFC 768 permits none).
        frame[head - 2..head].fill(0);
        frame
    }

    fn neighbour(&self, session: u32) -> Subscriber {
        self.network.subscribers.get(session ^ 1)
    }

    fn received(&self, session: u32) -> Way {
        let (network, who) = (self.network, self.network.subscribers.get(session));
        let (near, far) = (Ipv4Addr::from(who.ipv4), (self.far_end)(session));
        match self.direction {
            Direction::Upstream => Way {
                macs: [who.mac, network.access_mac],
                addresses: [near, far],
                line: Some(who),
            },
            Direction::Downstream => Way {
                macs: [network.next_hop_mac, network.core_mac],
                addresses: [far, near],
                line: None,
            },
        }
    }

    fn sent(&self, session: u32) -> Way {
        let (network, who) = (self.network, self.network.subscribers.get(session));
        let (near, far) = (Ipv4Addr::from(who.ipv4), (self.far_end)(session));
        match self.direction {
            Direction::Upstream => Way {
                macs: [network.core_mac, network.next_hop_mac],
                addresses: [near, far],
                line: None,
            },
            Direction::Downstream => Way {
                macs: [network.access_mac, who.mac],
                addresses: [far, near],
                line: Some(who),
            },
        }
    }

    /// A UDP datagram in a frame of this length, or the least that holds the headers.
    fn build(&self, way: &Way, (ports, ttl): ((u16, u16), u8), bytes: usize) -> Vec<u8> {
        let tags = if way.line.is_some() { TAGS_BYTES } else { 0 };
        let payload = bytes.saturating_sub(FCS_BYTES + ETHERNET_BYTES + tags + IP_UDP_BYTES);
        let builder = PacketBuilder::ethernet2(way.macs[0], way.macs[1])
            .ipv4(way.addresses[0].octets(), way.addresses[1].octets(), ttl)
            .udp(ports.0, ports.1);
        let mut frame = Vec::with_capacity(bytes);
        // Writing to a Vec fails only for payloads that no frame can have.
        builder
            .write(&mut frame, &vec![0; payload])
            .expect("frame fits an IPv4 packet");
        if let Some(line) = way.line {
            let tags = [self.network.outer_tpid, line.s_vlan, 0x8100, line.c_vlan].map(u16::to_be_bytes);
            frame.splice(12..12, tags.into_iter().flatten());
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::network::{HARNESS, far_end};

    fn frames(direction: Direction) -> Frames<'static> {
        Frames {
            network: &HARNESS,
            direction,
            far_end,
        }
    }

    #[test]
    fn a_64_byte_frame_is_60_bytes_in_the_file_and_carries_its_tags() {
        let up = frames(Direction::Upstream).plain(4094, 64);
        assert_eq!(up.len(), 60);
        assert_eq!(up[12..20], [0x88, 0xa8, 0, 2, 0x81, 0, 0, 1]);
        assert_eq!(frames(Direction::Downstream).plain(7, 1518).len(), 1514);
    }

    #[test]
    fn upstream_loses_its_tags_and_downstream_gains_them() {
        let up = frames(Direction::Upstream).forwarded(5, 64);
        let down = frames(Direction::Downstream).forwarded(5, 64);
        assert_eq!((up.len(), down.len()), (52, 68));
        assert_eq!((up[22], down[30]), (63, 63));
        assert_eq!(down[12..20], [0x88, 0xa8, 0, 1, 0x81, 0, 0, 6]);
    }

    #[test]
    fn a_discover_is_a_broadcast_of_the_sessions_host() {
        let frame = frames(Direction::Upstream).discover(3);
        assert_eq!(frame.len(), 14 + 8 + 28 + 300);
        assert_eq!((frame[0], &frame[6..12]), (0xff, &[2, 1, 0, 0, 0, 3][..]));
        assert_eq!(frame[50 + 28..50 + 34], [2, 1, 0, 0, 0, 3]);
    }
}
