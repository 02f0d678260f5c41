//! The life of an address: renewed, rebound, asked for after a reboot, given back, declined, run out, taken from a full pool.

use super::super::testing::*;
use super::super::*;

#[test]
fn renewing_and_rebinding_extend_the_address() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    for _ in 0..10 {
        bench.pass(300);
        assert_eq!(
            outcome(bench.dhcp(&cpe, cpe.renew(address))),
            Outcome::Ack(address)
        );
    }

    assert_eq!(bench.world.rows_in_use(), 1);
    assert_eq!(bench.only().binding.unwrap().ipv4, address);
}

#[test]
fn a_renewal_that_the_stored_binding_covers_is_not_written() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;

    bench.pass(300);
    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.renew(address))),
        Outcome::Ack(address)
    );
    assert_eq!(bench.batches(), 0);

    // Past half of the binding the store is told again, before the answer.
    for _ in 0..143 {
        bench.pass(300);
        bench.put(&cpe, cpe.renew(address));
    }
    bench.answers();
    bench.pass(300);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(address))), Outcome::Silence);
    assert_eq!(bench.batches(), 1);
    bench.write();
    assert_eq!(outcome(bench.answers()), Outcome::Ack(address));
}

#[test]
fn a_client_that_reboots_gets_its_address_again() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.init_reboot(address))),
        Outcome::Ack(address)
    );

    assert_eq!(bench.world.rows_in_use(), 1);
}

#[test]
fn a_client_that_reboots_with_a_foreign_address_is_told_so() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);

    for foreign in [Ipv4Addr::new(192, 168, 1, 5), Ipv4Addr::new(10, 255, 0, 200)] {
        assert_eq!(
            outcome(bench.dhcp(&cpe, cpe.init_reboot(foreign))),
            Outcome::Nak,
            "{foreign}"
        );
    }
}

#[test]
fn a_reboot_after_the_binding_ran_out_gets_the_kept_address() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.pass(700);
    assert_eq!(bench.world.row_of(address), None);
    assert_eq!(bench.pool("wgar").sticky, 1);

    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.init_reboot(address))),
        Outcome::Ack(address)
    );

    assert_eq!(bench.pool("wgar").sticky, 0);
    assert_eq!(bench.pool("wgar").bound, 1);
}

#[test]
fn a_client_that_is_new_to_the_server_and_claims_an_address_begins_anew() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);

    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.init_reboot(Ipv4Addr::new(10, 255, 0, 2)))),
        Outcome::Nak
    );

    bench.dora(&cpe);
}

#[test]
fn a_released_address_is_out_of_sight_at_once_and_kept_for_its_owner() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;

    bench.put(&cpe, cpe.release(address));

    assert_eq!(bench.world.row_of(address), None);
    while bench.write() {}
    assert_eq!(bench.world.store.bindings[&address].state, BindingState::Sticky);
    bench.store = Pace::AtOnce;
    let other = bench.dora(&Client::on(2));
    assert_ne!(other, address);
    assert_eq!(bench.dora(&cpe), address);
    assert_eq!(bench.world.rows_in_use(), 2);
}

#[test]
fn a_release_without_option_82_is_found_by_its_address() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let mut bare = cpe.clone();
    bare.circuit_id = None;
    bare.remote_id = None;

    bench.put(&bare, bare.release(address));

    assert_eq!(bench.world.row_of(address), None);
    assert_eq!(bench.pool("wgar").sticky, 1);
}

#[test]
fn nobody_gives_back_or_declines_the_address_of_another() {
    let mut bench = Bench::new();
    let (cpe, other) = (Client::on(1), Client::on(2));
    let address = bench.dora(&cpe);
    bench.dora(&other);
    let mut bare = other.clone();
    bare.circuit_id = None;
    bare.remote_id = None;
    let same_line = cpe.with_mac(7);

    bench.put(&other, other.release(address));
    bench.put(&other, other.decline(address));
    bench.put(&same_line, same_line.release(address));
    bench.put(&bare, bare.release(address));

    assert!(bench.world.row_of(address).is_some());
    assert_eq!(bench.refused("not_the_holder"), 3);
    assert_eq!(bench.refused("relay_info_missing"), 1);
}

#[test]
fn a_declined_address_rests_and_the_client_gets_another() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    bench.put(&cpe, cpe.decline(address));

    assert_eq!(bench.world.row_of(address), None);
    assert_eq!(bench.pool("wgar").quarantined, 1);
    assert_eq!(bench.world.store.bindings[&address].state, BindingState::Declined);
    let second = bench.dora(&cpe);
    assert_ne!(second, address);

    bench.pass(300);
    bench.put(&cpe, cpe.renew(second));
    bench.pass(301);
    assert_eq!(bench.pool("wgar").quarantined, 0);
    assert!(!bench.world.store.bindings.contains_key(&address));
}

#[test]
fn a_line_that_declines_everything_empties_no_pool() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);

    for _ in 0..20 {
        let address = bench.dora(&cpe);
        bench.put(&cpe, cpe.decline(address));
    }

    assert_eq!(bench.pool("wgar").quarantined, 4);
    assert_eq!(bench.refused("decline_capped"), 16);
    assert_eq!(bench.pool("wgar").bound, 0);
}

#[test]
fn an_offer_that_nobody_takes_lapses() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let offered = bench.discover(&cpe).unwrap();
    assert_eq!(bench.pool("wgar").offered, 1);

    bench.pass(61);

    assert_eq!(bench.pool("wgar").offered, 0);
    assert_eq!(bench.select(&cpe, offered), Outcome::Nak);
    assert_eq!(bench.batches(), 0);
    assert!(bench.world.store.sessions.is_empty());
}

#[test]
fn an_offer_is_the_same_for_a_discover_that_is_repeated() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);

    let first = bench.discover(&cpe);

    assert_eq!(bench.discover(&cpe), first);
    assert_eq!(bench.pool("wgar").offered, 1);
}

#[test]
fn an_exhausted_pool_is_silence_a_counter_and_an_alarm_and_never_the_garden() {
    let mut bench = Bench::new();
    for n in 1..=7 {
        bench.knows(&Client::on(n).identity(), "tiny", Standing::Active);
    }
    // 10.32.0.0/29 less network, broadcast and gateway: five.
    for n in 1..=5 {
        bench.dora(&Client::on(n));
    }

    assert_eq!(bench.discover(&Client::on(6)), None);
    assert_eq!(bench.discover(&Client::on(7)), None);

    assert_eq!(bench.refused("pool_exhausted"), 2);
    let alarms = bench
        .world
        .told
        .iter()
        .filter(|event| event.kind == "PoolExhausted");
    assert_eq!(
        alarms.map(|event| event.pool.as_deref()).collect::<Vec<_>>(),
        [Some("tiny")]
    );
    assert_eq!(bench.pool("wgar").bound + bench.pool("wgar").offered, 0);
    assert_eq!(bench.pool("tiny").available, 0);
    assert_eq!(bench.pool("tiny").utilization, 1.0);
}

#[test]
fn kept_addresses_are_reclaimed_oldest_first_when_nothing_is_free() {
    let mut bench = Bench::new();
    for n in 1..=7 {
        bench.knows(&Client::on(n).identity(), "tiny", Standing::Active);
    }
    let addresses: Vec<Ipv4Addr> = (1..=5).map(|n| bench.dora(&Client::on(n))).collect();
    bench.put(&Client::on(3), Client::on(3).release(addresses[2]));
    bench.pass(2);
    bench.put(&Client::on(1), Client::on(1).release(addresses[0]));
    assert_eq!(bench.pool("tiny").available, 2);

    assert_eq!(bench.dora(&Client::on(6)), addresses[2]);
    assert_eq!(bench.dora(&Client::on(1)), addresses[0]);
    assert_eq!(bench.discover(&Client::on(3)), None);

    assert_eq!(bench.noted("reclaimed"), 1);
}

#[test]
fn the_binding_outlives_the_lease_and_ends_by_the_monotonic_clock() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);

    // The wall clock jumps a year ahead: nobody loses his address by it.
    bench.world.now.wall_ms += 365 * 86_400_000;
    bench.pass(80_000);
    assert!(bench.world.row_of(address).is_some());

    bench.pass(6_500);
    assert_eq!(bench.world.row_of(address), None);
    let released = bench
        .world
        .told
        .iter()
        .find(|event| event.kind == "AddressReleased")
        .unwrap();
    assert_eq!(released.detail.as_deref(), Some("expired"));
}

#[test]
fn a_session_without_an_address_ends_after_a_while_and_leaves_a_tombstone() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let id = bench.only().id;
    bench.put(&cpe, cpe.release(address));

    bench.pass(310);

    assert!(bench.all().is_empty());
    assert_eq!(bench.world.store.tombstones.len(), 1);
    assert!(bench.world.store.sessions.is_empty());
    assert_eq!(bench.world.told.last().unwrap().kind, "SessionEnded");
    assert_eq!(bench.dora(&cpe), address);
    assert_ne!(bench.only().id, id);
}

#[test]
fn a_session_without_packets_loses_its_address_where_that_is_configured() {
    let mut bench = Bench::changed("[dhcp]", "[sessions]\nidle_timeout_seconds = 60\n\n[dhcp]");
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let row = bench.world.row_of(address).unwrap().row.get();

    for _ in 0..4 {
        bench.pass(30);
        bench.world.traffic.get_mut(&row).unwrap()[0].packets += 1;
    }
    bench.pass(50);
    assert!(bench.world.row_of(address).is_some());

    bench.pass(30);
    assert_eq!(bench.world.row_of(address), None);
}
