//! Hosts and lines: who displaces whom, who stands beside whom.

use super::super::testing::*;
use super::super::*;

#[test]
fn a_new_cpe_on_a_one_host_line_takes_the_place_and_the_address_of_the_old_one() {
    let mut bench = Bench::new();
    let old = Client::on(1);
    let address = bench.dora(&old);
    let id = bench.only().id;
    let new = old.with_mac(2);

    assert_eq!(bench.dora(&new), address);

    let session = bench.only();
    assert_eq!((session.id, session.mac), (id, new.mac));
    assert_eq!(bench.world.row_of(address).unwrap().mac, new.mac);
    assert_eq!(bench.world.rows_in_use(), 1);
    assert_eq!(bench.noted("displaced"), 1);
    assert_eq!(outcome(bench.dhcp(&old, old.renew(address))), Outcome::Nak);
    assert_eq!(
        outcome(bench.dhcp(&new, new.renew(address))),
        Outcome::Ack(address)
    );
}

#[test]
fn two_hosts_that_fight_for_a_one_host_line_are_slowed_down() {
    let mut bench = Bench::new();
    let hosts = [Client::on(1), Client::on(1).with_mac(2)];
    bench.dora(&hosts[0]);

    let mut changes = 0;
    for round in 0..10 {
        let host = &hosts[(round + 1) % 2];
        if let Some(address) = bench.discover(host) {
            bench.select(host, address);
            changes += 1;
        }
    }
    assert!(changes <= 9);
    assert_eq!(bench.noted("displaced"), 3);
    assert!(bench.refused("displacement") > 0);

    bench.pass(21);
    let mac = bench.only().mac;
    let other = hosts.iter().find(|host| host.mac != mac).unwrap();
    bench.dora(other);
}

#[test]
fn two_clients_on_a_shared_line_are_two_sessions_with_two_addresses() {
    let mut bench = Bench::new();
    let (one, two) = (Client::untrusted(200, 10, 1), Client::untrusted(200, 10, 2));

    let first = bench.dora(&one);
    let second = bench.dora(&two);

    assert_ne!(first, second);
    assert_eq!(bench.all().len(), 2);
    assert_ne!(bench.session_of(&one).identity, bench.session_of(&two).identity);
    bench.put(&one, one.release(first));
    assert!(bench.world.row_of(second).is_some());
    assert_eq!(bench.dora(&one), first);
}

#[test]
fn hosts_of_one_circuit_on_a_shared_line_are_told_apart_by_client_id_else_mac() {
    let mut bench = Bench::new();
    let line = Some(Line {
        port: 0,
        s_vlan: 200,
        c_vlan: 10,
    });
    let mut one = Client::on(1);
    one.line = line;
    one.client_id = Some(b"laptop".to_vec());
    let mut two = one.with_mac(2);
    two.client_id = Some(b"phone".to_vec());
    let first = bench.dora(&one);
    let second = bench.dora(&two);
    assert_ne!(first, second);
    assert_eq!(bench.session_of(&one).identity, bench.session_of(&two).identity);

    // The laptop with another network card is still the laptop.
    let mut other_card = one.with_mac(3);
    other_card.client_id.clone_from(&one.client_id);
    assert_eq!(bench.dora(&other_card), first);

    assert_eq!(bench.all().len(), 2);
    assert_eq!(bench.world.row_of(first).unwrap().mac, other_card.mac);
}

#[test]
fn the_same_mac_on_two_lines_is_two_sessions() {
    let mut bench = Bench::new();
    let one = Client::on(1);
    let mut two = Client::on(2);
    two.mac = one.mac;

    let first = bench.dora(&one);
    let second = bench.dora(&two);

    assert_ne!(first, second);
    assert_eq!(bench.all().len(), 2);
    assert_eq!(outcome(bench.dhcp(&one, one.renew(first))), Outcome::Ack(first));
    assert_eq!(outcome(bench.dhcp(&two, two.renew(second))), Outcome::Ack(second));
    assert_eq!(bench.world.rows_in_use(), 2);
}

#[test]
fn a_mac_that_another_circuit_of_the_same_shared_line_has_is_refused() {
    let mut bench = Bench::new();
    let line = Some(Line {
        port: 0,
        s_vlan: 200,
        c_vlan: 10,
    });
    let mut victim = Client::on(1);
    victim.line = line;
    let mut forger = Client::on(2);
    forger.line = line;
    forger.mac = victim.mac;
    let address = bench.dora(&victim);

    let offered = bench.discover(&forger).unwrap();
    assert_eq!(bench.select(&forger, offered), Outcome::Silence);

    assert_eq!(bench.refused("mac_in_use"), 1);
    assert_eq!(
        outcome(bench.dhcp(&victim, victim.renew(address))),
        Outcome::Ack(address)
    );
}

#[test]
fn a_line_holds_no_more_than_its_share_of_unanswered_offers() {
    let mut bench = Bench::new();

    for host in 1..=20 {
        bench.discover(&Client::untrusted(200, 10, host));
    }

    assert_eq!(bench.pool("wgar").offered, 4);
    assert_eq!(bench.refused("line_offers_full"), 16);

    bench.pass(61);
    assert!(bench.discover(&Client::untrusted(200, 10, 50)).is_some());
}

#[test]
fn hosts_that_never_get_an_address_are_forgotten_without_a_trace_on_disk() {
    let mut bench = Bench::new();
    for host in 1..=20 {
        bench.discover(&Client::untrusted(200, 10, host));
    }

    bench.pass(400);

    assert!(bench.all().is_empty());
    assert!(bench.world.store.sessions.is_empty() && bench.world.store.tombstones.is_empty());
    assert!(bench.engine.loops.is_empty());
    assert!(bench.engine.clockwork_is_idle());
}

#[test]
fn an_invention_of_mac_addresses_has_an_end() {
    let mut bench = Bench::new();

    for host in 0..2000u16 {
        let mut client = Client::untrusted(200, 10, 1);
        client.mac = Mac([2, 0, 7, 0, (host >> 8) as u8, host as u8]);
        bench.discover(&client);
    }

    assert_eq!(bench.all().len(), 1000);
    assert_eq!(bench.refused("line_sessions_full"), 2000 - 1024);
}

#[test]
fn who_comes_to_a_one_host_line_with_another_identity_makes_the_former_go() {
    let mut bench = Bench::new();
    let former = Client::on(1);
    let mut latter = Client::on(2);
    latter.line = former.line;
    let lost = bench.dora(&former);

    let address = bench.dora(&latter);

    assert_eq!(bench.world.row_of(lost), None);
    assert_eq!(bench.world.row_of(address).unwrap().mac, latter.mac);
    // The former is still a subscriber; where he speaks from next, his address is published again.
    let mut elsewhere = former.clone();
    elsewhere.line = Some(Line {
        port: 0,
        s_vlan: 100,
        c_vlan: 500,
    });
    assert_eq!(
        outcome(bench.dhcp(&elsewhere, elsewhere.renew(lost))),
        Outcome::Ack(lost)
    );
    assert_eq!(bench.world.row_of(lost).unwrap().line, elsewhere.line.unwrap());
}
