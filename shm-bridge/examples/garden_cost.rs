//! What a judgement costs: rules tried one by one, the index one packet after another, and the index in bursts of 32 that do each step for
//! all their packets before the next.
//!
//! `cargo run --release -p shm-bridge --example garden_cost`

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::time::Instant;

use shm_bridge::garden::{Flow, GardenWriter, Gardens, Judgement, Rule, index, plain};
use shm_bridge::layout::Geometry;
use shm_bridge::sides::in_memory;

const PACKETS: usize = 1 << 20;
const BURST: usize = 32;
const PROFILE: u8 = 1;
const TURNS: usize = 7;

/// Far ends are `prefixes` spread over the Internet, or side by side.
#[derive(Clone, Copy, Debug)]
enum Spread {
    Hosts,
    Networks,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let geometry = Geometry {
        sessions: 64,
        lcores: 1,
        ring_slots: 2,
        tbl8_groups: 1,
        ..Geometry::DEFAULT
    };
    let (control, worker) = in_memory(&geometry)?;
    println!("ns a packet                        permitted                    refused");
    println!("prefixes               one by one   index   bursts    one by one   index   bursts");
    for spread in [Spread::Hosts, Spread::Networks] {
        for prefixes in [4u32, 64, 10_000] {
            let rules: Vec<Rule> = (0..prefixes).map(|n| rule(spread, n)).collect();
            let mut writer = GardenWriter::attach(control.tables.gardens.clone());
            let begun = Instant::now();
            writer.publish([(PROFILE, &rules[..])])?;
            let built = begun.elapsed();
            let gardens = &worker.tables.gardens;
            let permitted = flows(|random| u32::from(rules[random as usize % rules.len()].network));
            // The address behind the host, or the network after it: as near, and not inside.
            let refused = flows(|random| {
                let rule = &rules[random as usize % rules.len()];
                u32::from(rule.network) + (1 << (32 - rule.prefix_len))
            });
            print!("{:<8} {prefixes:>7}     ", format!("{spread:?}"));
            for (flows, wanted) in [(permitted, Judgement::Permitted), (refused, Judgement::Refused)] {
                let [plain, one, bursts] = measure(gardens, &rules, &flows, wanted);
                print!("   {plain:>8.1} {one:>7.1} {bursts:>8.1}");
            }
            println!("     built in {:.1} ms", built.as_secs_f64() * 1e3);
        }
    }
    Ok(())
}

fn rule(spread: Spread, number: u32) -> Rule {
    let (network, prefix_len) = match spread {
        // Multiplying by an odd number gives each host an address of its own.
        Spread::Hosts => (number.wrapping_mul(0x9e37_79b1) | 1, 32),
        Spread::Networks => (0x3000_0000 + (number << 9), 24),
    };
    Rule {
        network: Ipv4Addr::from(network),
        prefix_len,
        protocol: Some(6),
        ports: Some((443, 443)),
    }
}

fn flows(address: impl Fn(u64) -> u32) -> Vec<Flow> {
    let mut state = 1u64;
    let flow = |_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        Flow {
            far_address: address(state >> 33),
            protocol: 6,
            far_port: Some(443),
        }
    };
    (0..PACKETS).map(flow).collect()
}

/// The three in turn, several times; the best of each.
fn measure(gardens: &Gardens, rules: &[Rule], flows: &[Flow], wanted: Judgement) -> [f64; 3] {
    let mut best = [f64::MAX; 3];
    // Trying 10,000 rules for each of a million packets takes too long.
    let few = &flows[..PACKETS.min(40_000_000 / rules.len()).max(1)];
    for _ in 0..TURNS {
        let turns = [
            time(few, |flows| by_rules(rules, flows, wanted)),
            time(flows, |flows| by_index(gardens, flows, wanted)),
            time(flows, |flows| by_bursts(gardens, flows, wanted)),
        ];
        for (best, ns) in best.iter_mut().zip(turns) {
            *best = best.min(ns);
        }
    }
    best
}

/// ns a packet; every one must be judged as is wanted.
fn time(flows: &[Flow], judge: impl Fn(&[Flow]) -> usize) -> f64 {
    let begun = Instant::now();
    let count = judge(black_box(flows));
    let ns = begun.elapsed().as_nanos() as f64 / flows.len() as f64;
    assert_eq!(count, flows.len());
    ns
}

fn by_rules(rules: &[Rule], flows: &[Flow], wanted: Judgement) -> usize {
    flows
        .iter()
        .filter(|flow| plain::judge(rules, flow) == wanted)
        .count()
}

fn by_index(gardens: &Gardens, flows: &[Flow], wanted: Judgement) -> usize {
    flows
        .iter()
        .filter(|flow| gardens.judge(PROFILE, flow) == wanted)
        .count()
}

fn by_bursts(gardens: &Gardens, flows: &[Flow], wanted: Judgement) -> usize {
    let mut count = 0;
    for burst in flows.chunks(BURST) {
        let live = gardens.index();
        let mut walks = [index::Walk::default(); BURST];
        for (walk, flow) in walks.iter_mut().zip(burst) {
            *walk = live.walk(flow.far_address);
        }
        for _ in 0..index::STEPS {
            for walk in walks.iter_mut().take(burst.len()) {
                *walk = live.step(*walk);
            }
        }
        for (walk, flow) in walks.iter().zip(burst) {
            count += usize::from(live.judge_at(*walk, PROFILE, flow) == wanted);
        }
    }
    count
}
