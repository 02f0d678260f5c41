//! ONTs that appear, move and go; access nodes that answer late, or not.

use super::super::testing::*;
use super::super::*;

pub(super) fn event(kind: OltEventKind, cpe: &Client) -> OltEvent {
    let line = cpe.line.unwrap();
    OltEvent {
        kind,
        access_node: Some("agg-01".into()),
        port: Some("1/1/1".into()),
        ont_serial: cpe.remote_id.clone().unwrap_or_else(|| "ADTN-X".into()),
        circuit_id: cpe.circuit_id.clone(),
        bng_port: Some(if line.port == 0 { "access0" } else { "access1" }.into()),
        s_vlan: Some(line.s_vlan),
        c_vlan: Some(line.c_vlan),
    }
}

#[test]
fn an_ont_that_appears_is_a_discovered_session_before_its_first_packet() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);

    bench.tell(Event::Olt(event(OltEventKind::NewONTDetected, &cpe)));

    let session = bench.only();
    assert_eq!((session.state, session.line), (State::Discovered, cpe.line));
    assert_eq!(session.access.ont_serial.as_deref(), Some(cpe.serial().as_str()));
    assert_eq!(bench.world.store.sessions[&session.id], session);
    let kinds: Vec<&str> = bench.world.told.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["SessionDiscovered", "NewONTDetected"]);

    bench.dora(&cpe);
    let bound = bench.only();
    assert_eq!((bound.id, bound.state), (session.id, State::Wgar));
    assert_eq!(bound.mac, cpe.mac);
}

#[test]
fn a_repeated_report_makes_no_second_session() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.dora(&cpe);

    for kind in [
        OltEventKind::NewONTDetected,
        OltEventKind::ONTProvisioned,
        OltEventKind::NewONTDetected,
        OltEventKind::ONTDisconnected,
    ] {
        bench.tell(Event::Olt(event(kind, &cpe)));
    }

    assert_eq!(bench.all().len(), 1);
    assert_eq!(bench.world.told.len(), 3 + 4);
}

#[test]
fn a_connected_ont_keeps_its_session_and_a_disconnected_one_does_not() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    bench.tell(Event::Olt(event(OltEventKind::NewONTDetected, &cpe)));

    bench.pass(1000);
    assert_eq!(bench.all().len(), 1);

    bench.tell(Event::Olt(event(OltEventKind::ONTDisconnected, &cpe)));
    bench.pass(400);
    assert!(bench.all().is_empty());
    assert_eq!(bench.world.store.tombstones.len(), 1);
}

#[test]
fn an_activation_moves_the_vlan_and_the_session_appears_on_the_new_line() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    let id = bench.only().id;
    let mut wanted = activate(&cpe, "isp");
    (wanted.s_vlan, wanted.c_vlan) = (Some(105), Some(77));

    bench.change(Command::Activate(wanted)).unwrap();
    let (ticket, request) = bench.world.olt.pop_front().unwrap();
    assert_eq!((request.s_vlan, request.c_vlan), (Some(105), Some(77)));
    bench.tell(Event::OltAnswered {
        ticket,
        result: Ok(OltLine {
            ont_serial: cpe.serial(),
            s_vlan: Some(105),
            c_vlan: Some(77),
        }),
    });

    let mut moved = cpe.clone();
    moved.line = Some(Line {
        port: 0,
        s_vlan: 105,
        c_vlan: 77,
    });
    assert_eq!(bench.world.row_of(old).unwrap().line, moved.line.unwrap());
    assert_eq!(outcome(bench.dhcp(&moved, moved.renew(old))), Outcome::Nak);
    let new = bench.dora(&moved);
    let session = bench.only();
    assert_eq!((session.id, session.state), (id, State::Active));
    assert_eq!(session.line, moved.line);
    assert_eq!(bench.world.row_of(new).unwrap().line, moved.line.unwrap());
    assert_eq!(bench.noted("relay_info_disagrees"), 0);
    assert_eq!(bench.world.rows_in_use(), 1);
}

#[test]
fn a_subscriber_known_by_tags_keeps_his_identity_when_the_tags_move() {
    let mut bench = Bench::new();
    let cpe = Client::untrusted(100, 1, 1);
    bench.tell(Event::Olt(event(OltEventKind::NewONTDetected, &cpe)));
    bench.dora(&cpe);
    let before = bench.only();
    let mut wanted = activate(&Client::on(1), "isp");
    wanted.ont_serial = "ADTN-X".into();
    wanted.c_vlan = Some(9);
    bench.change(Command::Activate(wanted)).unwrap();

    // The client is faster than the access node's answer.
    let mut moved = cpe.clone();
    moved.line = Some(Line {
        port: 1,
        s_vlan: 100,
        c_vlan: 9,
    });
    let address = bench.dora(&moved);
    let (ticket, _) = bench.world.olt.pop_front().unwrap();
    bench.tell(Event::OltAnswered {
        ticket,
        result: Ok(OltLine {
            ont_serial: "ADTN-X".into(),
            s_vlan: Some(100),
            c_vlan: Some(9),
        }),
    });

    assert_eq!(address.octets()[..2], [10, 0]);
    let after = bench.only();
    assert_eq!((after.id, &after.identity), (before.id, &before.identity));
    assert_eq!(after.line, moved.line);

    // Whoever comes to the tags he left is somebody else, and stays so.
    let mut next = Client::untrusted(100, 1, 2);
    next.xid += 50;
    bench.dora(&next);
    assert_eq!(bench.all().len(), 2);
    assert_eq!(state_of(&mut bench, &next), State::Wgar);
    assert_eq!(state_of(&mut bench, &moved), State::Active);
    bench.restart();
    assert_eq!(
        outcome(bench.dhcp(&moved, moved.renew(address))),
        Outcome::Ack(address)
    );
}

#[test]
fn an_access_node_that_moves_an_ont_by_itself_takes_the_session_along() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    let mut moved = cpe.clone();
    moved.line = Some(Line {
        port: 0,
        s_vlan: 103,
        c_vlan: 3,
    });

    bench.tell(Event::Olt(event(OltEventKind::ONTReconfigured, &moved)));

    assert_eq!(bench.world.row_of(address).unwrap().line, moved.line.unwrap());
    assert_eq!(
        outcome(bench.dhcp(&moved, moved.renew(address))),
        Outcome::Ack(address)
    );
}

#[test]
fn an_access_node_that_fails_is_told_and_the_client_moves_by_its_own_renewal() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    let (ticket, _) = bench.world.olt.pop_front().unwrap();

    bench.tell(Event::OltAnswered {
        ticket,
        result: Err("connection refused".into()),
    });

    let told = bench.world.told.last().unwrap();
    assert_eq!(
        (told.kind.as_str(), told.detail.as_deref()),
        ("OltRequestFailed", Some("connection refused"))
    );
    bench.pass(300);
    assert_eq!(outcome(bench.dhcp(&cpe, cpe.renew(old))), Outcome::Nak);
    bench.dora(&cpe);
    assert_eq!(state_of(&mut bench, &cpe), State::Active);
}

#[test]
fn an_answer_with_a_line_that_is_not_configured_moves_nothing() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let address = bench.dora(&cpe);
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    let (ticket, _) = bench.world.olt.pop_front().unwrap();

    bench.tell(Event::OltAnswered {
        ticket,
        result: Ok(OltLine {
            ont_serial: cpe.serial(),
            s_vlan: Some(4000),
            c_vlan: Some(1),
        }),
    });

    assert_eq!(bench.world.row_of(address).unwrap().line, cpe.line.unwrap());
}

#[test]
fn a_report_of_impossible_size_is_refused() {
    let mut bench = Bench::new();
    let mut wrong = event(OltEventKind::NewONTDetected, &Client::on(1));
    wrong.circuit_id = Some("x".repeat(10_000));

    bench.tell(Event::Olt(wrong));

    assert!(bench.all().is_empty() && bench.world.told.is_empty());
}
