//! A world that remembers, and clients that speak DHCP by another implementation's hand.
//!
//! [`Remembered`] does what the real parts would, in memory, as fast or slow as the test says. It knows the laws: whatever a test
//! is about, an ACK whose lease is not durable and published, two rows with one address or on one line, or a row given back while it still
//! counts fails it on the spot.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use dhcproto::v4::{DhcpOption, Flags, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder, Encodable, Encoder};

use sluice_config::Config;

use super::*;
pub(crate) use crate::session::Standing;
pub(crate) use shm_bridge::SessionIndex;

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

/// What the store would hold.
#[derive(Clone, Debug, Default)]
pub(crate) struct Store {
    pub sessions: BTreeMap<SessionId, Session>,
    pub bindings: BTreeMap<Ipv4Addr, Binding>,
    pub activations: HashMap<Identity, Activation>,
    pub tombstones: Vec<(SessionId, u64)>,
    pub events: Vec<BusEvent>,
}

impl Store {
    fn apply(&mut self, record: Record) {
        match record {
            Record::PutSession(session) => {
                let ended = self.tombstones.iter().any(|(id, _)| *id == session.id);
                assert!(!ended, "{} written after its end", session.id);
                self.sessions.insert(session.id, *session);
            }
            Record::EndSession { id, at } => {
                self.sessions.remove(&id);
                self.tombstones.push((id, at));
            }
            Record::PutBinding(binding) => {
                self.bindings.insert(binding.ipv4, binding);
            }
            Record::DeleteBinding(address) => {
                self.bindings.remove(&address);
            }
            Record::PutActivation(activation) => {
                self.activations.insert(activation.identity.clone(), activation);
            }
            Record::DeleteActivation(identity) => {
                self.activations.remove(&identity);
            }
            Record::PutEvent(event) => {
                let rising = self
                    .events
                    .last()
                    .is_none_or(|last| last.sequence < event.sequence);
                assert!(rising, "event numbers fall");
                self.events.push(event);
            }
        }
    }

    pub fn restored(&self) -> Restored {
        Restored {
            sessions: self.sessions.values().cloned().collect(),
            bindings: self.bindings.values().cloned().collect(),
            activations: self.activations.values().cloned().collect(),
            next_session: self.sessions.keys().last().map_or(1, |id| id.0 + 1),
            next_event: self.events.last().map_or(0, |event| event.sequence + 1),
            tombstones: self.tombstones.clone(),
        }
    }
}

/// What the engine had done, and what it waits for.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub now: Now,
    free_rows: Vec<u32>,
    reserved: HashSet<u32>,
    pub published: BTreeMap<u32, SessionImage>,
    unlinked: HashSet<u32>,
    baselines: HashMap<u32, [Totals; 2]>,
    pub traffic: HashMap<u32, [Totals; 2]>,
    retirements: VecDeque<(SessionId, SessionIndex)>,
    commits: VecDeque<(Ticket, Vec<Record>)>,
    pub asked: VecDeque<AaaRequest>,
    pub olt: VecDeque<(Ticket, OltRequest)>,
    pub sent: VecDeque<DhcpOut>,
    pub replies: HashMap<u64, Result<Reply, CommandError>>,
    pub told: Vec<BusEvent>,
    pub store: Store,
    pub publish_fails: bool,
    pub policy_fails: bool,
    /// 1:1 lines take one row, others one for each MAC address.
    shared: HashSet<(u16, u16, u16)>,
}

impl Remembered {
    fn new(rows: u32, now: Now) -> Remembered {
        Remembered {
            now,
            free_rows: (1..=rows).rev().collect(),
            reserved: HashSet::new(),
            published: BTreeMap::new(),
            unlinked: HashSet::new(),
            baselines: HashMap::new(),
            traffic: HashMap::new(),
            retirements: VecDeque::new(),
            commits: VecDeque::new(),
            asked: VecDeque::new(),
            olt: VecDeque::new(),
            sent: VecDeque::new(),
            replies: HashMap::new(),
            told: Vec::new(),
            store: Store::default(),
            publish_fails: false,
            policy_fails: false,
            shared: HashSet::from([(0, 200, 10), (1, 200, 10)]),
        }
    }

    pub fn row_of(&self, address: Ipv4Addr) -> Option<&SessionImage> {
        self.published.values().find(|image| image.ipv4 == address)
    }

    pub fn rows_in_use(&self) -> usize {
        self.reserved.len() + self.published.len() + self.unlinked.len()
    }

    /// Law 5: what is acknowledged is durable for as long as the client was told, and workers see it.
    fn check_ack(&self, message: &DhcpOut, ack: &Message) {
        let Some(DhcpOption::AddressLeaseTime(lease)) = ack.opts().get(OptionCode::AddressLeaseTime) else {
            return;
        };
        let address = ack.yiaddr();
        let binding = self
            .store
            .bindings
            .get(&address)
            .unwrap_or_else(|| panic!("ACK of {address} before it was written"));
        assert_eq!(binding.state, BindingState::Bound, "ACK of {address}");
        assert!(
            binding.until * 1000 + 1000 >= self.now.wall_ms + u64::from(*lease) * 1000,
            "the lease of {address} outlives what is stored"
        );
        if let Egress::Line { line, .. } = message.to {
            let image = self
                .row_of(address)
                .unwrap_or_else(|| panic!("ACK of {address} before it was published"));
            assert_eq!((image.line, &image.mac.0[..]), (line, ack.chaddr()));
        }
    }

    fn check_links(&self) {
        let mut addresses = HashSet::new();
        let mut lines = HashSet::new();
        for image in self.published.values() {
            assert!(addresses.insert(image.ipv4), "{} is published twice", image.ipv4);
            let tags = (image.line.port, image.line.s_vlan, image.line.c_vlan);
            let mac = self.shared.contains(&tags).then_some(image.mac);
            assert!(
                lines.insert((image.line, mac)),
                "{:?} is published twice",
                image.line
            );
        }
    }
}

impl World for Remembered {
    fn reserve_row(&mut self) -> Result<ReservedRow, TableError> {
        let row = self.free_rows.pop().ok_or(TableError::NoRow(0))?;
        self.reserved.insert(row);
        let baseline = self.traffic.get(&row).copied().unwrap_or_default();
        self.baselines.insert(row, baseline);
        Ok(ReservedRow {
            row: SessionIndex::new(row).unwrap(),
            generation: 1,
            baseline,
        })
    }

    fn publish(&mut self, image: &SessionImage, previous: Option<&SessionImage>) -> Result<(), TableError> {
        if self.publish_fails {
            return Err(TableError::Fib("told to fail".into()));
        }
        let row = image.row.get();
        assert!(
            self.reserved.remove(&row),
            "row {row} was published without being set aside"
        );
        if let Some(previous) = previous {
            self.withdraw(previous);
        }
        self.published.insert(row, image.clone());
        self.check_links();
        Ok(())
    }

    fn set_policy(&mut self, row: SessionIndex, policy: &PolicyImage) -> Result<(), TableError> {
        if self.policy_fails {
            return Err(TableError::NoPolicer(1));
        }
        let image = self
            .published
            .get_mut(&row.get())
            .expect("policy of a row that is not published");
        image.policy = policy.clone();
        Ok(())
    }

    fn withdraw(&mut self, image: &SessionImage) {
        let row = image.row.get();
        self.published
            .remove(&row)
            .expect("a row is withdrawn that is not published");
        self.unlinked.insert(row);
        self.retirements.push_back((image.session, image.row));
    }

    fn release_row(&mut self, row: SessionIndex) {
        let row = row.get();
        let counted = self.unlinked.remove(&row);
        assert!(
            self.reserved.remove(&row) || counted,
            "row {row} is given back while it is in use"
        );
        self.free_rows.push(row);
    }

    fn traffic(&self, row: SessionIndex) -> [Totals; 2] {
        self.traffic.get(&row.get()).copied().unwrap_or_default()
    }

    fn send(&mut self, message: DhcpOut) {
        let reply =
            Message::decode(&mut Decoder::new(&message.payload)).expect("dhcproto reads every answer");
        assert_eq!(reply.opcode(), Opcode::BootReply);
        if reply.opts().msg_type() == Some(MessageType::Ack) {
            self.check_ack(&message, &reply);
        }
        self.sent.push_back(message);
    }

    fn authorize(&mut self, request: AaaRequest) {
        self.asked.push_back(request);
    }

    fn commit(&mut self, ticket: Ticket, batch: Vec<Record>) {
        self.commits.push_back((ticket, batch));
    }

    fn reconfigure(&mut self, ticket: Ticket, request: OltRequest) {
        self.olt.push_back((ticket, request));
    }

    fn reply(&mut self, to: ReplyTo, result: Result<Reply, CommandError>) {
        assert!(
            self.replies.insert(to.0, result).is_none(),
            "a caller was answered twice"
        );
    }

    fn emit(&mut self, event: BusEvent) {
        assert!(self.told.last().is_none_or(|last| last.sequence < event.sequence));
        self.told.push(event);
    }
}

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

/// A host, and where it is plugged in.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub line: Option<Line>,
    pub mac: Mac,
    pub xid: u32,
    pub client_id: Option<Vec<u8>>,
    pub circuit_id: Option<String>,
    pub remote_id: Option<String>,
    pub broadcast: bool,
    pub giaddr: Ipv4Addr,
}

impl Client {
    /// CPE number `n` behind the trusted port's line 100.n.
    pub fn on(n: u16) -> Client {
        Client {
            line: Some(Line {
                port: 0,
                s_vlan: 100,
                c_vlan: n,
            }),
            mac: Mac([2, 0, 0, 0, (n >> 8) as u8, n as u8]),
            xid: 0x1000_0000 + u32::from(n),
            client_id: None,
            circuit_id: Some(format!("agg-01|1/1/{n}")),
            remote_id: Some(format!("ADTN{n:08}")),
            broadcast: false,
            giaddr: Ipv4Addr::UNSPECIFIED,
        }
    }

    /// Host `host` on the untrusted port, where tags are all there is.
    pub fn untrusted(s_vlan: u16, c_vlan: u16, host: u8) -> Client {
        Client {
            line: Some(Line {
                port: 1,
                s_vlan,
                c_vlan,
            }),
            mac: Mac([2, 0, 0, 1, 0, host]),
            circuit_id: None,
            remote_id: None,
            ..Client::on(u16::from(host))
        }
    }

    /// Behind the relay.
    pub fn relayed(host: u8) -> Client {
        Client {
            line: None,
            mac: Mac([2, 0, 0, 2, 0, host]),
            giaddr: RELAY,
            ..Client::on(u16::from(host))
        }
    }

    pub fn with_mac(&self, last: u8) -> Client {
        Client {
            mac: Mac([2, 0, 0, 9, 0, last]),
            xid: self.xid + 0x100,
            ..self.clone()
        }
    }

    pub fn identity(&self) -> String {
        self.circuit_id.clone().expect("a circuit-id")
    }

    pub fn serial(&self) -> String {
        self.remote_id.clone().expect("a remote-id")
    }

    fn ingress(&self) -> Ingress {
        match self.line {
            Some(line) => Ingress::Line { line, mac: self.mac },
            None => Ingress::Core { port: 2 },
        }
    }

    pub fn message(&self, kind: MessageType) -> Message {
        let mut message = Message::new_with_id(
            self.xid,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            self.giaddr,
            &self.mac.0,
        );
        if self.broadcast {
            message.set_flags(Flags::default().set_broadcast());
        }
        message.opts_mut().insert(DhcpOption::MessageType(kind));
        if let Some(id) = &self.client_id {
            message
                .opts_mut()
                .insert(DhcpOption::ClientIdentifier(id.clone()));
        }
        message
    }

    pub fn discover(&self) -> Message {
        self.message(MessageType::Discover)
    }

    pub fn select(&self, address: Ipv4Addr) -> Message {
        let mut message = self.init_reboot(address);
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message
    }

    pub fn init_reboot(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Request);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        message
    }

    /// RENEWING and REBINDING: the same fields.
    pub fn renew(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Request);
        message.set_ciaddr(address);
        message
    }

    pub fn release(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Release);
        message.set_ciaddr(address);
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message
    }

    pub fn decline(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Decline);
        message.opts_mut().insert(DhcpOption::RequestedIpAddress(address));
        message.opts_mut().insert(DhcpOption::ServerIdentifier(SERVER));
        message
    }

    pub fn inform(&self, address: Ipv4Addr) -> Message {
        let mut message = self.message(MessageType::Inform);
        message.set_ciaddr(address);
        message
    }

    /// Option 82 as the access node inserts it.
    pub fn relay_info(&self) -> Vec<u8> {
        let mut content = Vec::new();
        for (code, text) in [(1, &self.circuit_id), (2, &self.remote_id)] {
            if let Some(text) = text {
                content.push(code);
                content.push(text.len() as u8);
                content.extend_from_slice(text.as_bytes());
            }
        }
        content
    }

    pub fn payload(&self, message: &Message) -> Vec<u8> {
        let mut payload = Vec::new();
        message.encode(&mut Encoder::new(&mut payload)).unwrap();
        let info = self.relay_info();
        if !info.is_empty() {
            assert_eq!(payload.pop(), Some(255));
            payload.extend_from_slice(&[82, info.len() as u8]);
            payload.extend_from_slice(&info);
            payload.push(255);
        }
        payload
    }
}

pub(crate) fn activate(client: &Client, pool: &str) -> Activate {
    Activate {
        ont_serial: client.serial(),
        service_id: "SVC-001".into(),
        pool: pool.into(),
        qos_download_bps: 100_000_000,
        qos_upload_bps: 20_000_000,
        s_vlan: None,
        c_vlan: None,
        bounce: true,
    }
}

pub(crate) fn by_ont(client: &Client) -> Selector {
    Selector {
        ont_serial: Some(client.serial()),
        ..Selector::default()
    }
}

pub(crate) fn state_of(bench: &mut Bench, client: &Client) -> State {
    bench.session_of(client).state
}
