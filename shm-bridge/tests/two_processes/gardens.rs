//! One garden that changes all the time: each version permits the same places by another port, so that whoever judges can tell by which
//! version he was judged, and whether it was one alone.

use std::net::Ipv4Addr;

use shm_bridge::garden::{Flow, Index, Judgement, Rule};

pub const PROFILE: u8 = 1;
/// Rules of a version.
pub const RULES: u32 = PLACES + 1;
const PLACES: u32 = 24;
const VERSIONS: u32 = 3;
const TCP: u8 = 6;
const ICMP: u8 = 1;

/// A host or network each: some share a /26 or a /20, others lie alone.
fn place(n: u32) -> (u32, u8) {
    match n % 3 {
        0 => (0x0a00_0000 + n, 32),
        1 => (0x0a01_0000 + (n << 6), 27),
        _ => (0xc000_0000 + (n << 16), 24),
    }
}

pub fn rules(version: u32) -> Vec<Rule> {
    let port = port(version);
    let by_port = (0..PLACES).map(|n| {
        // Every other version has its networks in other places of the trie: a bit longer.
        let (network, len) = place(n);
        Rule {
            network: Ipv4Addr::from(network),
            prefix_len: (len + (version % 2) as u8).min(32),
            protocol: Some(TCP),
            ports: Some((port, port)),
        }
    });
    let pings = Rule {
        network: Ipv4Addr::UNSPECIFIED,
        prefix_len: 0,
        protocol: Some(ICMP),
        ports: None,
    };
    by_port.chain([pings]).collect()
}

fn port(version: u32) -> u16 {
    1000 + (version % VERSIONS) as u16
}

/// The port by which this index permits all places; `None` where it is not one and the same for all, or a ping is not permitted.
pub fn port_of(index: Index<'_>) -> Option<u16> {
    let mut seen = None;
    for n in 0..PLACES {
        let judge = |protocol, far_port| {
            let far_address = place(n).0;
            index.judge(
                PROFILE,
                &Flow {
                    far_address,
                    protocol,
                    far_port,
                },
            )
        };
        if judge(ICMP, None) != Judgement::Permitted {
            return None;
        }
        for port in (0..VERSIONS).map(port) {
            match judge(TCP, Some(port)) {
                Judgement::Permitted if seen.is_none_or(|seen| seen == port) => seen = Some(port),
                Judgement::Refused if seen != Some(port) => {}
                _ => return None,
            }
        }
    }
    seen
}
