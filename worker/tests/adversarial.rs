//! A network under attack, in full bursts, on the express way and by the stages: both end every frame alike, in verdict, bytes,
//! counters and session states, and what is to go through does.
//!
//! The shares are those that speed is measured with: 10 % malformed, 10 % spoofed, 10 % refused by the garden, and among the rest
//! DHCP, fragments, options, wrong tags, dying TTLs, wrong checksums and lines that nobody has. Between bursts subscribers are
//! activated, suspended, policed and terminated.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use shm_bridge::session::{Policy, RowState};
use sluice_worker::simd::level::Level;
use sluice_worker::testkit::packet::{self, Ip};
use sluice_worker::testkit::recipe::{self, Arriving};
use sluice_worker::testkit::world::{ACCESS, CORE, GARDEN, INTERNET, PORTAL, RESOLVER, UNREACHED, from_core};
use sluice_worker::testkit::{Subscriber, Twin};
use sluice_worker::{Owners, Spread, StrippedTags, Verdict};

/// Bursts per run; with 32 frames each.
const BURSTS: usize = 3_000;
const LANES: usize = 32;

#[test]
fn an_attack_ends_alike_on_both_ways() {
    // By the instructions of any processor, and by the best that this one has.
    let seen = attack(7, None, Level::best());
    assert_eq!(attack(7, None, Level::ANY), seen);

    for (kind, least, most) in [
        ("forward", 0.35, 0.70),
        ("punt", 0.001, 0.20),
        ("malformed", 0.08, 0.12),
        ("spoofed", 0.08, 0.12),
        ("refused", 0.08, 0.12),
    ] {
        let share = seen.get(kind).copied().unwrap_or(0) as f64 / (BURSTS * LANES) as f64;
        assert!((least..most).contains(&share), "{kind}: {share} of {seen:?}");
    }
}

#[test]
fn an_attack_ends_alike_where_another_lcore_owns_half() {
    for spread in [
        Spread::Software,
        Spread::Toeplitz {
            key: [0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2],
        },
    ] {
        let seen = attack(11, Some(spread), Level::best());

        assert!(seen.contains_key("forward"), "{seen:?}");
    }
}

/// Runs the whole attack; returns how many frames of each kind were sent and how many of each end there were.
fn attack(seed: u64, spread: Option<Spread>, level: Level) -> BTreeMap<&'static str, usize> {
    let mut twin = Twin::new();
    twin.express.context.level = level;
    if let Some(spread) = spread {
        twin.own(&Owners::new(0, &[0, 1], spread));
    }
    for host in 10..74 {
        twin.subscribe(Subscriber::on_line(102, host));
    }
    let lines = twin.lines.clone();
    let mut dice = Dice(seed);
    let mut seen = BTreeMap::new();
    for burst in 0..BURSTS {
        let port = if dice.below(2) == 0 { ACCESS } else { CORE };
        let frames: Vec<Arriving> = (0..LANES)
            .map(|_| {
                let (kind, frame) = frame(&mut dice, port, &lines);
                *seen.entry(kind).or_default() += 1;
                Arriving {
                    port,
                    frame,
                    stripped: StrippedTags::None,
                }
            })
            .collect();

        for out in twin.burst(port, &frames).outs {
            match out.verdict {
                Verdict::Forward { .. } => *seen.entry("forward").or_default() += 1,
                Verdict::Punt(_) => *seen.entry("punt").or_default() += 1,
                Verdict::Drop(_) | Verdict::HandOver { .. } => {}
            }
        }
        twin.wait(1_000 << dice.below(16));
        if dice.below(4) == 0 {
            let line = lines[dice.below(lines.len())];
            twin.set_policy(&line, policy(&mut dice));
        }
        // Not all must end up behind bars.
        if burst % 64 == 0 {
            lines.iter().for_each(|line| twin.set_policy(line, line.policy));
        }
        if burst % 100 == 0 {
            twin.compare_states();
        }
    }
    twin.compare_states();
    seen
}

/// A frame, and which share it belongs to.
fn frame(dice: &mut Dice, port: u8, lines: &[Subscriber]) -> (&'static str, Vec<u8>) {
    let on_port: Vec<&Subscriber> = lines.iter().filter(|line| line.port == ACCESS).collect();
    let line = **dice.pick(&on_port);
    let common = |dice: &mut Dice| {
        let packet = match dice.below(3) {
            0 => packet::tcp(line.ipv4, INTERNET, 4000, 443),
            1 => packet::udp_with(line.ipv4, INTERNET, 4000, 443, dice.below(1200)),
            _ => packet::udp(line.ipv4, PORTAL, 4000, 4001),
        };
        if port == ACCESS { packet } else { turned(packet) }
    };
    let send = |packet: Ip| {
        if port == ACCESS {
            line.frame(packet)
        } else {
            from_core(packet)
        }
    };
    match dice.below(20) {
        0 | 1 => {
            let packet = common(dice);
            let mut frame = send(packet);
            malform(dice, &mut frame);
            ("malformed", frame)
        }
        2 | 3 => ("spoofed", spoofed(dice, port, &line, lines)),
        4 | 5 => {
            let held: Vec<&Subscriber> = on_port
                .iter()
                .copied()
                .filter(|line| line.policy.garden() != 0)
                .collect();
            let line = **dice.pick(&held);
            let packet = match dice.below(4) {
                0 => packet::udp(line.ipv4, RESOLVER, 4000, 54),
                1 => packet::tcp(line.ipv4, PORTAL, 4000, 22),
                2 => packet::udp(line.ipv4, INTERNET, 4000, 53),
                _ => packet::echo(line.ipv4, INTERNET),
            };
            let frame = if port == ACCESS {
                line.frame(packet)
            } else {
                from_core(turned(packet))
            };
            ("refused", frame)
        }
        6 => ("rare", rare(dice, port, &line)),
        7 => {
            let recipe: Vec<u8> = (0..60).map(|_| dice.below(256) as u8).collect();
            ("rare", recipe::arriving(&recipe, lines).frame)
        }
        _ => ("common", send(common(dice))),
    }
}

/// Cuts, grows or changes a frame where its headers are; a changed address may have a right checksum again.
fn malform(dice: &mut Dice, frame: &mut Vec<u8>) {
    match dice.below(6) {
        0 => frame.truncate(dice.below(frame.len())),
        1 => frame.extend(vec![0; dice.below(60)]),
        2 => frame[12 + dice.below(12)] ^= 1 << dice.below(8),
        3 => {
            let l3 = if frame[12..14] == [8, 0] { 14 } else { 22 };
            frame[l3 + 10] ^= 0x55;
        }
        _ => {
            let place = dice.below(frame.len().min(50));
            frame[place] = dice.below(256) as u8;
            if dice.below(2) == 0 {
                recipe::reseal(frame);
            }
        }
    }
}

/// One of tag, MAC and address is somebody else's; from the core, a source that is nobody's.
fn spoofed(dice: &mut Dice, port: u8, line: &Subscriber, lines: &[Subscriber]) -> Vec<u8> {
    if port == CORE {
        let source = *dice.pick(&[
            Ipv4Addr::new(127, 0, 0, 1),
            Ipv4Addr::BROADCAST,
            Ipv4Addr::UNSPECIFIED,
            line.ipv4,
        ]);
        return from_core(packet::udp(source, line.ipv4, 1, 2));
    }
    let packet = packet::udp(line.ipv4, INTERNET, 4000, 443);
    let other = *dice.pick(lines);
    let mut forged = *line;
    match dice.below(4) {
        0 => forged.c_vlan = 1 + dice.below(4094) as u16,
        1 => forged.s_vlan = 98 + dice.below(14) as u16,
        2 => forged.mac[5] ^= 1 + dice.below(255) as u8,
        _ => return line.frame(packet::udp(other.ipv4, INTERNET, 4000, 443)),
    }
    forged.frame(packet)
}

/// Right, but not common.
fn rare(dice: &mut Dice, port: u8, line: &Subscriber) -> Vec<u8> {
    if port == ACCESS && dice.below(3) == 0 {
        return line.frame(packet::dhcp_request(line.mac, line.ipv4, Ipv4Addr::BROADCAST));
    }
    let far = *dice.pick(&[INTERNET, PORTAL, UNREACHED]);
    let packet = packet::udp_with(
        line.ipv4,
        far,
        67 + dice.below(3) as u16,
        67 + dice.below(3) as u16,
        32,
    );
    let packet = if port == ACCESS { packet } else { turned(packet) };
    let packet = match dice.below(6) {
        0 => packet.ttl(0),
        1 => packet.ttl(1),
        2 => packet.ttl(2),
        3 => packet.options(&[dice.below(256) as u8, 4, 4, 0]),
        4 => packet.fragment(packet::MORE_FRAGMENTS),
        _ => packet.fragment(1 + dice.below(100) as u16),
    };
    if port == ACCESS {
        line.frame(packet)
    } else {
        from_core(packet)
    }
}

/// The packet on its way back. Its ports stay: most rules look at the far one.
fn turned(packet: Ip) -> Ip {
    let (source, destination) = (packet.destination, packet.source);
    let mut turned = Ip {
        source,
        destination,
        ..packet
    };
    if let [a, b, c, d, ..] = turned.payload[..] {
        turned.payload[..4].copy_from_slice(&[c, d, a, b]);
    }
    turned
}

fn policy(dice: &mut Dice) -> Policy {
    let active = Policy::new(RowState::Active);
    match dice.below(8) {
        0 | 1 => active,
        2 => active.with_policers(1, 1),
        3 => active.isolated(),
        4 => Policy::new(RowState::Wgar).with_garden(GARDEN),
        5 => Policy::new(RowState::Suspended).with_garden(GARDEN),
        6 => Policy::new(RowState::Suspended),
        _ => Policy::new(RowState::Terminated),
    }
}

/// A linear congruential generator: the same seed, the same attack.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % count.max(1)
    }

    fn pick<'p, T>(&mut self, from: &'p [T]) -> &'p T {
        &from[self.below(from.len())]
    }
}
