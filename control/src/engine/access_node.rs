//! Access nodes: what they report of ONTs, and what is asked of them.

use super::caller::Ont;
use super::entry::Aaa;
use super::operation::merge;
use super::writing::Purpose;
use super::{BusEvent, Cx, Engine, OltEvent, OltEventKind, OltLine, OltRequest, Record, Ticket};
use crate::session::{Access, Line, SessionId, State};

/// Longest text taken from a report (the names of the configuration are shorter).
const TEXT_MAX: usize = 255;

impl Engine {
    /// An access node reports. The ONT's session is discovered before its first packet comes.
    pub(super) fn reported(&mut self, cx: &mut Cx<'_>, event: OltEvent) {
        let too_long = |text: &Option<String>| text.as_ref().is_some_and(|text| text.len() > TEXT_MAX);
        if event.ont_serial.is_empty()
            || event.ont_serial.len() > TEXT_MAX
            || too_long(&event.circuit_id)
            || too_long(&event.access_node)
        {
            tracing::warn!("an access node's report was refused: a field is empty or too long");
            return;
        }
        let line = self.line_of(&event);
        let known = self.onts.report(
            &event.ont_serial,
            Ont {
                circuit_id: event.circuit_id.clone(),
                access_node: event.access_node.clone(),
                line,
                connected: event.kind != OltEventKind::ONTDisconnected,
            },
        );
        if !known {
            tracing::warn!(ont = %event.ont_serial, "too many ONTs: its report was not kept");
        }
        let session = match event.kind {
            OltEventKind::ONTDisconnected => self.session_of_ont(&event.ont_serial),
            _ => self.session_on(cx, &event, line),
        };
        let news = self.report_news(cx, &event, session);
        match session {
            Some(id) => {
                self.add_news(id, news);
                self.persist_in_force(cx, id, Vec::new());
                self.arm(id);
            }
            None => self.commit(cx, Purpose::News, Vec::new(), vec![news]),
        }
    }

    /// The ONT's session, discovered if need be and brought to where the ONT is now.
    fn session_on(&mut self, cx: &mut Cx<'_>, event: &OltEvent, line: Option<Line>) -> Option<SessionId> {
        let access = Access {
            circuit_id: event.circuit_id.clone(),
            remote_id: None,
            ont_serial: Some(event.ont_serial.clone()),
            access_node: event.access_node.clone(),
        };
        let (_, port) = self.config.port(event.bng_port.as_deref()?)?;
        let caller = self.identity_of_ont(port, line, &access)?;
        let known = self.table.of_identity(&caller.identity).iter().copied();
        let known = known
            .filter(|id| {
                let entry = self.table.get(*id);
                entry.is_some_and(|entry| entry.session.state != State::Terminated)
            })
            .min();
        let Some(id) = known else {
            return Some(self.discover(cx, &caller, line, None));
        };
        self.table
            .update(id, &self.pools, |session| merge(&mut session.access, &access));
        if let Some(line) = line {
            self.moved(cx, id, line);
        }
        Some(id)
    }

    fn session_of_ont(&self, serial: &str) -> Option<SessionId> {
        self.table.of_ont(serial).first().copied()
    }

    /// The line an event names, where the configuration has it.
    fn line_of(&self, event: &OltEvent) -> Option<Line> {
        let (port, _) = self.config.port(event.bng_port.as_deref()?)?;
        let line = Line {
            port,
            s_vlan: event.s_vlan.unwrap_or(0),
            c_vlan: event.c_vlan.unwrap_or(0),
        };
        self.line_model(line).map(|_| line)
    }

    fn report_news(&self, cx: &Cx<'_>, event: &OltEvent, session: Option<SessionId>) -> BusEvent {
        let kind = match event.kind {
            OltEventKind::NewONTDetected => "NewONTDetected",
            OltEventKind::ONTProvisioned => "ONTProvisioned",
            OltEventKind::ONTReconfigured => "ONTReconfigured",
            OltEventKind::ONTDisconnected => "ONTDisconnected",
        };
        let place = [&event.access_node, &event.port, &event.bng_port];
        let mut detail: Vec<String> = place.into_iter().flatten().cloned().collect();
        if let (Some(s_vlan), Some(c_vlan)) = (event.s_vlan, event.c_vlan) {
            detail.push(format!("S-VLAN {s_vlan} C-VLAN {c_vlan}"));
        }
        BusEvent {
            sequence: 0,
            at_ms: cx.now.wall_ms,
            kind: kind.to_owned(),
            session,
            ont_serial: Some(event.ont_serial.clone()),
            circuit_id: event.circuit_id.clone(),
            old_state: None,
            new_state: None,
            ipv4: None,
            pool: None,
            detail: (!detail.is_empty()).then(|| detail.join(" ")),
        }
    }

    /// Asks the ONT's access node, where there is one to ask.
    pub(super) fn ask_olt(&mut self, cx: &mut Cx<'_>, id: SessionId, request: OltRequest) {
        if self.config.olt.socket.is_none() || request.ont_serial.is_empty() {
            return;
        }
        // The client may ask from its new line before the access node's answer is here.
        let line = self.asked_line(id, &request);
        if let Some(line) = line
            && let Some(entry) = self.table.get(id)
            && !entry.shared
        {
            self.aliases.insert(line, entry.session.identity.clone());
        }
        let ticket = self.writing.olt_ticket(id, line);
        cx.world.reconfigure(ticket, request);
    }

    /// The line a request moves the ONT to.
    fn asked_line(&self, id: SessionId, request: &OltRequest) -> Option<Line> {
        if request.s_vlan.is_none() && request.c_vlan.is_none() {
            return None;
        }
        let line = self.table.get(id)?.session.line?;
        Some(Line {
            port: line.port,
            s_vlan: request.s_vlan.unwrap_or(line.s_vlan),
            c_vlan: request.c_vlan.unwrap_or(line.c_vlan),
        })
    }

    /// The access node answers with the tags the ONT has now, or why it could not.
    pub(super) fn olt_answered(&mut self, cx: &mut Cx<'_>, ticket: Ticket, result: Result<OltLine, String>) {
        let Some((id, asked)) = self.writing.take_olt(ticket) else {
            return;
        };
        let Some(entry) = self.table.get(id) else { return };
        match result {
            Ok(answer) => {
                let Some(line) = entry.session.line else { return };
                let now = Line {
                    port: line.port,
                    s_vlan: answer.s_vlan.unwrap_or(line.s_vlan),
                    c_vlan: answer.c_vlan.unwrap_or(line.c_vlan),
                };
                if self.line_model(now).is_some() {
                    self.moved(cx, id, now);
                    self.arm(id);
                } else {
                    tracing::warn!(session = %id, ?now, "the access node moved the ONT to a line that is not configured");
                }
            }
            Err(e) => {
                // The activation stands: the client renews by itself before its lease ends.
                let identity = &entry.session.identity;
                if let Some(asked) = asked.filter(|asked| entry.session.line != Some(*asked))
                    && self.aliases.get(&asked) == Some(identity)
                {
                    self.aliases.remove(&asked);
                }
                let mut news = self.news("OltRequestFailed", &entry.session, cx.now);
                news.detail = Some(e);
                self.commit(cx, Purpose::News, Vec::new(), vec![news]);
            }
        }
    }

    /// The ONT is behind `line` now: its session and its identity's record follow.
    fn moved(&mut self, cx: &mut Cx<'_>, id: SessionId, line: Line) {
        let Some(entry) = self.table.get(id) else { return };
        if entry.session.line == Some(line) || entry.shared {
            return;
        }
        let identity = entry.session.identity.clone();
        self.aliases.insert(line, identity.clone());
        self.supplant(cx, id, line);
        let mut records = Vec::new();
        if let Some(record) = self.activations.get_mut(&identity) {
            record.line = Some(line);
            records.push(Record::PutActivation(record.clone()));
        }
        self.move_to(cx, id, line, records);
    }

    /// Who spoke from the line before it was known whose it is, was known by its tags alone: that session was this one's host.
    fn supplant(&mut self, cx: &mut Cx<'_>, id: SessionId, line: Line) {
        let others: Vec<SessionId> = self
            .table
            .of_line(line)
            .iter()
            .copied()
            .filter(|other| {
                let entry = self.table.get(*other);
                *other != id && entry.is_some_and(|entry| entry.session.access.circuit_id.is_none())
            })
            .collect();
        for other in others {
            self.lapse_offer(other);
            let mut records = self.unbind(cx, other, super::withdrawal::Fate::Keep, "the line is another's");
            if let Some(entry) = self.table.get_mut(other) {
                entry.parked = None;
                entry.aaa = Aaa::Never;
                entry.linger_until = Some(cx.now.mono_ns);
                let stored = entry.stored;
                if !stored {
                    records.clear();
                }
            }
            if !records.is_empty() {
                self.persist_in_force(cx, other, records);
            }
            self.arm(other);
        }
    }
}
