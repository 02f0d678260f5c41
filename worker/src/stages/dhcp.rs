//! DHCP: from subscribers and relays to control, before any session is asked for.
//!
//! Only lanes marked [`Marks::DHCP_PORT`] are looked at; those that are not for our server go on as ordinary packets.
//!
//! Access side: UDP to port 67, broadcast or to one of our own addresses, is punted without a session, since it is how
//! sessions begin. As `dhcp_known` where the line's session has the sender's MAC address (the protected class), else as
//! `dhcp`; limited per line (`punt_line_policed`) and per kind (`punt_policed`). The line must be configured (`unknown_line`). What
//! cannot be a client's message (a fragment, too short, not a request, or to the client port: a subscriber plays the
//! server) is `dhcp_malformed`.
//!
//! Core side: the same port at one of our own addresses is a relay agent's message, `dhcp_relayed`.

use shm_bridge::access::Found;
use shm_bridge::fib::Leaf;
use shm_bridge::session::RowState;
use shm_bridge::{DropReason, PuntReason};

use crate::answer;
use crate::burst::{Burst, Lane, Marks};
use crate::context::Context;
use crate::line;
use crate::ports::{Port, Side};
use crate::punt_policer::{Admission, Line};
use crate::wire::ipv4;
use crate::wire::udp::{self, Udp};

/// BOOTP's fixed part and the magic cookie (RFC 2131, section 2).
const MESSAGE_BYTES_MIN: usize = 240;
const BOOTREQUEST: u8 = 1;

pub fn run(burst: &mut Burst<'_>, context: &mut Context) {
    if !burst.marks.has(Marks::DHCP_PORT) {
        return;
    }
    let (port, now_ns) = (burst.port, burst.now_ns);
    for lane in burst.live().filter(|lane| lane.meta.marks.has(Marks::DHCP_PORT)) {
        let judged = match port.side {
            Side::Access(_) => access(lane, &port, context, now_ns),
            Side::Core(_) => core(lane, context, now_ns),
        };
        match judged {
            Ok(None) => {}
            Ok(Some(reason)) => match answer::restore_tags(lane, &port) {
                Some(()) => lane.punt(reason),
                None => lane.drop(DropReason::NoHeadroom, &mut context.counts),
            },
            Err(reason) => lane.drop(reason, &mut context.counts),
        }
    }
}

/// `Ok(None)` where the packet is not for our server.
fn access(
    lane: &mut Lane<'_>,
    port: &Port,
    context: &mut Context,
    now_ns: u64,
) -> Result<Option<PuntReason>, DropReason> {
    let tables = &context.tables;
    let destination = lane.meta.destination;
    let message = Message::read(lane).ok_or(DropReason::DhcpMalformed)?;
    if message.to_client {
        return Err(DropReason::DhcpMalformed);
    }
    if destination != ipv4::BROADCAST && tables.fib.lookup(destination) != Leaf::Local {
        return Ok(None);
    }
    if !message.is_request {
        return Err(DropReason::DhcpMalformed);
    }
    let session = match line::lookup(&lane.meta, port, &context.ports, tables) {
        Found::Session(session) => Some(session),
        Found::NoSession => None,
        Found::UnknownLine => return Err(DropReason::UnknownLine),
    };
    let known = session.filter(|session| {
        tables.rows.get(*session).is_some_and(|row| {
            row.mac_bits() == lane.meta.source_mac
                && !matches!(row.policy().state(), RowState::Free | RowState::Terminated)
        })
    });
    let reason = if known.is_some() {
        PuntReason::DhcpKnown
    } else {
        PuntReason::Dhcp
    };
    lane.meta.session = known;
    let line = Line::new(port.index, lane.meta.s_vlan, lane.meta.c_vlan);
    match context.punts.admit_from_line(line, reason, now_ns) {
        Admission::Granted => Ok(Some(reason)),
        Admission::LineExceeded => Err(DropReason::PuntLinePoliced),
        Admission::Exceeded => Err(DropReason::PuntPoliced),
    }
}

fn core(lane: &Lane<'_>, context: &mut Context, now_ns: u64) -> Result<Option<PuntReason>, DropReason> {
    if context.tables.fib.lookup(lane.meta.destination) != Leaf::Local {
        return Ok(None);
    }
    let message = Message::read(lane).ok_or(DropReason::DhcpMalformed)?;
    if message.to_client || !message.is_request {
        return Err(DropReason::DhcpMalformed);
    }
    match context.punts.admit(PuntReason::DhcpRelayed, now_ns) {
        Admission::Granted => Ok(Some(PuntReason::DhcpRelayed)),
        Admission::LineExceeded | Admission::Exceeded => Err(DropReason::PuntPoliced),
    }
}

/// What the first bytes of a datagram to a DHCP port say.
struct Message {
    /// To port 68: what only servers send.
    to_client: bool,
    /// Whole, long enough, and a BOOTREQUEST.
    is_request: bool,
}

impl Message {
    /// `None` where not even a UDP header is there.
    fn read(lane: &Lane<'_>) -> Option<Message> {
        let meta = &lane.meta;
        let offset = usize::from(meta.l3) + usize::from(meta.header_len);
        let datagram_len = usize::from(meta.total_len).checked_sub(usize::from(meta.header_len))?;
        let header: &Udp = lane.frame.header(offset)?;
        let len = usize::from(header.len.get());
        let operation = lane.frame.bytes().get(offset + udp::HEADER_BYTES);
        Some(Message {
            to_client: header.ports.destination.get() == udp::DHCP_CLIENT,
            is_request: !meta.fragment.is_fragment()
                && len >= udp::HEADER_BYTES + MESSAGE_BYTES_MIN
                && len <= datagram_len
                && operation == Some(&BOOTREQUEST),
        })
    }
}
