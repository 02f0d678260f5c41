//! The MTU of a TAP, set past DPDK.
//!
//! net_tap admits frames of 1522 bytes, of which ethdev subtracts 18, so that 1504 is the largest MTU it lets pass; and
//! each start sets a TAP that existed before back to 1500. The kernel's side of a QinQ trunk needs 1508 to send full
//! frames, which the driver receives without fail. So the port asks the kernel itself.

use std::io;
use std::os::fd::AsRawFd;

use rustix::net::{AddressFamily, SocketType, socket};

/// Sets the MTU of the interface with this index, in the network namespace of this process.
pub(super) fn set(if_index: u32, mtu: u16) -> io::Result<()> {
    let any_socket = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    // SAFETY: all-zero bytes are a valid ifreq: a name of NULs and integers.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    // SAFETY: the function writes at most IFNAMSIZ bytes, which is what the field has.
    if unsafe { libc::if_indextoname(if_index, request.ifr_name.as_mut_ptr()) }.is_null() {
        return Err(io::Error::last_os_error());
    }
    request.ifr_ifru.ifru_mtu = i32::from(mtu);
    // SAFETY: an open socket, and an ifreq with name and MTU, which this request reads.
    if unsafe { libc::ioctl(any_socket.as_raw_fd(), libc::SIOCSIFMTU, &request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
