//! Whatever happens, in whatever order, with a store, an AAA and tables that are slow and fail: no panic, no address for two, no ACK before
//! its time (the remembered world sees to that), and in the end nothing is left over.

use proptest::prelude::*;

use super::super::testing::*;
use super::super::*;
use super::access_nodes::event;

#[derive(Clone, Debug)]
enum Step {
    Dhcp {
        client: usize,
        what: u8,
        address: u8,
    },
    Garbage(Vec<u8>),
    Mutated {
        client: usize,
        at: usize,
        value: u8,
    },
    Aaa(bool),
    Write,
    Lose,
    Retire,
    Pass(u16),
    Activate {
        client: usize,
        pool: usize,
        tag: Option<u16>,
    },
    Restrict {
        client: usize,
        what: u8,
    },
    Olt {
        client: usize,
        what: u8,
    },
    OltAnswer {
        ok: bool,
        tag: u16,
    },
    Fail {
        publish: bool,
        policy: bool,
    },
    Look,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0usize..10;
    prop_oneof![
        30 => (client.clone(), 0u8..8, 0u8..20).prop_map(|(client, what, address)| Step::Dhcp { client, what, address }),
        1 => proptest::collection::vec(any::<u8>(), 0..400).prop_map(Step::Garbage),
        2 => (client.clone(), 0usize..320, any::<u8>()).prop_map(|(client, at, value)| Step::Mutated { client, at, value }),
        8 => any::<bool>().prop_map(Step::Aaa),
        14 => Just(Step::Write),
        1 => Just(Step::Lose),
        5 => Just(Step::Retire),
        4 => (0u16..700).prop_map(Step::Pass),
        4 => (client.clone(), 0usize..4, proptest::option::of(1u16..12))
            .prop_map(|(client, pool, tag)| Step::Activate { client, pool, tag }),
        4 => (client.clone(), 0u8..3).prop_map(|(client, what)| Step::Restrict { client, what }),
        3 => (client, 0u8..4).prop_map(|(client, what)| Step::Olt { client, what }),
        2 => (any::<bool>(), 1u16..12).prop_map(|(ok, tag)| Step::OltAnswer { ok, tag }),
        1 => (any::<bool>(), any::<bool>()).prop_map(|(publish, policy)| Step::Fail { publish, policy }),
        1 => Just(Step::Look),
        1 => Just(Step::Restart),
    ]
}

/// Hosts that share lines, circuits, MAC addresses and client identifiers in every way.
fn clients() -> Vec<Client> {
    let shared = Some(Line {
        port: 0,
        s_vlan: 200,
        c_vlan: 10,
    });
    let mut on_shared = Client::on(3);
    on_shared.line = shared;
    on_shared.client_id = Some(b"a".to_vec());
    let mut beside = on_shared.with_mac(3);
    beside.client_id = Some(b"a".to_vec());
    let mut forger = Client::on(4);
    forger.line = shared;
    forger.mac = on_shared.mac;
    let mut squatter = Client::on(5);
    squatter.line = Client::on(1).line;
    vec![
        Client::on(1),
        Client::on(1).with_mac(1),
        Client::on(2),
        on_shared,
        beside,
        forger,
        squatter,
        Client::untrusted(100, 1, 1),
        Client::untrusted(200, 10, 2),
        Client::relayed(1),
    ]
}

fn act(bench: &mut Bench, clients: &[Client], step: Step) {
    match step {
        Step::Dhcp {
            client,
            what,
            address,
        } => {
            let client = &clients[client];
            let held = bench
                .list(ListSessions {
                    mac: Some(client.mac),
                    limit: 1,
                    ..ListSessions::default()
                })
                .first()
                .and_then(|view| view.session.binding.as_ref().map(|b| b.ipv4));
            let offered = bench.world.sent.back().and_then(|out| {
                use dhcproto::{Decodable, Decoder, v4::Message};
                Message::decode(&mut Decoder::new(&out.payload))
                    .ok()
                    .map(|m| m.yiaddr())
            });
            let some = match address {
                0..8 => held.or(offered).unwrap_or(Ipv4Addr::new(10, 255, 0, 2)),
                8..14 => offered.unwrap_or(Ipv4Addr::new(10, 255, 0, 3)),
                n => Ipv4Addr::new(10, if n % 2 == 0 { 0 } else { 255 }, 0, n - 12),
            };
            let message = match what {
                0 | 1 => client.discover(),
                2 | 3 => client.select(some),
                4 => client.init_reboot(some),
                5 => client.renew(some),
                6 => client.release(some),
                _ => client.decline(some),
            };
            bench.put(client, message);
        }
        Step::Garbage(payload) => bench.tell(Event::Dhcp(DhcpIn {
            from: Ingress::Line {
                line: clients[0].line.unwrap(),
                mac: clients[0].mac,
            },
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
            payload,
        })),
        Step::Mutated { client, at, value } => {
            let client = &clients[client];
            let mut payload = client.payload(&client.discover());
            let at = at % payload.len();
            payload[at] = value;
            let from = match client.line {
                Some(line) => Ingress::Line {
                    line,
                    mac: client.mac,
                },
                None => Ingress::Core { port: 2 },
            };
            bench.tell(Event::Dhcp(DhcpIn {
                from,
                source: Ipv4Addr::UNSPECIFIED,
                destination: Ipv4Addr::BROADCAST,
                payload,
            }));
        }
        Step::Aaa(true) => {
            bench.answer_aaa();
        }
        Step::Aaa(false) => {
            if !bench.world.asked.is_empty() {
                bench.fail_aaa();
            }
        }
        Step::Write => {
            bench.write();
        }
        Step::Lose => {
            bench.lose();
        }
        Step::Retire => {
            bench.retire();
        }
        Step::Pass(seconds) => bench.pass(seconds.into()),
        Step::Activate { client, pool, tag } => {
            let pool = ["wgar", "isp", "tiny", "business"][pool];
            let mut wanted = activate(&Client::on(client as u16 % 6), pool);
            wanted.c_vlan = tag;
            bench.ask(Command::Activate(wanted));
        }
        Step::Restrict { client, what } => {
            let selector = by_ont(&Client::on(client as u16 % 6));
            bench.ask(match what {
                0 => Command::Suspend(selector),
                1 => Command::Resume(selector),
                _ => Command::Terminate(selector),
            });
        }
        Step::Olt { client, what } => {
            let client = &clients[client];
            if client.line.is_some() {
                let kind = [
                    OltEventKind::NewONTDetected,
                    OltEventKind::ONTProvisioned,
                    OltEventKind::ONTReconfigured,
                    OltEventKind::ONTDisconnected,
                ][usize::from(what)];
                bench.tell(Event::Olt(event(kind, client)));
            }
        }
        Step::OltAnswer { ok, tag } => {
            if let Some((ticket, request)) = bench.world.olt.pop_front() {
                let answer = OltLine {
                    ont_serial: request.ont_serial,
                    s_vlan: request.s_vlan,
                    c_vlan: request.c_vlan.or(Some(tag)),
                };
                bench.tell(Event::OltAnswered {
                    ticket,
                    result: if ok { Ok(answer) } else { Err("no".into()) },
                });
            }
        }
        Step::Fail { publish, policy } => {
            bench.world.publish_fails = publish;
            bench.world.policy_fails = policy;
        }
        Step::Look => {
            bench.statistics();
        }
        Step::Restart => bench.restart(),
    }
    check(bench);
}

/// No address is two live sessions'; pools, sessions and rows agree.
fn check(bench: &mut Bench) {
    let mut holders = HashMap::new();
    for view in bench.all() {
        let session = view.session;
        if let Some(binding) = &session.binding {
            let other = holders.insert(binding.ipv4, session.id);
            assert_eq!(other, None, "{} is two sessions'", binding.ipv4);
            assert_eq!(
                bench.engine.pools.session_of(binding.ipv4),
                Some(session.id),
                "{}",
                binding.ipv4
            );
            assert_ne!(session.state, State::Terminated);
        }
    }
    for image in bench.world.published.values() {
        assert_eq!(
            holders.get(&image.ipv4),
            Some(&image.session),
            "{} is published and not held",
            image.ipv4
        );
    }
    for image in bench.engine.images() {
        assert_eq!(
            bench.world.published.get(&image.row.get()),
            Some(&image),
            "the engine thinks otherwise"
        );
    }
    assert_eq!(bench.engine.images().len(), bench.world.published.len());
}

fn run(steps: Vec<Step>) {
    let mut bench = Bench::new();
    bench.aaa = Pace::WhenTold;
    bench.store = Pace::WhenTold;
    bench.rows = Pace::WhenTold;
    bench.knows("agg-01|1/1/1", "isp", Standing::Active);
    bench.knows("agg-01|1/1/2", "tiny", Standing::Suspended);
    bench.knows("agg-01|1/1/3", "gone", Standing::Active);
    let clients = clients();
    for step in steps {
        act(&mut bench, &clients, step);
    }

    // Everything that was under way ends, everybody goes.
    bench.world.publish_fails = false;
    bench.world.policy_fails = false;
    bench.aaa = Pace::AtOnce;
    bench.store = Pace::AtOnce;
    bench.rows = Pace::AtOnce;
    while bench.answer_aaa() || bench.write() || bench.retire() {}
    for client in &clients {
        if client.line.is_some() {
            bench.tell(Event::Olt(event(OltEventKind::ONTDisconnected, client)));
        }
    }
    for _ in 0..3 {
        bench.pass(700);
        bench.world.now.mono_ns += 700_000 * SECOND_NS;
        bench.world.now.wall_ms += 700_000_000;
        bench.tell(Event::Tick);
    }
    check(&mut bench);
    assert_eq!(bench.world.rows_in_use(), 0, "rows are left over");
    assert!(bench.all().is_empty(), "{:?}", bench.all());
    assert!(bench.engine.loops.is_empty(), "{:?}", bench.engine.loops);
    assert!(bench.engine.published.is_empty());
    assert!(bench.engine.clockwork_is_idle());
    assert!(bench.engine.writing.is_idle());
    for pool in bench.statistics().pools {
        assert_eq!(pool.bound + pool.offered + pool.quarantined, 0, "{pool:?}");
        assert_eq!(pool.available, pool.size);
    }
    assert!(bench.world.store.sessions.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_order_of_events_keeps_the_laws(steps in proptest::collection::vec(step(), 0..120)) {
        run(steps);
    }
}
