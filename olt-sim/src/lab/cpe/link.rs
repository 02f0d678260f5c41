//! Watching an interface's carrier by the kernel's link notifications (rtnetlink), as a gateway's link
//! daemon does.
//!
//! The kernel merges a short darkness into one notification that says "up" again, so the watcher goes by the
//! interface's counts of carrier losses and returns, which every notification carries.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::net::{Carrier, Netns};

const GROUP_LINK: u32 = 1;
const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const REQUEST: u16 = 1;
const ATTRIBUTE_CARRIER_UP_COUNT: u16 = 47;
const ATTRIBUTE_CARRIER_DOWN_COUNT: u16 = 48;
/// `nlmsghdr` and `ifinfomsg`.
const LINK_MESSAGE_BYTES: usize = 32;
/// How soon a dropped watcher's thread ends.
const LOOK: Duration = Duration::from_millis(200);

/// Calls back at each change of the carrier, until it is dropped.
#[derive(Debug)]
pub struct LinkWatcher {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LinkWatcher {
    pub fn start(
        netns: &Netns,
        interface: &str,
        mut changed: impl FnMut(Carrier) + Send + 'static,
    ) -> io::Result<Self> {
        let (socket, index) = netns.run(|| open(interface)).and_then(|opened| opened)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let watch = move || {
            // The first answer is the one to our own question: where the counts stood at the start.
            let mut before: Option<Counts> = None;
            while !stopped.load(Ordering::Relaxed) {
                for counts in wait(&socket, index) {
                    if let Some(before) = before {
                        if counts.down != before.down {
                            changed(Carrier::Down);
                        }
                        if counts.up != before.up {
                            changed(Carrier::Up);
                        }
                    }
                    before = Some(counts);
                }
            }
        };
        let thread = std::thread::Builder::new()
            .name("link-watcher".into())
            .spawn(watch)?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for LinkWatcher {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// How often the carrier came and went since the interface was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    up: u32,
    down: u32,
}

/// A socket that hears of link changes, already asked for the interface's present state.
fn open(interface: &str) -> io::Result<(OwnedFd, u32)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    // Protocol 0 of this family is NETLINK_ROUTE.
    let socket = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, None)?;
    let index = rustix::net::netdevice::name_to_index(&socket, interface)?;
    rustix::net::bind(&socket, &SocketAddrNetlink::new(0, GROUP_LINK))?;

    let mut question = [0u8; LINK_MESSAGE_BYTES];
    question[..4].copy_from_slice(&(LINK_MESSAGE_BYTES as u32).to_ne_bytes());
    question[4..6].copy_from_slice(&GET_LINK.to_ne_bytes());
    question[6..8].copy_from_slice(&REQUEST.to_ne_bytes());
    question[20..24].copy_from_slice(&index.to_ne_bytes());
    rustix::net::sendto(
        &socket,
        &question,
        SendFlags::empty(),
        &SocketAddrNetlink::new(0, 0),
    )?;
    Ok((socket, index))
}

/// What was reported for the interface within one look, in order.
fn wait(socket: &OwnedFd, index: u32) -> Vec<Counts> {
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::from(LOOK.subsec_nanos()),
    };
    let mut waiting = [PollFd::new(socket, PollFlags::IN)];
    if !matches!(poll(&mut waiting, Some(&timeout)), Ok(1..)) {
        return Vec::new();
    }
    let mut buffer = vec![0u8; 16 << 10];
    match rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
        Ok((length, _)) => counts(&buffer[..length.min(buffer.len())], index),
        Err(_) => Vec::new(),
    }
}

/// Walks netlink messages: length, type, … and for links the interface's index at 20, attributes from 32.
fn counts(mut bytes: &[u8], index: u32) -> Vec<Counts> {
    let mut found = Vec::new();
    while let Some(length) = word(bytes, 0) {
        let message = bytes
            .get(..length as usize)
            .filter(|message| message.len() >= LINK_MESSAGE_BYTES);
        let Some(message) = message else { break };
        let of_link = half(message, 4) == Some(NEW_LINK) && word(message, 20) == Some(index);
        let attributes = &message[LINK_MESSAGE_BYTES..];
        if of_link
            && let Some(up) = attribute(attributes, ATTRIBUTE_CARRIER_UP_COUNT)
            && let Some(down) = attribute(attributes, ATTRIBUTE_CARRIER_DOWN_COUNT)
        {
            found.push(Counts { up, down });
        }
        bytes = bytes.get(message.len().next_multiple_of(4)..).unwrap_or_default();
    }
    found
}

/// The 32-bit attribute of this type; each has its length and type in front and is aligned to 4 bytes.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<u32> {
    loop {
        let length = usize::from(half(attributes, 0)?);
        if half(attributes, 2)? == wanted {
            return word(attributes.get(..length)?, 4);
        }
        attributes = attributes.get(length.max(4).next_multiple_of(4)..)?;
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk::<4>()?))
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(index: u32, attributes: &[(u16, u32)]) -> Vec<u8> {
        let mut bytes = vec![0u8; LINK_MESSAGE_BYTES];
        bytes[4..6].copy_from_slice(&NEW_LINK.to_ne_bytes());
        bytes[20..24].copy_from_slice(&index.to_ne_bytes());
        for (kind, value) in attributes {
            bytes.extend_from_slice(&8u16.to_ne_bytes());
            bytes.extend_from_slice(&kind.to_ne_bytes());
            bytes.extend_from_slice(&value.to_ne_bytes());
        }
        let length = bytes.len() as u32;
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn only_the_watched_interface_counts() {
        let mut bytes = message(7, &[(3, 9), (47, 2), (48, 1)]);
        bytes.extend(message(8, &[(47, 5), (48, 5)]));
        bytes.extend(message(7, &[(3, 9)]));

        assert_eq!(counts(&bytes, 7), [Counts { up: 2, down: 1 }]);
    }

    #[test]
    fn a_cut_or_senseless_message_is_the_end_of_the_walk() {
        let whole = message(7, &[(47, 2), (48, 1)]);
        for cut in 0..whole.len() {
            assert_eq!(counts(&whole[..cut], 7), []);
        }
        assert_eq!(counts(&[0; 64], 7), []);
    }
}
