//! Stock DHCP clients behind QinQ: udhcpc, dhclient and dhcpcd each get a lease of the walled garden's pool,
//! reach their gateway, renew, and give the lease back.

use std::net::Ipv4Addr;
use std::time::Duration;

use olt_sim::lab::Client;
use olt_sim::lab::cpe::EventKind;
use olt_sim::lab::probes::Reach;
use olt_sim::lab::world::{World, WorldSpec};
use serde_json::Value;
use sluice_tests::world::is_in;
use sluice_tests::{Drops, PATIENCE, SILENCE, connect, eventually, sessions, start};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
const NETWORK: (Ipv4Addr, u8) = (Ipv4Addr::new(10, 255, 0, 0), 16);
/// dhclient waits a second or two before it asks, and has four tries in ten seconds.
const LEASE_PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn udhcpc_gets_renews_and_releases_a_lease() {
    story(Client::Udhcpc);
}

#[test]
fn dhclient_gets_renews_and_releases_a_lease() {
    story(Client::Dhclient);
}

#[test]
fn dhcpcd_gets_renews_and_releases_a_lease() {
    story(Client::Dhcpcd);
}

fn story(client: Client) {
    let mut world = start(WorldSpec {
        client,
        ..WorldSpec::default()
    });

    // A lease, with all that the pool says.
    let lease = connect(&mut world, 0);
    assert!(is_in(lease.address, NETWORK), "{lease:?}");
    assert!(
        lease.address > Ipv4Addr::new(10, 255, 0, 255),
        "the first /24 is excluded: {lease:?}"
    );
    assert_eq!((lease.prefix, lease.router), (16, Some(GATEWAY)));
    assert_eq!(
        lease.resolvers,
        [Ipv4Addr::new(8, 8, 8, 8), Ipv4Addr::new(8, 8, 4, 4)]
    );
    assert_eq!(lease.server, Some(GATEWAY));
    // Never more than is left of the binding, which counts from the moment it was written down.
    assert!((595..=600).contains(&lease.lease_seconds.unwrap()), "{lease:?}");
    let home = world.subscriber(0);
    let pong = home.ping(GATEWAY, PATIENCE);
    assert!(pong.is_reached(), "{pong:?}");

    // The BNG sees the same.
    let session = session_of(&world).expect("the session is listed");
    assert_eq!(session["ip"], lease.address.to_string());
    assert_eq!(
        (&session["state"], &session["pool"]),
        (&"wgar".into(), &"wgar".into())
    );
    assert_eq!(
        (&session["port"], &session["circuit_id"]),
        (&"access0".into(), &"agg-01|1/1/1".into())
    );
    assert_eq!((&session["s_vlan"], &session["c_vlan"]), (&100.into(), &1.into()));

    // Asked again, the client gets the same address, and it still works.
    let told = home.cpe().unwrap().events().len();
    home.cpe().unwrap().renew().unwrap();
    eventually("the client has its lease again", LEASE_PATIENCE, || {
        let events = home.cpe().unwrap().events();
        events[told..]
            .iter()
            .any(|event| matches!(event.kind, EventKind::Bound | EventKind::Renew))
    });
    assert_eq!(home.address(), Some(lease.address));
    assert_eq!(
        session_of(&world).expect("it is still listed")["id"],
        session["id"],
        "a renewal keeps the session"
    );
    assert!(home.ping(GATEWAY, PATIENCE).is_reached());

    // Given back, the address is free and the line is shut for whoever keeps using it.
    home.cpe().unwrap().release().unwrap();
    eventually("the address is free", PATIENCE, || in_use(&world) == 0);
    eventually("the session is over", PATIENCE, || {
        session_of(&world).is_none_or(|session| session["row"].is_null() || session["state"] == "terminated")
    });
    home.cpe().unwrap().stop().unwrap();
    let squatter = home
        .namespace
        .ip(&["addr", "replace", &format!("{}/16", lease.address), "dev", "eth0"]);
    squatter.unwrap();
    world.olt().set_filter(false);
    let before = Drops::read(world.api());
    assert_eq!(home.ping(GATEWAY, SILENCE), Reach::Silent);
    let dropped = Drops::read(world.api()).since(&before);
    let shut = ["arp_no_session", "no_session", "session_terminated"];
    assert!(
        !dropped.is_empty() && dropped.keys().all(|reason| shut.contains(&reason.as_str())),
        "{dropped:?}"
    );
}

fn session_of(world: &World) -> Option<Value> {
    sessions(world, "ont_serial=ADTN00000001").pop()
}

/// Addresses of the pool wgar that somebody has.
fn in_use(world: &World) -> u64 {
    let pools = world.api().get("/api/v1/pools").unwrap();
    let wgar = pools["pools"]
        .as_array()
        .unwrap()
        .iter()
        .find(|pool| pool["name"] == "wgar");
    wgar.unwrap()["bound"].as_u64().unwrap()
}
