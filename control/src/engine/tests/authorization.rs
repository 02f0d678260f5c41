//! AAA: slow, failing, changing its mind.

use super::super::testing::*;
use super::super::*;

const POLICY: &str = "relay_pool = \"relayed\"";

fn with_policy(policy: &str) -> Bench {
    let mut bench = Bench::changed(POLICY, &format!("{POLICY}\naaa_timeout_policy = \"{policy}\""));
    bench.aaa = Pace::WhenTold;
    bench
}

#[test]
fn a_slow_aaa_is_asked_once_and_the_newest_discover_is_answered() {
    let mut bench = Bench::new();
    bench.aaa = Pace::WhenTold;
    let mut cpe = Client::on(1);

    for retransmission in 0..5 {
        cpe.xid += 1;
        assert!(bench.dhcp(&cpe, cpe.discover()).is_empty(), "{retransmission}");
        bench.pass(1);
    }
    assert_eq!(bench.world.asked.len(), 1);

    bench.answer_aaa();
    let offers = bench.answers();
    assert_eq!(offers.len(), 1);
    assert_eq!(offers[0].1.xid(), cpe.xid);
    assert_eq!(bench.noted("replaced"), 4);
}

#[test]
fn no_nak_is_given_while_aaa_is_asked() {
    let mut bench = Bench::new();
    bench.aaa = Pace::WhenTold;
    let cpe = Client::on(1);

    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.init_reboot(Ipv4Addr::new(192, 168, 0, 2)))),
        Outcome::Silence
    );

    bench.answer_aaa();
    assert_eq!(outcome(bench.answers()), Outcome::Nak);
}

#[test]
fn after_ten_seconds_the_policy_garden_gives_the_garden_and_a_late_answer_changes_nothing() {
    let mut bench = with_policy("garden");
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    bench.put(&cpe, cpe.discover());
    bench.pass_ms(9_900);
    assert!(bench.answers().is_empty());

    bench.pass_ms(200);

    let offer = bench.answers().remove(0).1;
    assert_eq!(offer.yiaddr().octets()[..2], [10, 255]);
    assert_eq!(bench.noted("aaa_timeout"), 1);
    bench.answer_aaa();
    assert_eq!(bench.noted("late_aaa"), 1);
    assert_eq!(bench.select(&cpe, offer.yiaddr()), Outcome::Ack(offer.yiaddr()));

    // The next DISCOVER asks again, and is answered by what AAA says then.
    bench.pass(2);
    bench.put(&cpe, cpe.discover());
    bench.answer_aaa();
    assert_eq!(bench.answers().remove(0).1.yiaddr().octets()[..2], [10, 0]);
    assert_eq!(state_of(&mut bench, &cpe), State::Activating);
}

#[test]
fn after_ten_seconds_the_policy_silent_says_nothing_and_the_next_discover_asks_again() {
    let mut bench = with_policy("silent");
    let cpe = Client::on(1);
    bench.put(&cpe, cpe.discover());

    bench.pass(11);

    assert!(bench.answers().is_empty());
    assert_eq!(bench.refused("aaa_silent"), 1);
    bench.world.asked.clear();
    bench.put(&cpe, cpe.discover());
    assert_eq!(bench.world.asked.len(), 1);
}

#[test]
fn the_policy_last_known_gives_what_aaa_said_of_the_subscriber_before() {
    let mut bench = with_policy("last-known");
    let (known, stranger) = (Client::on(1), Client::on(2));
    bench.knows(&known.identity(), "isp", Standing::Active);
    bench.aaa = Pace::AtOnce;
    let address = bench.dora(&known);
    bench.put(&known, known.release(address));
    bench.pass(400);
    assert!(bench.all().is_empty());
    bench.aaa = Pace::WhenTold;

    bench.put(&known, known.discover());
    bench.put(&stranger, stranger.discover());
    bench.pass(11);

    let offers = bench.answers();
    let mut pools: Vec<u8> = offers
        .iter()
        .map(|(_, offer)| offer.yiaddr().octets()[1])
        .collect();
    pools.sort_unstable();
    assert_eq!(pools, [0, 255]);
}

#[test]
fn a_failing_aaa_is_the_policys_case_at_once() {
    let mut bench = with_policy("garden");
    let cpe = Client::on(1);
    bench.put(&cpe, cpe.discover());

    bench.fail_aaa();

    assert_eq!(bench.answers().remove(0).1.yiaddr().octets()[..2], [10, 255]);
    assert_eq!(bench.noted("aaa_failed"), 1);
}

#[test]
fn a_subscriber_who_becomes_known_leaves_the_garden_with_his_next_discover() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let garden = bench.dora(&cpe);
    bench.knows(&cpe.identity(), "isp", Standing::Active);

    // Not at once: an answer serves for a while.
    assert_eq!(bench.discover(&cpe), Some(garden));
    bench.pass(31);
    let address = bench.dora(&cpe);

    assert_eq!(address.octets()[..2], [10, 0]);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
    assert_eq!(bench.world.row_of(address).unwrap().policy.garden, None);
}

#[test]
fn a_subscriber_who_becomes_known_in_his_present_pool_is_active_once_it_is_durable() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.knows(&cpe.identity(), "wgar", Standing::Active);
    bench.store = Pace::WhenTold;
    bench.pass(31);

    bench.put(&cpe, cpe.discover());
    assert!(bench.answers().is_empty());
    assert_eq!(bench.world.row_of(address).unwrap().policy.state, State::Wgar);

    bench.write();
    assert_eq!(bench.answers().len(), 1);
    assert_eq!(bench.world.row_of(address).unwrap().policy.state, State::Active);
}

#[test]
fn a_subscriber_whom_aaa_wants_in_the_garden_or_suspended_begins_there() {
    let mut bench = Bench::new();
    let (waiting, suspended) = (Client::on(1), Client::on(2));
    bench.knows(&waiting.identity(), "isp", Standing::Wgar);
    bench.knows(&suspended.identity(), "isp", Standing::Suspended);

    let first = bench.dora(&waiting);
    let second = bench.dora(&suspended);

    let row = bench.world.row_of(first).unwrap();
    assert_eq!(row.policy.state, State::Wgar);
    assert_eq!(row.policy.garden.as_deref(), Some("unactivated"));
    let row = bench.world.row_of(second).unwrap();
    assert_eq!(row.policy.state, State::Suspended);
    assert_eq!(row.policy.garden.as_deref(), Some("suspended"));
    assert_eq!(bench.session_of(&waiting).service.pool, "isp");
}

#[test]
fn a_pool_that_is_not_configured_is_no_answer() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "gone", Standing::Active);

    assert_eq!(bench.discover(&cpe), None);

    assert_eq!(bench.refused("unknown_pool"), 1);
}

#[test]
fn a_renewal_of_a_bound_session_asks_nobody() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.aaa = Pace::WhenTold;

    bench.pass(300);
    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.renew(address))),
        Outcome::Ack(address)
    );
    assert_eq!(bench.discover(&cpe), Some(address));

    assert!(bench.world.asked.is_empty());
}
