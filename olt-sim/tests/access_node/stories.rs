//! One story a test.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::bng::{GATEWAY, Responder, Trunk, client_message, kind, push, untag};
use dhcproto::v4::{DhcpOption, Message, MessageType, OptionCode};
use olt_sim::lab::cpe::EventKind;
use olt_sim::lab::namespace::{can_run, wait_until};
use olt_sim::lab::{Client, Cpe, Lab, Namespace, WatchLink};
use olt_sim::wire::{Frame, VlanId};
use olt_sim::{
    After, Carrier, DropReason, Olt, OltConfig, OltHandle, OntConfig, Reconfiguration, Tagging, TrunkConfig,
    VlanModel,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn vlan(id: u16) -> VlanId {
    VlanId::new(id).unwrap()
}

fn node(trunk: &Namespace, tagging: Tagging) -> OltConfig {
    let mut config = OltConfig::new("agg-01", TrunkConfig::new("trunk0", Some(trunk.name()), tagging));
    config.bounce_milliseconds = 100;
    config
}

fn start(config: OltConfig) -> OltHandle {
    let olt = Olt::start(config).unwrap();
    olt.wait_for_trunk(PATIENCE).unwrap();
    olt
}

fn ont(number: u16, c_vlan: u16, namespace: &Namespace) -> OntConfig {
    OntConfig::qinq(
        &format!("ADTN{number:08}"),
        &format!("1/1/{number}"),
        vlan(100),
        vlan(c_vlan),
        namespace.name(),
    )
}

fn by_c_vlan(tags: &[(u16, u16)], _: &Message) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 1, tags.last().map_or(1, |tag| tag.1 as u8))
}

fn by_mac(_: &[(u16, u16)], message: &Message) -> Ipv4Addr {
    Ipv4Addr::new(10, 255, 2, message.chaddr()[5])
}

fn wait_for_drop(olt: &OltHandle, reason: DropReason) {
    let counted = wait_until(PATIENCE, || {
        (olt.stats().counters.dropped(reason) > 0).then_some(())
    });
    assert!(counted.is_some(), "no {}: {:?}", reason.name(), olt.stats());
}

#[test]
fn a_stock_client_gets_its_lease_through_qinq() {
    if !can_run("a_stock_client_gets_its_lease_through_qinq") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Qinq));
    olt.connect(ont(1, 7, &home)).unwrap();
    let responder = Responder::start(trunk, 600, by_c_vlan);

    let cpe = Cpe::start(&home, "eth0", Client::Udhcpc, WatchLink::No).unwrap();
    let lease = cpe.wait_for_lease(PATIENCE, |_| true).unwrap();

    assert_eq!((lease.address, lease.prefix), (Ipv4Addr::new(10, 255, 1, 7), 16));
    assert_eq!((lease.router, lease.lease_seconds), (Some(GATEWAY), Some(600)));
    assert!(home.ip(&["route"]).unwrap().contains("default via 10.255.0.1"));
    let heard = responder.stop();
    for message in &heard {
        assert_eq!(message.tags, [(0x88a8, 100), (0x8100, 7)]);
        let option = message.message.opts().get(OptionCode::RelayAgentInformation);
        let Some(DhcpOption::RelayAgentInformation(info)) = option else {
            panic!("no Option 82")
        };
        let text = format!("{info:?}");
        assert!(
            text.contains("AgentCircuitId") && text.contains("AgentRemoteId"),
            "{text}"
        );
    }
    let stats = olt.stats();
    assert_eq!(stats.counters.option82_inserted, heard.len() as u64);
    assert!(stats.counters.option82_removed >= 2, "{stats:?}");
    assert_eq!(
        olt.ont("ADTN00000001").unwrap().hosts[0].address.as_deref(),
        Some("10.255.1.7")
    );
}

#[test]
fn the_trunk_carries_the_exact_bytes() {
    if !can_run("the_trunk_carries_the_exact_bytes") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Qinq));
    olt.set_filter(false);
    olt.connect(ont(1, 7, &home)).unwrap();
    home.ip(&["addr", "add", "10.255.1.7/16", "dev", "eth0"]).unwrap();
    home.ip(&[
        "neigh",
        "add",
        "10.255.0.1",
        "lladdr",
        "02:00:5e:00:01:01",
        "dev",
        "eth0",
    ])
    .unwrap();
    let socket = home.run(|| UdpSocket::bind("10.255.1.7:5000")).unwrap().unwrap();

    socket.send_to(b"up", (GATEWAY, 9)).unwrap();

    let mut up = trunk
        .read_until(PATIENCE, |frame| frame.bytes().ends_with(b"up"))
        .unwrap();
    assert_eq!(up.bytes()[..6], crate::bng::BNG);
    assert_eq!(untag(&mut up), [(0x88a8, 100), (0x8100, 7)]);
    let sliced = etherparse::SlicedPacket::from_ethernet(up.bytes()).unwrap();
    let Some(etherparse::NetSlice::Ipv4(ip)) = &sliced.net else {
        panic!("not IPv4")
    };
    let Some(etherparse::TransportSlice::Udp(udp)) = &sliced.transport else {
        panic!("not UDP")
    };
    let expected = udp
        .to_header()
        .calc_checksum_ipv4(&ip.header().to_header(), b"up")
        .unwrap();
    assert_eq!(udp.checksum(), expected, "a TAP hands over finished checksums");

    let mut down = up.clone();
    down.bytes_mut()[..12].rotate_left(6);
    down.bytes_mut()[26..34].rotate_left(4);
    down.bytes_mut()[34..38].rotate_left(2);
    push(&mut down, &[(0x88a8, 100), (0x8100, 7)]);
    trunk.write(&down);
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 16];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from.to_string().as_str()),
        (&b"up"[..], "10.255.0.1:9")
    );

    // Another outer TPID is not this trunk's, though the kernel hides both kinds alike in metadata.
    let right = down.clone();
    down.bytes_mut()[12..14].copy_from_slice(&[0x81, 0x00]);
    trunk.write(&down);
    wait_for_drop(&olt, DropReason::UnknownTpid);
    trunk.tap.write(&[right.bytes(), &[0; 1900]].concat()).unwrap();
    wait_for_drop(&olt, DropReason::Oversize);
    home.ip(&["link", "set", "eth0", "down"]).unwrap();
    trunk.write(&right);
    wait_for_drop(&olt, DropReason::TapFull);
}

/// A kernel that sends over a virtual cable leaves the checksum to hardware that is not there; past the node
/// nobody would finish it, and the subscriber's kernel would drop the datagram.
#[test]
fn half_a_checksum_from_the_trunk_is_completed() {
    if !can_run("half_a_checksum_from_the_trunk_is_completed") {
        return;
    }
    let lab = Lab::new().unwrap();
    let [node_side, far_side, home] = ["node", "far", "cpe1"].map(|name| lab.namespace(name).unwrap());
    let cable = [
        "link",
        "add",
        "trunk0",
        "type",
        "veth",
        "peer",
        "name",
        "far0",
        "netns",
        far_side.name(),
    ];
    node_side.ip(&cable).unwrap();
    node_side.ip(&["link", "set", "trunk0", "up"]).unwrap();
    far_side
        .ip(&["addr", "add", "10.255.0.1/16", "dev", "far0"])
        .unwrap();
    far_side.ip(&["link", "set", "far0", "up"]).unwrap();
    let olt = start(node(&node_side, Tagging::Untagged));
    olt.set_filter(false);
    let mut config = ont(1, 1, &home);
    (config.s_vlan, config.c_vlan) = (None, None);
    olt.connect(config).unwrap();
    home.ip(&["addr", "add", "10.255.1.7/16", "dev", "eth0"]).unwrap();
    let far = far_side.run(|| UdpSocket::bind((GATEWAY, 7))).unwrap().unwrap();
    let near = home.run(|| UdpSocket::bind("10.255.1.7:5000")).unwrap().unwrap();
    near.set_read_timeout(Some(PATIENCE)).unwrap();
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut buffer = [0; 64];

    near.send_to(b"question", (GATEWAY, 7)).unwrap();
    let (_, from) = far.recv_from(&mut buffer).unwrap();
    far.send_to(b"answer", from).unwrap();

    let (length, _) = near.recv_from(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"answer");
}

#[test]
fn a_bounced_line_makes_the_client_ask_again() {
    if !can_run("a_bounced_line_makes_the_client_ask_again") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Qinq));
    let lines = olt.watch_lines();
    olt.connect(ont(1, 7, &home)).unwrap();
    let responder = Responder::start(trunk, 600, by_c_vlan);
    let cpe = Cpe::start(&home, "eth0", Client::Udhcpc, WatchLink::Yes).unwrap();
    cpe.wait_for_lease(PATIENCE, |_| true).unwrap();

    let change = Reconfiguration {
        c_vlan: Some(vlan(8)),
        after: After::Bounce,
        ..Reconfiguration::default()
    };
    let started = Instant::now();
    olt.reconfigure("ADTN00000001", change).unwrap();

    let changes: Vec<_> = lines.iter().take(3).map(|event| event.carrier).collect();
    assert_eq!(changes, [Carrier::Up, Carrier::Down, Carrier::Up]);
    assert!(started.elapsed() >= Duration::from_millis(100));
    let lease = cpe
        .wait_for_lease(PATIENCE, |lease| lease.address == Ipv4Addr::new(10, 255, 1, 8))
        .unwrap();
    assert_eq!(lease.prefix, 16);
    let heard = responder.stop();
    assert_eq!(heard.last().unwrap().tags, [(0x88a8, 100), (0x8100, 8)]);
    let kinds: Vec<_> = cpe.events().iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::Deconfig, EventKind::Bound, EventKind::Renew]);
}

#[test]
fn dhclient_and_dhcpcd_get_leases_too() {
    if !can_run("dhclient_and_dhcpcd_get_leases_too") {
        return;
    }
    let lab = Lab::new().unwrap();
    let bng = lab.namespace("bng").unwrap();
    let homes = [lab.namespace("cpe1").unwrap(), lab.namespace("cpe2").unwrap()];
    let trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Qinq));
    for (number, home) in (1..).zip(&homes) {
        olt.connect(ont(number, number, home)).unwrap();
    }
    let responder = Responder::start(trunk, 600, by_c_vlan);

    let dhclient = Cpe::start(&homes[0], "eth0", Client::Dhclient, WatchLink::No).unwrap();
    let dhcpcd = Cpe::start(&homes[1], "eth0", Client::Dhcpcd, WatchLink::Yes).unwrap();

    for (number, cpe) in (1..).zip([&dhclient, &dhcpcd]) {
        let lease = cpe.wait_for_lease(Duration::from_secs(30), |_| true).unwrap();
        assert_eq!(lease.address, Ipv4Addr::new(10, 255, 1, number));
        assert_eq!(
            (lease.prefix, lease.lease_seconds, lease.router),
            (16, Some(600), Some(GATEWAY))
        );
        let addresses = homes[usize::from(number) - 1]
            .ip(&["-4", "addr", "show", "eth0"])
            .unwrap();
        assert!(
            addresses.contains(&format!("10.255.1.{number}/16")),
            "{addresses}"
        );
    }
    dhclient.release().unwrap();
    dhcpcd.release().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let releases = responder
        .stop()
        .iter()
        .filter(|heard| kind(&heard.message) == Some(MessageType::Release))
        .count();
    assert!(releases <= 2);
}

#[test]
fn clients_on_a_shared_line_are_told_apart_by_mac() {
    if !can_run("clients_on_a_shared_line_are_told_apart_by_mac") {
        return;
    }
    let lab = Lab::new().unwrap();
    let bng = lab.namespace("bng").unwrap();
    let homes = [lab.namespace("cpe1").unwrap(), lab.namespace("cpe2").unwrap()];
    let trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Single));
    for (number, home) in (1u8..).zip(&homes) {
        let mut config = ont(number.into(), 300, home);
        config.s_vlan = None;
        config.model = VlanModel::ManyToOne;
        config.mac = Some(format!("02:00:00:00:00:{number:02x}").parse().unwrap());
        olt.connect(config).unwrap();
    }
    let responder = Responder::start(trunk, 600, by_mac);

    let cpes = homes
        .each_ref()
        .map(|home| Cpe::start(home, "eth0", Client::Udhcpc, WatchLink::No).unwrap());

    for (number, cpe) in (1..).zip(&cpes) {
        let lease = cpe.wait_for_lease(PATIENCE, |_| true).unwrap();
        assert_eq!(lease.address, Ipv4Addr::new(10, 255, 2, number));
    }
    let heard = responder.stop();
    assert!(heard.iter().all(|heard| heard.tags == [(0x8100, 300)]));
}

#[test]
fn the_filter_stops_a_spoofing_subscriber_until_it_is_switched_off() {
    if !can_run("the_filter_stops_a_spoofing_subscriber_until_it_is_switched_off") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Qinq));
    olt.connect(ont(1, 7, &home)).unwrap();
    home.ip(&["addr", "add", "10.255.9.9/16", "dev", "eth0"]).unwrap();
    home.ip(&[
        "neigh",
        "add",
        "10.255.0.1",
        "lladdr",
        "02:00:5e:00:01:01",
        "dev",
        "eth0",
    ])
    .unwrap();
    let socket = home.run(|| UdpSocket::bind("10.255.9.9:5000")).unwrap().unwrap();
    let mine = |frame: &Frame| frame.bytes().ends_with(b"spoofed");

    socket.send_to(b"spoofed", (GATEWAY, 9)).unwrap();
    assert!(trunk.read_until(Duration::from_millis(300), mine).is_none());
    assert_eq!(olt.stats().counters.dropped(DropReason::SpoofedIp), 1);

    olt.set_filter(false);
    socket.send_to(b"spoofed", (GATEWAY, 9)).unwrap();
    assert!(trunk.read_until(PATIENCE, mine).is_some());
}

#[test]
fn a_trunk_that_was_taken_away_is_found_again() {
    if !can_run("a_trunk_that_was_taken_away_is_found_again") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let olt = Olt::start(node(&bng, Tagging::Qinq)).unwrap();
    olt.connect(ont(1, 7, &home)).unwrap();
    let cpe = Cpe::start(&home, "eth0", Client::Udhcpc, WatchLink::No).unwrap();
    assert!(!olt.stats().trunk_up);

    for _ in 0..3 {
        let trunk = Trunk::make(&bng);
        olt.wait_for_trunk(PATIENCE).unwrap();
        let asked = trunk.read_until(PATIENCE, |frame| {
            let mut frame = frame.clone();
            untag(&mut frame);
            client_message(&frame).is_some_and(|message| kind(&message) == Some(MessageType::Discover))
        });
        assert!(asked.is_some());
        drop(trunk);
        let noticed = wait_until(PATIENCE, || (!olt.stats().trunk_up).then_some(()));
        assert!(noticed.is_some());
    }
    // The client goes on asking.
    wait_for_drop(&olt, DropReason::TrunkDown);
    drop(cpe);
}

#[test]
fn a_disconnected_ont_comes_back_on_the_same_interface() {
    if !can_run("a_disconnected_ont_comes_back_on_the_same_interface") {
        return;
    }
    let lab = Lab::new().unwrap();
    let (bng, home) = (lab.namespace("bng").unwrap(), lab.namespace("cpe1").unwrap());
    let _trunk = Trunk::make(&bng);
    let olt = start(node(&bng, Tagging::Qinq));
    let carrier = || {
        home.run(|| std::fs::read_to_string("/proc/net/dev"))
            .unwrap()
            .unwrap();
        home.ip(&["link", "show", "eth0"]).unwrap().contains("LOWER_UP")
    };

    olt.connect(ont(1, 7, &home)).unwrap();
    assert!(carrier());
    olt.disconnect("ADTN00000001").unwrap();
    assert!(!carrier());
    olt.connect(ont(2, 8, &home)).unwrap();
    assert!(carrier());
    drop(olt);
    assert!(
        home.ip(&["link", "show", "eth0"]).is_err(),
        "the TAP outlived its node"
    );
}

#[test]
fn the_lab_leaves_nothing_behind() {
    if !can_run("the_lab_leaves_nothing_behind") {
        return;
    }
    let lab = Lab::new().unwrap();
    let home = lab.namespace("cpe1").unwrap();
    let (directory, name) = (lab.directory().to_owned(), home.name().to_owned());
    let mount = Path::new("/run/netns").join(&name);
    assert!(directory.exists() && mount.exists());

    drop((lab, home));

    assert!(!directory.exists() && !mount.exists());
}
