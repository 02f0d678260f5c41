//! DPDK's error numbers: POSIX ones, and a few of its own above 1000.

use std::ffi::{CStr, c_int};
use std::fmt;

use dpdk_sys as sys;

/// An error number as DPDK returned it, positive. Displays as `Cannot allocate memory (ENOMEM)`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(c_int);

impl Errno {
    /// From a return value: DPDK returns `-errno`, a few functions `errno`.
    pub(super) fn from_return(code: c_int) -> Self {
        Errno(code.saturating_abs())
    }

    /// From this thread's `rte_errno`, for the functions that return NULL or -1.
    pub(super) fn last() -> Self {
        // SAFETY: reads a thread-local integer; there is nothing to uphold.
        Errno(unsafe { sys::shim_rte_errno() })
    }

    pub fn code(self) -> i32 {
        self.0
    }

    pub fn is_unsupported(self) -> bool {
        self.0 == rustix::io::Errno::NOTSUP.raw_os_error()
            || self.0 == rustix::io::Errno::NOSYS.raw_os_error()
    }

    /// The symbol of the numbers that DPDK's start and port functions return.
    fn symbol(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "EPERM",
            2 => "ENOENT",
            5 => "EIO",
            11 => "EAGAIN",
            12 => "ENOMEM",
            13 => "EACCES",
            14 => "EFAULT",
            16 => "EBUSY",
            17 => "EEXIST",
            19 => "ENODEV",
            22 => "EINVAL",
            28 => "ENOSPC",
            34 => "ERANGE",
            36 => "ENAMETOOLONG",
            38 => "ENOSYS",
            71 => "EPROTO",
            95 => "ENOTSUP",
            114 => "EALREADY",
            1001 => "E_RTE_SECONDARY",
            1002 => "E_RTE_NO_CONFIG",
            _ => return None,
        })
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        Errno(error.raw_os_error().unwrap_or_default())
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // SAFETY: rte_strerror returns a constant or a buffer of this thread, NUL-terminated in both cases, and the
        // text is copied out before anything else on this thread could call it again.
        let text = unsafe { CStr::from_ptr(sys::rte_strerror(self.0)) }.to_string_lossy();
        match self.symbol() {
            Some(symbol) => write!(f, "{text} ({symbol})"),
            None => write!(f, "{text} (error {})", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
