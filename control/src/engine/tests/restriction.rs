//! Suspended, resumed, terminated.

use super::super::testing::*;
use super::super::*;

fn active(bench: &mut Bench, cpe: &Client) -> Ipv4Addr {
    bench.dora(cpe);
    bench.change(Command::Activate(activate(cpe, "isp"))).unwrap();
    bench.world.olt.clear();
    bench.dora(cpe)
}

#[test]
fn a_suspended_subscriber_is_in_his_garden_at_once_and_moves_to_its_pool() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let paid = active(&mut bench, &cpe);

    let changed = bench.change(Command::Suspend(by_ont(&cpe))).unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state, changed.old_ip),
        (State::Active, State::Suspended, Some(paid))
    );
    let (_, request) = bench.world.olt.pop_front().unwrap();
    assert!(request.bounce);
    assert_eq!(request.pool, "wgar");
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(paid))), Outcome::Nak);
    let unpaid = bench.dora(&cpe);
    assert_eq!(unpaid.octets()[..2], [10, 255]);
    let row = bench.world.row_of(unpaid).unwrap();
    assert_eq!(row.policy.state, State::Suspended);
    assert_eq!(row.policy.garden.as_deref(), Some("suspended"));
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(unpaid))), Outcome::Ack(unpaid));
}

#[test]
fn a_resumed_subscriber_gets_back_what_he_had() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let paid = active(&mut bench, &cpe);
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    let unpaid = bench.dora(&cpe);
    bench.world.olt.clear();

    let changed = bench.change(Command::Resume(by_ont(&cpe))).unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Suspended, State::Activating)
    );
    assert!(bench.world.olt.pop_front().unwrap().1.bounce);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(unpaid))), Outcome::Nak);
    assert_eq!(bench.dora(&cpe), paid);
    let row = bench.world.row_of(paid).unwrap();
    assert_eq!(
        (row.policy.state, row.policy.qos.download_bps),
        (State::Active, 100_000_000)
    );
    assert_eq!(
        bench.world.store.activations.values().next().unwrap().status,
        ActivationStatus::Active
    );
}

#[test]
fn a_subscriber_who_is_resumed_before_he_moved_is_active_at_once() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let paid = active(&mut bench, &cpe);
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();

    let changed = bench.change(Command::Resume(by_ont(&cpe))).unwrap();

    assert_eq!(changed.new_state, State::Active);
    assert_eq!(bench.world.row_of(paid).unwrap().policy.garden, None);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(paid))), Outcome::Ack(paid));
}

#[test]
fn a_subscriber_who_was_never_activated_is_resumed_into_the_garden() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    assert_eq!(
        bench.world.row_of(address).unwrap().policy.garden.as_deref(),
        Some("suspended")
    );

    let changed = bench.change(Command::Resume(by_ont(&cpe))).unwrap();

    assert_eq!(changed.new_state, State::Wgar);
    assert_eq!(
        bench.world.row_of(address).unwrap().policy.garden.as_deref(),
        Some("unactivated")
    );
    assert!(bench.world.store.activations.is_empty());
}

#[test]
fn aaa_decides_again_once_whom_it_had_granted_is_resumed() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    assert_eq!(bench.world.store.activations.len(), 1);

    assert_eq!(
        bench.change(Command::Resume(by_ont(&cpe))).unwrap().new_state,
        State::Active
    );

    assert_eq!(
        bench.world.row_of(address).unwrap().policy.qos.download_bps,
        100_000_000
    );
    assert!(bench.world.store.activations.is_empty());
}

#[test]
fn a_suspension_holds_for_the_next_session_against_what_aaa_says() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.knows(&cpe.identity(), "isp", Standing::Active);
    let address = bench.dora(&cpe);
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    bench.put(&cpe, cpe.release(address));
    bench.pass(400);
    assert!(bench.all().is_empty());

    let address = bench.dora(&cpe);

    assert_eq!(
        bench.world.row_of(address).unwrap().policy.state,
        State::Suspended
    );
}

#[test]
fn a_terminated_subscriber_has_no_row_no_address_and_no_conversation() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = active(&mut bench, &cpe);
    let id = bench.only().id;
    bench.world.sent.clear();

    let changed = bench
        .change(Command::Terminate(Selector {
            reason: Some("moved away".into()),
            ..by_ont(&cpe)
        }))
        .unwrap();

    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Active, State::Terminated)
    );
    assert_eq!(bench.world.rows_in_use(), 0);
    assert_eq!(bench.world.store.bindings[&address].state, BindingState::Sticky);
    assert_eq!(bench.world.store.tombstones.len(), 1);
    assert_eq!(bench.world.store.tombstones[0].0, id);
    let last = bench.world.told.last().unwrap();
    assert_eq!((last.kind.as_str(), last.session), ("SessionEnded", Some(id)));
    for message in [cpe.discover(), cpe.renew(address), cpe.init_reboot(address)] {
        assert!(bench.dhcp(&cpe, message).is_empty());
    }
    assert_eq!(bench.refused("terminated"), 3);

    bench.pass(400);
    assert!(bench.all().is_empty());
    assert_eq!(bench.discover(&cpe), None);
    assert_eq!(bench.refused("terminated"), 4);
}

#[test]
fn a_terminated_subscriber_who_comes_back_is_activated_anew() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    active(&mut bench, &cpe);
    let id = bench.only().id;
    bench.change(Command::Terminate(by_ont(&cpe))).unwrap();
    bench.pass(400);
    assert_eq!(bench.discover(&cpe), None);

    let changed = bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();

    assert_ne!(changed.id, id);
    assert_eq!(
        (changed.old_state, changed.new_state),
        (State::Discovered, State::Activating)
    );
    bench.dora(&cpe);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
}

#[test]
fn a_wrong_state_is_refused_with_both_states_named() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    active(&mut bench, &cpe);

    let error = bench.change(Command::Resume(by_ont(&cpe))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the session is active and cannot become active"
    );
    bench.change(Command::Suspend(by_ont(&cpe))).unwrap();
    let error = bench.change(Command::Suspend(by_ont(&cpe))).unwrap_err();
    assert_eq!(
        error,
        CommandError::WrongState {
            state: State::Suspended,
            wanted: State::Suspended
        }
    );
    bench.change(Command::Terminate(by_ont(&cpe))).unwrap();
    assert!(bench.change(Command::Terminate(by_ont(&cpe))).is_err());
    assert!(bench.change(Command::Resume(by_ont(&cpe))).is_err());
}

#[test]
fn a_selector_names_exactly_one_subscriber() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let session = bench.only();
    let mut twin = Client::on(2);
    twin.mac = cpe.mac;
    let select = |selector: Selector| Command::Suspend(selector);

    let by = [
        Selector {
            session_id: Some(session.id),
            ..Selector::default()
        },
        Selector {
            ip: Some(address),
            ..Selector::default()
        },
        Selector {
            circuit_id: Some(cpe.identity()),
            ..Selector::default()
        },
        Selector {
            mac: Some(cpe.mac),
            ..Selector::default()
        },
        by_ont(&cpe),
    ];
    for selector in by.clone() {
        assert_eq!(
            bench.change(select(selector.clone())).unwrap().id,
            session.id,
            "{selector:?}"
        );
        bench.change(Command::Resume(selector)).unwrap();
    }

    let both = Selector {
        mac: Some(cpe.mac),
        ..by_ont(&cpe)
    };
    for wrong in [Selector::default(), both] {
        assert!(matches!(
            bench.change(select(wrong)),
            Err(CommandError::Invalid {
                field: "selector",
                ..
            })
        ));
    }
    bench.dora(&twin);
    assert_eq!(
        bench.change(select(by[3].clone())),
        Err(CommandError::Ambiguous {
            what: format!("mac {}", cpe.mac),
            count: 2
        })
    );
    let nobody = Selector {
        ip: Some(Ipv4Addr::new(10, 255, 0, 200)),
        ..Selector::default()
    };
    assert!(matches!(
        bench.change(select(nobody)),
        Err(CommandError::NotFound { .. })
    ));
}
