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

/// One frame of session `index`; `bytes` includes the FCS, as line rates are stated.
pub fn frame(direction: Direction, index: u32, bytes: usize) -> Vec<u8> {
    let subscriber = Subscriber::new(index);
    let bytes = bytes.saturating_sub(4);
    let mut out = match direction {
        Direction::Upstream => {
            let inner = bytes.saturating_sub(14 + 8 + 28);
            let builder = PacketBuilder::ethernet2(subscriber.mac, ACCESS_MAC)
                .ipv4(subscriber.ipv4.octets(), far_end(index).octets(), 64)
                .udp(9, 9);
            let mut out = Vec::with_capacity(bytes);
            // Writing to a Vec fails only for payloads that no frame can have.
            builder
                .write(&mut out, &vec![0; inner])
                .expect("frame fits an IPv4 packet");
            let tags = [
                0x88a8u16.to_be_bytes(),
                subscriber.s_vlan.to_be_bytes(),
                0x8100u16.to_be_bytes(),
                subscriber.c_vlan.to_be_bytes(),
            ];
            out.splice(12..12, tags.into_iter().flatten());
            out
        }
        Direction::Downstream => {
            let inner = bytes.saturating_sub(14 + 28);
            let builder = PacketBuilder::ethernet2(NEXT_HOP_MAC, CORE_MAC)
                .ipv4(far_end(index).octets(), subscriber.ipv4.octets(), 64)
                .udp(9, 9);
            let mut out = Vec::with_capacity(bytes);
            builder
                .write(&mut out, &vec![0; inner])
                .expect("frame fits an IPv4 packet");
            out
        }
    };
    out.resize(out.len().max(bytes), 0);
    out
}

/// Writes a pcap of `packets` frames over `sessions` sessions.
pub fn write_pcap(
    mut out: impl Write,
    direction: Direction,
    sessions: u32,
    packets: u32,
    bytes: usize,
    seed: u64,
) -> io::Result<()> {
    let mut order: Vec<u32> = (0..packets).map(|i| i % sessions).collect();
    shuffle(&mut order, seed);
    // libpcap's classic header: microseconds, version 2.4, Ethernet.
    let header: [u32; 6] = [0xa1b2_c3d4, 2 | 4 << 16, 0, 0, 65_535, 1];
    for word in header {
        out.write_all(&word.to_le_bytes())?;
    }
    for (time, session) in order.into_iter().enumerate() {
        let frame = frame(direction, session, bytes);
        let (time, len) = (time as u32, frame.len() as u32);
        for word in [time / 1_000_000, time % 1_000_000, len, len] {
            out.write_all(&word.to_le_bytes())?;
        }
        out.write_all(&frame)?;
    }
    out.flush()
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
}
