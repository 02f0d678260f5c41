//! The garden's index against its rules, tried one by one: whatever prefixes, ports, protocols and profiles there are, before and after
//! they change.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use shm_bridge::garden::{Flow, GardenWriter, Gardens, Rule, canonical, plain};
use shm_bridge::layout::Geometry;
use shm_bridge::sides::{ControlSide, WorkerSide, in_memory};

const RULES: usize = 200;

fn sides() -> (ControlSide, WorkerSide) {
    let geometry = Geometry {
        sessions: 64,
        lcores: 1,
        ring_slots: 2,
        garden_rules: RULES as u32,
        ..Geometry::DEFAULT
    };
    in_memory(&geometry).unwrap()
}

/// Addresses that meet: within a /26, a /20, a /8, at the ends, and anywhere.
fn address() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0x0a00_0000u32..0x0a00_0080,
        4 => (0u32..64, 0u32..4).prop_map(|(n, host)| 0x0a00_0000 | n << 6 | host),
        3 => (0u32..64).prop_map(|n| 0x0a00_0000 | n << 12),
        2 => Just(0),
        2 => Just(u32::MAX),
        2 => any::<u32>(),
    ]
}

fn prefix_len() -> impl Strategy<Value = u8> {
    prop_oneof![
        3 => 0u8..=32,
        3 => 24u8..=32,
        2 => prop::sample::select(vec![0, 1, 8, 19, 20, 21, 25, 26, 27, 31, 32]),
    ]
}

fn protocol() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(6u8), 3 => Just(17u8), 1 => Just(1u8), 1 => Just(0u8), 1 => any::<u8>()]
}

fn port() -> impl Strategy<Value = u16> {
    prop_oneof![1 => Just(0u16), 4 => 50u16..60, 1 => Just(u16::MAX)]
}

fn rule() -> impl Strategy<Value = Rule> {
    let protocol = prop_oneof![4 => protocol().prop_map(Some), 1 => Just(None)];
    // Some ranges begin after their end, and permit nothing.
    let ports = prop::option::of((port(), port()));
    (address(), prefix_len(), protocol, ports).prop_map(|(network, prefix_len, protocol, ports)| Rule {
        network: Ipv4Addr::from(network),
        prefix_len,
        protocol,
        ports,
    })
}

type Profiles = BTreeMap<u8, Vec<Rule>>;

/// A few profiles of a few rules, or many of the same few rules.
fn profiles() -> impl Strategy<Value = Profiles> {
    let number = prop_oneof![1u8..4, Just(255), 1u8..=255];
    let few = prop::collection::btree_map(number, prop::collection::vec(rule(), 1..40), 0..5);
    let many = (prop::collection::vec(rule(), 1..3), 1usize..=66).prop_map(|(rules, count)| {
        let of = |n: usize| rules.iter().cycle().skip(n).take(1 + n % rules.len()).copied();
        (1..=count).map(|n| (n as u8, of(n).collect())).collect()
    });
    prop_oneof![3 => few, 1 => many]
}

fn flow() -> impl Strategy<Value = Flow> {
    (address(), protocol(), prop::option::of(port())).prop_map(|(far_address, protocol, far_port)| Flow {
        far_address,
        protocol,
        far_port,
    })
}

/// Addresses at and beside the edges of every prefix.
fn edges(profiles: &Profiles) -> Vec<u32> {
    let rules = profiles.values().flatten();
    let ends = rules.flat_map(|rule| {
        let mask = shm_bridge::garden::mask(rule.prefix_len);
        let first = u32::from(rule.network) & mask;
        let last = first | !mask;
        [first.wrapping_sub(1), first, last, last.wrapping_add(1)]
    });
    let mut ends: Vec<u32> = ends.collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn compare(gardens: &Gardens, profiles: &Profiles, flows: &[Flow]) -> Result<(), TestCaseError> {
    let edges = edges(profiles);
    let at_edges = flows.iter().cycle().zip(&edges).map(|(flow, edge)| Flow {
        far_address: *edge,
        ..*flow
    });
    let flows: Vec<Flow> = flows.iter().copied().chain(at_edges).collect();
    let numbers = profiles.keys().copied().chain([0, 1, 2, 254]);
    for number in numbers {
        let rules = profiles.get(&number).map_or(&[][..], Vec::as_slice);
        for flow in &flows {
            let wanted = plain::judge(rules, flow);
            prop_assert_eq!(
                gardens.judge(number, flow),
                wanted,
                "profile {} {:?}",
                number,
                flow
            );
        }
    }
    let wanted: Profiles = profiles
        .iter()
        .map(|(number, rules)| (*number, canonical(rules)))
        .collect();
    prop_assert_eq!(gardens.read_all(), wanted);
    Ok(())
}

#[test]
fn the_index_judges_as_the_rules_read_and_so_does_every_next_one() {
    let (control, worker) = sides();
    let mut runner = TestRunner::new(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(400)
    });
    let case = (profiles(), prop::collection::vec(flow(), 1..60));
    runner
        .run(&case, |(profiles, flows)| {
            // As a successor that begins after a grace period.
            let mut writer = GardenWriter::attach(control.tables.gardens.clone());
            let given = profiles.iter().map(|(number, rules)| (*number, &rules[..]));
            writer.publish(given).unwrap();
            compare(&worker.tables.gardens, &profiles, &flows)
        })
        .unwrap();
}
