//! A world that remembers, and clients that speak DHCP by another implementation's hand.
//!
//! [`Bench`] is an engine at work. Its world, [`Remembered`], does what the real parts would, in memory, as fast or slow as the test says. It knows the laws: whatever a test
//! is about, an ACK whose lease is not durable and published, two rows with one address or on one line, or a row given back while it still
//! counts fails it on the spot.

mod client;
mod world;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcproto::v4::{Message, MessageType};
use dhcproto::{Decodable, Decoder};
use sluice_config::Config;

use super::*;
pub(crate) use crate::session::Standing;
pub(crate) use client::{Client, activate, by_ont, state_of};
pub(crate) use shm_bridge::SessionIndex;
pub(crate) use world::Remembered;

pub(crate) const CONFIG: &str = r#"
[limits]
sessions = 256

[[ports]]
name = "access0"
role = "access"
device = "net_tap0"
mac = "02:00:5e:00:01:01"
option82 = "trusted"
lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }, { s_vlans = "200", c_vlans = "10", model = "n:1" }]

[[ports]]
name = "access1"
role = "access"
device = "net_tap1"
mac = "02:00:5e:00:01:02"
option82 = "untrusted"
lines = [{ s_vlans = "100-109", c_vlans = "1-4094" }, { s_vlans = "200", c_vlans = "10", model = "n:1" }]

[[ports]]
name = "core0"
role = "core"
device = "net_tap2"
mac = "02:00:5e:00:02:01"
address = "192.0.2.2/24"
gateway = "192.0.2.1"

[dhcp]
server_id = "10.255.0.1"
relays = ["192.0.2.67"]
relay_pool = "relayed"

[pools.wgar]
network = "10.255.0.0/24"
binding_seconds = 600
dns = ["8.8.8.8"]

[pools.isp]
network = "10.0.0.0/24"
binding_seconds = 86400
dns = ["1.1.1.1", "1.0.0.1"]

[pools.business]
network = "10.16.0.0/24"
binding_seconds = 604800

[pools.tiny]
network = "10.32.0.0/29"

[pools.relayed]
network = "10.48.0.0/24"

[gardens]
unactivated.permit = [{ destination = "8.8.8.8/32", protocol = "udp", ports = "53" }]
suspended.permit = [{ destination = "8.8.8.8/32", protocol = "udp", ports = "53" }]
"#;

pub(crate) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 255, 0, 1);
pub(crate) const RELAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 67);
pub(crate) const START_WALL_MS: u64 = 1_800_000_000_000;

/// Whether something happens by itself or when the test says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    AtOnce,
    WhenTold,
}

/// An engine at work.
#[derive(Debug)]
pub(crate) struct Bench {
    pub engine: Engine,
    pub world: Remembered,
    pub config: Arc<Config>,
    pub aaa: Pace,
    pub store: Pace,
    pub rows: Pace,
    /// What AAA knows, by identity.
    pub known: HashMap<String, (Service, Standing)>,
    next_caller: u64,
}

impl Bench {
    pub fn new() -> Bench {
        Bench::with(CONFIG)
    }

    pub fn with(text: &str) -> Bench {
        let config = Arc::new(Config::parse("sluice.toml", text).expect("a valid configuration"));
        let now = Now {
            mono_ns: 5 * SECOND_NS,
            wall_ms: START_WALL_MS,
        };
        let mut world = Remembered::new(config.limits.sessions - 1, now);
        for row in 1..config.limits.sessions {
            // Counters are never zeroed: rows have a past.
            let past = Totals {
                packets: u64::from(row),
                bytes: 1000,
                policed: 0,
            };
            world.traffic.insert(row, [past, past]);
        }
        Bench {
            engine: Engine::new(config.clone(), Restored::default(), now),
            world,
            config,
            aaa: Pace::AtOnce,
            store: Pace::AtOnce,
            rows: Pace::AtOnce,
            known: HashMap::new(),
            next_caller: 1,
        }
    }

    /// The same configuration with a change of its text.
    pub fn changed(from: &str, to: &str) -> Bench {
        let text = CONFIG.replacen(from, to, 1);
        assert_ne!(text, CONFIG, "{from:?} is not in the configuration");
        Bench::with(&text)
    }

    pub fn knows(&mut self, identity: &str, pool: &str, standing: Standing) {
        let service = Service {
            pool: pool.into(),
            service_id: Some("SVC".into()),
            qos: Qos {
                download_bps: 100_000_000,
                upload_bps: 20_000_000,
            },
        };
        self.known.insert(identity.into(), (service, standing));
    }

    /// Control dies and starts again: what was not durable is lost, rows stay as they are.
    pub fn restart(&mut self) {
        self.world.commits.clear();
        self.world.asked.clear();
        self.world.sent.clear();
        self.world.olt.clear();
        self.world.retirements.clear();
        self.engine = Engine::new(self.config.clone(), self.world.store.restored(), self.world.now);
        let images = self.engine.images();
        // What the driver does: rows that the engine wants stay, others are swept.
        let wanted: HashMap<u32, SessionImage> =
            images.into_iter().map(|image| (image.row.get(), image)).collect();
        let rows: Vec<u32> = self.world.published.keys().copied().collect();
        for row in rows {
            match wanted.get(&row) {
                Some(image) => assert_eq!(
                    (image.line, image.mac, image.ipv4),
                    {
                        let published = &self.world.published[&row];
                        (published.line, published.mac, published.ipv4)
                    },
                    "row {row}"
                ),
                None => {
                    self.world.published.remove(&row);
                    self.world.free_rows.push(row);
                }
            }
        }
        for row in std::mem::take(&mut self.world.unlinked) {
            self.world.free_rows.push(row);
        }
        for row in std::mem::take(&mut self.world.reserved) {
            self.world.free_rows.push(row);
        }
        for (row, image) in wanted {
            self.world.free_rows.retain(|free| *free != row);
            self.world.published.insert(row, image);
        }
        self.world.check_links();
        self.tell(Event::Tick);
    }

    pub fn tell(&mut self, event: Event) {
        self.engine.handle(self.world.now, event, &mut self.world);
        self.settle();
    }

    /// Lets everything happen that happens by itself.
    fn settle(&mut self) {
        loop {
            let answered = self.aaa == Pace::AtOnce && self.answer_aaa();
            let written = self.store == Pace::AtOnce && self.write();
            let retired = self.rows == Pace::AtOnce && self.retire();
            if !(answered || written || retired) {
                return;
            }
        }
    }

    /// AAA answers its oldest request.
    pub fn answer_aaa(&mut self) -> bool {
        let Some(request) = self.world.asked.pop_front() else {
            return false;
        };
        let answer = match self.known.get(&request.identity.0) {
            Some((service, standing)) => AaaAnswer::Accept(service.clone(), *standing),
            None => AaaAnswer::Unknown,
        };
        self.tell(Event::Aaa {
            ticket: request.ticket,
            answer,
        });
        true
    }

    /// AAA fails its oldest request.
    pub fn fail_aaa(&mut self) {
        let request = self.world.asked.pop_front().expect("a request");
        self.tell(Event::Aaa {
            ticket: request.ticket,
            answer: AaaAnswer::Failed("no server".into()),
        });
    }

    /// The oldest batch becomes durable.
    pub fn write(&mut self) -> bool {
        let Some((ticket, batch)) = self.world.commits.pop_front() else {
            return false;
        };
        for record in batch {
            self.world.store.apply(record);
        }
        self.tell(Event::Committed {
            ticket,
            result: Ok(()),
        });
        true
    }

    /// The oldest batch is lost.
    pub fn lose(&mut self) -> bool {
        let Some((ticket, _)) = self.world.commits.pop_front() else {
            return false;
        };
        self.tell(Event::Committed {
            ticket,
            result: Err("disk full".into()),
        });
        true
    }

    pub fn batches(&self) -> usize {
        self.world.commits.len()
    }

    /// The grace period of the oldest unlinked row is over.
    pub fn retire(&mut self) -> bool {
        let Some((session, row)) = self.world.retirements.pop_front() else {
            return false;
        };
        let counted = |at: usize| {
            let now = self.world.traffic.get(&row.get()).copied().unwrap_or_default();
            let then = self.world.baselines.get(&row.get()).copied().unwrap_or_default();
            now[at].since(then[at])
        };
        let traffic = [counted(0), counted(1)];
        self.tell(Event::RowRetired {
            session,
            row,
            traffic,
        });
        true
    }

    pub fn pass(&mut self, seconds: u64) {
        self.pass_ms(seconds * 1000);
    }

    /// Time passes, in ticks of at most twenty seconds.
    pub fn pass_ms(&mut self, ms: u64) {
        let mut left = ms;
        while left > 0 {
            let step = left.min(20_000);
            self.world.now.mono_ns += step * 1_000_000;
            self.world.now.wall_ms += step;
            left -= step;
            self.tell(Event::Tick);
        }
    }

    /// A command that waits for what the test holds back.
    pub fn ask(&mut self, command: Command) -> u64 {
        let caller = self.next_caller;
        self.next_caller += 1;
        self.tell(Event::Command {
            command,
            reply_to: ReplyTo(caller),
        });
        caller
    }

    pub fn command(&mut self, command: Command) -> Result<Reply, CommandError> {
        let caller = self.ask(command);
        self.reply_to(caller).expect("an answer")
    }

    pub fn reply_to(&mut self, caller: u64) -> Option<Result<Reply, CommandError>> {
        self.world.replies.remove(&caller)
    }

    pub fn change(&mut self, command: Command) -> Result<Changed, CommandError> {
        self.command(command).map(|reply| match reply {
            Reply::Changed(changed) => changed,
            other => panic!("{other:?}"),
        })
    }

    pub fn statistics(&mut self) -> Statistics {
        match self.command(Command::Statistics) {
            Ok(Reply::Statistics(statistics)) => *statistics,
            other => panic!("{other:?}"),
        }
    }

    pub fn refused(&mut self, label: &str) -> u64 {
        count(&self.statistics().dhcp_refused, label)
    }

    pub fn noted(&mut self, label: &str) -> u64 {
        count(&self.statistics().dhcp_noted, label)
    }

    pub fn pool(&mut self, name: &str) -> PoolView {
        let pools = self.statistics().pools;
        pools.into_iter().find(|pool| pool.name == name).expect("a pool")
    }

    pub fn list(&mut self, filter: ListSessions) -> Vec<SessionView> {
        match self.command(Command::ListSessions(filter)) {
            Ok(Reply::Sessions { sessions, .. }) => sessions,
            other => panic!("{other:?}"),
        }
    }

    pub fn all(&mut self) -> Vec<SessionView> {
        self.list(ListSessions {
            limit: 1000,
            ..ListSessions::default()
        })
    }

    /// The one session there is.
    pub fn only(&mut self) -> Session {
        let all = self.all();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].session.clone()
    }

    pub fn session_of(&mut self, client: &Client) -> Session {
        let found = self.list(ListSessions {
            mac: Some(client.mac),
            limit: 10,
            ..ListSessions::default()
        });
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].session.clone()
    }

    /// Sends a client's message and takes what came back for it.
    pub fn dhcp(&mut self, client: &Client, message: Message) -> Vec<(DhcpOut, Message)> {
        self.put(client, message);
        self.answers()
    }

    pub fn put(&mut self, client: &Client, message: Message) {
        let payload = client.payload(&message);
        self.tell(Event::Dhcp(DhcpIn {
            from: client.ingress(),
            source: message.ciaddr(),
            destination: Ipv4Addr::BROADCAST,
            payload,
        }));
    }

    pub fn answers(&mut self) -> Vec<(DhcpOut, Message)> {
        let sent = self.world.sent.drain(..);
        sent.map(|out| {
            let message = Message::decode(&mut Decoder::new(&out.payload)).unwrap();
            (out, message)
        })
        .collect()
    }

    /// DISCOVER; the address offered.
    pub fn discover(&mut self, client: &Client) -> Option<Ipv4Addr> {
        let answers = self.dhcp(client, client.discover());
        one(answers, MessageType::Offer).map(|offer| offer.yiaddr())
    }

    /// REQUEST of an offer; the answer.
    pub fn select(&mut self, client: &Client, address: Ipv4Addr) -> Outcome {
        outcome(self.dhcp(client, client.select(address)))
    }

    /// The whole conversation.
    pub fn dora(&mut self, client: &Client) -> Ipv4Addr {
        let offered = self.discover(client).expect("an offer");
        assert_eq!(self.select(client, offered), Outcome::Ack(offered));
        offered
    }
}

/// What a REQUEST came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ack(Ipv4Addr),
    Nak,
    Silence,
}

pub(crate) fn outcome(answers: Vec<(DhcpOut, Message)>) -> Outcome {
    assert!(answers.len() <= 1, "one request, {} answers", answers.len());
    match answers.first() {
        None => Outcome::Silence,
        Some((_, message)) => match message.opts().msg_type() {
            Some(MessageType::Ack) => Outcome::Ack(message.yiaddr()),
            Some(MessageType::Nak) => Outcome::Nak,
            other => panic!("{other:?}"),
        },
    }
}

pub(crate) fn one(answers: Vec<(DhcpOut, Message)>, kind: MessageType) -> Option<Message> {
    assert!(answers.len() <= 1, "one message, {} answers", answers.len());
    let (_, message) = answers.into_iter().next()?;
    assert_eq!(message.opts().msg_type(), Some(kind));
    Some(message)
}

fn count(counts: &[(&'static str, u64)], label: &str) -> u64 {
    counts
        .iter()
        .find(|(known, _)| *known == label)
        .unwrap_or_else(|| panic!("no counter {label}"))
        .1
}
