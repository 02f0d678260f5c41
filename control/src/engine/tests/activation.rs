//! From the garden to the service, and back.

use super::super::testing::*;
use super::super::*;

#[test]
fn a_subscriber_in_the_garden_is_activated_to_another_pool_and_moves_with_his_next_conversation() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);

    let changed = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Wgar, State::Activating)
    );
    assert_eq!(changed.old_ip, Some(old));
    assert_eq!(changed.message, "Waiting for DHCP renewal");
    let (_, request) = bench.world.olt.pop_front().unwrap();
    assert!(request.bounce);
    assert_eq!(
        bench.world.row_of(old).unwrap().policy.garden.as_deref(),
        Some("unactivated")
    );

    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(old))), Outcome::Nak);
    let new = bench.dora(&cpe);

    assert_eq!(new.octets()[..2], [10, 0]);
    let row = bench.world.row_of(new).unwrap();
    assert_eq!(
        (row.policy.state, row.policy.garden.clone()),
        (State::Active, None)
    );
    assert_eq!(bench.world.row_of(old), None);
    assert_eq!(bench.world.rows_in_use(), 1);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(new))), Outcome::Ack(new));
}

#[test]
fn the_old_address_is_naked_once_and_the_conversation_after_it_is_not() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    bench.store = Pace::WhenTold;

    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(old))), Outcome::Nak);
    let new = bench.discover(&cpe).unwrap();
    assert_eq!(bench.select(&cpe, new), Outcome::Silence);
    assert_eq!(bench.select(&cpe, new), Outcome::Silence);
    bench.write();

    assert_eq!(outcome(bench.answers()), Outcome::Ack(new));
    assert_eq!(bench.noted("nak"), 1);
}

#[test]
fn activation_within_the_pool_is_active_at_once() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);

    let changed = bench.change(Command::Activate(activate(&cpe, "wgar"))).unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Wgar, State::Active)
    );
    assert_eq!(changed.message, "Active");
    let row = bench.world.row_of(address).unwrap();
    assert_eq!(
        (row.policy.state, row.policy.garden.clone()),
        (State::Active, None)
    );
    assert_eq!(row.policy.qos.upload_bps, 20_000_000);
    assert!(!bench.world.olt.pop_front().unwrap().1.bounce);
    assert_eq!(
        outcome(bench.dhcp(&cpe, cpe.renew(address))),
        Outcome::Ack(address)
    );
    let statistics = bench.statistics();
    assert_eq!(statistics.activations[0], ("success", 1));
    assert_eq!(statistics.activation_seconds.len(), 1);
}

#[test]
fn an_identical_repeat_changes_nothing_and_asks_nobody() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    let first = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    let written = bench.world.store.events.len();

    let again = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    assert_eq!((again.id, again.new_state), (first.id, State::Activating));
    assert_eq!(again.message, first.message);

    bench.dora(&cpe);
    let after = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    assert_eq!(after.new_state, State::Active);
    assert_eq!(bench.world.olt.len(), 1);
    assert_eq!(
        bench.world.store.events[written..]
            .iter()
            .filter(|event| event.kind == "SessionStateChanged")
            .count(),
        1
    );
}

#[test]
fn a_repeat_while_the_first_is_being_written_is_answered_with_it() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    bench.store = Pace::WhenTold;
    let callers: Vec<u64> = (0..3)
        .map(|_| bench.ask(Command::Activate(activate(&cpe, "isp"))))
        .collect();
    assert_eq!(bench.batches(), 1);

    bench.write();

    for caller in callers {
        assert!(matches!(
            bench.reply_to(caller),
            Some(Ok(Reply::Changed(Changed {
                old_state: State::Wgar,
                new_state: State::Activating,
                ..
            })))
        ));
    }
}

#[test]
fn another_activation_waits_for_the_one_that_is_being_written() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    bench.store = Pace::WhenTold;
    bench.ask(Command::Activate(activate(&cpe, "isp")));
    let second = bench.ask(Command::Activate(activate(&cpe, "business")));

    while bench.write() {}

    assert!(matches!(bench.reply_to(second), Some(Ok(_))));
    bench.store = Pace::AtOnce;
    assert_eq!(bench.dora(&cpe).octets()[..2], [10, 16]);
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let unknown = bench.change(Command::Activate(activate(&cpe, "isp")));
    assert_eq!(
        unknown,
        Err(CommandError::NotFound {
            what: "ont_serial ADTN00000001".into()
        })
    );
    bench.dora(&cpe);

    let invalid = |bench: &mut Bench, change: &dyn Fn(&mut Activate)| {
        let mut wrong = activate(&cpe, "isp");
        change(&mut wrong);
        match bench.change(Command::Activate(wrong)) {
            Err(CommandError::Invalid { field, .. }) => field,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(invalid(&mut bench, &|a| a.pool = "nowhere".into()), "pool");
    assert_eq!(
        invalid(&mut bench, &|a| a.qos_download_bps = 0),
        "qos_download_bps"
    );
    assert_eq!(
        invalid(&mut bench, &|a| a.qos_upload_bps = u64::MAX),
        "qos_upload_bps"
    );
    assert_eq!(
        invalid(&mut bench, &|a| a.service_id = String::new()),
        "service_id"
    );
    assert_eq!(invalid(&mut bench, &|a| a.s_vlan = Some(4095)), "s_vlan");
    assert_eq!(invalid(&mut bench, &|a| a.s_vlan = Some(999)), "c_vlan");

    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    assert_eq!(
        bench.change(Command::Activate(activate(&cpe, "isp"))),
        Err(CommandError::WrongState {
            state: State::Suspended,
            wanted: State::Activating
        })
    );
    bench.change(Command::Terminate(by_ont(&cpe))).unwrap();
    assert_eq!(
        bench.change(Command::Activate(activate(&cpe, "isp"))),
        Err(CommandError::WrongState {
            state: State::Terminated,
            wanted: State::Activating
        })
    );
    let statistics = bench.statistics();
    let count = |label| {
        statistics
            .activations
            .iter()
            .find(|(l, _)| *l == label)
            .unwrap()
            .1
    };
    assert_eq!(
        (count("not_found"), count("invalid"), count("wrong_state")),
        (1, 6, 2)
    );
}

#[test]
fn an_active_subscriber_gets_new_rates_without_a_conversation() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    let mut faster = activate(&cpe, "isp");
    faster.qos_download_bps = 1_000_000_000;

    let changed = bench.change(Command::Activate(faster)).unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Active, State::Active)
    );
    let policy = &bench.world.row_of(address).unwrap().policy;
    assert_eq!(policy.qos.download_bps, 1_000_000_000);
}

#[test]
fn an_active_subscriber_who_moves_to_another_pool_is_in_the_garden_until_he_is_there() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let old = bench.dora(&cpe);

    bench
        .change(Command::Activate(activate(&cpe, "business")))
        .unwrap();
    assert_eq!(
        bench.world.row_of(old).unwrap().policy.garden.as_deref(),
        Some("unactivated")
    );

    let new = bench.dora(&cpe);
    assert_eq!(new.octets()[..2], [10, 16]);
    assert_eq!(bench.world.row_of(new).unwrap().policy.garden, None);
}

#[test]
fn an_ont_that_was_only_reported_can_be_activated_before_its_first_packet() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.tell(Event::Olt(super::access_nodes::event(
        OltEventKind::NewONTDetected,
        &cpe,
    )));

    let changed = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Discovered, State::Activating)
    );
    bench.aaa = Pace::WhenTold;
    let address = bench.dora(&cpe);

    assert_eq!(address.octets()[..2], [10, 0]);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
    assert_eq!(bench.only().id, changed.id);
}

#[test]
fn the_record_of_an_activation_outlives_the_session() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    let address = bench.dora(&cpe);
    bench.put(&cpe, cpe.release(address));
    bench.pass(400);
    assert!(bench.all().is_empty());
    bench.aaa = Pace::WhenTold;

    assert_eq!(bench.dora(&cpe), address);

    assert_eq!(state_of(&mut bench, &cpe), State::Active);
    assert_eq!(
        bench.world.row_of(address).unwrap().policy.qos.download_bps,
        100_000_000
    );
}

#[test]
fn an_offer_of_the_pool_he_leaves_does_not_survive_the_activation() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let offered = bench.discover(&cpe).unwrap();

    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();

    assert_eq!(bench.pool("wgar").offered, 0);
    assert_eq!(bench.select(&cpe, offered), Outcome::Nak);
    assert_eq!(bench.dora(&cpe).octets()[..2], [10, 0]);
}

#[test]
fn all_hosts_of_a_subscriber_follow_an_activation() {
    let mut bench = Bench::new();
    let mut one = Client::on(1);
    one.line = Some(Line {
        port: 0,
        s_vlan: 200,
        c_vlan: 10,
    });
    let two = one.with_mac(2);
    bench.dora(&one);
    bench.dora(&two);

    bench.change(Command::Activate(activate(&one, "isp"))).unwrap();

    for host in [&one, &two] {
        assert_eq!(state_of(&mut bench, host), State::Activating);
        assert_eq!(bench.dora(host).octets()[..2], [10, 0]);
        assert_eq!(state_of(&mut bench, host), State::Active);
    }
    bench.change(Command::Suspend(by_ont(&two))).unwrap();
    assert_eq!(state_of(&mut bench, &one), State::Suspended);
    assert_eq!(state_of(&mut bench, &two), State::Suspended);
}

#[test]
fn the_duration_of_an_activation_is_from_the_command_to_the_ack() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    bench.pass(7);
    bench.dora(&cpe);

    assert_eq!(bench.statistics().activation_seconds, [7.0]);
    assert_eq!(bench.statistics().activation_seconds, [0.0; 0]);
}
