//! Answers to clients: what is in them, and where they go.
//!
//! Destination (RFC 2131 section 4.1):
//!
//! | the request has | OFFER, ACK | NAK |
//! |---|---|---|
//! | giaddr | to the relay, port 67 | to the relay, port 67, broadcast flag set |
//! | ciaddr | unicast to ciaddr | broadcast |
//! | the broadcast flag | broadcast | broadcast |
//! | none of these | unicast to yiaddr at chaddr | broadcast |

use std::net::Ipv4Addr;

use dhcproto::v4::{DhcpOption, Flags, HType, Message, MessageType, Opcode};
use dhcproto::{Encodable, Encoder};
use sluice_config::Pool;

use super::guard::Request;
use super::{CLIENT_PORT, SERVER_PORT};
use crate::engine::{DhcpOut, Egress};
use crate::session::{Line, Mac};

/// BOOTP's smallest message (RFC 1542 section 2.1): some clients and relays drop shorter ones.
const LENGTH_MIN: usize = 300;
const RELAY_INFO: u8 = 82;
const END: u8 = 255;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReplyKind {
    Offer,
    Ack,
    Nak,
}

impl ReplyKind {
    pub const ALL: [ReplyKind; 3] = [ReplyKind::Offer, ReplyKind::Ack, ReplyKind::Nak];

    pub fn label(self) -> &'static str {
        match self {
            ReplyKind::Offer => "offer",
            ReplyKind::Ack => "ack",
            ReplyKind::Nak => "nak",
        }
    }
}

/// An address given or offered.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    pub address: Ipv4Addr,
    pub pool: &'a Pool,
    pub seconds: u32,
}

/// What is said to the sender of `request`.
#[derive(Clone, Copy, Debug)]
pub enum Answer<'a> {
    Offer(Lease<'a>),
    Ack(Lease<'a>),
    /// To INFORM: options for an address the client has (RFC 2131 section 4.3.5).
    Inform(&'a Pool),
    Nak(&'static str),
}

impl Answer<'_> {
    pub fn kind(&self) -> ReplyKind {
        match self {
            Answer::Offer(_) => ReplyKind::Offer,
            Answer::Ack(_) | Answer::Inform(_) => ReplyKind::Ack,
            Answer::Nak(_) => ReplyKind::Nak,
        }
    }

    /// The message to send; `line` is `None` where the request came over the core side. `None` when it cannot be written, which no
    /// request that passed the guard causes.
    pub fn to(&self, request: &Request, line: Option<Line>, server_id: Ipv4Addr) -> Option<DhcpOut> {
        let (egress, destination, destination_port) = self.destination(request, line);
        Some(DhcpOut {
            to: egress,
            source: server_id,
            destination,
            destination_port,
            payload: self.encode(request, server_id)?,
        })
    }

    fn destination(&self, request: &Request, line: Option<Line>) -> (Egress, Ipv4Addr, u16) {
        let Some(line) = line else {
            return if request.giaddr.is_unspecified() {
                (Egress::Relay, request.ciaddr, CLIENT_PORT)
            } else {
                (Egress::Relay, request.giaddr, SERVER_PORT)
            };
        };
        let unicast = |address| {
            let mac = request.chaddr;
            (Egress::Line { line, mac }, address, CLIENT_PORT)
        };
        let broadcast = {
            let mac = Mac::BROADCAST;
            (Egress::Line { line, mac }, Ipv4Addr::BROADCAST, CLIENT_PORT)
        };
        match self {
            Answer::Nak(_) => broadcast,
            _ if !request.ciaddr.is_unspecified() => unicast(request.ciaddr),
            _ if request.wants_broadcast() => broadcast,
            Answer::Offer(lease) | Answer::Ack(lease) => unicast(lease.address),
            // INFORM without ciaddr: there is no address to send to.
            Answer::Inform(_) => broadcast,
        }
    }

    /// Fields as RFC 2131 table 3 has them.
    fn encode(&self, request: &Request, server_id: Ipv4Addr) -> Option<Vec<u8>> {
        let relayed = !request.giaddr.is_unspecified();
        let mut flags = Flags::from(request.flags);
        let mut message = Message::new_with_id(
            request.xid,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            Ipv4Addr::UNSPECIFIED,
            request.giaddr,
            &request.chaddr.0,
        );
        let kind = match self {
            Answer::Offer(_) => MessageType::Offer,
            Answer::Ack(_) | Answer::Inform(_) => MessageType::Ack,
            Answer::Nak(_) => MessageType::Nak,
        };
        let options = message.opts_mut();
        options.insert(DhcpOption::MessageType(kind));
        options.insert(DhcpOption::ServerIdentifier(server_id));
        // RFC 6842 section 3: whatever the answer, the client's identifier comes back.
        if let Some(client_id) = &request.client_id {
            options.insert(DhcpOption::ClientIdentifier(client_id.clone()));
        }
        match self {
            Answer::Offer(lease) | Answer::Ack(lease) => {
                options.insert(DhcpOption::AddressLeaseTime(lease.seconds));
                options.insert(DhcpOption::Renewal(lease.seconds / 2));
                options.insert(DhcpOption::Rebinding(lease.seconds - lease.seconds / 8));
            }
            Answer::Inform(_) => {}
            Answer::Nak(why) => {
                options.insert(DhcpOption::Message((*why).to_owned()));
            }
        }
        if let Answer::Offer(Lease { pool, .. }) | Answer::Ack(Lease { pool, .. }) | Answer::Inform(pool) =
            self
        {
            options.insert(DhcpOption::SubnetMask(pool.network.netmask()));
            options.insert(DhcpOption::Router(vec![pool.gateway]));
            options.insert(DhcpOption::BroadcastAddr(pool.network.broadcast()));
            if !pool.dns.is_empty() {
                options.insert(DhcpOption::DomainNameServer(pool.dns.clone()));
            }
        }
        match self {
            Answer::Offer(lease) => {
                message.set_yiaddr(lease.address);
            }
            Answer::Ack(lease) => {
                message.set_yiaddr(lease.address).set_ciaddr(request.ciaddr);
            }
            Answer::Inform(_) => {
                message.set_ciaddr(request.ciaddr);
            }
            // RFC 2131 section 4.3.2: behind a relay the client has no address the relay could unicast to.
            Answer::Nak(_) if relayed => flags = flags.set_broadcast(),
            Answer::Nak(_) => {}
        }
        message
            .set_opcode(Opcode::BootReply)
            .set_htype(HType::Eth)
            .set_flags(flags);

        let mut payload = Vec::with_capacity(LENGTH_MIN * 2);
        message.encode(&mut Encoder::new(&mut payload)).ok()?;
        append_relay_info(&mut payload, request.relay_info.as_deref());
        if payload.len() < LENGTH_MIN {
            payload.resize(LENGTH_MIN, 0);
        }
        Some(payload)
    }
}

/// RFC 3046 section 2.2: the option goes back as it came, last. Raw, since nothing of it is ours to understand.
fn append_relay_info(payload: &mut Vec<u8>, relay_info: Option<&[u8]>) {
    let Some(content) = relay_info else { return };
    let Ok(length) = u8::try_from(content.len()) else {
        return;
    };
    if payload.last() == Some(&END) {
        payload.pop();
    }
    payload.extend_from_slice(&[RELAY_INFO, length]);
    payload.extend_from_slice(content);
    payload.push(END);
}

#[cfg(test)]
mod tests;
