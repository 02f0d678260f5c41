//! The lines, MAC addresses and far ends of a measurement. Who subscriber `i` is, is the rule of `sluice bench ndr`.

use std::net::Ipv4Addr;
use std::sync::LazyLock;

use sluice_worker::ndr::subscribers::{SESSIONS_MAX, Subscriber, Subscribers};

/// The addresses on both sides of a gateway.
#[derive(Clone, Debug)]
pub struct Network {
    pub subscribers: Subscribers,
    /// The gateway's MAC address on its access port.
    pub access_mac: [u8; 6],
    /// The gateway's MAC address on its core port.
    pub core_mac: [u8; 6],
    /// The core's next hop.
    pub next_hop_mac: [u8; 6],
    pub outer_tpid: u16,
}

/// The address of session 0 in the harness: the shared address space (RFC 6598).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 0);

/// What the harness measures on: session `i` is S-VLAN `1 + i / 4094`, C-VLAN `1 + i % 4094`, MAC `02:01` and `i`, address
/// 100.64.0.0 + `i`.
pub static HARNESS: LazyLock<Network> = LazyLock::new(|| {
    let ids = || "1-4094".parse().expect("a range of VLAN ids");
    Network {
        subscribers: Subscribers::new(&ids(), &ids(), FIRST_ADDRESS, SESSIONS_MAX)
            .expect("2^20 sessions fit 4094 x 4094 lines and a /10"),
        access_mac: [0x02, 0, 0, 0, 0, 0x01],
        core_mac: [0x02, 0, 0, 0, 0, 0x02],
        next_hop_mac: [0x02, 0, 0, 0, 0, 0x03],
        outer_tpid: 0x88a8,
    }
});

/// Session `index` of the harness.
pub fn subscriber(index: u32) -> Subscriber {
    HARNESS.subscribers.get(index)
}

/// Its address.
pub fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(subscriber(index).ipv4)
}

/// Where a session's packets go, and come from.
pub type FarEnd = fn(u32) -> Ipv4Addr;

/// A far end of session `i`: 256 hosts of 198.18.0.0/24 (RFC 2544 appendix C.2.2).
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

/// In a mix with refused frames, whether session `i` is in the garden: one of eight.
pub fn is_in_garden(index: u32) -> bool {
    index % 8 == 7
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_4094_is_the_first_line_of_the_second_s_vlan() {
        let who = subscriber(4094);
        assert_eq!((who.s_vlan, who.c_vlan), (2, 1));
        assert_eq!(who.mac, [0x02, 0x01, 0, 0, 0x0f, 0xfe]);
        assert_eq!(address(4094), Ipv4Addr::new(100, 64, 15, 254));
    }

    #[test]
    fn every_garden_prefix_is_somebodys() {
        let mut seen: Vec<Ipv4Addr> = (0..GARDEN_PREFIXES).map(garden_far_end).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), GARDEN_PREFIXES as usize);
    }
}
