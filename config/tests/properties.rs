//! Whatever a file holds, reading it gives a configuration or an error: never a panic, never an hour.

use proptest::prelude::*;
use sluice_config::{Config, IdRanges, Subscribers, VlanId};
use std::net::Ipv4Addr;

const EXAMPLE: &str = include_str!("../sluice.toml");
const SUBSCRIBERS: &str = include_str!("../subscribers.toml");

/// Scraps that files are made of, so that random texts reach further than the parser.
const SCRAPS: &[&str] = &[
    "[node]",
    "[limits]",
    "[[ports]]",
    "[[ports.lines]]",
    "[[ports.routes]]",
    "[pools.a]",
    "[pools.\"\"]",
    "[gardens.g]",
    "[[gardens.g.permit]]",
    "[sessions]",
    "[aaa.local]",
    "[rest]",
    "[[rule]]",
    "[[subscriber]]",
    "id",
    "sessions",
    "name",
    "role",
    "device",
    "mac",
    "s_vlans",
    "c_vlans",
    "model",
    "address",
    "gateway",
    "network",
    "exclude",
    "dns",
    "ports",
    "pools",
    "destination",
    "protocol",
    "listen",
    "hosts",
    "pool",
    "qos_download_bps",
    " = ",
    "\n",
    "\n",
    ",",
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\"access\"",
    "\"core\"",
    "\"0.0.0.0/0\"",
    "\"255.255.255.255/0\"",
    "\"255.255.255.255\"",
    "\"1-4094\"",
    "\"4094-4094\"",
    "\"0-65535\"",
    "\"1:1\"",
    "\"{port}\"",
    "-9223372036854775808",
    "18446744073709551616",
    "0xffffffffffffffff",
    "1e400",
    "nan",
    "true",
    "1979-05-27",
    "\"\\u0000\"",
    "\"😀\"",
    "'''",
    "\"\"\"",
    "#",
    "\u{feff}",
];

fn read(text: &str) {
    // Errors must be printable as well; what they say is other tests' business.
    match Config::parse("sluice.toml", text) {
        Ok(config) => {
            assert_eq!(config.check(), []);
            config.pools.iter().for_each(|pool| assert!(pool.capacity() > 0));
        }
        Err(error) => {
            assert!(!error.problems().is_empty());
            assert!(!error.to_string().is_empty());
            error
                .problems()
                .iter()
                .for_each(|problem| assert!(text.get(problem.span.clone()).is_some()));
        }
    }
}

fn example() -> Config {
    Config::parse("sluice.toml", EXAMPLE).unwrap_or_else(|error| panic!("{error}"))
}

/// `text` with the characters of `range` replaced.
fn patched(text: &str, at: prop::sample::Index, length: usize, patch: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let start = at.index(characters.len());
    let end = (start + length).min(characters.len());
    characters[..start]
        .iter()
        .copied()
        .chain(patch.chars())
        .chain(characters[end..].iter().copied())
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_read_without_a_panic(text in any::<String>()) {
        read(&text);
        let _ = Subscribers::parse("subscribers.toml", &text, &example());
    }

    #[test]
    fn any_heap_of_scraps_is_read_without_a_panic(scraps in prop::collection::vec(prop::sample::select(SCRAPS), 0..80)) {
        read(&scraps.concat());
    }

    #[test]
    fn any_slip_in_the_example_is_read_without_a_panic(
        at in any::<prop::sample::Index>(),
        length in 0usize..40,
        scrap in prop::sample::select(SCRAPS),
    ) {
        read(&patched(EXAMPLE, at, length, scrap));
        let _ = Subscribers::parse("subscribers.toml", &patched(SUBSCRIBERS, at, length, scrap), &example());
    }

    #[test]
    fn any_value_anywhere_is_read_without_a_panic(at in any::<prop::sample::Index>(), value in prop::sample::select(SCRAPS)) {
        let assignments: Vec<usize> = EXAMPLE.match_indices(" = ").map(|(at, _)| at).collect();
        let start = assignments[at.index(assignments.len())] + 3;
        let end = start + EXAMPLE[start..].find('\n').unwrap_or(0);
        read(&format!("{}{value}{}", &EXAMPLE[..start], &EXAMPLE[end..]));
    }

    /// The oracle: sets of ids as plain lists of numbers.
    #[test]
    fn id_ranges_are_the_sets_they_are_written_as(
        pairs in prop::collection::vec((1u16..=4094, 1u16..=4094), 1..12),
        others in prop::collection::vec((1u16..=4094, 1u16..=4094), 1..4),
    ) {
        let ordered = |(a, b): &(u16, u16)| (*a.min(b), *a.max(b));
        let text = |pairs: &[(u16, u16)]| {
            pairs.iter().map(ordered).map(|(a, b)| format!("{a}-{b}")).collect::<Vec<_>>().join(",")
        };
        let holds = |pairs: &[(u16, u16)], id: u16| pairs.iter().map(ordered).any(|(a, b)| a <= id && id <= b);
        let set: IdRanges = text(&pairs).parse().unwrap();
        let other: IdRanges = text(&others).parse().unwrap();

        let expected: Vec<u16> = (1..=4094).filter(|id| holds(&pairs, *id)).collect();
        let common = expected.iter().copied().find(|id| holds(&others, *id));
        let contained = (1..=4094).filter(|id| holds(&others, *id)).all(|id| holds(&pairs, id));

        prop_assert_eq!(set.iter().map(VlanId::get).collect::<Vec<_>>(), expected.clone());
        prop_assert_eq!(set.len(), expected.len());
        prop_assert_eq!(set.first_common(&other).map(VlanId::get), common);
        prop_assert_eq!(set.contains_all(&other), contained);
        prop_assert_eq!(set.to_string().parse::<IdRanges>().unwrap(), set);
    }

    /// The oracle: a pool's capacity counted address by address.
    #[test]
    fn a_pools_capacity_is_the_number_of_its_assignable_addresses(
        prefix in 24u8..=30,
        gateway in 1u32..=254,
        exclusions in prop::collection::vec((0u32..256, 0u32..256), 0..6),
    ) {
        let size = 1u32 << (32 - prefix);
        let base = Ipv4Addr::new(10, 0, 0, 0).to_bits();
        let within = |offset: u32| Ipv4Addr::from_bits(base + offset % size);
        let exclude: Vec<String> = exclusions.iter()
            .map(|(a, b)| (within(*a).min(within(*b)), within(*a).max(within(*b))))
            .map(|(first, last)| format!("\"{first}-{last}\""))
            .collect();
        let pool = format!(
            "[pools.p]\nnetwork = \"10.0.0.0/{prefix}\"\ngateway = \"{}\"\nexclude = [{}]\n",
            Ipv4Addr::from_bits(base + 1 + gateway % (size - 2)),
            exclude.join(","),
        );
        let ports = EXAMPLE.split("[dhcp]").next().unwrap();
        let ports = &ports[ports.find("\n[[ports]]").unwrap()..];

        match Config::parse("sluice.toml", &format!("{ports}{pool}")) {
            Ok(config) => {
                let pool = &config.pools[0];
                prop_assert_eq!(pool.capacity(), pool.assignable().count() as u64);
                prop_assert!(pool.assignable().all(|address| pool.is_assignable(address)));
            }
            // Exclusions may leave nothing.
            Err(error) => prop_assert!(error.to_string().contains("leaves no address"), "{}", error),
        }
    }
}
