//! The Relay Agent Information option (Option 82, RFC 3046) as a TR-101 access node handles it.
//!
//! Upstream the node puts it into every message of a DHCP client, as the last option, and leaves giaddr
//! alone: it is a "layer 2 DHCP relay agent" (TR-101 §3.8.1). Downstream it takes it out again, so that
//! the client never sees it. Lengths and checksums are made right both times.

use super::dhcp::{Dhcp, OPTION_END, OPTION_RELAY_AGENT};
use super::frame::{Frame, NoRoom};
use super::ipv4::refit_udp;

pub const SUB_CIRCUIT_ID: u8 = 1;
pub const SUB_REMOTE_ID: u8 = 2;
/// The shortest message some BOOTP implementations take (RFC 951, RFC 1542 §2.1).
const MESSAGE_BYTES_MIN: usize = 300;
/// Largest IP packet of a subscriber's line.
const IP_BYTES_MAX: usize = 1500;

/// The value, ready to insert: code, length, circuit-id, remote-id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Option82 {
    encoded: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "circuit-id `{circuit_id}` and remote-id `{remote_id}` are together longer than Option 82's 255 octets"
)]
pub struct TooLong {
    circuit_id: String,
    remote_id: String,
}

impl Option82 {
    pub fn new(circuit_id: &str, remote_id: &str) -> Result<Self, TooLong> {
        let too_long = || TooLong {
            circuit_id: circuit_id.to_owned(),
            remote_id: remote_id.to_owned(),
        };
        let circuit_bytes = u8::try_from(circuit_id.len()).map_err(|_| too_long())?;
        let remote_bytes = u8::try_from(remote_id.len()).map_err(|_| too_long())?;
        let length = u8::try_from(4 + circuit_id.len() + remote_id.len()).map_err(|_| too_long())?;

        let mut encoded = vec![OPTION_RELAY_AGENT, length, SUB_CIRCUIT_ID, circuit_bytes];
        encoded.extend_from_slice(circuit_id.as_bytes());
        encoded.extend_from_slice(&[SUB_REMOTE_ID, remote_bytes]);
        encoded.extend_from_slice(remote_id.as_bytes());
        Ok(Self { encoded })
    }

    /// Puts the option before the End option. Padding behind End is used up first, so that a padded
    /// message keeps its size. A packet that would outgrow the MTU is left as it is (RFC 3046 §2.1).
    pub fn insert(&self, frame: &mut Frame, dhcp: &Dhcp) -> Result<(), NoRoom> {
        let padding = dhcp.ip.end - (dhcp.end_option + 1);
        let reused = padding.min(self.encoded.len());
        let end = dhcp.ip.end + self.encoded.len() - reused;
        if end - super::ethernet::HEADER_BYTES > IP_BYTES_MAX {
            return Err(NoRoom);
        }
        frame.truncate(dhcp.ip.end);
        let mut tail = self.encoded.clone();
        tail.push(OPTION_END);
        frame.splice(dhcp.end_option, 1 + reused, &tail)?;
        refit_udp(frame.bytes_mut(), &dhcp.ip, end);
        Ok(())
    }
}

/// Takes the option out of a server's message and pads the message up to the BOOTP minimum. Says whether
/// there was one.
pub fn remove(frame: &mut Frame, dhcp: &Dhcp) -> Result<bool, NoRoom> {
    let Some(option) = dhcp.option82.clone() else {
        return Ok(false);
    };
    let shrunk = dhcp.ip.end - option.len();
    let end = shrunk.max(dhcp.message + MESSAGE_BYTES_MIN);
    frame.truncate(dhcp.ip.end);
    frame.splice(option.start, option.len(), &[])?;
    frame.splice(shrunk, 0, &[0u8; MESSAGE_BYTES_MIN][..end - shrunk])?;
    refit_udp(frame.bytes_mut(), &dhcp.ip, end);
    Ok(true)
}

/// The circuit-id of an option in a frame, as bytes.
pub fn circuit_id<'f>(frame: &'f [u8], dhcp: &Dhcp) -> Option<&'f [u8]> {
    sub_option(frame, dhcp, SUB_CIRCUIT_ID)
}

pub fn remote_id<'f>(frame: &'f [u8], dhcp: &Dhcp) -> Option<&'f [u8]> {
    sub_option(frame, dhcp, SUB_REMOTE_ID)
}

fn sub_option<'f>(frame: &'f [u8], dhcp: &Dhcp, wanted: u8) -> Option<&'f [u8]> {
    let option = dhcp.option82.clone()?;
    let mut rest = frame.get(option.start + 2..option.end)?;
    while let [code, length, after @ ..] = rest {
        let value = after.get(..usize::from(*length))?;
        if *code == wanted {
            return Some(value);
        }
        rest = after.get(usize::from(*length)..)?;
    }
    None
}

#[cfg(test)]
mod tests;
