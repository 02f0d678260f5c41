//! A TAP device: the subscriber's side of an ONT, seen by the kernel as an Ethernet interface and by this
//! process as a descriptor with one frame a read or write.
//!
//! It is opened without `IFF_VNET_HDR` and without `TUNSETOFFLOAD`: the device then announces no offload, so
//! the kernel finishes every checksum and never hands over a segment larger than the MTU.

use std::fs::OpenOptions;
use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::io::Errno;

use super::Netns;
use crate::wire::{Frame, MacAddr};

const DEVICE: &str = "/dev/net/tun";

/// Is there light on the line?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    Up,
    Down,
}

#[derive(Debug)]
pub struct Tap {
    descriptor: OwnedFd,
    namespace: Netns,
    name: String,
}

impl Tap {
    /// Makes the interface `name` in `namespace`, gives it `mac` (or leaves the kernel's random one) and
    /// brings it up. It disappears with the returned value.
    pub fn open(namespace: &Netns, name: &str, mac: Option<MacAddr>) -> io::Result<Self> {
        let named = |error: io::Error| {
            let place = namespace.name().unwrap_or("this namespace");
            io::Error::new(error.kind(), format!("TAP {name} in {place}: {error}"))
        };
        let descriptor = namespace
            .run(|| create(name, mac))
            .and_then(|made| made)
            .map_err(named)?;
        Ok(Self {
            descriptor,
            namespace: namespace.clone(),
            name: name.to_owned(),
        })
    }

    pub fn namespace(&self) -> &Netns {
        &self.namespace
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads one frame; `WouldBlock` when there is none.
    pub fn read(&self, frame: &mut Frame) -> io::Result<()> {
        let length = rustix::io::read(&self.descriptor, frame.receive_buffer())?;
        frame.received(length);
        Ok(())
    }

    pub fn write(&self, frame: &[u8]) -> io::Result<()> {
        match rustix::io::write(&self.descriptor, frame) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes the light from the line or gives it back: the subscriber's kernel sees its carrier go.
    pub fn set_carrier(&self, carrier: Carrier) -> io::Result<()> {
        let on: libc::c_int = match carrier {
            Carrier::Up => 1,
            Carrier::Down => 0,
        };
        // SAFETY: TUNSETCARRIER reads one int through the pointer, which outlives the call.
        let status = unsafe { libc::ioctl(self.descriptor.as_raw_fd(), libc::TUNSETCARRIER, &raw const on) };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for Tap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Runs inside the namespace: the new device belongs to the namespace of the thread that opens
/// `/dev/net/tun`.
fn create(name: &str, mac: Option<MacAddr>) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(DEVICE)?;
    let descriptor = OwnedFd::from(file);
    let mut request = Request::new(name)?;
    request.raw.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    request.call(&descriptor, libc::TUNSETIFF)?;

    let control = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    if let Some(mac) = mac {
        let mut request = Request::new(name)?;
        let mut address = libc::sockaddr {
            sa_family: libc::ARPHRD_ETHER,
            sa_data: [0; 14],
        };
        for (to, from) in address.sa_data.iter_mut().zip(mac.0) {
            *to = from as libc::c_char;
        }
        request.raw.ifr_ifru.ifru_hwaddr = address;
        request.call(&control, libc::SIOCSIFHWADDR)?;
    }
    let mut request = Request::new(name)?;
    request.call(&control, libc::SIOCGIFFLAGS)?;
    // SAFETY: SIOCGIFFLAGS has just filled this member of the union.
    let flags = unsafe { request.raw.ifr_ifru.ifru_flags };
    request.raw.ifr_ifru.ifru_flags = flags | libc::IFF_UP as libc::c_short;
    request.call(&control, libc::SIOCSIFFLAGS)?;
    Ok(descriptor)
}

/// An `ifreq`: an interface's name and one argument.
struct Request {
    raw: libc::ifreq,
}

impl Request {
    fn new(name: &str) -> io::Result<Self> {
        // SAFETY: ifreq is plain old data; all zero is an empty name and a zero argument.
        let mut raw: libc::ifreq = unsafe { mem::zeroed() };
        if name.is_empty() || name.len() >= raw.ifr_name.len() {
            let limit = raw.ifr_name.len() - 1;
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("an interface's name has 1 to {limit} bytes"),
            ));
        }
        for (to, from) in raw.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from as libc::c_char;
        }
        Ok(Self { raw })
    }

    fn call(&mut self, descriptor: &OwnedFd, code: libc::Ioctl) -> io::Result<()> {
        // SAFETY: every code used here takes a pointer to an ifreq and writes at most that much.
        let status = unsafe { libc::ioctl(descriptor.as_raw_fd(), code, &raw mut self.raw) };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

/// Errors of a TAP that say "nothing now", not "broken".
pub fn is_idle(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::AGAIN)
}
