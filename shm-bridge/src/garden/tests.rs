use super::index::{NODE, ROOT, rule_cells};
use super::plan::Plan;
use super::*;
use crate::epoch;
use crate::sync::AtomicU32;

fn half(rules: usize) -> Half {
    Half {
        profiles: Shared::on_heap(index::PROFILE_WORDS, || AtomicU64::new(0)),
        root: Shared::on_heap(ROOT, || AtomicU32::new(0)),
        nodes: Shared::on_heap(rules, || std::array::from_fn(|_| AtomicU32::new(0))),
        lone: Shared::on_heap(rules, || std::array::from_fn(|_| AtomicU32::new(0))),
        rules: Shared::on_heap(rule_cells(rules), || AtomicU64::new(0)),
    }
}

fn gardens(rules: usize) -> Gardens {
    Gardens {
        live: Shared::on_heap(1, || AtomicU64::new(0)),
        halves: [half(rules), half(rules)],
    }
}

fn rule(network: [u8; 4], prefix_len: u8, protocol: Option<u8>, ports: Option<(u16, u16)>) -> Rule {
    Rule {
        network: Ipv4Addr::from(network),
        prefix_len,
        protocol,
        ports,
    }
}

fn flow(far: [u8; 4], protocol: u8, far_port: Option<u16>) -> Flow {
    Flow {
        far_address: u32::from(Ipv4Addr::from(far)),
        protocol,
        far_port,
    }
}

/// Portal, resolver, and pings to the portal's network.
fn portal() -> Vec<Rule> {
    vec![
        rule([198, 51, 100, 80], 32, Some(6), Some((80, 80))),
        rule([8, 8, 8, 8], 32, Some(17), Some((53, 53))),
        rule([198, 51, 100, 80], 24, Some(1), None),
    ]
}

fn published(rules: usize, profiles: &[(u8, &[Rule])]) -> GardenWriter {
    let mut writer = GardenWriter::attach(gardens(rules));
    writer.publish(profiles.iter().copied()).unwrap();
    writer
}

#[test]
fn destination_protocol_and_port_must_all_fit() {
    let writer = published(8, &[(1, &portal())]);
    let judge = |far, protocol, port| writer.gardens().judge(1, &flow(far, protocol, port));

    assert_eq!(judge([198, 51, 100, 80], 6, Some(80)), Judgement::Permitted);
    assert_eq!(judge([198, 51, 100, 80], 6, Some(81)), Judgement::Refused);
    assert_eq!(judge([198, 51, 100, 80], 17, Some(80)), Judgement::Refused);
    assert_eq!(judge([198, 51, 100, 81], 6, Some(80)), Judgement::Refused);
    assert_eq!(judge([198, 51, 100, 80], 6, None), Judgement::Refused);
    assert_eq!(judge([8, 8, 8, 8], 17, Some(53)), Judgement::Permitted);
    assert_eq!(judge([9, 9, 9, 9], 17, Some(53)), Judgement::Refused);
    assert_eq!(judge([198, 51, 100, 7], 1, None), Judgement::Permitted);
    // By the rule of the network around the portal's own prefix.
    assert_eq!(judge([198, 51, 100, 80], 1, None), Judgement::Permitted);
}

#[test]
fn rules_read_back_as_they_were_published() {
    let writer = published(8, &[(1, &portal()), (200, &portal()[1..2])]);
    let gardens = writer.gardens();

    assert_eq!(gardens.read(1), Some(canonical(&portal())));
    assert_eq!(gardens.read(200).unwrap(), &portal()[1..2]);
    assert_eq!(
        gardens.read(1).unwrap()[1],
        rule([198, 51, 100, 0], 24, Some(1), None)
    );
    assert_eq!(gardens.read(9), None);
    assert_eq!(gardens.read_all().len(), 2);
}

#[test]
fn a_profile_that_is_not_there_permits_nothing() {
    let everything = [rule([0; 4], 0, None, None)];
    let writer = published(8, &[(1, &everything), (0, &everything)]);
    let any = flow([9, 9, 9, 9], 6, Some(80));

    assert_eq!(writer.gardens().judge(1, &any), Judgement::Permitted);
    assert_eq!(writer.gardens().judge(9, &any), Judgement::Missing);
    // 0 is no garden, whatever was published for it.
    assert_eq!(writer.gardens().judge(0, &any), Judgement::Missing);
    assert_eq!(gardens(8).judge(1, &any), Judgement::Missing);
}

#[test]
fn the_next_index_is_built_only_when_nobody_reads_the_one_before() {
    let mut writer = published(8, &[(1, &portal())]);
    let global = AtomicU64::new(epoch::FIRST);
    let lcore = AtomicU64::new(epoch::FIRST);
    let other = [rule([8, 8, 8, 8], 32, Some(6), Some((53, 53)))];

    assert_eq!(writer.publish([(1, &other[..])]), Err(GardenError::Resting));
    writer.retire(epoch::advance(&global));
    writer.reclaim(|epoch| epoch::all_reached(epoch, [&lcore]));
    assert_eq!(writer.publish([(1, &other[..])]), Err(GardenError::Resting));
    assert_eq!(writer.gardens().read(1), Some(canonical(&portal())));

    epoch::quiesce(&global, &lcore);
    writer.reclaim(|epoch| epoch::all_reached(epoch, [&lcore]));
    assert!(!writer.is_waiting());
    writer.publish([(1, &other[..])]).unwrap();
    assert_eq!(writer.gardens().read(1).unwrap(), other);
}

#[test]
fn more_rules_than_there_is_room_for_are_an_error_and_change_nothing() {
    let mut writer = published(3, &[(1, &portal())]);
    writer.retire(1);
    writer.reclaim(|_| true);

    let error = writer
        .publish([(1, &portal()[..]), (2, &portal()[..1])])
        .unwrap_err();

    assert_eq!(error, GardenError::TooManyRules { found: 4, limit: 3 });
    assert!(error.to_string().contains("limits.garden_rules"), "{error}");
    assert_eq!(writer.gardens().read(1), Some(canonical(&portal())));
    assert_eq!(writer.gardens().read(2), None);
}

/// Prefixes that need as many nodes, lone prefixes or cells for each rule as there can be.
fn worst(count: u32) -> [(&'static str, Vec<Rule>); 5] {
    let host = |address: u32| Rule {
        network: Ipv4Addr::from(address),
        prefix_len: 32,
        protocol: Some(6),
        ports: None,
    };
    let rules = |of: &dyn Fn(u32) -> Rule| (0..count).map(of).collect::<Vec<Rule>>();
    let nested = |n: u32| Rule {
        prefix_len: (n % 33) as u8,
        ..host((n / 33) << 25 | 0x0155_5555)
    };
    [
        ("pairs in a /26", rules(&|n| host((n / 2) * 4096 + n % 2))),
        ("one in each /20", rules(&|n| host(n << 12))),
        ("one in each /26", rules(&|n| host(n << 6))),
        ("pairs in each /26", rules(&|n| host((n / 2) * 64 + n % 2))),
        ("nested", rules(&nested)),
    ]
}

#[test]
fn whatever_the_rules_are_as_many_as_may_be_fit() {
    for count in [1, 2, 3, 33, 700, 16_384] {
        for (name, rules) in worst(count) {
            let mut plan = Plan::of([(7, &rules[..])]);
            assert!(plan.nodes.len() <= count as usize, "{name}: {}", plan.nodes.len());
            assert!(plan.lone.len() <= count as usize, "{name}: {}", plan.lone.len());
            assert!(
                plan.rules.len() <= rule_cells(count as usize),
                "{name}: {}",
                plan.rules.len()
            );
            // Runs of all lengths, one after another: where lines end early.
            let mixed: Vec<Rule> = rules
                .iter()
                .enumerate()
                .map(|(n, rule)| Rule {
                    network: rules[n - n % (1 + n / 3 % 9)].network,
                    ports: Some((n as u16, n as u16)),
                    ..*rule
                })
                .collect();
            plan = Plan::of([(7, &mixed[..])]);
            assert!(plan.rules.len() <= rule_cells(count as usize), "{name}, mixed");
        }
    }
}

#[test]
fn a_run_that_fits_a_line_lies_in_one() {
    let rules: Vec<Rule> = (0..5000u32)
        .map(|n| Rule {
            network: Ipv4Addr::from((n / (1 + n % 9)) << 8),
            prefix_len: 24,
            protocol: Some(n as u8),
            ports: None,
        })
        .collect();
    let plan = Plan::of([(7, &rules[..])]);
    let mut runs = 0;
    for word in plan.root.iter().chain(plan.nodes.iter().flatten()) {
        let at = *word as usize;
        if at == 0 || word >> 30 != 0 || plan.rules[at] >> 56 == 0 {
            continue;
        }
        let link = (at..).find(|cell| plan.rules[*cell] >> 56 == 0).unwrap();
        assert!(link - at + 2 > 8 || (at - 1) / 8 == link / 8, "{at} to {link}");
        runs += 1;
    }
    assert!(runs > 1000, "{runs}");
}

#[test]
fn many_profiles_at_one_prefix_are_told_apart() {
    let resolver = |n: u32| vec![rule([8, 8, 8, 8], 32, Some(17), Some((n as u16, n as u16 + 1)))];
    let profiles: Vec<(u8, Vec<Rule>)> = (1..=255u32).map(|n| (n as u8, resolver(n))).collect();
    let mut writer = GardenWriter::attach(gardens(255));
    writer
        .publish(profiles.iter().map(|(n, rules)| (*n, &rules[..])))
        .unwrap();
    for (profile, rules) in &profiles {
        for port in 0..=257 {
            let flow = flow([8, 8, 8, 8], 17, Some(port));
            assert_eq!(
                writer.gardens().judge(*profile, &flow),
                plain::judge(rules, &flow)
            );
        }
    }
}

#[test]
fn steps_and_cells_lead_where_the_judgement_looks() {
    let hosts = |n: u8| rule([198, 51, 100, n], 32, Some(6), None);
    let rules = [
        hosts(1),
        hosts(2),
        hosts(200),
        rule([203, 0, 113, 0], 24, None, None),
    ];
    let writer = published(8, &[(1, &rules)]);
    let index = writer.gardens().index();
    let half = index.0;
    for address in [
        [198, 51, 100, 1],
        [198, 51, 100, 200],
        [203, 0, 113, 9],
        [10, 0, 0, 1],
    ] {
        let flow = flow(address, 6, None);
        let root = &raw const half.root[(flow.far_address >> 12) as usize];
        assert_eq!(index.root_cell(flow.far_address), root.cast());
        let mut walk = index.walk(flow.far_address);
        for _ in 0..index::STEPS {
            let cell = index.cell(walk);
            let is_in = |start: *const u8, bytes: usize| cell >= start && cell < start.wrapping_add(bytes);
            assert!(
                is_in(half.nodes.as_ptr().cast(), half.nodes.len() * NODE * 4)
                    || is_in(half.lone.as_ptr().cast(), half.lone.len() * 16)
                    || is_in(half.rules.as_ptr().cast(), half.rules.len() * 8)
            );
            walk = index.step(walk);
        }
        assert_eq!(index.step(walk), walk, "arrived");
        assert_eq!(index.judge_at(walk, 1, &flow), plain::judge(&rules, &flow));
    }
}

#[test]
fn words_that_lead_in_circles_or_nowhere_end() {
    let gardens = gardens(4);
    let half = &gardens.halves[0];
    half.profiles[0].store(u64::MAX, Ordering::Relaxed);
    let any = flow([9, 9, 9, 9], 6, Some(80));
    let words = [
        0,
        5,
        u32::MAX,
        1 << 30,
        1 << 30 | 3,
        2 << 30,
        2 << 30 | 4,
        3 << 30 | 1,
        3 << 30 | 4,
        0x3fff_ffff,
    ];
    for word in words {
        for next in words {
            half.root
                .iter()
                .for_each(|cell| cell.store(word, Ordering::Relaxed));
            let nodes = half.nodes.iter().flatten().chain(half.lone.iter().flatten());
            nodes.for_each(|cell| cell.store(next, Ordering::Relaxed));
            let long = 1u64 << 55;
            for rules in [
                0,
                u64::MAX,
                5,
                1 << 33 | 5,
                long,
                long | 3,
                long | 0xffff_ffff,
                1 << 56,
                0xff << 48,
            ] {
                half.rules
                    .iter()
                    .for_each(|cell| cell.store(rules, Ordering::Relaxed));
                for profile in [0, 1, 255] {
                    let _ = gardens.judge(profile, &any);
                    let _ = gardens.index().cell(gardens.index().walk(any.far_address));
                }
                let _ = gardens.read_all();
            }
        }
    }
}
