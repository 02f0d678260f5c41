//! The files operators start from are loaded as they are, say what their comments say, and name every key there is.

use sluice_config::*;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECONDS: fn(u64) -> Duration = Duration::from_secs;

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn example() -> Config {
    Config::load(&directory().join("sluice.toml")).unwrap_or_else(|error| panic!("{error}"))
}

fn ranges(text: &str) -> IdRanges {
    text.parse().unwrap()
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

#[test]
fn values_called_default_are_the_defaults() {
    let config = example();

    assert_eq!(config.limits, Limits::default());
    assert_eq!(config.worker, WorkerConfig::default());
    assert_eq!(config.punt, PuntLimits::default());
    assert_eq!(config.identity, IdentityConfig::default());
    assert_eq!(config.rest, RestConfig::default());
    assert_eq!(
        NodeConfig {
            id: NodeId::default(),
            ..config.node.clone()
        },
        NodeConfig::default()
    );
    assert_eq!(
        config.olt.socket.as_deref(),
        Some(Path::new("/run/sluice/olt.sock"))
    );
    let dhcp = DhcpConfig {
        relays: Vec::new(),
        relay_pool: None,
        ..config.dhcp.clone()
    };
    assert_eq!(dhcp, DhcpConfig::new(address("10.255.0.1")));
}

#[test]
fn the_node_and_its_files_are_where_the_example_puts_them() {
    let node = example().node;

    assert_eq!(node.id, "bng-01");
    assert_eq!(node.control_socket(), Path::new("/run/sluice/control.sock"));
    assert_eq!(node.segment_lock(), Path::new("/run/sluice/segment.lock"));
    assert_eq!(node.store_file(), Path::new("/var/lib/sluice/store.redb"));
    assert_eq!(node.hugetlbfs, Hugetlbfs::Auto);
}

#[test]
fn the_example_has_one_access_and_one_core_port() {
    let config = example();
    let (access_index, access_port, access) = config.access_ports().next().unwrap();
    let (core_index, core_port, core) = config.core_ports().next().unwrap();

    assert_eq!((access_index, core_index), (0, 1));
    assert_eq!(access_port.device, "net_tap0");
    assert_eq!(access_port.mac, MacAddr::new([2, 0, 0x5e, 0, 1, 1]));
    assert_eq!((access_port.mtu, access_port.queues), (1500, 1));
    assert_eq!(access.tagging, Tagging::QinQ);
    assert_eq!(access.outer_tpids, [Tpid::STag, Tpid::CTag, Tpid::Legacy]);
    assert_eq!(access.outer_tpid_tx.ethertype(), 0x88a8);
    assert_eq!(access.option82, Option82Policy::Trusted);
    let street = LineRange {
        s_vlans: ranges("200"),
        c_vlans: ranges("10"),
        model: LineModel::ManyToOne,
    };
    let homes = LineRange {
        s_vlans: ranges("100-109"),
        c_vlans: IdRanges::all(),
        model: LineModel::OneToOne,
    };
    assert_eq!(access.lines, [homes, street]);

    assert_eq!(core_port.name, "core0");
    assert_eq!(core.address.to_string(), "192.0.2.2/24");
    assert_eq!(core.gateway, Some(address("192.0.2.1")));
    let route = Route {
        prefix: "198.51.100.0/24".parse().unwrap(),
        via: address("192.0.2.3"),
    };
    assert_eq!(core.routes, [route]);
}

#[test]
fn the_example_has_the_three_pools_in_its_order() {
    let config = example();

    let names: Vec<&str> = config.pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["wgar", "isp-residential", "isp-business"]);

    let wgar = config.pool("wgar").unwrap();
    assert_eq!(wgar.network.to_string(), "10.255.0.0/16");
    assert_eq!((wgar.binding, wgar.lease), (SECONDS(600), SECONDS(600)));
    assert_eq!(wgar.dns, [address("8.8.8.8"), address("8.8.4.4")]);
    assert_eq!(wgar.capacity(), 65_536 - 256 - 1);
    assert_eq!(wgar.assignable().next(), Some(address("10.255.1.0")));

    let residential = config.pool("isp-residential").unwrap();
    assert_eq!(residential.gateway, address("10.0.0.1"));
    assert_eq!(
        (residential.binding, residential.lease),
        (SECONDS(86_400), SECONDS(600))
    );
    assert_eq!(residential.capacity(), (1 << 20) - 3);

    let business = config.pool("isp-business").unwrap();
    assert_eq!(business.binding, SECONDS(604_800));
    assert_eq!(config.pool_of(address("10.16.3.4")), Some(business));
    assert_eq!(config.pool_of(address("192.0.2.1")), None);
}

#[test]
fn the_examples_gardens_open_a_portal_and_two_resolvers() {
    let config = example();
    let unactivated = config
        .garden(config.sessions.unactivated_garden.as_str())
        .unwrap();
    let suspended = config.garden(config.sessions.suspended_garden.as_str()).unwrap();

    let portal = address("198.51.100.80");
    assert!(unactivated.permits(portal, GardenProtocol::Tcp, 443));
    assert!(unactivated.permits(portal, GardenProtocol::Tcp, 8010));
    assert!(!unactivated.permits(portal, GardenProtocol::Tcp, 8011));
    assert!(!unactivated.permits(portal, GardenProtocol::Udp, 443));
    assert!(!unactivated.permits(portal, GardenProtocol::Icmp, 0));
    assert!(!suspended.permits(portal, GardenProtocol::Tcp, 443));
    assert!(unactivated.permits(address("8.8.8.8"), GardenProtocol::Udp, 53));
    assert!(!unactivated.permits(address("9.9.9.9"), GardenProtocol::Udp, 53));
    assert_eq!((unactivated.rules(), suspended.rules()), (5, 4));
}

#[test]
fn the_example_decides_what_strangers_and_debtors_get() {
    let config = example();

    assert_eq!(config.sessions.unknown_pool, "wgar");
    assert_eq!(config.sessions.suspended_pool, "wgar");
    assert_eq!(
        config.sessions.subscriber_to_subscriber,
        SubscriberToSubscriber::Routed
    );
    assert_eq!(config.sessions.idle_timeout, None);
    assert_eq!(config.dhcp.relays, [address("192.0.2.67")]);
    assert_eq!(
        config.dhcp.relay_pool.as_ref().map(PoolName::as_str),
        Some("isp-residential")
    );
    assert_eq!(
        config.aaa.local.unwrap().file,
        directory().join("subscribers.toml")
    );
}

#[test]
fn the_local_aaa_file_knows_two_subscribers_and_two_rules() {
    let subscribers = example()
        .load_subscribers()
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap();

    let [first, second] = &subscribers.subscribers[..] else {
        panic!("{subscribers:?}")
    };
    assert_eq!(
        first.key,
        SubscriberKey::OntSerial("ADTN12345678".parse().unwrap())
    );
    assert_eq!(first.service.pool, "isp-residential");
    assert_eq!(
        first.service.service_id.as_ref().map(ServiceId::as_str),
        Some("SVC-001")
    );
    assert_eq!(
        first.service.qos,
        Some(Qos::new(100_000_000, 20_000_000).unwrap())
    );
    assert_eq!(first.service.state, RuleState::Active);
    assert_eq!(
        second.key,
        SubscriberKey::CircuitId("agg-01|1/1/2".parse().unwrap())
    );
    assert_eq!(second.service.state, RuleState::Wgar);

    let [block, street] = &subscribers.rules[..] else {
        panic!("{subscribers:?}")
    };
    assert_eq!(block.name, "residential block");
    assert_eq!(
        (block.port.as_ref().map(PortName::as_str), &block.s_vlans),
        (Some("access0"), &Some(ranges("100-108")))
    );
    assert_eq!(block.circuit_id_prefix, None);
    assert_eq!(
        street.service,
        Service {
            pool: "wgar".parse().unwrap(),
            service_id: None,
            qos: None,
            state: RuleState::Wgar
        }
    );
}

/// Every table of `text` gets a key that nobody knows; the problems then list the keys that are known.
fn known_keys(text: &str, problems: impl Fn(&str) -> Vec<Problem>) -> Vec<String> {
    let strange = |line: &str| {
        if line.starts_with('[') {
            format!("{line}\nzzzzzzzzzzzzzzzzzzzz = 0\n")
        } else {
            format!("{line}\n")
        }
    };
    let strange: String = text.lines().map(strange).collect();
    let problems = problems(&format!("zzzzzzzzzzzzzzzzzzzz = 0\n{strange}"));
    let known = problems.into_iter().flat_map(|problem| match problem.kind {
        ProblemKind::UnknownKey { known, .. } => known,
        other => panic!("{other}"),
    });
    known.collect()
}

fn assert_written(text: &str, known: Vec<String>) {
    for key in known {
        let assigned = text
            .lines()
            .any(|line| line.split_once(" = ").is_some_and(|(left, _)| left == key));
        let header = |line: &str| {
            line.trim_matches(['[', ']'])
                .split(['.', ']'])
                .any(|part| part == key)
        };
        let headed = text.lines().any(|line| line.starts_with('[') && header(line));
        assert!(assigned || headed, "{key} is not in the annotated file");
    }
}

#[test]
fn every_key_is_in_the_annotated_files() {
    let text = std::fs::read_to_string(directory().join("sluice.toml")).unwrap();
    let known = known_keys(&text, |text| {
        Config::parse("sluice.toml", text)
            .unwrap_err()
            .problems()
            .to_vec()
    });
    assert!(known.len() > 80, "{known:?}");
    assert_written(&text, known);

    let config = example();
    let text = std::fs::read_to_string(directory().join("subscribers.toml")).unwrap();
    let parse = |text: &str| {
        Subscribers::parse("subscribers.toml", text, &config)
            .unwrap_err()
            .problems()
            .to_vec()
    };
    let known = known_keys(&text, parse);
    assert!(known.len() > 20, "{known:?}");
    assert_written(&text, known);
}
