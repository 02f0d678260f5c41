//! Frames for measurements: deterministic by seed, one flow a session, in shuffled order.
//!
//! Session `i` is S-VLAN `1 + i / 4094`, C-VLAN `1 + i % 4094`, MAC `02:01:` and `i`, address 100.64.0.0 + `i`.

use std::io::{self, Write};
use std::net::Ipv4Addr;

use etherparse::PacketBuilder;

use shm_bridge::Direction;

/// The BNG's MAC address on its access port.
pub const ACCESS_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The BNG's MAC address on its core port.
pub const CORE_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x02];
/// The core's next hop.
pub const NEXT_HOP_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x03];
/// C-VLANs used of an S-VLAN.
const C_VLANS: u32 = 4094;

/// The tags, MAC and address of session `i`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscriber {
    pub s_vlan: u16,
    pub c_vlan: u16,
    pub mac: [u8; 6],
    pub ipv4: Ipv4Addr,
}

impl Subscriber {
    pub fn new(index: u32) -> Subscriber {
        let [a, b, c, d] = index.to_be_bytes();
        Subscriber {
            s_vlan: (1 + index / C_VLANS) as u16,
            c_vlan: (1 + index % C_VLANS) as u16,
            mac: [0x02, 0x01, a, b, c, d],
            ipv4: Ipv4Addr::from(0x6440_0000 + index),
        }
    }
}

/// A far end of session `i`: 256 hosts of 198.18.0.0/24.
pub fn far_end(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(0xc612_0000 + (index & 0xff))
}

/// Prefixes that the frames of the garden rows go to.
pub const GARDEN_PREFIXES: u32 = 10_000;

/// The far end of session `i` in the garden rows: 10,000 /24s in 64 /16s of 20.0.0.0/10, walked in steps of a prime.
pub fn garden_far_end(index: u32) -> Ipv4Addr {
    let [a, b, c, _] = garden_prefix((index % GARDEN_PREFIXES) * 7919 % GARDEN_PREFIXES).octets();
    Ipv4Addr::new(a, b, c, 9)
}

/// The network of /24 number `prefix`.
pub fn garden_prefix(prefix: u32) -> Ipv4Addr {
    Ipv4Addr::new(20, (prefix % 64) as u8, (prefix / 64) as u8, 0)
}

/// Where a session's packets go, and come from.
pub type FarEnd = fn(u32) -> Ipv4Addr;

/// One frame of session `index`; `bytes` includes the FCS, as line rates are stated.
pub fn frame(direction: Direction, index: u32, bytes: usize) -> Vec<u8> {
    frame_to(direction, index, bytes, far_end)
}

/// The same, with a far end of one's own.
pub fn frame_to(direction: Direction, index: u32, bytes: usize, far_end: FarEnd) -> Vec<u8> {
    let subscriber = Subscriber::new(index);
    let bytes = bytes.saturating_sub(4);
    let mut out = match direction {
        Direction::Upstream => {
            let inner = bytes.saturating_sub(14 + 8 + 28);
            let (from, to) = (subscriber.ipv4, far_end(index));
            tagged(
                &subscriber,
                plain(subscriber.mac, ACCESS_MAC, from, to, 64, inner),
            )
        }
        Direction::Downstream => {
            let inner = bytes.saturating_sub(14 + 28);
            plain(NEXT_HOP_MAC, CORE_MAC, far_end(index), subscriber.ipv4, 64, inner)
        }
    };
    out.resize(out.len().max(bytes), 0);
    out
}

/// What must come out for [`frame_to`]: made anew, not derived from what went in.
pub fn expected(direction: Direction, index: u32, bytes: usize, far_end: FarEnd) -> Vec<u8> {
    let subscriber = Subscriber::new(index);
    let bytes = bytes.saturating_sub(4);
    match direction {
        Direction::Upstream => {
            let inner = bytes.saturating_sub(14 + 8 + 28);
            plain(CORE_MAC, NEXT_HOP_MAC, subscriber.ipv4, far_end(index), 63, inner)
        }
        Direction::Downstream => {
            let inner = bytes.saturating_sub(14 + 28);
            let (from, to) = (far_end(index), subscriber.ipv4);
            tagged(
                &subscriber,
                plain(ACCESS_MAC, subscriber.mac, from, to, 63, inner),
            )
        }
    }
}

/// An Ethernet frame with UDP from port 9 to port 9.
fn plain(
    from_mac: [u8; 6],
    to_mac: [u8; 6],
    from: Ipv4Addr,
    to: Ipv4Addr,
    ttl: u8,
    payload: usize,
) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(from_mac, to_mac)
        .ipv4(from.octets(), to.octets(), ttl)
        .udp(9, 9);
    let mut out = Vec::with_capacity(14 + 28 + payload);
    // Writing to a Vec fails only for payloads that no frame can have.
    builder
        .write(&mut out, &vec![0; payload])
        .expect("frame fits an IPv4 packet");
    out
}

/// The same frame with the tags of a line.
fn tagged(subscriber: &Subscriber, mut frame: Vec<u8>) -> Vec<u8> {
    let tags = [0x88a8, subscriber.s_vlan, 0x8100, subscriber.c_vlan].map(u16::to_be_bytes);
    frame.splice(12..12, tags.into_iter().flatten());
    frame
}

/// The sessions of a file's frames: each as often as the next one, in shuffled order.
pub fn order(sessions: u32, packets: u32, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..packets).map(|i| i % sessions).collect();
    shuffle(&mut order, seed);
    order
}

/// Writes a pcap of `packets` frames over `sessions` sessions.
pub fn write_pcap(
    out: impl Write,
    direction: Direction,
    sessions: u32,
    packets: u32,
    bytes: usize,
    seed: u64,
) -> io::Result<()> {
    let frames = order(sessions, packets, seed);
    write_frames(
        out,
        frames.into_iter().map(|session| frame(direction, session, bytes)),
    )
}

/// Writes frames as libpcap's classic format: microseconds, version 2.4, Ethernet.
pub fn write_frames(mut out: impl Write, frames: impl Iterator<Item = Vec<u8>>) -> io::Result<()> {
    let header: [u32; 6] = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1];
    for word in header {
        out.write_all(&word.to_le_bytes())?;
    }
    for (time, frame) in frames.enumerate() {
        let (time, len) = (time as u32, frame.len() as u32);
        for word in [time / 1_000_000, time % 1_000_000, len, len] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()
}

/// The frames of a classic pcap of this machine's byte order; `None` where it ends in a frame or is none.
pub fn read_frames(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let (header, mut rest) = bytes.split_at_checked(24)?;
    let magic = u32::from_le_bytes(*header.first_chunk()?);
    // Microseconds or nanoseconds.
    if magic != 0xa1b2_c3d4 && magic != 0xa1b2_3c4d {
        return None;
    }
    let mut frames = Vec::new();
    while !rest.is_empty() {
        let (record, after) = rest.split_at_checked(16)?;
        let len = u32::from_le_bytes(*record.get(8..)?.first_chunk()?);
        let (frame, after) = after.split_at_checked(len as usize)?;
        frames.push(frame);
        rest = after;
    }
    Some(frames)
}

/// Fisher and Yates, with a xorshift generator: the same order for the same seed on every machine.
fn shuffle(items: &mut [u32], seed: u64) {
    let mut state = seed | 1;
    for i in (1..items.len()).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        items.swap(i, (state % (i as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_64_byte_frame_is_60_bytes_in_the_file_and_carries_its_tags() {
        let up = frame(Direction::Upstream, 4094, 64);
        assert_eq!(up.len(), 60);
        assert_eq!(up[12..20], [0x88, 0xa8, 0, 2, 0x81, 0, 0, 1]);
        assert_eq!(frame(Direction::Downstream, 7, 1518).len(), 1514);
    }

    #[test]
    fn the_same_seed_gives_the_same_file() {
        let mut files = [Vec::new(), Vec::new()];
        for file in &mut files {
            write_pcap(file, Direction::Upstream, 16, 64, 64, 42).unwrap();
        }
        assert_eq!(files[0], files[1]);
        assert_eq!(files[0].len(), 24 + 64 * (16 + 60));
    }

    #[test]
    fn a_file_reads_back_and_a_cut_one_is_refused() {
        let mut file = Vec::new();
        write_pcap(&mut file, Direction::Downstream, 2, 3, 64, 1).unwrap();
        assert_eq!(read_frames(&file).unwrap().len(), 3);
        assert_eq!(read_frames(&file[..file.len() - 1]), None);
        assert_eq!(read_frames(&[0; 24]), None);
    }

    #[test]
    fn upstream_loses_its_tags_and_downstream_gains_them() {
        let up = expected(Direction::Upstream, 5, 64, far_end);
        let down = expected(Direction::Downstream, 5, 64, far_end);
        assert_eq!((up.len(), down.len()), (52, 68));
        assert_eq!((up[22], down[30]), (63, 63));
        assert_eq!(down[12..20], [0x88, 0xa8, 0, 1, 0x81, 0, 0, 6]);
    }

    #[test]
    fn every_garden_prefix_is_somebodys() {
        let mut seen: Vec<Ipv4Addr> = (0..GARDEN_PREFIXES).map(garden_far_end).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), GARDEN_PREFIXES as usize);
    }
}
