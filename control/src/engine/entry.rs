//! A session with what only the engine knows of it: conversations that wait, the address on offer, what is being written, when what runs out.

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use shm_bridge::SessionIndex;

use super::operation::{Deferred, Operation};
use super::{BusEvent, SessionImage, Ticket};
use crate::dhcp::Request;
use crate::pool::{Inherit, PoolId};
use crate::session::{Access, Line, Mac, Session, Totals};

/// A session and its life around it.
#[derive(Debug)]
pub(super) struct Entry {
    /// What is stored and shown. Read it freely; change it through [`Table::update`](super::table::Table::update).
    pub session: Session,
    /// Several hosts may share the line, each with a session of its own.
    pub shared: bool,
    /// The access loop whose limits it counts for.
    pub access_loop: String,
    pub aaa: Aaa,
    /// The newest message, while AAA or the store is asked.
    pub parked: Option<Box<Asking>>,
    pub offer: Option<Offer>,
    /// What will be true of the session once it is durable.
    pub operation: Option<Operation>,
    pub deferred: VecDeque<Deferred>,
    /// What happened to it and is told with the next thing that is written of it.
    pub news: Vec<BusEvent>,
    /// What workers see.
    pub published: Option<SessionImage>,
    /// Rows that were unlinked and still count.
    pub retiring: Vec<Retiring>,
    /// When the address runs out, and when the store thinks so. Monotonic; 0 without an address.
    pub bound_until: u64,
    pub stored_until: u64,
    /// When a session without an address ends.
    pub linger_until: Option<u64>,
    /// When its timer is set to ring.
    pub armed: Option<u64>,
    pub displacements: Displacements,
    pub activation_started: Option<u64>,
    /// Whether the store knows the session, and whether it was told that it ended.
    pub stored: bool,
    pub ended: bool,
    /// The store was told of what the operation under way will bring.
    pub foreseen: bool,
    /// A restriction is in force that the store could not keep: it may be repeated.
    pub unwritten: bool,
    /// Traffic already counted for its pool, and when it last grew.
    pub sampled: [Totals; 2],
    pub busy_at: u64,
}

/// Where the session stands with AAA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aaa {
    Never,
    Asked {
        ticket: Ticket,
        until: u64,
    },
    /// Not asked again before `fresh_until`.
    Answered {
        fresh_until: u64,
    },
}

/// A message with where it came from.
#[derive(Clone, Debug)]
pub(super) struct Asking {
    pub request: Request,
    /// `None`: over the core side.
    pub line: Option<Line>,
    pub access: Access,
}

/// An address that was offered to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub address: Ipv4Addr,
    pub pool: PoolId,
    pub mac: Mac,
    pub until: u64,
    /// It is set aside in the pool, and not the address the session has.
    pub reserved: bool,
}

/// A row that the session had, until its last counters are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retiring {
    pub row: SessionIndex,
    pub baseline: [Totals; 2],
    /// Traffic already counted for the pool the row was in.
    pub sampled: [Totals; 2],
    pub pool: Option<PoolId>,
}

/// Lets a line's host be replaced a few times at once, and then only now and then: two hosts that fight for a one-host line cost no
/// more than that.
#[derive(Clone, Copy, Debug)]
pub(super) struct Displacements {
    left: u32,
    since: u64,
}

impl Displacements {
    pub const BURST: u32 = 3;
    pub const REFILL_NS: u64 = 20_000_000_000;

    pub fn new() -> Displacements {
        Displacements {
            left: Displacements::BURST,
            since: 0,
        }
    }

    pub fn allows(&self, now: u64) -> bool {
        self.left > 0 || now.saturating_sub(self.since) >= Displacements::REFILL_NS
    }

    pub fn take(&mut self, now: u64) {
        let gained = now.saturating_sub(self.since) / Displacements::REFILL_NS;
        self.left = u64::from(self.left)
            .saturating_add(gained)
            .min(u64::from(Displacements::BURST)) as u32;
        if gained > 0 {
            self.since = now;
        }
        self.left = self.left.saturating_sub(1);
    }
}

impl Entry {
    pub fn new(session: Session, shared: bool, access_loop: String, now: u64) -> Entry {
        Entry {
            session,
            shared,
            access_loop,
            aaa: Aaa::Never,
            parked: None,
            offer: None,
            operation: None,
            deferred: VecDeque::new(),
            news: Vec::new(),
            published: None,
            retiring: Vec::new(),
            bound_until: 0,
            stored_until: 0,
            linger_until: None,
            armed: None,
            displacements: Displacements::new(),
            activation_started: None,
            stored: false,
            ended: false,
            foreseen: false,
            unwritten: false,
            sampled: Default::default(),
            busy_at: now,
        }
    }

    /// The address it holds and has not run out of.
    pub fn bound(&self, now: u64) -> Option<Ipv4Addr> {
        let binding = self.session.binding.as_ref()?;
        (self.bound_until > now).then_some(binding.ipv4)
    }

    /// Whether the request comes from another host than the one the session has.
    pub fn displaces(&self, request: &Request) -> bool {
        self.session.binding.is_some()
            && self.session.mac != Mac::UNKNOWN
            && self.session.mac != request.chaddr
    }

    pub fn inherit(&self) -> Inherit {
        if self.shared { Inherit::Host } else { Inherit::Line }
    }

    /// When something of it runs out next.
    pub fn deadline(&self) -> Option<u64> {
        let asked = match self.aaa {
            Aaa::Asked { until, .. } => Some(until),
            _ => None,
        };
        let bound = self.session.binding.as_ref().map(|_| self.bound_until);
        [
            asked,
            self.offer.map(|offer| offer.until),
            bound,
            self.linger_until,
        ]
        .into_iter()
        .flatten()
        .min()
    }
}
