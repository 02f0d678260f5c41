//! Lines of all kinds: N:1 with several hosts told apart by MAC address, single-tagged and untagged ports, and
//! a 1:1 line whose customer changes his equipment.

use std::net::Ipv4Addr;
use std::time::Duration;

use olt_sim::config::{Tagging, VlanModel};
use olt_sim::lab::probes::Reach;
use olt_sim::lab::world::{Settings, World, WorldSpec};
use olt_sim::lab::{Client, Cpe, Namespace, WatchLink, probes};
use serde_json::{Value, json};
use sluice_tests::world::{WGAR, is_in, mac_of};
use sluice_tests::{Drops, PATIENCE, SILENCE, connect, eventually, sessions, start};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
const PORTAL: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 80);
const LEASE_PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn three_hosts_share_an_n_to_1_line() {
    hosts_get_leases(Tagging::Qinq, VlanModel::ManyToOne, 3, |_| {
        (json!(110), json!(10))
    });
}

#[test]
fn lines_of_a_single_tagged_port() {
    hosts_get_leases(Tagging::Single, VlanModel::OneToOne, 2, |number| {
        (Value::Null, json!(number))
    });
}

#[test]
fn hosts_share_a_single_tagged_n_to_1_line() {
    hosts_get_leases(Tagging::Single, VlanModel::ManyToOne, 2, |_| {
        (Value::Null, json!(10))
    });
}

#[test]
fn hosts_of_an_untagged_port() {
    hosts_get_leases(Tagging::Untagged, VlanModel::ManyToOne, 2, |_| {
        (Value::Null, Value::Null)
    });
}

/// Each host gets an address of its own, reaches the gateway and the portal, and is one session on the line
/// that `line` expects for its number.
fn hosts_get_leases(tagging: Tagging, model: VlanModel, hosts: u16, line: impl Fn(u16) -> (Value, Value)) {
    let mut world = start(WorldSpec {
        subscribers: hosts,
        settings: Settings {
            tagging,
            model,
            ..Settings::default()
        },
        ..WorldSpec::default()
    });

    let mut addresses: Vec<Ipv4Addr> = Vec::new();
    for index in 0..usize::from(hosts) {
        let address = connect(&mut world, index).address;
        assert!(
            is_in(address, WGAR) && !addresses.contains(&address),
            "{address} after {addresses:?}"
        );
        addresses.push(address);
    }

    let before = Drops::read(world.api());
    for (number, (home, address)) in (1..).zip(world.subscribers().iter().zip(&addresses)) {
        assert!(
            home.ping(GATEWAY, PATIENCE).is_reached(),
            "host {number} and its gateway"
        );
        assert!(
            home.ping(PORTAL, PATIENCE).is_reached(),
            "host {number} and the portal"
        );
        let core = &world.ground().core;
        let page = home.http_get(core.http_address(PORTAL), "/", PATIENCE);
        assert!(page.is_reached(), "host {number}: {page:?}");
        assert_eq!(core.portal().requests_from(*address), 1);

        let session = sessions(&world, &format!("ip={address}"))
            .pop()
            .expect("it is listed");
        let (s_vlan, c_vlan) = line(number);
        assert_eq!((&session["s_vlan"], &session["c_vlan"]), (&s_vlan, &c_vlan));
        assert_eq!(session["mac"], mac_of(home));
        assert_eq!(session["circuit_id"], format!("agg-01|1/1/{number}"));
    }
    before.expect(world.api(), "what is permitted", &[]);
    assert_eq!(sessions(&world, "state=wgar").len(), usize::from(hosts));
}

#[test]
fn a_new_host_on_a_1_to_1_line_displaces_the_old_one() {
    let mut world = start(WorldSpec {
        watch_link: WatchLink::No,
        ..WorldSpec::default()
    });
    let old = connect(&mut world, 0).address;
    let home = world.subscriber(0);
    assert!(home.ping(GATEWAY, PATIENCE).is_reached());

    // A second box behind the same ONT, with a MAC address of its own.
    let guest = second_host(&world);
    let cpe = Cpe::start(&guest, "eth0", Client::Udhcpc, WatchLink::No).unwrap();
    let new = cpe.wait_for_lease(LEASE_PATIENCE, |_| true).unwrap().address;
    assert_eq!(new, old, "the address is the line's, whoever sits at its end");
    let ping_guest = || probes::ping(guest.netns(), GATEWAY, PATIENCE);
    assert!(ping_guest().is_reached());
    eventually("the line has one session, the new host's", PATIENCE, || {
        let sessions = sessions(&world, "state=wgar");
        sessions.len() == 1 && sessions[0]["mac"] != mac_of(home)
    });

    // The old one still thinks that it has an address, and is refused by its MAC address.
    let before = Drops::read(world.api());
    assert_eq!(home.ping(GATEWAY, SILENCE), Reach::Silent);
    assert_eq!(home.ping(PORTAL, SILENCE), Reach::Silent);
    before.expect(world.api(), "the old host's pings", &[("spoofed_mac", 2)]);
    assert!(ping_guest().is_reached());

    // It asks again, and now the line is its own.
    home.cpe().unwrap().renew().unwrap();
    eventually("the old host is back", LEASE_PATIENCE, || {
        home.ping(GATEWAY, SILENCE).is_reached()
    });
    assert_eq!(probes::ping(guest.netns(), GATEWAY, SILENCE), Reach::Silent);
}

/// A namespace whose eth0 leaves through the first subscriber's ONT, under another MAC address.
fn second_host(world: &World) -> Namespace {
    let home = world.subscriber(0);
    let guest = world.ground().lab.namespace("guest").unwrap();
    let macvlan = [
        "link", "add", "link", "eth0", "name", "guest0", "type", "macvlan", "mode", "bridge",
    ];
    home.namespace.ip(&macvlan).unwrap();
    home.namespace
        .ip(&["link", "set", "guest0", "netns", guest.name()])
        .unwrap();
    guest.ip(&["link", "set", "guest0", "name", "eth0"]).unwrap();
    guest
}
