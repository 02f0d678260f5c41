//! The world that remembers, and knows the laws.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Message, MessageType, Opcode, OptionCode};
use dhcproto::{Decodable, Decoder};
use shm_bridge::SessionIndex;

use super::super::*;

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
    pub fn apply(&mut self, record: Record) {
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
    pub free_rows: Vec<u32>,
    pub reserved: HashSet<u32>,
    pub published: BTreeMap<u32, SessionImage>,
    pub unlinked: HashSet<u32>,
    pub baselines: HashMap<u32, [Totals; 2]>,
    pub traffic: HashMap<u32, [Totals; 2]>,
    pub retirements: VecDeque<(SessionId, SessionIndex)>,
    pub commits: VecDeque<(Ticket, Vec<Record>)>,
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
    pub fn new(rows: u32, now: Now) -> Remembered {
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

    pub fn check_links(&self) {
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
