//! Law 5: a grant is durable, then published, then answered; a restriction is published, then durable, then answered.

use super::super::testing::*;
use super::super::*;

#[test]
fn no_ack_before_the_record_is_durable_and_one_for_all_retransmissions() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.discover(&cpe).unwrap();
    bench.store = Pace::WhenTold;

    for _ in 0..4 {
        assert_eq!(bench.select(&cpe, address), Outcome::Silence);
        bench.pass(1);
    }
    assert_eq!(bench.world.row_of(address), None);
    assert_eq!(bench.batches(), 1);

    bench.write();
    assert_eq!(outcome(bench.answers()), Outcome::Ack(address));
    assert!(bench.world.row_of(address).is_some());
    assert_eq!(bench.refused("duplicate"), 3);
}

#[test]
fn another_message_waits_for_the_store_and_is_never_naked_meanwhile() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.discover(&cpe).unwrap();
    bench.store = Pace::WhenTold;
    bench.select(&cpe, address);

    let mut later = cpe.clone();
    later.xid += 1;
    assert_eq!(
        outcome(bench.dhcp(&later, later.init_reboot(Ipv4Addr::new(192, 168, 0, 1)))),
        Outcome::Silence
    );
    assert_eq!(
        outcome(bench.dhcp(&later, later.renew(address))),
        Outcome::Silence
    );

    bench.write();
    let answers = bench.answers();
    assert_eq!(answers.len(), 2);
    assert_eq!(answers[0].1.xid(), cpe.xid);
    assert_eq!(answers[1].1.xid(), later.xid);
    assert_eq!(outcome(answers[1..].to_vec()), Outcome::Ack(address));
}

#[test]
fn a_lost_record_is_silence_and_the_address_and_the_row_are_free_again() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.discover(&cpe).unwrap();
    bench.store = Pace::WhenTold;
    bench.select(&cpe, address);

    bench.lose();

    assert_eq!(outcome(bench.answers()), Outcome::Silence);
    assert_eq!(bench.world.rows_in_use(), 0);
    assert_eq!(bench.refused("commit_failed"), 1);
    assert_eq!(bench.pool("wgar").offered + bench.pool("wgar").bound, 0);
    assert!(bench.world.told.is_empty());
    bench.store = Pace::AtOnce;
    bench.dora(&cpe);
}

#[test]
fn what_cannot_be_published_is_not_acknowledged_and_the_store_hears_of_it() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.discover(&cpe).unwrap();
    bench.world.publish_fails = true;

    assert_eq!(bench.select(&cpe, address), Outcome::Silence);

    assert_eq!(bench.refused("publish_failed"), 1);
    assert_eq!(bench.world.rows_in_use(), 0);
    assert_eq!(bench.world.store.bindings[&address].state, BindingState::Sticky);
    assert_eq!(bench.only().binding, None);
    bench.world.publish_fails = false;
    assert_eq!(bench.dora(&cpe), address);
}

#[test]
fn a_move_to_another_pool_that_cannot_be_published_leaves_the_old_address_in_force() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    let new = bench.discover(&cpe).unwrap();
    bench.world.publish_fails = true;

    assert_eq!(bench.select(&cpe, new), Outcome::Silence);

    assert!(bench.world.row_of(old).is_some());
    let session = bench.only();
    assert_eq!(session.binding.as_ref().unwrap().ipv4, old);
    assert_eq!(session.state, State::Activating);
    assert_eq!(bench.world.store.sessions[&session.id], session);
    assert_eq!(bench.world.store.bindings[&old].state, BindingState::Bound);
    bench.world.publish_fails = false;
    assert_eq!(bench.dora(&cpe), new);
}

#[test]
fn a_full_session_table_is_silence_and_counted() {
    let mut bench = Bench::changed("sessions = 256", "sessions = 64");
    for n in 1..=63 {
        bench.dora(&Client::on(n));
    }

    let last = Client::on(64);
    let offered = bench.discover(&last).unwrap();
    assert_eq!(bench.select(&last, offered), Outcome::Silence);

    assert_eq!(bench.refused("no_row"), 1);
    let first = Client::on(1);
    bench.put(&first, first.release(Ipv4Addr::new(10, 255, 0, 2)));
    assert_eq!(bench.select(&last, offered), Outcome::Ack(offered));
}

#[test]
fn an_activation_is_not_in_force_before_it_is_durable() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;

    let caller = bench.ask(Command::Activate(activate(&cpe, "wgar")));

    assert_eq!(bench.world.row_of(address).unwrap().policy.state, State::Wgar);
    assert_eq!(bench.reply_to(caller), None);
    bench.write();
    assert_eq!(bench.world.row_of(address).unwrap().policy.state, State::Active);
    assert!(matches!(bench.reply_to(caller), Some(Ok(Reply::Changed(_)))));
}

#[test]
fn an_activation_that_the_store_loses_changes_nothing() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;
    let caller = bench.ask(Command::Activate(activate(&cpe, "wgar")));

    bench.lose();

    assert!(matches!(
        bench.reply_to(caller),
        Some(Err(CommandError::Unavailable(_)))
    ));
    assert_eq!(bench.world.row_of(address).unwrap().policy.state, State::Wgar);
    assert_eq!(state_of(&mut bench, &cpe), State::Wgar);
    assert!(bench.world.olt.is_empty());
}

#[test]
fn an_activation_whose_policy_cannot_be_set_is_written_back() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);
    bench.world.policy_fails = true;

    let refused = bench.change(Command::Activate(activate(&cpe, "wgar")));

    assert!(
        matches!(refused, Err(CommandError::Unavailable(_))),
        "{refused:?}"
    );
    let session = bench.only();
    assert_eq!(session.state, State::Wgar);
    assert_eq!(bench.world.store.sessions[&session.id], session);
    assert!(bench.world.store.activations.is_empty());
}

#[test]
fn a_suspension_is_in_force_before_it_is_durable_and_answered_after() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;

    let caller = bench.ask(Command::Suspend(by_ont(&cpe)));

    let policy = bench.world.row_of(address).unwrap().policy.clone();
    assert_eq!(
        (policy.state, policy.garden.as_deref()),
        (State::Suspended, Some("suspended"))
    );
    assert_eq!(bench.reply_to(caller), None);
    bench.write();
    assert!(matches!(bench.reply_to(caller), Some(Ok(Reply::Changed(_)))));
    let id = bench.only().id;
    assert_eq!(bench.world.store.sessions[&id].state, State::Suspended);
}

#[test]
fn a_suspension_that_the_store_loses_is_in_force_and_may_be_repeated() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;
    let caller = bench.ask(Command::Suspend(by_ont(&cpe)));

    bench.lose();

    assert!(matches!(
        bench.reply_to(caller),
        Some(Err(CommandError::Unavailable(_)))
    ));
    assert_eq!(
        bench.world.row_of(address).unwrap().policy.state,
        State::Suspended
    );
    bench.store = Pace::AtOnce;
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    assert_eq!(
        bench.world.store.activations.values().next().unwrap().status,
        ActivationStatus::Suspended
    );
}

#[test]
fn a_suspension_does_not_wait_for_a_grant_that_is_being_written() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.discover(&cpe).unwrap();
    bench.store = Pace::WhenTold;
    bench.select(&cpe, address);

    let caller = bench.ask(Command::Suspend(by_ont(&cpe)));
    while bench.write() {}

    assert!(bench.reply_to(caller).is_some());
    assert_eq!(
        bench.world.row_of(address).unwrap().policy.state,
        State::Suspended
    );
    let session = bench.only();
    assert_eq!(session.state, State::Suspended);
    assert_eq!(bench.world.store.sessions[&session.id], session);
}

#[test]
fn a_termination_while_a_grant_is_being_written_leaves_nothing_published() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.discover(&cpe).unwrap();
    bench.store = Pace::WhenTold;
    bench.select(&cpe, address);

    bench.ask(Command::Terminate(by_ont(&cpe)));
    while bench.write() {}

    assert!(bench.answers().iter().all(|(_, m)| m.yiaddr() != address || {
        m.opts().msg_type() == Some(dhcproto::v4::MessageType::Offer)
    }));
    assert_eq!(bench.world.rows_in_use(), 0);
    assert_eq!(bench.world.store.bindings[&address].state, BindingState::Sticky);
    assert_eq!(bench.world.store.tombstones.len(), 1);
}

#[test]
fn a_suspension_outruns_an_activation_that_is_being_written() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.store = Pace::WhenTold;
    let activation = bench.ask(Command::Activate(activate(&cpe, "wgar")));
    let suspension = bench.ask(Command::Suspend(by_ont(&cpe)));

    while bench.write() {}

    assert!(matches!(
        bench.reply_to(activation),
        Some(Err(CommandError::WrongState {
            state: State::Suspended,
            ..
        }))
    ));
    assert!(matches!(bench.reply_to(suspension), Some(Ok(_))));
    assert_eq!(
        bench.world.row_of(address).unwrap().policy.state,
        State::Suspended
    );
    let record = bench.world.store.activations.values().next().unwrap();
    assert_eq!(record.status, ActivationStatus::Suspended);
    assert_eq!(record.service.service_id.as_deref(), Some("SVC-001"));
}

#[test]
fn a_policy_that_cannot_be_tightened_leaves_nothing_published() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.world.policy_fails = true;

    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();

    assert_eq!(bench.world.row_of(address), None);
}

#[test]
fn a_row_is_given_back_only_once_its_last_counters_are_durable() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let row = bench.world.row_of(address).unwrap().row.get();
    let counted = bench.world.traffic.get_mut(&row).unwrap();
    counted[0].packets += 10;
    counted[1].bytes += 5000;
    bench.rows = Pace::WhenTold;
    bench.put(&cpe, cpe.release(address));
    bench.store = Pace::WhenTold;

    bench.retire();
    assert_eq!(bench.world.rows_in_use(), 1);
    bench.lose();
    assert_eq!(bench.world.rows_in_use(), 1);

    bench.pass(2);
    while bench.write() {}
    assert_eq!(bench.world.rows_in_use(), 0);
    let stored = bench.world.store.sessions.values().next().unwrap();
    assert_eq!((stored.carried[0].packets, stored.carried[1].bytes), (10, 5000));
}

#[test]
fn the_time_the_store_takes_does_not_shorten_the_lease_until_it_would_outlive_the_binding() {
    let lease_after = |seconds: u64| {
        let mut bench = Bench::new();
        let cpe = Client::on(1);
        let address = bench.discover(&cpe).unwrap();
        bench.store = Pace::WhenTold;
        bench.select(&cpe, address);
        bench.pass(seconds);
        bench.write();
        let answers = bench.answers();
        let option = answers.first().and_then(|(_, ack)| {
            ack.opts()
                .get(dhcproto::v4::OptionCode::AddressLeaseTime)
                .cloned()
        });
        let refused = bench.refused("store_too_slow");
        (option, refused)
    };
    let lease = |seconds| Some(dhcproto::v4::DhcpOption::AddressLeaseTime(seconds));

    assert_eq!(lease_after(2), (lease(600), 0));
    assert_eq!(lease_after(15), (lease(595), 0));
    assert_eq!(lease_after(620), (None, 1));
}
