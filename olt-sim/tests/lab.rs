//! The laboratory's own parts: core side and probes over a plain cable, and the ground under a real DPDK port.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::Command;
use std::time::Duration;

use olt_sim::lab::core_side::{CoreConfig, CoreSide, HTTP_PORT};
use olt_sim::lab::flow::FlowSpec;
use olt_sim::lab::namespace::can_run;
use olt_sim::lab::namespace::wait_until;
use olt_sim::lab::probes::{self, Download, Reach};
use olt_sim::lab::world::{ACCESS_INTERFACE, Ground};
use olt_sim::lab::{Lab, Namespace, Process};
use olt_sim::{Olt, OltConfig, OntConfig, Tagging, TrunkConfig, VlanModel};

const PATIENCE: Duration = Duration::from_secs(5);
const SHORT: Duration = Duration::from_millis(300);
const HOME: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

/// A home with a cable straight into the core: everything the BNG would do is missing, nothing is in the way.
fn cabled(lab: &Lab) -> (CoreSide, Namespace, Namespace) {
    let core_namespace = lab.namespace("core").unwrap();
    let home = lab.namespace("home").unwrap();
    core_namespace
        .ip(&[
            "link",
            "add",
            "slcore0",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            home.name(),
        ])
        .unwrap();
    let core = CoreSide::start(&core_namespace, CoreConfig::default()).unwrap();
    core.settle(&core_namespace).unwrap();
    home.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]).unwrap();
    home.ip(&["link", "set", "eth0", "up"]).unwrap();
    home.ip(&["route", "add", "default", "via", "192.0.2.1"]).unwrap();
    (core, home, core_namespace)
}

#[test]
fn every_core_service_knows_who_reached_it() {
    if !can_run("every_core_service_knows_who_reached_it") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (core, home, _core_namespace) = cabled(&lab);
    let home = home.netns();
    let config = core.config().clone();

    assert!(probes::ping(home, config.portal, PATIENCE).is_reached());
    let page = probes::http_get(home, core.http_address(config.portal), "/", PATIENCE)
        .reached()
        .unwrap();
    assert_eq!(
        (page.status, page.text().as_str()),
        (200, "activation portal: hello 192.0.2.2\n")
    );
    let resolver = config.resolvers[0];
    assert_eq!(
        probes::resolve(home, resolver, "portal.example", PATIENCE),
        Reach::Reached(vec![config.portal])
    );
    assert_eq!(
        probes::udp_echo(home, core.echo_address(), b"hello", PATIENCE),
        Reach::Reached(b"hello".to_vec())
    );

    assert_eq!(core.portal().requests_from(HOME), 1);
    assert_eq!(core.resolver(resolver).unwrap().requests_from(HOME), 1);
    assert_eq!(core.echo().requests_from(HOME), 1);
    assert!(core.payment_portal().is_empty() && core.internet().is_empty());
    assert!(core.resolver(config.foreign_resolver).unwrap().is_empty());
    // The watch looks at the wire, past the services: the ping too.
    let pinged = || {
        core.watch()
            .matching(|seen| seen.protocol == 1 && seen.destination == config.portal)
    };
    assert_eq!(wait_until(PATIENCE, || (pinged() > 0).then(pinged)), Some(1));
    core.clear();
    assert!(core.portal().is_empty() && core.watch().all().is_empty());
}

#[test]
fn a_probe_tells_refusal_from_silence() {
    if !can_run("a_probe_tells_refusal_from_silence") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (core, home, core_namespace) = cabled(&lab);
    let home = home.netns();
    let nobody = Ipv4Addr::new(192, 0, 2, 77);

    let closed = probes::http_get(home, SocketAddrV4::new(core.config().portal, 81), "/", PATIENCE);
    assert!(matches!(closed, Reach::Refused(_)), "{closed:?}");
    assert_eq!(probes::ping(home, nobody, SHORT), Reach::Silent);
    core_namespace.set_kernel("net/ipv4/ip_forward", "1").unwrap();
    core_namespace
        .ip(&["route", "add", "unreachable", "203.0.113.99/32"])
        .unwrap();
    let refused = probes::ping(home, Ipv4Addr::new(203, 0, 113, 99), PATIENCE);
    assert_eq!(
        refused,
        Reach::Refused("ICMP type 3 code 1 from 192.0.2.1".into())
    );
}

#[test]
fn flows_are_counted_at_the_far_end_in_both_directions() {
    if !can_run("flows_are_counted_at_the_far_end_in_both_directions") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (core, home, _core_namespace) = cabled(&lab);
    let home = home.netns();

    let upstream = FlowSpec::bits_per_second(1, 20_000_000).packets(500);
    let sent = probes::send_flow(home, core.sink_address(), upstream)
        .unwrap()
        .finish();
    assert_eq!((sent.packets, sent.refused), (500, 0));
    assert!(core.sink().wait_for(1, 500, PATIENCE));
    let count = core.sink().flow(1).unwrap();
    assert_eq!(
        (count.bytes, count.reordered, count.duplicates),
        (500 * 1400, 0, 0)
    );
    let rate = count.bits_per_second();
    assert!((15e6..=25e6).contains(&rate), "{rate}");

    let receiver = probes::receive_flows(home, 6000).unwrap();
    core.send_flow(SocketAddrV4::new(HOME, 6000), upstream)
        .unwrap()
        .finish();
    assert!(receiver.meter.wait_for(1, 500, PATIENCE));

    let internet = core.http_address(core.config().internet);
    let download = Download::start(home, internet, "/bytes/10000000", PATIENCE).unwrap();
    let bytes = download.wait(PATIENCE).unwrap();
    assert!((10_000_000..10_001_000).contains(&bytes), "{bytes}");
    assert_eq!(core.internet().from(HOME).unwrap().bytes, 10_000_000);
}

/// DPDK's own `testpmd` copies frames between the two ports: a BNG that does nothing. What is proved is that
/// the interfaces made beforehand serve net_tap, survive it, and are put in order after it.
#[test]
fn a_dpdk_process_stands_on_the_ground_and_can_be_replaced() {
    if !can_run("a_dpdk_process_stands_on_the_ground_and_can_be_replaced") {
        return;
    }
    if Command::new("dpdk-testpmd").arg("--version").output().is_err() {
        eprintln!("SKIPPED: dpdk-testpmd is not installed");
        return;
    }
    let lab = Lab::new().unwrap();
    let ground = Ground::prepare(&lab, CoreConfig::default()).unwrap();
    let home = lab.namespace("home").unwrap();
    let trunk = TrunkConfig::new(
        ACCESS_INTERFACE,
        Some(ground.core_namespace.name()),
        Tagging::Untagged,
    );
    let mut config = OltConfig::new("agg-01", trunk);
    config.policy.filter = false;
    let olt = Olt::start(config).unwrap();
    olt.connect(OntConfig {
        serial: "ADTN00000001".into(),
        port: "1/1/1".into(),
        s_vlan: None,
        c_vlan: None,
        model: VlanModel::ManyToOne,
        namespace: Some(home.name().to_owned()),
        interface: "eth0".into(),
        mac: None,
        profile: Default::default(),
    })
    .unwrap();
    home.ip(&["addr", "add", "192.0.2.2/24", "dev", "eth0"]).unwrap();
    home.ip(&["route", "add", "default", "via", "192.0.2.1"]).unwrap();

    for round in 0..2 {
        let testpmd = start_testpmd(&ground, round);
        ground.settle().unwrap();
        olt.wait_for_trunk(PATIENCE).unwrap();
        let portal = SocketAddrV4::new(ground.core.config().portal, HTTP_PORT);
        let reached = wait_until(PATIENCE, || {
            probes::http_get(home.netns(), portal, "/", SHORT).reached()
        });
        assert!(
            reached.is_some(),
            "round {round}: {:?}\n{}",
            olt.stats(),
            testpmd.log_tail()
        );
        testpmd.kill().unwrap();
        assert_eq!(probes::ping(home.netns(), *portal.ip(), SHORT), Reach::Silent);
    }
    assert!(ground.core.portal().requests_from(HOME) >= 2);
}

fn start_testpmd(ground: &Ground, round: u32) -> Process {
    let mut command = Command::new("dpdk-testpmd");
    command.args([
        "--no-huge",
        "-m",
        "256",
        "--no-pci",
        "-l",
        "0,1",
        "--file-prefix",
        ground.lab.prefix(),
    ]);
    command.args([
        "--vdev",
        &format!("net_tap0,iface={ACCESS_INTERFACE}"),
        "--vdev",
        "net_tap1,iface=slcore0",
    ]);
    command.args([
        "--",
        "--total-num-mbufs=4096",
        "--forward-mode=io",
        "--auto-start",
        "--stats-period=60",
    ]);
    let log = ground.log_path(&format!("testpmd{round}"));
    let process = Process::start("testpmd", command, ground.core_namespace.netns(), &log).unwrap();
    process
        .wait_ready(Duration::from_secs(20), |process| {
            process.log().contains("io packet forwarding")
        })
        .unwrap();
    process
}
