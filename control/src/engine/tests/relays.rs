//! Clients behind configured relays: bindings without a row.

use dhcproto::v4::MessageType;

use super::super::testing::*;
use super::super::*;

#[test]
fn a_relayed_client_gets_a_binding_of_the_relays_pool_and_no_row() {
    let mut bench = Bench::new();
    bench.aaa = Pace::WhenTold;
    let host = Client::relayed(1);

    let (offer, message) = bench.dhcp(&host, host.discover()).remove(0);
    assert_eq!((offer.to, offer.destination), (Egress::Relay, RELAY));
    assert_eq!(offer.destination_port, 67);
    assert_eq!(message.giaddr(), RELAY);
    let address = message.yiaddr();
    assert_eq!(bench.select(&host, address), Outcome::Ack(address));

    assert_eq!(address.octets()[..2], [10, 48]);
    assert_eq!(bench.world.rows_in_use(), 0);
    let session = bench.only();
    assert_eq!((session.line, session.state), (None, State::Active));
    assert!(bench.engine.images().is_empty());
}

#[test]
fn a_relayed_client_renews_and_releases_by_itself() {
    let mut bench = Bench::new();
    let host = Client::relayed(1);
    let address = bench.dora(&host);
    let mut direct = host.clone();
    direct.giaddr = Ipv4Addr::UNSPECIFIED;

    let (out, ack) = bench.dhcp(&direct, direct.renew(address)).remove(0);
    assert_eq!(ack.opts().msg_type(), Some(MessageType::Ack));
    assert_eq!(
        (out.to, out.destination, out.destination_port),
        (Egress::Relay, address, 68)
    );

    bench.put(&direct, direct.release(address));
    assert_eq!(bench.pool("relayed").bound, 0);
    assert_eq!(bench.pool("relayed").sticky, 1);
}

#[test]
fn a_nak_through_a_relay_asks_it_to_broadcast() {
    let mut bench = Bench::new();
    let host = Client::relayed(1);
    bench.dora(&host);

    let (out, nak) = bench
        .dhcp(&host, host.init_reboot(Ipv4Addr::new(192, 168, 0, 9)))
        .remove(0);

    assert_eq!(nak.opts().msg_type(), Some(MessageType::Nak));
    assert_eq!(out.destination, RELAY);
    assert!(nak.flags().broadcast());
}

#[test]
fn an_unknown_relay_is_refused_and_counted() {
    let mut bench = Bench::new();
    let mut host = Client::relayed(1);
    host.giaddr = Ipv4Addr::new(192, 0, 2, 68);
    assert!(bench.dhcp(&host, host.discover()).is_empty());
    host.giaddr = Ipv4Addr::UNSPECIFIED;
    assert!(bench.dhcp(&host, host.discover()).is_empty());

    assert_eq!(bench.refused("unknown_relay"), 2);
    assert!(bench.all().is_empty());
}

#[test]
fn many_hosts_behind_one_relay_are_not_one_line() {
    let mut bench = Bench::new();
    let mut offered = std::collections::HashSet::new();

    for host in 1..=50 {
        offered.insert(bench.discover(&Client::relayed(host)).unwrap());
    }

    assert_eq!(offered.len(), 50);
}
