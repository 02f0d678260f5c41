//! Many sessions: what an event costs must not grow with them. Run by hand, since it measures:
//! `cargo test --release -p sluice-control --lib scale -- --ignored --nocapture`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shm_bridge::SessionIndex;
use sluice_config::Config;

use super::super::testing::*;
use super::super::*;

/// A world in which everything succeeds and nothing is remembered.
#[derive(Debug, Default)]
struct Willing {
    rows: u32,
    later: VecDeque<Event>,
    offered: Option<Ipv4Addr>,
    replied: bool,
}

impl World for Willing {
    fn reserve_row(&mut self) -> Result<ReservedRow, TableError> {
        self.rows += 1;
        Ok(ReservedRow {
            row: SessionIndex::new(self.rows).unwrap(),
            generation: 1,
            baseline: Default::default(),
        })
    }
    fn publish(&mut self, _: &SessionImage, _: Option<&SessionImage>) -> Result<(), TableError> {
        Ok(())
    }
    fn set_policy(&mut self, _: SessionIndex, _: &PolicyImage) -> Result<(), TableError> {
        Ok(())
    }
    fn withdraw(&mut self, _: &SessionImage) {}
    fn release_row(&mut self, _: SessionIndex) {}
    fn traffic(&self, _: SessionIndex) -> [Totals; 2] {
        Default::default()
    }
    fn send(&mut self, message: DhcpOut) {
        let yiaddr: [u8; 4] = message.payload[16..20].try_into().unwrap();
        self.offered = Some(yiaddr.into());
    }
    fn authorize(&mut self, request: AaaRequest) {
        let ticket = request.ticket;
        let answer = AaaAnswer::Unknown;
        self.later.push_back(Event::Aaa { ticket, answer });
    }
    fn commit(&mut self, ticket: Ticket, _: Vec<Record>) {
        let result = Ok(());
        self.later.push_back(Event::Committed { ticket, result });
    }
    fn reconfigure(&mut self, _: Ticket, _: OltRequest) {}
    fn reply(&mut self, _: ReplyTo, result: Result<Reply, CommandError>) {
        self.replied = result.is_ok();
    }
    fn emit(&mut self, _: BusEvent) {}
}

struct Many {
    engine: Engine,
    world: Willing,
    now: Now,
}

impl Many {
    fn tell(&mut self, event: Event) {
        self.engine.handle(self.now, event, &mut self.world);
        while let Some(event) = self.world.later.pop_front() {
            self.engine.handle(self.now, event, &mut self.world);
        }
    }

    fn put(&mut self, client: &Client, message: &dhcproto::v4::Message) {
        let from = Ingress::Line {
            line: client.line.unwrap(),
            mac: client.mac,
        };
        self.tell(Event::Dhcp(DhcpIn {
            from,
            source: Ipv4Addr::UNSPECIFIED,
            destination: Ipv4Addr::BROADCAST,
            payload: client.payload(message),
        }));
    }
}

fn client(n: u32) -> Client {
    let mut client = Client::on(1);
    client.line = Some(Line {
        port: 0,
        s_vlan: 100 + (n / 4094) as u16,
        c_vlan: (n % 4094) as u16 + 1,
    });
    let [_, a, b, c] = n.to_be_bytes();
    client.mac = Mac([2, 0, 0, a, b, c]);
    client.circuit_id = Some(format!("agg-01|1/{}/{}", n / 4094, n % 4094));
    client.remote_id = Some(format!("ADTN{n:08}"));
    client
}

#[test]
#[ignore = "measures; run by hand in release"]
fn what_an_event_costs_does_not_grow_with_the_sessions() {
    const SESSIONS: u32 = 1 << 20;
    let text = CONFIG
        .replace("sessions = 256", "sessions = 1048576")
        .replace("s_vlans = \"100-109\"", "s_vlans = \"100-999\"")
        .replace(
            "s_vlans = \"200\", c_vlans = \"10\", model",
            "s_vlans = \"2000\", c_vlans = \"10\", model",
        )
        .replace("10.255.0.0/24", "10.64.0.0/10")
        .replace("server_id = \"10.255.0.1\"", "server_id = \"10.64.0.1\"")
        .replace("10.0.0.0/24", "10.0.0.0/12");
    let config = Arc::new(Config::parse("sluice.toml", &text).unwrap());
    let now = Now {
        mono_ns: 5 * SECOND_NS,
        wall_ms: START_WALL_MS,
    };
    let mut many = Many {
        engine: Engine::new(config, Restored::default(), now),
        world: Willing::default(),
        now,
    };
    let mut slowest = Duration::ZERO;
    for n in 0..SESSIONS {
        let block = SESSIONS / 16;
        let begun = Instant::now();
        let client = client(n);
        many.put(&client, &client.discover());
        let address = many.world.offered.take().unwrap();
        let mut request = client.init_reboot(address);
        request
            .opts_mut()
            .insert(dhcproto::v4::DhcpOption::ServerIdentifier(Ipv4Addr::new(
                10, 64, 0, 1,
            )));
        many.put(&client, &request);
        assert_eq!(many.world.offered.take(), Some(address));
        slowest = slowest.max(begun.elapsed());
        if n % block == block - 1 {
            measure(&mut many, n + 1, slowest);
            slowest = Duration::ZERO;
        }
    }
}

/// Some of everything at this size.
fn measure(many: &mut Many, sessions: u32, slowest: Duration) {
    let renewals = 20_000.min(sessions);
    let begun = Instant::now();
    for n in 0..renewals {
        let client = client(n * (sessions / renewals));
        let address = many.engine.table.of_mac(client.mac).first().copied();
        let address = address.and_then(|id| many.engine.table.get(id)?.bound(many.now.mono_ns));
        many.put(&client, &client.renew(address.unwrap()));
    }
    let renewal = begun.elapsed() / renewals;
    let timed = |many: &mut Many, command: Command| {
        let begun = Instant::now();
        many.tell(Event::Command {
            command,
            reply_to: ReplyTo(1),
        });
        assert!(std::mem::take(&mut many.world.replied));
        begun.elapsed()
    };
    let activation = timed(many, Command::Activate(activate(&client(sessions - 1), "isp")));
    let page = timed(
        many,
        Command::ListSessions(ListSessions {
            state: Some(State::Wgar),
            after: Some(SessionId(u64::from(sessions) / 2)),
            limit: 100,
            ..ListSessions::default()
        }),
    );
    let statistics = timed(many, Command::Statistics);
    let begun = Instant::now();
    many.now.mono_ns += 100_000_000;
    many.now.wall_ms += 100;
    many.tell(Event::Tick);
    let tick = begun.elapsed();
    println!(
        "{sessions:>8} sessions: slowest DORA {slowest:?}, renewal {renewal:?}, activation {activation:?}, \
         page {page:?}, statistics {statistics:?}, tick {tick:?}"
    );
}
