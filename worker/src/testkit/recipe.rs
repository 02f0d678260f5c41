//! Frames out of arbitrary bytes, for property tests and fuzzers: mostly right packets of a populated world, with some of their
//! bytes wrong, and sometimes nothing but noise.

use std::net::Ipv4Addr;

use shm_bridge::session::{Policy, RowState};

use super::packet::{self, Ip, Link};
use super::world::{
    ACCESS, CORE, CORE_ADDRESS, GARDEN, INTERNET, PORTAL, RESIDENTIAL_GATEWAY, RESOLVER, ROUTER, ROUTER_MAC,
    SHARED_S_VLAN, SINGLE, UNREACHED, UNTAGGED, WGAR_GATEWAY, from_core, port_mac,
};
use super::{Subscriber, World};
use crate::burst::StrippedTags;
use crate::wire::{checksum, ethernet, vlan};

/// A frame as it comes to a port.
#[derive(Clone, Debug)]
pub struct Arriving {
    pub port: u8,
    pub frame: Vec<u8>,
    pub stripped: StrippedTags,
}

/// Subscribers of every kind, on every kind of line.
pub fn populate(world: &mut World) -> Vec<Subscriber> {
    world.policer(1, 8_000, 400);
    let active = Policy::new(RowState::Active);
    let wgar = Policy::new(RowState::Wgar).with_garden(GARDEN);
    let on = |port, s_vlan, c_vlan, host| Subscriber {
        port,
        s_vlan,
        c_vlan,
        ..Subscriber::on_line(104, host)
    };
    let lines = [
        Subscriber::on_line(100, 1),
        Subscriber::on_line(100, 2).policy(active.with_policers(1, 1)),
        Subscriber::on_line(100, 3).policy(active.isolated()),
        Subscriber::on_line(100, 4).policy(active.with_garden(GARDEN)),
        Subscriber::on_line(100, 5).policy(Policy::new(RowState::Terminated)),
        Subscriber::on_line(100, 6).policy(Policy::new(RowState::Suspended)),
        Subscriber::on_line(100, 7).policy(active.with_policers(9999, 9999)),
        Subscriber {
            mtu: 100,
            ..Subscriber::on_line(100, 8)
        },
        Subscriber::in_garden(101, 1),
        Subscriber::in_garden(101, 2).policy(wgar.with_policers(1, 1)),
        on(ACCESS, SHARED_S_VLAN, 7, 1),
        on(ACCESS, SHARED_S_VLAN, 7, 2),
        on(SINGLE, 0, 9, 3),
        on(UNTAGGED, 0, 0, 4),
        on(UNTAGGED, 0, 0, 5).policy(wgar),
    ];
    lines.into_iter().map(|line| world.subscribe(line)).collect()
}

/// Makes a frame. The same bytes make the same frame.
pub fn arriving(recipe: &[u8], lines: &[Subscriber]) -> Arriving {
    let mut recipe = Recipe(recipe);
    let line = *recipe.pick(lines);
    let kind = recipe.next();
    let mut arriving = match kind % 16 {
        0 => noise(&mut recipe),
        1 => arp(&mut recipe, &line),
        2..=9 => upstream(&mut recipe, &line, lines),
        _ => downstream(&mut recipe, &line),
    };
    spoil(&mut recipe, &mut arriving.frame);
    arriving
}

/// What is left of the recipe as it is; mostly sent to us, since what is not ends early.
fn noise(recipe: &mut Recipe<'_>) -> Arriving {
    let port = recipe.next() % 4;
    let to_us = !recipe.one_in(4);
    let mut frame = recipe.0.to_vec();
    if to_us && let Some(place) = frame.get_mut(..6) {
        place.copy_from_slice(&port_mac(port));
    }
    Arriving {
        port,
        frame,
        stripped: StrippedTags::None,
    }
}

fn upstream(recipe: &mut Recipe<'_>, line: &Subscriber, lines: &[Subscriber]) -> Arriving {
    let neighbour = recipe.pick(lines).ipv4;
    let far = *recipe.pick(&[
        INTERNET,
        INTERNET,
        PORTAL,
        RESOLVER,
        RESIDENTIAL_GATEWAY,
        WGAR_GATEWAY,
        CORE_ADDRESS,
        UNREACHED,
        ROUTER,
        neighbour,
        neighbour,
        Ipv4Addr::new(10, 9, 9, 9),
        Ipv4Addr::new(10, 15, 255, 255),
        Ipv4Addr::BROADCAST,
        Ipv4Addr::new(224, 0, 0, 5),
        Ipv4Addr::UNSPECIFIED,
    ]);
    let link = line.link(packet_between(recipe, line.ipv4, far, line.mac));
    let link = Link {
        destination: if recipe.one_in(8) {
            ethernet::BROADCAST
        } else {
            link.destination
        },
        ..link
    };
    strip(recipe, line, link)
}

/// Lets the NIC take tags out of some frames.
fn strip(recipe: &mut Recipe<'_>, line: &Subscriber, mut link: Link) -> Arriving {
    let mut stripped = StrippedTags::None;
    if recipe.one_in(4) {
        stripped = match *link.tags.as_slice() {
            [(_, outer), ref rest @ ..] if rest.is_empty() || recipe.one_in(2) => {
                link.tags.remove(0);
                StrippedTags::One { tci: outer }
            }
            [(_, outer_tci), (_, inner_tci)] => {
                link.tags.clear();
                StrippedTags::Two { outer_tci, inner_tci }
            }
            _ => StrippedTags::None,
        };
    }
    Arriving {
        port: line.port,
        frame: link.bytes(),
        stripped,
    }
}

fn downstream(recipe: &mut Recipe<'_>, line: &Subscriber) -> Arriving {
    let near = *recipe.pick(&[
        line.ipv4,
        line.ipv4,
        line.ipv4,
        CORE_ADDRESS,
        RESIDENTIAL_GATEWAY,
        Ipv4Addr::new(10, 9, 9, 9),
        UNREACHED,
    ]);
    let far = *recipe.pick(&[INTERNET, PORTAL, RESOLVER, ROUTER]);
    Arriving {
        port: CORE,
        frame: from_core(packet_between(recipe, far, near, line.mac)),
        stripped: StrippedTags::None,
    }
}

fn arp(recipe: &mut Recipe<'_>, line: &Subscriber) -> Arriving {
    let target = *recipe.pick(&[RESIDENTIAL_GATEWAY, WGAR_GATEWAY, line.ipv4, CORE_ADDRESS, ROUTER]);
    if recipe.one_in(2) {
        return Arriving {
            port: CORE,
            frame: packet::arp_request((ROUTER_MAC, ROUTER), target).bytes(),
            stripped: StrippedTags::None,
        };
    }
    let link = packet::arp_request((line.mac, line.ipv4), target);
    let link = Link {
        tags: line.tags(),
        ..link
    };
    strip(recipe, line, link)
}

fn packet_between(recipe: &mut Recipe<'_>, source: Ipv4Addr, destination: Ipv4Addr, mac: [u8; 6]) -> Ip {
    let ports = [53, 67, 68, 80, 443, 4000];
    let (from, to) = (*recipe.pick(&ports), *recipe.pick(&ports));
    let packet = match recipe.next() % 8 {
        0..=2 => packet::udp_with(source, destination, from, to, usize::from(recipe.next()) * 6),
        3..=4 => packet::tcp(source, destination, from, to),
        5 => packet::echo(source, destination),
        6 => packet::dhcp_request(mac, source, destination),
        _ => Ip::new(
            source,
            destination,
            recipe.next(),
            vec![0; usize::from(recipe.next())],
        ),
    };
    let packet = match recipe.next() % 8 {
        0 => packet.fragment(u16::from(recipe.next()) << 8 | 1),
        1 | 2 => packet.fragment(packet::DONT_FRAGMENT),
        3 => packet.options(&[*recipe.pick(&[1, 7, 131, 148]), 4, 4, 0]),
        _ => packet,
    };
    match recipe.next() % 8 {
        ttl @ 0..=2 => packet.ttl(ttl),
        _ => packet,
    }
}

/// Makes some frames wrong: other bytes, cut, grown; and some of those with a right header checksum again.
fn spoil(recipe: &mut Recipe<'_>, frame: &mut Vec<u8>) {
    for _ in 0..recipe.next() % 4 {
        let place = usize::from(recipe.next()) << 1 | usize::from(recipe.next() & 1);
        // Most of what can be wrong stands in the first bytes.
        let place = if recipe.one_in(4) { place } else { place % 64 };
        let value = recipe.next();
        if let Some(byte) = frame.get_mut(place) {
            *byte = if recipe.one_in(2) {
                value
            } else {
                *byte ^ 1 << (value % 8)
            };
        }
    }
    match recipe.next() % 16 {
        0 => frame.truncate(usize::from(recipe.next())),
        1 => frame.extend(vec![0xee; usize::from(recipe.next() % 64)]),
        _ => {}
    }
    if recipe.one_in(2) {
        reseal(frame);
    }
}

/// Puts the right checksum into whatever looks like an IPv4 header.
pub fn reseal(frame: &mut [u8]) {
    let word = |at: usize| Some(u16::from_be_bytes([*frame.get(at)?, *frame.get(at + 1)?]));
    let mut l3 = ethernet::HEADER_BYTES;
    while word(l3 - 2).is_some_and(vlan::is_tpid) {
        l3 += vlan::TAG_BYTES;
    }
    let Some(header_len) = frame.get(l3).map(|byte| usize::from(byte & 0xf) * 4) else {
        return;
    };
    let Some(header) = frame.get_mut(l3..l3 + header_len) else {
        return;
    };
    if header.len() >= 20 {
        header[10..12].fill(0);
        let sum = checksum::field(checksum::sum(header));
        header[10..12].copy_from_slice(&sum);
    }
}

/// The recipe's bytes, one after the other, and zeros when they are used up.
struct Recipe<'r>(&'r [u8]);

impl Recipe<'_> {
    fn next(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn one_in(&mut self, count: u8) -> bool {
        // Not on a zero, so that a recipe that is used up changes nothing.
        self.next() % count == count - 1
    }

    fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[usize::from(self.next()) % from.len()]
    }
}
