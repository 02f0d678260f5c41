//! What is on its way to the store, and what happens when it is there.
//!
//! Events for those who follow are numbered when they are written and told when they are durable, so the numbers rise in the order of
//! telling. A session's last happenings ride along with the next thing written of it.

use std::collections::HashMap;

use shm_bridge::SessionIndex;

use super::entry::Entry;
use super::operation::Operation;
use super::owed::{About, Owed};
use super::{BusEvent, Changed, Cx, Engine, Now, OltRequest, Record, Reply, ReplyTo, Ticket};
use crate::session::{Line, Session, SessionId, Totals};

/// Happenings of one session that wait to be written; more would be a loop.
const NEWS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Writing {
    tickets: HashMap<Ticket, Waiting>,
    next_ticket: u64,
    next_event: u64,
    put_events: u64,
    pub owed: Owed,
}

#[derive(Debug)]
enum Waiting {
    Batch(Box<Batch>),
    Aaa(SessionId),
    /// With the line that the request moves the ONT to.
    Olt(SessionId, Option<Line>),
}

/// A batch on its way.
#[derive(Debug)]
struct Batch {
    purpose: Purpose,
    /// Told once it is durable.
    events: Vec<BusEvent>,
    about: About,
}

/// What a batch is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// The session's operation; the last `own` events are about it, those before it have happened whatever becomes of it.
    Operation { session: SessionId, own: usize },
    /// Something that is in force already.
    InForce {
        session: SessionId,
        reply: Option<(ReplyTo, Changed)>,
        olt: Option<OltRequest>,
    },
    /// Something to be told and nothing else.
    News,
    /// What was owed.
    Owed,
    /// The last counters of a row.
    Retired { session: SessionId, row: SessionIndex },
}

impl Writing {
    pub fn new(next_event: u64) -> Writing {
        Writing {
            tickets: HashMap::new(),
            next_ticket: 1,
            next_event: next_event.max(1),
            put_events: 0,
            owed: Owed::default(),
        }
    }

    /// The session is written with the next event.
    pub fn owe(&mut self, session: SessionId) {
        self.owed.session(session);
    }

    pub fn put_events(&self) -> u64 {
        self.put_events
    }

    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        let open = |waiting: &Waiting| !matches!(waiting, Waiting::Olt(..));
        !self.tickets.values().any(open) && self.owed.is_empty()
    }

    fn ticket(&mut self, waiting: Waiting) -> Ticket {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, waiting);
        ticket
    }

    pub fn aaa_ticket(&mut self, session: SessionId) -> Ticket {
        self.ticket(Waiting::Aaa(session))
    }

    pub fn olt_ticket(&mut self, session: SessionId, line: Option<Line>) -> Ticket {
        self.ticket(Waiting::Olt(session, line))
    }

    /// The session that asked AAA, once.
    pub fn take_aaa(&mut self, ticket: Ticket) -> Option<SessionId> {
        match self.tickets.get(&ticket) {
            Some(Waiting::Aaa(session)) => {
                let session = *session;
                self.tickets.remove(&ticket);
                Some(session)
            }
            _ => None,
        }
    }

    /// The session that asked the OLT, once.
    pub fn take_olt(&mut self, ticket: Ticket) -> Option<(SessionId, Option<Line>)> {
        match self.tickets.get(&ticket) {
            Some(Waiting::Olt(session, line)) => {
                let asked = (*session, *line);
                self.tickets.remove(&ticket);
                Some(asked)
            }
            _ => None,
        }
    }
}

impl Engine {
    /// Something that happened to a session; it gets its number when it is written.
    pub(super) fn news(&self, kind: &str, session: &Session, now: Now) -> BusEvent {
        BusEvent {
            sequence: 0,
            at_ms: now.wall_ms,
            kind: kind.to_owned(),
            session: Some(session.id),
            ont_serial: session.access.ont_serial.clone(),
            circuit_id: session.access.circuit_id.clone(),
            old_state: None,
            new_state: None,
            ipv4: session.binding.as_ref().map(|binding| binding.ipv4),
            pool: session.binding.as_ref().map(|binding| binding.pool.clone()),
            detail: None,
        }
    }

    /// Something to be told with the next thing written of the session.
    pub(super) fn add_news(&mut self, id: SessionId, news: BusEvent) {
        if let Some(entry) = self.table.get_mut(id)
            && entry.news.len() < NEWS_MAX
        {
            entry.news.push(news);
        }
    }

    /// Writes a batch; `news` of the events are in it, numbered.
    pub(super) fn commit(
        &mut self,
        cx: &mut Cx<'_>,
        purpose: Purpose,
        mut batch: Vec<Record>,
        news: Vec<BusEvent>,
    ) {
        let mut events = news;
        for event in &mut events {
            event.sequence = self.writing.next_event;
            self.writing.next_event += 1;
            self.writing.put_events += 1;
            batch.push(Record::PutEvent(event.clone()));
        }
        let about = About::of(&batch);
        let ticket = self.writing.ticket(Waiting::Batch(Box::new(Batch {
            purpose,
            events,
            about,
        })));
        cx.world.commit(ticket, batch);
    }

    /// The session as it will be once everything under way is true, with the traffic of rows it gives up counted as far as it is known.
    pub(super) fn snapshot(&self, cx: &Cx<'_>, entry: &Entry) -> Session {
        let mut session = entry.session.clone();
        for retiring in &entry.retiring {
            let counted = since(cx.world.traffic(retiring.row), retiring.baseline);
            session.carried = plus(session.carried, counted);
        }
        if let Some(operation) = &entry.operation {
            if let (Some(_), Some(image)) = (operation.row(), &entry.published) {
                let counted = since(cx.world.traffic(image.row), entry.session.baseline);
                session.carried = plus(session.carried, counted);
            }
            operation.foresee(&mut session);
        }
        session
    }

    /// Begins an operation: writes the session as it will be. `news` is told once it is durable.
    pub(super) fn begin(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        operation: Operation,
        records: Vec<Record>,
        news: Vec<BusEvent>,
    ) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        entry.operation = Some(operation);
        entry.stored = true;
        let purpose = Purpose::Operation {
            session: id,
            own: news.len(),
        };
        let mut all = std::mem::take(&mut entry.news);
        all.extend(news);
        let Some(entry) = self.table.get(id) else { return };
        let mut batch = records;
        batch.push(Record::PutSession(Box::new(self.snapshot(cx, entry))));
        self.commit(cx, purpose, batch, all);
    }

    /// Writes what is in force already.
    pub(super) fn persist(&mut self, cx: &mut Cx<'_>, id: SessionId, records: Vec<Record>, purpose: Purpose) {
        let mut batch = records;
        let mut news = Vec::new();
        if let Some(entry) = self.table.get_mut(id) {
            news = std::mem::take(&mut entry.news);
            if !entry.ended {
                entry.stored = true;
                entry.foreseen |= entry.operation.is_some();
            }
        }
        if let Some(entry) = self.table.get(id).filter(|entry| !entry.ended) {
            batch.push(Record::PutSession(Box::new(self.snapshot(cx, entry))));
        }
        self.commit(cx, purpose, batch, news);
    }

    pub(super) fn committed(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: Result<(), String>) {
        let Some(Waiting::Batch(batch)) = self.writing.tickets.remove(&ticket) else {
            return;
        };
        let Batch {
            purpose,
            events,
            about,
        } = *batch;
        if result.is_ok() {
            events.into_iter().for_each(|event| cx.world.emit(event));
        } else if let Purpose::Operation { session, own } = purpose {
            let earlier = events.len().saturating_sub(own);
            if let Some(entry) = self.table.get_mut(session) {
                entry.news.splice(0..0, events.into_iter().take(earlier));
                entry.news.truncate(NEWS_MAX);
            }
        } else {
            // It has happened all the same, and is told when it is durable, under another number.
            self.writing.owed.lost(about, events, cx.now.mono_ns);
        }
        match purpose {
            Purpose::Operation { session, .. } => self.finish(cx, session, result),
            Purpose::InForce { session, reply, olt } => self.in_force(cx, session, reply, olt, result),
            Purpose::News | Purpose::Owed => {}
            Purpose::Retired { session, row } => match result {
                Ok(()) => cx.world.release_row(row),
                Err(_) => self.writing.owed.row(session, row),
            },
        }
    }

    /// The session's operation is durable, or will not be.
    fn finish(&mut self, cx: &mut Cx<'_>, id: SessionId, result: Result<(), String>) {
        let Some(entry) = self.table.get_mut(id) else {
            return;
        };
        let foreseen = std::mem::take(&mut entry.foreseen);
        let Some(operation) = entry.operation.take() else {
            return;
        };
        if foreseen && result.is_err() {
            // A later batch told the store of what now does not come true.
            self.writing.owe(id);
        }
        match operation {
            Operation::Grant(grant) => self.finish_grant(cx, id, *grant, result),
            Operation::Change(change) => self.finish_change(cx, id, *change, result),
            Operation::Move(moved) => self.finish_move(cx, id, *moved, result),
        }
        self.conclude(cx, id);
        self.resume_conversation(cx, id);
        self.run_deferred(cx, id);
        self.arm(id);
    }

    fn in_force(
        &mut self,
        cx: &mut Cx<'_>,
        session: SessionId,
        reply: Option<(ReplyTo, Changed)>,
        olt: Option<OltRequest>,
        result: Result<(), String>,
    ) {
        if let Some(entry) = self.table.get_mut(session) {
            entry.unwritten = result.is_err();
        }
        if let Some((to, changed)) = reply {
            let answer = match &result {
                Ok(()) => Ok(Reply::Changed(changed)),
                Err(e) => Err(super::CommandError::Unavailable(format!(
                    "it is in force, but the store could not keep it: {e}"
                ))),
            };
            cx.world.reply(to, answer);
        }
        if let Some(request) = olt {
            self.ask_olt(cx, session, request);
        }
    }
}

pub(super) fn plus(a: [Totals; 2], b: [Totals; 2]) -> [Totals; 2] {
    [a[0].plus(b[0]), a[1].plus(b[1])]
}

pub(super) fn since(now: [Totals; 2], earlier: [Totals; 2]) -> [Totals; 2] {
    [now[0].since(earlier[0]), now[1].since(earlier[1])]
}
