//! DHCP as an access node sees it (RFC 2131): enough to know a client's message from a server's, to snoop a
//! lease and to find where Option 82 is or belongs.
//!
//! The options are walked on raw bytes. A walk that runs over the end, or finds no End option, is an error:
//! the node never guesses.

use std::net::Ipv4Addr;
use std::ops::Range;

use super::ethernet::{ETHERTYPE_IPV4, MacAddr, ethertype, read_u32};
use super::ipv4::Ipv4;

pub const SERVER_PORT: u16 = 67;
pub const CLIENT_PORT: u16 = 68;
const FIXED_BYTES: usize = 236;
const COOKIE: u32 = 0x6382_5363;
pub const OPTION_PAD: u8 = 0;
pub const OPTION_END: u8 = 255;
pub const OPTION_LEASE_TIME: u8 = 51;
pub const OPTION_MESSAGE_TYPE: u8 = 53;
pub const OPTION_RELAY_AGENT: u8 = 82;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Request,
    Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    Discover,
    Offer,
    Request,
    Decline,
    Ack,
    Nak,
    Release,
    Inform,
    Other(u8),
}

impl From<u8> for MessageType {
    fn from(code: u8) -> Self {
        match code {
            1 => Self::Discover,
            2 => Self::Offer,
            3 => Self::Request,
            4 => Self::Decline,
            5 => Self::Ack,
            6 => Self::Nak,
            7 => Self::Release,
            8 => Self::Inform,
            other => Self::Other(other),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DhcpError {
    #[error("shorter than the fixed part of a DHCP message, or without its magic cookie")]
    NotDhcp,
    #[error("an option runs over the end of the message, or there is no End option")]
    MalformedOptions,
}

/// A DHCP message in an untagged frame; all positions count from the frame's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dhcp {
    pub ip: Ipv4,
    pub op: Op,
    pub message_type: Option<MessageType>,
    pub client_mac: MacAddr,
    pub client_address: Ipv4Addr,
    pub your_address: Ipv4Addr,
    pub relay_address: Ipv4Addr,
    pub lease_seconds: Option<u32>,
    /// Option 82 with its code and length octets.
    pub option82: Option<Range<usize>>,
    /// Where the End option stands.
    pub end_option: usize,
    /// Where the BOOTP message begins.
    pub message: usize,
}

/// Is this frame for or from a DHCP port? The ports as (source, destination).
pub fn ports(frame: &[u8]) -> Option<(u16, u16)> {
    if ethertype(frame)? != ETHERTYPE_IPV4 {
        return None;
    }
    let ports = Ipv4::parse(frame)?.udp_ports(frame)?;
    let dhcp = [SERVER_PORT, CLIENT_PORT];
    (dhcp.contains(&ports.0) || dhcp.contains(&ports.1)).then_some(ports)
}

impl Dhcp {
    /// Parses a frame that [`ports`] has recognised.
    pub fn parse(frame: &[u8]) -> Result<Self, DhcpError> {
        let ip = Ipv4::parse(frame).ok_or(DhcpError::NotDhcp)?;
        let message = ip.payload + 8;
        let fixed = frame
            .get(message..message + FIXED_BYTES)
            .ok_or(DhcpError::NotDhcp)?;
        let op = match fixed[0] {
            1 => Op::Request,
            2 => Op::Reply,
            _ => return Err(DhcpError::NotDhcp),
        };
        let options = message + FIXED_BYTES + 4;
        if options > ip.end || read_u32(frame, message + FIXED_BYTES) != Some(COOKIE) {
            return Err(DhcpError::NotDhcp);
        }
        let address = |at: usize| Ipv4Addr::new(fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]);
        let mut dhcp = Self {
            ip,
            op,
            message_type: None,
            client_mac: MacAddr([fixed[28], fixed[29], fixed[30], fixed[31], fixed[32], fixed[33]]),
            client_address: address(12),
            your_address: address(16),
            relay_address: address(24),
            lease_seconds: None,
            option82: None,
            end_option: options,
            message,
        };
        dhcp.walk(frame, options)?;
        Ok(dhcp)
    }

    fn walk(&mut self, frame: &[u8], options: usize) -> Result<(), DhcpError> {
        let bytes = frame.get(..self.ip.end).ok_or(DhcpError::MalformedOptions)?;
        let mut at = options;
        loop {
            match *bytes.get(at).ok_or(DhcpError::MalformedOptions)? {
                OPTION_END => {
                    self.end_option = at;
                    return Ok(());
                }
                OPTION_PAD => at += 1,
                code => {
                    let length = usize::from(*bytes.get(at + 1).ok_or(DhcpError::MalformedOptions)?);
                    let value = bytes
                        .get(at + 2..at + 2 + length)
                        .ok_or(DhcpError::MalformedOptions)?;
                    match (code, value) {
                        (OPTION_MESSAGE_TYPE, [kind]) => self.message_type = Some(MessageType::from(*kind)),
                        (OPTION_LEASE_TIME, _) => self.lease_seconds = read_u32(value, 0),
                        (OPTION_RELAY_AGENT, _) => self.option82 = Some(at..at + 2 + length),
                        _ => {}
                    }
                    at += 2 + length;
                }
            }
        }
    }
}
