//! The guard: a client's DHCP message, checked byte by byte before anything believes it.
//!
//! Guarantee: [`Request::parse`] never panics, and what it returns is a client's message of a type clients send, from an Ethernet
//! host, with every option the server reads present at its right length. Options are walked on the raw bytes, through the overloaded
//! `file` and `sname` fields (RFC 2131 section 4.1), and split ones are joined (RFC 3396). Options the server does not read may hold anything.
//!
//! dhcproto would panic in `chaddr()` when hlen > 16, and loses every option after one it cannot read; so it does not read
//! clients' messages here. Tests use it as a second opinion.

use std::net::Ipv4Addr;

use super::refusal::Refusal;
use crate::session::Mac;

/// Message types that clients send (RFC 2132 section 9.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Discover,
    Request,
    Decline,
    Release,
    Inform,
}

/// A client's message, as far as the server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub kind: Kind,
    pub xid: u32,
    pub flags: u16,
    pub ciaddr: Ipv4Addr,
    pub giaddr: Ipv4Addr,
    pub chaddr: Mac,
    /// Option 50.
    pub requested: Option<Ipv4Addr>,
    /// Option 54.
    pub server_id: Option<Ipv4Addr>,
    /// Option 61, 2–255 octets.
    pub client_id: Option<Vec<u8>>,
    /// Option 82's content as it came, 1–255 octets.
    pub relay_info: Option<Vec<u8>>,
}

/// The fixed part up to the options, and where its fields are (RFC 2131 section 2).
const COOKIE_AT: usize = 236;
const OPTIONS_AT: usize = 240;
const SNAME: std::ops::Range<usize> = 44..108;
const FILE: std::ops::Range<usize> = 108..236;
const MAGIC_COOKIE: [u8; 4] = [99, 130, 83, 99];

const BOOTREQUEST: u8 = 1;
const ETHERNET: u8 = 1;
const BROADCAST_FLAG: u16 = 0x8000;

mod code {
    pub const PAD: u8 = 0;
    pub const REQUESTED_ADDRESS: u8 = 50;
    pub const OVERLOAD: u8 = 52;
    pub const MESSAGE_TYPE: u8 = 53;
    pub const SERVER_ID: u8 = 54;
    pub const CLIENT_ID: u8 = 61;
    pub const RELAY_INFO: u8 = 82;
    pub const END: u8 = 255;
}

impl Kind {
    pub const ALL: [Kind; 5] = [
        Kind::Discover,
        Kind::Request,
        Kind::Decline,
        Kind::Release,
        Kind::Inform,
    ];

    pub fn label(self) -> &'static str {
        match self {
            Kind::Discover => "discover",
            Kind::Request => "request",
            Kind::Decline => "decline",
            Kind::Release => "release",
            Kind::Inform => "inform",
        }
    }

    fn from_wire(value: u8) -> Option<Kind> {
        match value {
            1 => Some(Kind::Discover),
            3 => Some(Kind::Request),
            4 => Some(Kind::Decline),
            7 => Some(Kind::Release),
            8 => Some(Kind::Inform),
            _ => None,
        }
    }
}

impl Request {
    /// Checks and reads a UDP payload.
    pub fn parse(payload: &[u8]) -> Result<Request, Refusal> {
        let fixed: &[u8; OPTIONS_AT] = payload.first_chunk().ok_or(Refusal::Truncated)?;
        let [op, htype, hlen, ..] = *fixed;
        if op != BOOTREQUEST {
            return Err(Refusal::NotARequest);
        }
        if hlen > 16 {
            return Err(Refusal::HardwareLength);
        }
        if fixed[COOKIE_AT..] != MAGIC_COOKIE {
            return Err(Refusal::MagicCookie);
        }
        if htype != ETHERNET || hlen != 6 {
            return Err(Refusal::HardwareType);
        }
        let chaddr = Mac(bytes(fixed, 28));
        if !chaddr.is_unicast() {
            return Err(Refusal::HardwareAddress);
        }

        let options = Options::collect(fixed, &payload[OPTIONS_AT..])?;
        let kind = match options.message_type.as_slice() {
            [] => return Err(Refusal::NoMessageType),
            [value] => Kind::from_wire(*value).ok_or(Refusal::MessageType)?,
            _ => return Err(Refusal::OptionLength),
        };
        Ok(Request {
            kind,
            xid: u32::from_be_bytes(bytes(fixed, 4)),
            flags: u16::from_be_bytes(bytes(fixed, 10)),
            ciaddr: Ipv4Addr::from(bytes::<4>(fixed, 12)),
            giaddr: Ipv4Addr::from(bytes::<4>(fixed, 24)),
            chaddr,
            requested: address(&options.requested)?,
            server_id: address(&options.server_id)?,
            client_id: text(options.client_id, 2)?,
            relay_info: text(options.relay_info, 1)?,
        })
    }

    /// Whether the client cannot receive unicast before it has an address (RFC 2131 section 4.1).
    pub fn wants_broadcast(&self) -> bool {
        self.flags & BROADCAST_FLAG != 0
    }
}

/// The contents of the options that are read, joined where they were split.
#[derive(Default)]
struct Options {
    message_type: Vec<u8>,
    requested: Option<Vec<u8>>,
    server_id: Option<Vec<u8>>,
    client_id: Option<Vec<u8>>,
    relay_info: Option<Vec<u8>>,
    overload: Vec<u8>,
}

impl Options {
    /// Options field first, then `file`, then `sname`, as the overload option says (RFC 2131 section 4.1).
    fn collect(fixed: &[u8; OPTIONS_AT], options: &[u8]) -> Result<Options, Refusal> {
        let mut found = Options::default();
        found.walk(options)?;
        let (file, sname) = match found.overload.as_slice() {
            [] => (false, false),
            [1] => (true, false),
            [2] => (false, true),
            [3] => (true, true),
            _ => return Err(Refusal::Overload),
        };
        let overload = found.overload.clone();
        if file {
            found.walk(&fixed[FILE])?;
        }
        if sname {
            found.walk(&fixed[SNAME])?;
        }
        // An overload option inside an overloaded field would send the walk in circles.
        if found.overload == overload {
            Ok(found)
        } else {
            Err(Refusal::Overload)
        }
    }

    /// Ends at the end option or the end of the field, which some clients fill to the last octet.
    fn walk(&mut self, mut field: &[u8]) -> Result<(), Refusal> {
        loop {
            match field {
                [] | [code::END, ..] => return Ok(()),
                [code::PAD, rest @ ..] => field = rest,
                [code, length, rest @ ..] => {
                    let (content, rest) = rest
                        .split_at_checked(usize::from(*length))
                        .ok_or(Refusal::OptionTruncated)?;
                    self.take(*code, content);
                    field = rest;
                }
                [_] => return Err(Refusal::OptionTruncated),
            }
        }
    }

    fn take(&mut self, code: u8, content: &[u8]) {
        match code {
            code::MESSAGE_TYPE => self.message_type.extend_from_slice(content),
            code::OVERLOAD => self.overload.extend_from_slice(content),
            code::REQUESTED_ADDRESS => join(&mut self.requested, content),
            code::SERVER_ID => join(&mut self.server_id, content),
            code::CLIENT_ID => join(&mut self.client_id, content),
            code::RELAY_INFO => join(&mut self.relay_info, content),
            _ => {}
        }
    }
}

fn join(option: &mut Option<Vec<u8>>, content: &[u8]) {
    option.get_or_insert_default().extend_from_slice(content);
}

fn address(option: &Option<Vec<u8>>) -> Result<Option<Ipv4Addr>, Refusal> {
    let Some(content) = option else { return Ok(None) };
    match <[u8; 4]>::try_from(content.as_slice()) {
        Ok(octets) => Ok(Some(Ipv4Addr::from(octets))),
        Err(_) => Err(Refusal::OptionLength),
    }
}

fn text(option: Option<Vec<u8>>, length_min: usize) -> Result<Option<Vec<u8>>, Refusal> {
    match option {
        Some(content) if content.len() < length_min || content.len() > 255 => Err(Refusal::OptionLength),
        other => Ok(other),
    }
}

/// The `N` octets from `at`; both are constants inside the fixed part.
fn bytes<const N: usize>(fixed: &[u8; OPTIONS_AT], at: usize) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(&fixed[at..at + N]);
    out
}

#[cfg(test)]
mod tests;
