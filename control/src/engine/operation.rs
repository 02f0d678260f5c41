//! What is being written about a session, and becomes true once it is durable (law 5: a grant is durable, then published, then answered).
//!
//! A session has one operation at a time. While it is under way, DHCP messages of the session are parked and commands wait;
//! restrictions do not: they are in force at once, and the operation finds the session as they left it.

use super::entry::Asking;
use super::{Activate, Activation, Changed, Command, OltRequest, ReplyTo, ReservedRow};
use crate::dhcp::{Kind, Request};
use crate::pool::PoolId;
use crate::session::{
    Access, IllegalTransition, Line, Service, Session, SessionBinding, State, Totals, Trigger,
};

#[derive(Debug)]
pub(super) enum Operation {
    Grant(Box<Grant>),
    Change(Box<Change>),
    Move(Box<Move>),
}

/// An address is given to the session's host.
#[derive(Debug)]
pub(super) struct Grant {
    pub asking: Asking,
    pub pool: PoolId,
    pub binding: SessionBinding,
    /// Monotonic end of the binding.
    pub until: u64,
    /// A row for it, where workers do not yet see the session with this address.
    pub row: Option<ReservedRow>,
    /// The address comes from an offer, and is not the one the session has.
    pub reserved: bool,
    /// Unix seconds of the request.
    pub at: u64,
}

/// The session gets more than it had: activation and resumption.
#[derive(Debug)]
pub(super) struct Change {
    pub trigger: Trigger,
    pub service: Service,
    /// The identity's record afterwards; `None` leaves the decision to AAA again.
    pub record: Option<Activation>,
    /// The record is part of the operation. Other hosts of the same subscriber follow without it.
    pub leads: bool,
    pub changed: Changed,
    pub reply_to: Vec<ReplyTo>,
    /// For telling an identical repeat from another activation.
    pub request: Option<Activate>,
    pub olt: Option<OltRequest>,
    /// Unix seconds.
    pub at: u64,
}

/// The line has other tags now, and the address stays.
#[derive(Debug)]
pub(super) struct Move {
    pub line: Line,
    pub row: ReservedRow,
}

/// What waits for the operation to end.
#[derive(Debug)]
pub(super) struct Deferred {
    pub command: Command,
    pub reply_to: ReplyTo,
}

impl Operation {
    /// The session as it will be.
    pub fn foresee(&self, session: &mut Session) {
        match self {
            Operation::Grant(grant) => grant.apply(session),
            Operation::Change(change) => {
                // A restriction that came meanwhile wins; what the change meant is refused when its turn comes.
                let _refused = change.apply(session);
            }
            Operation::Move(moved) => moved.apply(session),
        }
    }

    /// The row it set aside.
    pub fn row(&self) -> Option<ReservedRow> {
        match self {
            Operation::Grant(grant) => grant.row,
            Operation::Change(_) => None,
            Operation::Move(moved) => Some(moved.row),
        }
    }

    /// Whether `request` is a retransmission of what is being answered.
    pub fn answers(&self, request: &Request) -> bool {
        let Operation::Grant(grant) = self else {
            return false;
        };
        let asked = &grant.asking.request;
        request.kind == Kind::Request
            && asked.xid == request.xid
            && asked.chaddr == request.chaddr
            && asked.requested == request.requested
            && asked.ciaddr == request.ciaddr
    }
}

impl Grant {
    pub fn apply(&self, session: &mut Session) {
        session.line = self.asking.line;
        merge(&mut session.access, &self.asking.access);
        session.mac = self.asking.request.chaddr;
        session.client_id.clone_from(&self.asking.request.client_id);
        session.binding = Some(self.binding.clone());
        if let Some(row) = self.row {
            set_row(session, row);
        }
        if session.state == State::Activating && self.binding.pool == session.service.pool {
            // Legal by the table; a test walks it.
            let _legal = transition(session, Trigger::AddressGranted, self.at);
            session.activation_started_at = None;
        }
    }
}

impl Change {
    pub fn apply(&self, session: &mut Session) -> Result<State, IllegalTransition> {
        let before = transition(session, self.trigger, self.at)?;
        session.service = self.service.clone();
        session.activation_started_at = match session.state {
            State::Activating => Some(session.activation_started_at.unwrap_or(self.at)),
            _ => None,
        };
        Ok(before)
    }
}

impl Move {
    pub fn apply(&self, session: &mut Session) {
        session.line = Some(self.line);
        set_row(session, self.row);
    }
}

/// Moves the session by the table and returns the state it was in.
pub(super) fn transition(
    session: &mut Session,
    trigger: Trigger,
    at: u64,
) -> Result<State, IllegalTransition> {
    let before = session.state;
    let after = before.after(trigger)?;
    if after != before {
        session.state = after;
        session.state_since = at;
    }
    Ok(before)
}

pub(super) fn set_row(session: &mut Session, row: ReservedRow) {
    session.row = row.row.get();
    session.row_generation = row.generation;
    session.baseline = row.baseline;
}

pub(super) fn clear_row(session: &mut Session) {
    session.row = 0;
    session.row_generation = 0;
    session.baseline = [Totals::default(); 2];
}

/// What was said last wins; what was not said stays.
pub(super) fn merge(known: &mut Access, said: &Access) {
    let fields = [
        (&mut known.circuit_id, &said.circuit_id),
        (&mut known.remote_id, &said.remote_id),
        (&mut known.ont_serial, &said.ont_serial),
        (&mut known.access_node, &said.access_node),
    ];
    for (known, said) in fields {
        if said.is_some() && known != said {
            known.clone_from(said);
        }
    }
}
