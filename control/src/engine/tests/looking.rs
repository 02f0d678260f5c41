//! What operators and metrics see.

use super::super::testing::*;
use super::super::*;

#[test]
fn sessions_are_listed_in_pages_in_the_order_of_ids() {
    let mut bench = Bench::new();
    for n in 1..=25 {
        bench.dora(&Client::on(n));
    }

    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = bench.command(Command::ListSessions(ListSessions {
            after,
            limit: 10,
            ..ListSessions::default()
        }));
        let Ok(Reply::Sessions { sessions, more }) = page else {
            panic!("{page:?}")
        };
        seen.extend(sessions.iter().map(|view| view.session.id));
        after = seen.last().copied();
        if !more {
            break;
        }
    }

    assert_eq!(seen.len(), 25);
    assert!(seen.is_sorted());
}

#[test]
fn filters_leave_what_fits_all_of_them() {
    let mut bench = Bench::new();
    for n in 1..=6 {
        if n % 2 == 0 {
            bench.knows(&Client::on(n).identity(), "isp", Standing::Active);
        }
    }
    let addresses: Vec<Ipv4Addr> = (1..=6).map(|n| bench.dora(&Client::on(n))).collect();
    let count =
        |bench: &mut Bench, filter: ListSessions| bench.list(ListSessions { limit: 100, ..filter }).len();

    let with = ListSessions::default;
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                state: Some(State::Active),
                ..with()
            }
        ),
        3
    );
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                pool: Some("wgar".into()),
                ..with()
            }
        ),
        3
    );
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                pool: Some("gone".into()),
                ..with()
            }
        ),
        0
    );
    let none = ListSessions {
        state: Some(State::Active),
        pool: Some("wgar".into()),
        ..with()
    };
    assert_eq!(count(&mut bench, none), 0);
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                ip: Some(addresses[3]),
                ..with()
            }
        ),
        1
    );
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                mac: Some(Client::on(2).mac),
                ..with()
            }
        ),
        1
    );
    let serial = Some(Client::on(5).serial());
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                ont_serial: serial.clone(),
                ..with()
            }
        ),
        1
    );
    let contradiction = ListSessions {
        ont_serial: serial,
        state: Some(State::Active),
        ..with()
    };
    assert_eq!(count(&mut bench, contradiction), 0);
    let circuit = Some(Client::on(4).identity());
    assert_eq!(
        count(
            &mut bench,
            ListSessions {
                circuit_id: circuit,
                ..with()
            }
        ),
        1
    );
}

#[test]
fn totals_are_those_of_all_rows_and_never_fall() {
    let mut bench = Bench::new();
    let cpe = Client::on(1);
    let old = bench.dora(&cpe);
    let id = bench.only().id;
    let row = bench.world.row_of(old).unwrap().row.get();
    bench.world.traffic.get_mut(&row).unwrap()[0].packets += 5;
    bench.change(Command::Activate(activate(&cpe, "isp"))).unwrap();
    bench.rows = Pace::WhenTold;
    let new = bench.dora(&cpe);
    let packets = |bench: &mut Bench| match bench.command(Command::GetSession(id)) {
        Ok(Reply::Session(view)) => view.totals[0].packets,
        other => panic!("{other:?}"),
    };

    assert_eq!(packets(&mut bench), 5);
    let second = bench.world.row_of(new).unwrap().row.get();
    bench.world.traffic.get_mut(&second).unwrap()[0].packets += 2;
    // The old row still counts what was on its way.
    bench.world.traffic.get_mut(&row).unwrap()[0].packets += 1;
    assert_eq!(packets(&mut bench), 8);
    bench.retire();
    assert_eq!(packets(&mut bench), 8);

    let traffic: Vec<(String, u64)> = bench
        .statistics()
        .traffic
        .into_iter()
        .map(|(pool, totals)| (pool, totals[0].packets))
        .filter(|(_, packets)| *packets > 0)
        .collect();
    assert_eq!(traffic, [("wgar".to_owned(), 6), ("isp".to_owned(), 2)]);
}

#[test]
fn states_and_their_ages_are_counted_as_they_change() {
    let mut bench = Bench::new();
    bench.dora(&Client::on(1));
    bench.pass(10);
    bench.dora(&Client::on(2));
    bench.change(Command::Suspend(by_ont(&Client::on(2)))).unwrap();
    bench.pass(5);

    let statistics = bench.statistics();

    let of = |state| statistics.sessions.iter().find(|(s, _)| *s == state).unwrap().1;
    let age = |state| {
        statistics
            .session_seconds
            .iter()
            .find(|(s, _)| *s == state)
            .unwrap()
            .1
    };
    assert_eq!((of(State::Wgar), of(State::Suspended)), (1, 1));
    assert_eq!((of(State::Active), of(State::Discovered)), (0, 0));
    assert_eq!((age(State::Wgar), age(State::Suspended)), (15.0, 5.0));
    let requests: u64 = statistics.dhcp_requests.iter().map(|(_, _, n)| n).sum();
    assert_eq!(requests, 4);
    assert!(statistics.dhcp_requests.contains(&(String::new(), "discover", 2)));
    assert_eq!(statistics.dhcp_replies, [("offer", 2), ("ack", 2), ("nak", 0)]);
}

#[test]
fn an_unknown_session_is_not_found() {
    let mut bench = Bench::new();

    let unknown = bench.command(Command::GetSession(SessionId(77)));

    assert_eq!(
        unknown,
        Err(CommandError::NotFound {
            what: "id 000000000000004d".into()
        })
    );
}
