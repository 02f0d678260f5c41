//! From a DHCP payload to the session it is of: checked by the guard, placed by its line, told apart by its identity.
//!
//! On a one-host line the identity has one session, and whoever speaks there speaks in it; on a shared line each host has its own, found by
//! hardware address, else by client identifier (option 61). Who is new gets a session in state `discovered`, within the line's limits.

use super::caller::Caller;
use super::entry::{Asking, Entry};
use super::{Cx, DhcpIn, Engine, Ingress};
use crate::dhcp::{Kind, Notice, Refusal, Request};
use crate::session::{Line, Mac, SessionId, State};

/// Sessions of one access loop: a street behind one shared line, and an end to inventing MAC addresses.
const SESSIONS_PER_LOOP: u32 = 1024;
/// Sessions beyond the rows of the workers' table: relayed bindings have none, and discovered ones not yet.
const SESSIONS_BEYOND_ROWS: usize = 1 << 17;

impl Engine {
    pub(super) fn dhcp(&mut self, cx: &mut Cx<'_>, message: DhcpIn) {
        let handled = Request::parse(&message.payload).and_then(|request| match message.from {
            Ingress::Line { line, mac } => self.on_access_line(cx, line, mac, request),
            Ingress::Core { .. } => self.on_core(cx, request),
        });
        if let Err(refusal) = handled {
            self.counts.refuse(refusal);
        }
    }

    fn on_access_line(
        &mut self,
        cx: &mut Cx<'_>,
        line: Line,
        sender: Mac,
        request: Request,
    ) -> Result<(), Refusal> {
        if !request.giaddr.is_unspecified() {
            return Err(Refusal::RelayFromLine);
        }
        // The index is by hardware address and frames are checked against it: another sender's frames would be spoofed ones.
        if request.chaddr != sender {
            return Err(Refusal::SenderMismatch);
        }
        if self.line_model(line).is_none() {
            return Err(Refusal::UnknownLine);
        }
        // Access nodes insert Option 82 into what is broadcast; unicast to the server may come without. Its sender is known by line,
        // hardware address and IPv4 address together, which is what anti-spoofing asks of any packet.
        if request.relay_info.is_none()
            && let Some(id) = self.by_address(Some(line), &request)
        {
            return self.dispatch(cx, id, Some(line), request);
        }
        let caller = self.caller(line, &request)?;
        let known = self.find(&caller, &request);
        if let Some(id) = known {
            self.note_disagreement(id, line, &caller);
        }
        let id = match known {
            Some(id) => id,
            None => self.newcomer(cx, &caller, Some(line), &request)?,
        };
        self.dispatch_as(cx, id, Some(line), request, caller)
    }

    /// A relay's message, or a relayed client's own when it speaks to the server directly (RENEWING, RELEASE).
    fn on_core(&mut self, cx: &mut Cx<'_>, request: Request) -> Result<(), Refusal> {
        if request.giaddr.is_unspecified() {
            let id = self.by_address(None, &request).ok_or(Refusal::UnknownRelay)?;
            return self.dispatch(cx, id, None, request);
        }
        if !self.relays.contains(&request.giaddr) {
            return Err(Refusal::UnknownRelay);
        }
        let caller = self.relayed_caller(&request)?;
        let id = match self.find(&caller, &request) {
            Some(id) => id,
            None => self.newcomer(cx, &caller, None, &request)?,
        };
        self.dispatch_as(cx, id, None, request, caller)
    }

    /// The session that holds the message's own address on this line.
    fn by_address(&self, line: Option<Line>, request: &Request) -> Option<SessionId> {
        if request.ciaddr.is_unspecified() {
            return None;
        }
        let id = self.pools.session_of(request.ciaddr)?;
        let session = &self.table.get(id)?.session;
        let bound = session.binding.as_ref()?.ipv4 == request.ciaddr;
        (bound && session.line == line && session.mac == request.chaddr).then_some(id)
    }

    /// The caller's session: on a one-host line the identity's, on a shared one that of this host.
    fn find(&self, caller: &Caller, request: &Request) -> Option<SessionId> {
        let ids = self.table.of_identity(&caller.identity);
        let entries = || {
            ids.iter()
                .filter_map(|id| self.table.get(*id).map(|entry| (*id, entry)))
        };
        let fits = |test: &dyn Fn(&Entry) -> bool| entries().find(|(_, entry)| test(entry)).map(|(id, _)| id);
        if !caller.shared {
            // A terminated session may stand beside the one that began after it.
            return fits(&|entry| entry.session.state != State::Terminated).or_else(|| fits(&|_| true));
        }
        let mac = |entry: &Entry| entry.session.mac == request.chaddr;
        let client_id =
            |entry: &Entry| request.client_id.is_some() && entry.session.client_id == request.client_id;
        let hostless =
            |entry: &Entry| entry.session.mac == Mac::UNKNOWN && entry.session.state != State::Terminated;
        fits(&mac)
            .or_else(|| fits(&client_id))
            .or_else(|| fits(&hostless))
    }

    /// Option 82 is the identity and tags may move, so this is answered; but somebody should look at it.
    fn note_disagreement(&mut self, id: SessionId, line: Line, caller: &Caller) {
        let Some(entry) = self.table.get(id) else { return };
        let elsewhere = entry.session.line.is_some_and(|known| known != line);
        let reported = caller
            .access
            .ont_serial
            .as_deref()
            .and_then(|serial| self.onts.get(serial));
        let announced = reported.and_then(|ont| ont.line) == Some(line)
            || self.aliases.get(&line) == Some(&entry.session.identity);
        if elsewhere && !announced {
            self.counts.note(Notice::RelayInfoDisagrees);
        }
    }

    fn newcomer(
        &mut self,
        cx: &Cx<'_>,
        caller: &Caller,
        line: Option<Line>,
        request: &Request,
    ) -> Result<SessionId, Refusal> {
        match request.kind {
            Kind::Discover | Kind::Request => {}
            Kind::Decline | Kind::Release | Kind::Inform => return Err(Refusal::NoSession),
        }
        if self.table.len() >= self.config.limits.sessions as usize + SESSIONS_BEYOND_ROWS {
            return Err(Refusal::TooManySessions);
        }
        if self.loop_of(&caller.access_loop).sessions >= SESSIONS_PER_LOOP {
            return Err(Refusal::LineSessionsFull);
        }
        Ok(self.discover(cx, caller, line, Some(request)))
    }

    fn dispatch_as(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        line: Option<Line>,
        request: Request,
        caller: Caller,
    ) -> Result<(), Refusal> {
        let asking = Asking {
            request,
            line,
            access: caller.access,
        };
        self.take_in(cx, id, asking)
    }

    fn dispatch(
        &mut self,
        cx: &mut Cx<'_>,
        id: SessionId,
        line: Option<Line>,
        request: Request,
    ) -> Result<(), Refusal> {
        let access = self.table.get(id).map(|entry| entry.session.access.clone());
        let asking = Asking {
            request,
            line,
            access: access.unwrap_or_default(),
        };
        self.take_in(cx, id, asking)
    }

    fn take_in(&mut self, cx: &mut Cx<'_>, id: SessionId, asking: Asking) -> Result<(), Refusal> {
        let pool = self
            .table
            .get(id)
            .and_then(|entry| self.binding_pool(&entry.session));
        self.counts.requested(pool, asking.request.kind);
        let handled = self.converse(cx, id, asking);
        self.arm(id);
        handled
    }
}
