//! Control dies and starts again.

use super::super::testing::*;
use super::super::*;

#[test]
fn sessions_addresses_and_counters_are_as_before() {
    let mut bench = Bench::new();
    let (cpe, known) = (Client::on(1), Client::on(2));
    bench.knows(&known.identity(), "isp", Standing::Active);
    let garden = bench.dora(&cpe);
    let paid = bench.dora(&known);
    let row = bench.world.row_of(paid).unwrap().row.get();
    bench.world.traffic.get_mut(&row).unwrap()[1].bytes += 777;
    let before = bench.all();
    let rows: Vec<SessionImage> = bench.world.published.values().cloned().collect();

    bench.restart();

    assert_eq!(bench.all(), before);
    assert_eq!(bench.world.published.values().cloned().collect::<Vec<_>>(), rows);
    assert_eq!(bench.all()[1].totals[1].bytes, 777);
    for (client, address) in [(&cpe, garden), (&known, paid)] {
        assert_eq!(
            outcome(bench.dhcp(client, client.renew(address))),
            Outcome::Ack(address)
        );
    }
    let next = bench.dora(&Client::on(3));
    assert!(next != garden && next != paid);
    assert_eq!(bench.all().len(), 3);
}

#[test]
fn the_time_control_was_away_counts_for_bindings() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    bench.world.now.mono_ns += 500 * SECOND_NS;
    bench.world.now.wall_ms += 500_000;
    bench.restart();
    assert!(bench.world.row_of(address).is_some());
    bench.pass(90);
    assert!(bench.world.row_of(address).is_some());
    bench.pass(20);
    assert_eq!(bench.world.row_of(address), None);
}

#[test]
fn a_wall_clock_that_was_set_back_makes_no_binding_longer_than_its_pool_allows() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    bench.world.now.wall_ms -= 100 * 86_400_000;
    bench.restart();
    bench.pass(590);
    assert!(bench.world.row_of(address).is_some());
    bench.pass(20);

    assert_eq!(bench.world.row_of(address), None);
}

#[test]
fn an_activation_under_way_goes_on() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();

    bench.restart();

    assert_eq!(state_of(&mut bench, &cpe), State::Activating);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(old))), Outcome::Nak);
    bench.dora(&cpe);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
    assert_eq!(bench.statistics().activation_seconds.len(), 1);
}

#[test]
fn kept_and_quarantined_addresses_are_remembered() {
    let mut bench = Bench::new();
    let (cpe, unlucky) = (Client::on(1), Client::on(2));
    let kept = bench.dora(&cpe);
    bench.put(&cpe, cpe.release(kept));
    let declined = bench.dora(&unlucky);
    bench.put(&unlucky, unlucky.decline(declined));

    bench.restart();

    let pool = bench.pool("wgar");
    assert_eq!((pool.sticky, pool.quarantined, pool.bound), (1, 1, 0));
    assert_eq!(bench.dora(&cpe), kept);
    bench.pass(601);
    assert_eq!(bench.pool("wgar").quarantined, 0);
}

#[test]
fn a_grant_that_was_written_and_never_acknowledged_comes_back_whole() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.discover(&cpe).unwrap();
    bench.world.publish_fails = true;
    bench.store = Pace::WhenTold;
    bench.select(&cpe, address);
    bench.write();

    bench.world.publish_fails = false;
    bench.restart();
    bench.store = Pace::AtOnce;
    while bench.write() {}

    assert_eq!(bench.select(&cpe, address), Outcome::Ack(address));
    assert_eq!(bench.world.rows_in_use(), 1);
}

#[test]
fn what_was_not_durable_never_happened() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.discover(&cpe).unwrap();
    bench.store = Pace::WhenTold;
    bench.select(&cpe, address);

    bench.restart();

    assert!(bench.all().is_empty());
    bench.store = Pace::AtOnce;
    assert_eq!(bench.dora(&cpe), address);
}

#[test]
fn an_ended_session_does_not_come_back_by_stale_state() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    let stale = bench.only();
    bench.change(Command::Terminate(by_ont(&cpe))).unwrap();
    bench.world.store.sessions.insert(stale.id, stale.clone());

    bench.restart();

    assert!(bench.all().is_empty());
    assert_eq!(bench.discover(&cpe), None);
    let other = Client::on(2);
    bench.dora(&other);
    assert!(bench.session_of(&other).id > stale.id);
}

#[test]
fn two_claims_to_one_address_or_line_are_decided_for_the_newer() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let mut older = bench.only();
    older.id = SessionId(1000);
    older.row = 200;
    older.identity = Identity("somebody else".into());
    older.binding.as_mut().unwrap().expires_at -= 100;
    bench.world.store.sessions.insert(older.id, older.clone());

    bench.restart();

    assert_eq!(bench.world.rows_in_use(), 1);
    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.renew(address))),
        Outcome::Ack(address)
    );
    assert_eq!(bench.world.store.sessions[&older.id].binding, None);
}

#[test]
fn a_session_whose_row_had_to_be_another_is_written_with_it() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    let id = bench.only().id;
    let now = bench.world.now;
    let mut engine = Engine::new(bench.config.clone(), bench.world.store.restored(), now);
    let row = SessionIndex::new(99).unwrap();

    engine.rebase(
        id,
        ReservedRow {
            row,
            generation: 7,
            baseline: Default::default(),
        },
    );

    assert_eq!(engine.images()[0].row, row);
    engine.handle(now, Event::Tick, &mut bench.world);
    bench.write();
    let stored = &bench.world.store.sessions[&id];
    assert_eq!((stored.row, stored.row_generation), (99, 7));
}

#[test]
fn numbers_of_events_go_on_rising() {
    let mut bench = Bench::new();
    bench.dora(&Client::on(1));
    let last = bench.world.told.last().unwrap().sequence;
    assert_eq!(bench.world.told[0].sequence, 1, "the first event there ever was");

    bench.restart();
    bench.dora(&Client::on(2));

    assert!(bench.world.told.last().unwrap().sequence > last);
}

#[test]
fn a_configuration_that_lost_a_pool_or_a_line_takes_only_what_hung_on_it() {
    let mut bench = Bench::new();
    let (pool_lost, line_lost, other) = (Client::on(1), Client::on(2), Client::on(3));
    let mut line_lost = line_lost;
    line_lost.line = Some(Line {
        port: 0,
        s_vlan: 109,
        c_vlan: 2,
    });
    bench.knows(&pool_lost.identity(), "business", Standing::Active);
    bench.dora(&pool_lost);
    let kept = bench.dora(&line_lost);
    let address = bench.dora(&other);
    let text = CONFIG.replacen("100-109", "100-108", 1).replace(
        "[pools.business]\nnetwork = \"10.16.0.0/24\"",
        "[pools.business]\nnetwork = \"10.17.0.0/24\"",
    );
    bench.config = Arc::new(Config::parse("sluice.toml", &text).unwrap());

    bench.restart();

    assert_eq!(bench.world.rows_in_use(), 1);
    assert_eq!(bench.session_of(&pool_lost).binding, None);
    assert_eq!(bench.session_of(&line_lost).binding.unwrap().ipv4, kept);
    assert_eq!(
        outcome(bench.dhcp(&other, other.renew(address))),
        Outcome::Ack(address)
    );
    assert_eq!(bench.dora(&pool_lost).octets()[..2], [10, 17]);
}
