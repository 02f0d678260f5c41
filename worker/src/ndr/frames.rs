//! The frame that is sent for a session, and the one that must come back.
//!
//! ```text
//!   access side   Ethernet │ S-tag │ C-tag │ IPv4 │ UDP │ stamp │ filler
//!   core side     Ethernet │                 IPv4 │ UDP │ stamp │ filler
//!
//!   IPv4 id       the trial            UDP ports     the session: 0x8000 + 15 bits each, source port low
//!   stamp         number of the frame in its session (4) · ns when sent, low half (4) · check over both, session and trial (2)
//! ```
//!
//! A gateway changes the link header, the TTL and the header checksum, and nothing else: the rest is compared byte by byte. A
//! 64-byte frame with two tags has room for exactly the stamp.

use arrayvec::ArrayVec;
use shm_bridge::Direction;

use super::subscribers::Subscribers;
use crate::wire::checksum;

pub const STAMP_BYTES: usize = 10;
const FCS_BYTES: usize = 4;
const ETHERNET_BYTES: usize = 14;
const TAGS_BYTES: usize = 8;
const IP_UDP_BYTES: usize = 28;
const HEAD_BYTES_MAX: usize = ETHERNET_BYTES + TAGS_BYTES + IP_UDP_BYTES;
/// Without FCS; devices pad to it.
const FRAME_BYTES_MIN: usize = 60;
/// With FCS: an IP packet of 1,500 bytes behind two tags.
pub const FRAME_BYTES_LARGEST: usize = 1526;
pub const FRAME_BYTES_SMALLEST: usize = 64;
/// Frame lengths in the shares of 7:4:1, 354 bytes on average.
pub const IMIX: [usize; 12] = [64, 570, 64, 64, 570, 64, 1518, 64, 570, 64, 64, 570];
const TTL_SENT: u8 = 64;
/// 198.18.0.0/15 is for this (RFC 2544 appendix C.2.2).
const FAR_NETWORK: u32 = 0xc612_0000;

const FILLER: [u8; FRAME_BYTES_LARGEST] = {
    let mut bytes = [0; FRAME_BYTES_LARGEST];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = (at * 7 + 1) as u8;
        at += 1;
    }
    bytes
};

/// Where a frame stands: before the device under test, or behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Sent,
    Received,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub number: u32,
    pub time_ns: u32,
}

/// What a received frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judged {
    Whole {
        session: u32,
        stamp: Stamp,
    },
    /// Ours, of this trial, and not as it must be.
    Corrupt {
        session: u32,
    },
    /// Of an earlier trial.
    Stale,
    /// None of ours.
    Foreign,
}

/// The addresses on both sides.
#[derive(Clone, Debug)]
pub struct Frames {
    pub subscribers: Subscribers,
    /// The device's MAC addresses on its two sides.
    pub access_mac: [u8; 6],
    pub core_mac: [u8; 6],
    /// The tester's own, as the device's next hop on its core side.
    pub next_hop_mac: [u8; 6],
    pub outer_tpid: u16,
}

impl Frames {
    /// Writes a frame of `bytes` (with FCS, which is not written) into `out`, and returns its length there.
    pub fn write(
        &self,
        out: &mut [u8; FRAME_BYTES_LARGEST],
        direction: Direction,
        (session, trial): (u32, u16),
        stamp: Stamp,
        bytes: usize,
    ) -> usize {
        let bytes = bytes.clamp(FRAME_BYTES_SMALLEST, FRAME_BYTES_LARGEST) - FCS_BYTES;
        let packet = bytes - link_bytes(direction, Stage::Sent);
        let head = self.head(direction, Stage::Sent, session, trial, packet);
        out[..head.len()].copy_from_slice(&head);
        let body = &mut out[head.len()..bytes];
        body.copy_from_slice(&FILLER[..body.len()]);
        body[..4].copy_from_slice(&stamp.number.to_be_bytes());
        body[4..8].copy_from_slice(&stamp.time_ns.to_be_bytes());
        body[8..10].copy_from_slice(&check(session, trial, stamp));
        bytes
    }

    /// Judges a frame that came out of the device in this direction.
    pub fn judge(&self, frame: &[u8], direction: Direction, trial: u16) -> Judged {
        let link = link_bytes(direction, Stage::Received);
        let Some((head, body)) = frame.split_at_checked(link + IP_UDP_BYTES) else {
            return Judged::Foreign;
        };
        let (ip, word) = (&head[link..], |at: usize| {
            u16::from_be_bytes([head[at], head[at + 1]])
        });
        let (low, high) = (word(link + 20), word(link + 22));
        if ip[0] != 0x45 || ip[9] != 17 || low & high & 0x8000 == 0 {
            return Judged::Foreign;
        }
        let session = u32::from(low & 0x7fff) | u32::from(high & 0x7fff) << 15;
        if session >= self.subscribers.count() {
            return Judged::Foreign;
        }
        if word(link + 4) != trial {
            return Judged::Stale;
        }
        let corrupt = Judged::Corrupt { session };
        let packet = usize::from(word(link + 2));
        let Some(body_bytes) = packet
            .checked_sub(IP_UDP_BYTES)
            .filter(|bytes| *bytes >= STAMP_BYTES)
        else {
            return corrupt;
        };
        // Longer only where a device has padded to the least length.
        let length_right =
            frame.len() == link + packet || (link + packet < frame.len() && frame.len() == FRAME_BYTES_MIN);
        let Some(body) = body.get(..body_bytes).filter(|_| length_right) else {
            return corrupt;
        };
        let stamp = Stamp {
            number: u32::from_be_bytes([body[0], body[1], body[2], body[3]]),
            time_ns: u32::from_be_bytes([body[4], body[5], body[6], body[7]]),
        };
        let filler = FILLER.get(STAMP_BYTES..body_bytes);
        let right = head
            == self
                .head(direction, Stage::Received, session, trial, packet)
                .as_slice()
            && body[8..STAMP_BYTES] == check(session, trial, stamp)
            && filler == Some(&body[STAMP_BYTES..]);
        if right {
            Judged::Whole { session, stamp }
        } else {
            corrupt
        }
    }

    fn head(
        &self,
        direction: Direction,
        stage: Stage,
        session: u32,
        trial: u16,
        packet: usize,
    ) -> ArrayVec<u8, HEAD_BYTES_MAX> {
        let who = self.subscribers.get(session);
        let far = FAR_NETWORK | (session & 0xff);
        let (destination, source) = match (direction, stage) {
            (Direction::Upstream, Stage::Sent) => (self.access_mac, who.mac),
            (Direction::Upstream, Stage::Received) => (self.next_hop_mac, self.core_mac),
            (Direction::Downstream, Stage::Sent) => (self.core_mac, self.next_hop_mac),
            (Direction::Downstream, Stage::Received) => (who.mac, self.access_mac),
        };
        let (from, to) = match direction {
            Direction::Upstream => (who.ipv4, far),
            Direction::Downstream => (far, who.ipv4),
        };
        let ttl = match stage {
            Stage::Sent => TTL_SENT,
            Stage::Received => TTL_SENT - 1,
        };
        let mut head = ArrayVec::new();
        head.extend(destination);
        head.extend(source);
        if link_bytes(direction, stage) > ETHERNET_BYTES {
            for half in [self.outer_tpid, who.s_vlan, 0x8100, who.c_vlan] {
                head.extend(half.to_be_bytes());
            }
        }
        head.extend([0x08, 0x00]);
        let mut ip = [0u8; 20];
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&(packet as u16).to_be_bytes());
        ip[4..6].copy_from_slice(&trial.to_be_bytes());
        ip[8..10].copy_from_slice(&[ttl, 17]);
        ip[12..16].copy_from_slice(&from.to_be_bytes());
        ip[16..20].copy_from_slice(&to.to_be_bytes());
        let sum = checksum::field(checksum::header_sum(&ip));
        ip[10..12].copy_from_slice(&sum);
        head.extend(ip);
        let udp_bytes = packet.saturating_sub(20) as u16;
        for half in [
            0x8000 | (session & 0x7fff) as u16,
            0x8000 | (session >> 15) as u16,
            udp_bytes,
            0,
        ] {
            head.extend(half.to_be_bytes());
        }
        head
    }
}

fn link_bytes(direction: Direction, stage: Stage) -> usize {
    match (direction, stage) {
        (Direction::Upstream, Stage::Sent) | (Direction::Downstream, Stage::Received) => {
            ETHERNET_BYTES + TAGS_BYTES
        }
        _ => ETHERNET_BYTES,
    }
}

/// Sixteen bits of a multiplicative mix.
fn check(session: u32, trial: u16, stamp: Stamp) -> [u8; 2] {
    let words = u64::from(stamp.number) << 32 | u64::from(stamp.time_ns);
    let about = u64::from(session) << 16 | u64::from(trial);
    let mixed = (words ^ about.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((mixed >> 48) as u16).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn frames() -> Frames {
        let ids = |text: &str| text.parse().unwrap();
        Frames {
            subscribers: Subscribers::new(&ids("1-20"), &ids("1-4094"), Ipv4Addr::new(100, 64, 0, 0), 65_536)
                .unwrap(),
            access_mac: [2, 0, 0, 0, 0, 1],
            core_mac: [2, 0, 0, 0, 0, 2],
            next_hop_mac: [2, 0, 0, 0, 0, 3],
            outer_tpid: 0x88a8,
        }
    }

    /// What a gateway makes of a frame.
    fn through(frames: &Frames, direction: Direction, session: u32, frame: &[u8]) -> Vec<u8> {
        let who = frames.subscribers.get(session);
        let mut packet = frame[link_bytes(direction, Stage::Sent)..].to_vec();
        packet[8] -= 1;
        packet[10..12].fill(0);
        let sum = checksum::field(checksum::sum(&packet[..20]));
        packet[10..12].copy_from_slice(&sum);
        let mut out = match direction {
            Direction::Upstream => [frames.next_hop_mac, frames.core_mac].concat(),
            Direction::Downstream => {
                let mut link = [who.mac, frames.access_mac].concat();
                for half in [0x88a8, who.s_vlan, 0x8100, who.c_vlan] {
                    link.extend(half.to_be_bytes());
                }
                link
            }
        };
        out.extend([0x08, 0x00]);
        out.extend(packet);
        out
    }

    #[test]
    fn a_frame_comes_back_whole_and_any_changed_byte_is_seen() {
        let frames = frames();
        let (session, trial) = (40_000, 7);
        let stamp = Stamp {
            number: 9,
            time_ns: 0xdead_beef,
        };
        for direction in [Direction::Upstream, Direction::Downstream] {
            for bytes in [64, 128, 570, 1518] {
                let mut out = [0; FRAME_BYTES_LARGEST];
                let len = frames.write(&mut out, direction, (session, trial), stamp, bytes);
                assert_eq!(len, bytes - 4);
                let back = through(&frames, direction, session, &out[..len]);

                assert_eq!(
                    frames.judge(&back, direction, trial),
                    Judged::Whole { session, stamp }
                );
                assert_eq!(frames.judge(&back, direction, trial + 1), Judged::Stale);
                for at in 0..back.len() {
                    let mut changed = back.clone();
                    changed[at] ^= 0x10;
                    let judged = frames.judge(&changed, direction, trial);
                    assert!(
                        !matches!(judged, Judged::Whole { .. }),
                        "{direction:?} {bytes} byte {at}"
                    );
                }
                for cut in 0..back.len() {
                    let judged = frames.judge(&back[..cut], direction, trial);
                    assert!(!matches!(judged, Judged::Whole { .. }), "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn padding_to_the_least_length_is_no_damage() {
        let frames = frames();
        let mut out = [0; FRAME_BYTES_LARGEST];
        let stamp = Stamp {
            number: 0,
            time_ns: 1,
        };
        let len = frames.write(&mut out, Direction::Upstream, (5, 1), stamp, 64);
        let mut back = through(&frames, Direction::Upstream, 5, &out[..len]);
        back.resize(60, 0);

        assert_eq!(
            frames.judge(&back, Direction::Upstream, 1),
            Judged::Whole { session: 5, stamp }
        );
    }
}
