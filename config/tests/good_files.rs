//! Files that are right, from the smallest on, and what they come to mean.

use sluice_config::*;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MINIMAL: &str = r#"
ports = [
  { name = "a", role = "access", device = "net_tap0", mac = "02:00:5e:00:01:01", tagging = "untagged" },
  { name = "c", role = "core", device = "net_tap1", mac = "02:00:5e:00:02:01", address = "192.0.2.2/24" },
]
"#;

fn parse(text: &str) -> Config {
    Config::parse("/etc/sluice/sluice.toml", text).unwrap_or_else(|error| panic!("{error}"))
}

fn with_pool(text: &str) -> Config {
    parse(&format!(
        "{MINIMAL}{text}\n[pools.home]\nnetwork = \"10.0.0.0/24\"\n"
    ))
}

fn address(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

fn id(id: u16) -> Option<VlanId> {
    Some(VlanId::new(id).unwrap())
}

#[test]
fn ports_and_one_pool_are_enough() {
    let config = with_pool("");

    assert_eq!(config.node.id, "bng");
    assert_eq!(config.pools[0].gateway, address("10.0.0.1"));
    assert_eq!(config.pools[0].binding, Duration::from_secs(86_400));
    assert_eq!(config.dhcp.server_id, address("10.0.0.1"));
    assert_eq!(config.sessions.unknown_pool, "home");
    assert_eq!(config.sessions.suspended_pool, "home");
    assert_eq!(
        config.gardens.iter().map(|garden| garden.rules()).sum::<usize>(),
        0
    );
    assert_eq!(config.aaa, AaaConfig::default());
    assert_eq!(config.load_subscribers().unwrap(), None);
    assert_eq!(config.check(), []);
}

#[test]
fn an_untagged_port_has_one_line_of_several_hosts() {
    let config = with_pool("");
    let (_, _, access) = config.access_ports().next().unwrap();

    assert_eq!(
        access.line(None, None).map(|line| line.model),
        Some(LineModel::ManyToOne)
    );
    assert_eq!(access.line(None, id(1)), None);
    assert!(access.outer_tpids.is_empty());
}

#[test]
fn a_single_tagged_port_has_customer_vlans_only() {
    let config = parse(
        r#"
        [pools.home]
        network = "10.0.0.0/24"
        [[ports]]
        name = "c"
        role = "core"
        device = "net_tap1"
        mac = "02:00:5e:00:02:01"
        address = "192.0.2.2/31"
        gateway = "192.0.2.3"
        [[ports]]
        name = "a"
        role = "access"
        device = "0000:8a:00.0"
        mac = "02-00-5E-00-01-01"
        tagging = "single"
        [[ports.lines]]
        c_vlans = 7
        [[ports.lines]]
        c_vlans = "8-9"
        "#,
    );
    let (index, port, access) = config.access_ports().next().unwrap();

    assert_eq!(index, 1);
    assert_eq!(config.port("a"), Some((1, port)));
    assert_eq!(port.mac.to_string(), "02:00:5e:00:01:01");
    assert_eq!(
        (&access.outer_tpids[..], access.outer_tpid_tx),
        (&[Tpid::CTag][..], Tpid::CTag)
    );
    assert!(access.line(None, id(9)).is_some());
    assert_eq!(access.line(None, id(10)), None);
    assert_eq!(access.line(id(7), id(7)), None);
}

#[test]
fn gardens_nobody_wrote_permit_dns_and_nothing_else() {
    let config = parse(&format!(
        "{MINIMAL}\n[pools.wgar]\nnetwork = \"10.0.0.0/24\"\ndns = [\"9.9.9.9\"]\n"
    ));
    let garden = config.garden("unactivated").unwrap();

    assert!(garden.permits(address("9.9.9.9"), GardenProtocol::Udp, 53));
    assert!(garden.permits(address("9.9.9.9"), GardenProtocol::Tcp, 53));
    assert!(!garden.permits(address("9.9.9.9"), GardenProtocol::Udp, 54));
    assert!(!garden.permits(address("8.8.8.8"), GardenProtocol::Udp, 53));
    assert_eq!(config.garden("suspended").map(Garden::rules), Some(2));
}

#[test]
fn relative_paths_begin_at_the_files_directory() {
    let config = with_pool("[node]\nrun_dir = \"run\"\n[aaa.local]\nfile = \"subscribers.toml\"");

    assert_eq!(config.node.run_dir, Path::new("/etc/sluice/run"));
    assert_eq!(config.olt.socket, Some(PathBuf::from("/etc/sluice/run/olt.sock")));
    assert_eq!(
        config.aaa.local.unwrap().file,
        Path::new("/etc/sluice/subscribers.toml")
    );
}

#[test]
fn empty_texts_switch_things_off() {
    let config = with_pool(
        "[rest]\nlisten = \"\"\nsocket_group = \"\"\n[olt]\nsocket = \"\"\n[sessions]\nidle_timeout_seconds = 0",
    );

    assert_eq!(config.rest.listen, None);
    assert_eq!(config.rest.socket_group, None);
    assert_eq!(config.olt.socket, None);
    assert_eq!(config.sessions.idle_timeout, None);
}

#[test]
fn the_fib_grows_with_the_sessions_unless_told_otherwise() {
    assert_eq!(
        with_pool("[limits]\nsessions = 1048576").limits.tbl8_groups,
        16_384
    );
    assert_eq!(
        with_pool("[limits]\nsessions = 1048576\ntbl8_groups = 4096")
            .limits
            .tbl8_groups,
        4096
    );
}

#[test]
fn a_burst_follows_its_rate_unless_told_otherwise() {
    let punt = with_pool("[punt]\nline_pps = 5\ndhcp_pps = 500\narp_burst = 7").punt;

    assert_eq!(punt.line, PuntRate { pps: 5, burst: 20 });
    assert_eq!(punt.dhcp, PuntRate { pps: 500, burst: 50 });
    assert_eq!(punt.arp, PuntRate { pps: 1000, burst: 7 });
}

#[test]
fn a_lease_never_outlives_the_binding_it_was_not_written_for() {
    let config = parse(&format!(
        "{MINIMAL}\n[pools.p]\nnetwork = \"10.0.0.0/24\"\nbinding_seconds = 60\n"
    ));

    assert_eq!(config.pools[0].lease, Duration::from_secs(60));
}

#[test]
fn an_identity_template_reads_back() {
    let identity = with_pool("[identity]\ntemplate = \"{relay_id}|{circuit_id}\"").identity;

    let IdentityTemplate::Parts(parts) = &identity.template else {
        panic!("{identity:?}")
    };
    let [relay, bar, circuit] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!(*relay, IdentityPart::Field(IdentityField::RelayId));
    assert_eq!(*bar, IdentityPart::Text("|".to_owned()));
    assert_eq!(*circuit, IdentityPart::Field(IdentityField::CircuitId));
    assert_eq!(identity.template.to_string(), "{relay_id}|{circuit_id}");
}

#[test]
fn garden_ports_are_sorted_and_merged() {
    let config = with_pool(
        "[[gardens.unactivated.permit]]\ndestination = \"198.51.100.0/24\"\nprotocol = \"tcp\"\nports = \"443, 80-90,85-100,101\"\n\
         [[gardens.unactivated.permit]]\ndestination = \"198.51.100.7/32\"\nprotocol = \"any\"",
    );
    let garden = config.garden("unactivated").unwrap();

    assert_eq!(garden.permits[0].ports, [80..=101, 443..=443]);
    assert!(garden.permits(address("198.51.100.7"), GardenProtocol::Icmp, 0));
    assert_eq!(garden.rules(), 2 + 3);
}

#[test]
fn a_listing_beats_a_rule_and_the_first_rule_beats_the_next() {
    let config = with_pool("");
    let text = r#"
        [[subscriber]]
        circuit_id = "agg-01|1/1/1"
        pool = "home"
        service_id = "BY-CIRCUIT"
        [[subscriber]]
        ont_serial = "ADTN00000001"
        pool = "home"
        service_id = "BY-SERIAL"
        [[rule]]
        c_vlans = "1-10"
        circuit_id_prefix = "agg-01|"
        pool = "home"
        service_id = "FIRST"
        [[rule]]
        port = "a"
        c_vlans = "5-20"
        pool = "home"
        service_id = "SECOND"
    "#;
    let directory = Subscribers::parse("s.toml", text, &config)
        .unwrap()
        .into_directory();
    let line = LineFacts {
        port: "a",
        s_vlan: None,
        c_vlan: id(7),
        circuit_id: None,
        ont_serial: None,
    };
    let service = |line: LineFacts<'_>| {
        let service = directory
            .lookup(&line)
            .and_then(|service| service.service_id.as_ref());
        service.map(|id| id.as_str().to_owned())
    };

    let both = LineFacts {
        circuit_id: Some("agg-01|1/1/1"),
        ont_serial: Some("ADTN00000001"),
        ..line
    };
    assert_eq!(service(both).as_deref(), Some("BY-SERIAL"));
    assert_eq!(
        service(LineFacts {
            ont_serial: None,
            ..both
        })
        .as_deref(),
        Some("BY-CIRCUIT")
    );
    assert_eq!(
        service(LineFacts {
            circuit_id: Some("agg-01|1/1/2"),
            ..line
        })
        .as_deref(),
        Some("FIRST")
    );
    assert_eq!(service(line).as_deref(), Some("SECOND"));
    assert_eq!(service(LineFacts { port: "b", ..line }), None);
    assert_eq!(service(LineFacts { c_vlan: None, ..line }), None);
}

#[test]
fn a_configuration_made_by_a_program_is_checked_too() {
    let mut config = with_pool("");
    let mut copy = config.pools[0].clone();
    copy.name = "copy".parse().unwrap();
    config.pools.push(copy);
    config.limits.tbl8_groups = 1;

    let findings = config.check();

    let keys: Vec<String> = findings.iter().map(|finding| finding.at.to_string()).collect();
    assert_eq!(keys, ["limits.tbl8_groups", "pools.copy.network"]);
}

#[test]
fn types_travel_as_json() {
    let qos: Qos = serde_json::from_str(r#"{"download_bps":1000,"upload_bps":2000}"#).unwrap();
    assert_eq!((qos.download_bps(), qos.upload_bps()), (1000, 2000));
    assert!(serde_json::from_str::<Qos>(r#"{"download_bps":1,"upload_bps":2000}"#).is_err());
    assert_eq!(
        serde_json::to_string(&MacAddr::new([2, 0, 0, 0, 0, 1])).unwrap(),
        r#""02:00:00:00:00:01""#
    );
    assert!(serde_json::from_str::<VlanId>("4095").is_err());
    assert!(serde_json::from_str::<PoolName>(r#""a b""#).is_err());
    assert_eq!(
        serde_json::from_str::<IdRanges>(r#""5,1-4""#)
            .unwrap()
            .to_string(),
        "1-5"
    );
}
