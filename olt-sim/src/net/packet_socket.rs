//! An AF_PACKET socket on a kernel interface: the access node's trunk.
//!
//! What it hands out are the frames as they were on the wire. That takes some care:
//! - The kernel moves a received frame's outer VLAN tag into metadata. It is put back from `PACKET_AUXDATA`,
//!   with the TPID it had (without it, 0x88a8 and 0x8100 cannot be told apart).
//! - A frame of the local kernel may carry half a checksum (TP_STATUS_CSUMNOTREADY); the receiver is told.
//! - Frames that this socket sent come back as PACKET_OUTGOING; they are ignored.
//!
//! Sending writes the frame with its tags in line. Both ways work on batches: one system call each.

use std::io;
use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::Netns;
use crate::wire::Frame;

/// Frames a system call moves at most.
pub const BATCH: usize = 64;
/// Receive buffer: about 5 ms of a full 10 Gbit/s, so that a scheduling pause loses nothing.
const RECEIVE_BUFFER_BYTES: libc::c_int = 8 << 20;
const TP_STATUS_VLAN_TPID_VALID: u32 = 1 << 6;
const CONTROL_BYTES: usize = 64;

/// May the frames skip the interface's queueing discipline? `tcpdump` on the interface then does not see them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Qdisc {
    Bypass,
    Pass,
}

/// What the kernel said about a received frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Received {
    /// The transport checksum still has to be computed.
    pub partial_checksum: bool,
    /// Longer than a [`Frame`] holds: cut off, not to be used.
    pub truncated: bool,
    /// This host's own transmission, seen from the side.
    pub outgoing: bool,
}

#[derive(Debug)]
pub struct PacketSocket {
    descriptor: OwnedFd,
    interface: String,
}

impl PacketSocket {
    /// Opens a non-blocking socket on `interface` in `namespace`, promiscuous. The interface must be up.
    pub fn open(namespace: &Netns, interface: &str, qdisc: Qdisc) -> io::Result<Self> {
        namespace
            .run(|| Self::open_here(interface, qdisc))
            .and_then(|opened| opened)
            .map_err(|error| {
                let place = namespace.name().unwrap_or("this namespace");
                io::Error::new(error.kind(), format!("interface {interface} in {place}: {error}"))
            })
    }

    fn open_here(interface: &str, qdisc: Qdisc) -> io::Result<Self> {
        // Protocol 0 receives nothing: no frame of another interface slips in before the bind below.
        let descriptor = rustix::net::socket_with(
            AddressFamily::PACKET,
            SocketType::RAW,
            SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
            None,
        )?;
        let index = rustix::net::netdevice::name_to_index(&descriptor, interface)?;
        let index = libc::c_int::try_from(index).map_err(io::Error::other)?;
        let socket = Self {
            descriptor,
            interface: interface.to_owned(),
        };

        socket.set_option(libc::SOL_PACKET, libc::PACKET_AUXDATA, &1)?;
        socket.set_option(libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, &1)?;
        if qdisc == Qdisc::Bypass {
            socket.set_option(libc::SOL_PACKET, libc::PACKET_QDISC_BYPASS, &1)?;
        }
        socket.set_option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &RECEIVE_BUFFER_BYTES)?;
        let membership = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: libc::PACKET_MR_PROMISC as u16,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        socket.set_struct(libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, &membership)?;
        socket.bind(index)?;
        // Bound to an interface that is down, a socket has this error waiting and receives nothing.
        rustix::net::sockopt::socket_error(&socket.descriptor)??;
        Ok(socket)
    }

    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Fills as many of `frames` (at most [`BATCH`]) as there are frames waiting; says how many.
    /// `WouldBlock` when there is none.
    pub fn receive(&self, frames: &mut [Frame], told: &mut [Received]) -> io::Result<usize> {
        let wanted = frames.len().min(told.len()).min(BATCH);
        let mut vectors = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        let mut controls = [Control([0; CONTROL_BYTES]); BATCH];
        // SAFETY: sockaddr_ll and mmsghdr are plain old data for which all zero is a valid value.
        let mut senders: [libc::sockaddr_ll; BATCH] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for (index, frame) in frames.iter_mut().take(wanted).enumerate() {
            let buffer = frame.receive_buffer();
            vectors[index] = libc::iovec {
                iov_base: buffer.as_mut_ptr().cast(),
                iov_len: buffer.len(),
            };
            let header = &mut headers[index].msg_hdr;
            header.msg_name = (&raw mut senders[index]).cast();
            header.msg_namelen = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            header.msg_iov = &raw mut vectors[index];
            header.msg_iovlen = 1;
            header.msg_control = controls[index].0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES as _;
        }

        // SAFETY: the first `wanted` headers point at distinct live buffers of the lengths stated, and
        // none of them moves before the call returns.
        let count = unsafe {
            libc::recvmmsg(
                self.descriptor.as_raw_fd(),
                headers.as_mut_ptr(),
                wanted as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        for index in 0..count.min(wanted) {
            frames[index].received(headers[index].msg_len as usize);
            told[index] = Received {
                partial_checksum: false,
                truncated: headers[index].msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                outgoing: senders[index].sll_pkttype == libc::PACKET_OUTGOING,
            };
            if let Some(auxiliary) = auxiliary_data(&headers[index].msg_hdr) {
                told[index].partial_checksum = auxiliary.tp_status & libc::TP_STATUS_CSUMNOTREADY != 0;
                if let Some((tpid, tci)) = stripped_tag(&auxiliary) {
                    // A frame too short for its addresses has no tag to get back.
                    told[index].truncated |= frames[index].push_tag(tpid, tci).is_err();
                }
            }
        }
        Ok(count)
    }

    /// Sends a batch and says how many frames the interface took; the others it refused (its queue is full).
    pub fn send<'f>(&self, frames: impl IntoIterator<Item = &'f Frame>) -> io::Result<usize> {
        let mut vectors = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; BATCH];
        // SAFETY: mmsghdr is plain old data for which all zero is a valid value.
        let mut headers: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        let mut filled = 0;
        for (index, frame) in frames.into_iter().take(BATCH).enumerate() {
            let bytes = frame.bytes();
            vectors[index] = libc::iovec {
                iov_base: bytes.as_ptr().cast_mut().cast(),
                iov_len: bytes.len(),
            };
            headers[index].msg_hdr.msg_iov = &raw mut vectors[index];
            headers[index].msg_hdr.msg_iovlen = 1;
            filled = index + 1;
        }
        let (mut next, mut sent) = (0, 0);
        while next < filled {
            // SAFETY: headers next..filled point at live frames, which sendmmsg only reads.
            let count = unsafe {
                libc::sendmmsg(
                    self.descriptor.as_raw_fd(),
                    headers[next..].as_mut_ptr(),
                    (filled - next) as libc::c_uint,
                    libc::MSG_DONTWAIT as _,
                )
            };
            match usize::try_from(count) {
                Ok(count) => {
                    sent += count;
                    next += count.max(1);
                }
                Err(_) => match io::Error::last_os_error() {
                    // The first frame of the rest was refused; those behind it may still go.
                    error if refuses_one_frame(&error) => next += 1,
                    error => return Err(error),
                },
            }
        }
        Ok(sent)
    }

    fn bind(&self, index: libc::c_int) -> io::Result<()> {
        // SAFETY: sockaddr_ll is plain old data for which all zero is a valid value.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index;
        // SAFETY: the pointer and the length are those of one live sockaddr_ll.
        let status = unsafe {
            libc::bind(
                self.descriptor.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    fn set_option(&self, level: libc::c_int, option: libc::c_int, value: &libc::c_int) -> io::Result<()> {
        self.set_struct(level, option, value)
    }

    fn set_struct<T>(&self, level: libc::c_int, option: libc::c_int, value: &T) -> io::Result<()> {
        // SAFETY: the kernel reads size_of::<T>() bytes through the pointer, which outlives the call.
        let status = unsafe {
            libc::setsockopt(
                self.descriptor.as_raw_fd(),
                level,
                option,
                std::ptr::from_ref(value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        if status < 0 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// A control buffer with a cmsghdr's alignment.
#[derive(Clone, Copy)]
#[repr(align(8))]
struct Control([u8; CONTROL_BYTES]);

fn auxiliary_data(header: &libc::msghdr) -> Option<libc::tpacket_auxdata> {
    // SAFETY: recvmmsg has set msg_control and msg_controllen to what it wrote.
    let mut message = unsafe { libc::CMSG_FIRSTHDR(header) };
    while !message.is_null() {
        // SAFETY: CMSG_FIRSTHDR and CMSG_NXTHDR give null or a whole header within the buffer.
        let (level, kind, length) =
            unsafe { ((*message).cmsg_level, (*message).cmsg_type, (*message).cmsg_len) };
        // SAFETY: CMSG_LEN only computes.
        let wanted = unsafe { libc::CMSG_LEN(size_of::<libc::tpacket_auxdata>() as u32) } as usize;
        if level == libc::SOL_PACKET && kind == libc::PACKET_AUXDATA && length >= wanted {
            // SAFETY: the message holds a whole tpacket_auxdata, by the length just checked.
            return Some(unsafe {
                libc::CMSG_DATA(message)
                    .cast::<libc::tpacket_auxdata>()
                    .read_unaligned()
            });
        }
        // SAFETY: `message` is a header within this buffer.
        message = unsafe { libc::CMSG_NXTHDR(header, message) };
    }
    None
}

/// The tag that the kernel took out, as (TPID, TCI).
fn stripped_tag(auxiliary: &libc::tpacket_auxdata) -> Option<(u16, u16)> {
    if auxiliary.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let told = auxiliary.tp_status & TP_STATUS_VLAN_TPID_VALID != 0;
    let tpid = if told {
        auxiliary.tp_vlan_tpid
    } else {
        crate::wire::vlan::TPID_C
    };
    Some((tpid, auxiliary.tp_vlan_tci))
}

/// Full queues and frames beyond the MTU concern one frame; everything else concerns the socket.
fn refuses_one_frame(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOBUFS | libc::EAGAIN | libc::EMSGSIZE | libc::EINVAL)
    )
}
