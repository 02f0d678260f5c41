//! Pools of mbufs, one a port, on the port's NUMA socket.

use std::ffi::{CString, c_int};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

use dpdk_sys as sys;

use super::eal::{Eal, EalShared};
use super::errno::Errno;
use super::lcores::Lcore;
use super::mbuf::Mbuf;
use super::mbuf_burst::MbufBurst;

/// mbufs that an lcore keeps to itself, so that a burst rarely touches the shared ring: 8 bursts of 32. A pool loses
/// up to 1.5 times as many to each lcore, so a small pool gets a smaller cache.
const CACHE_MBUFS_MAX: u32 = 256;
const CACHE_SHARE_OF_POOL: u32 = 16;

#[derive(Debug, Clone)]
pub struct MempoolConfig<'a> {
    /// Unique in the process, at most 25 bytes.
    pub name: &'a str,
    pub mbufs: u32,
    /// Room for a frame, tags and all; the headroom comes on top.
    pub frame_bytes_max: u16,
    /// The NUMA socket; `None` is any.
    pub socket: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum MempoolError {
    #[error("mempool name {name:?} is longer than {max} bytes or contains a NUL", max = sys::MEMPOOL_NAME_BYTES - 1)]
    Name { name: String },
    #[error("mempool {name}: frames of {frame_bytes_max} bytes do not fit a buffer of 65535")]
    FrameSize { name: String, frame_bytes_max: u16 },
    #[error("mempool {name}: {mbufs} mbufs of {buffer_bytes} bytes on {}: {errno}", SocketName(*socket))]
    Create {
        name: String,
        mbufs: u32,
        buffer_bytes: u16,
        socket: Option<u32>,
        errno: Errno,
    },
}

/// A pool. Clones are the same pool; its memory lives as long as the [`Eal`].
#[derive(Clone)]
pub struct Mempool {
    raw: NonNull<sys::rte_mempool>,
    name: Arc<str>,
    /// Keeps EAL's memory mapped while there is a way to allocate.
    _eal: Arc<EalShared>,
}

// SAFETY: rte_mempool is made to be shared between lcores: its ring is multi-producer and multi-consumer, and its
// caches are found by lcore id, so each is used by one thread.
unsafe impl Send for Mempool {}
// SAFETY: as above; every method only passes the pointer to functions that are thread-safe.
unsafe impl Sync for Mempool {}

impl Mempool {
    pub fn create(eal: &Eal, config: &MempoolConfig<'_>) -> Result<Mempool, MempoolError> {
        let name = CString::new(config.name)
            .ok()
            .filter(|name| name.as_bytes().len() < sys::MEMPOOL_NAME_BYTES as usize)
            .ok_or_else(|| MempoolError::Name {
                name: config.name.to_owned(),
            })?;
        let buffer_bytes = config
            .frame_bytes_max
            .checked_add(sys::RTE_PKTMBUF_HEADROOM as u16)
            .ok_or_else(|| MempoolError::FrameSize {
                name: config.name.to_owned(),
                frame_bytes_max: config.frame_bytes_max,
            })?;
        let any_socket: c_int = -1;
        let socket = config
            .socket
            .and_then(|socket| c_int::try_from(socket).ok())
            .unwrap_or(any_socket);
        // SAFETY: the name is NUL-terminated and copied; the rest are numbers that the function checks.
        let raw = unsafe {
            sys::rte_pktmbuf_pool_create(
                name.as_ptr(),
                config.mbufs,
                cache_mbufs(config.mbufs),
                0,
                buffer_bytes,
                socket,
            )
        };
        let raw = NonNull::new(raw).ok_or_else(|| MempoolError::Create {
            name: config.name.to_owned(),
            mbufs: config.mbufs,
            buffer_bytes,
            socket: config.socket,
            errno: Errno::last(),
        })?;
        eal.shared.remember(raw);
        Ok(Mempool {
            raw,
            name: config.name.into(),
            _eal: Arc::clone(&eal.shared),
        })
    }

    /// Appends `count` empty mbufs to `burst`, all or none. `false` where the pool or the burst has not that many.
    #[must_use]
    pub fn allocate(&self, burst: &mut MbufBurst, count: usize) -> bool {
        if count > burst.room() {
            return false;
        }
        // SAFETY: the function writes `count` pointers to mbufs taken from the pool, or nothing when it fails; the
        // free slots are at least that many.
        let allocated = unsafe {
            burst.append_with(|slots, _| {
                match sys::shim_rte_pktmbuf_alloc_bulk(self.raw.as_ptr(), slots, count as u32) {
                    0 => count as u16,
                    _ => 0,
                }
            })
        };
        allocated == count
    }

    /// One empty mbuf, or `None` where the pool has none left.
    pub fn allocate_one(&self, _proof_of_thread: &Lcore) -> Option<Mbuf> {
        let mut mbuf = std::ptr::null_mut();
        // SAFETY: room for one pointer, and one is asked for.
        let code = unsafe { sys::shim_rte_pktmbuf_alloc_bulk(self.raw.as_ptr(), &mut mbuf, 1) };
        let mbuf = NonNull::new(mbuf).filter(|_| code == 0)?;
        // SAFETY: just taken from the pool, on an lcore (the token).
        Some(unsafe { Mbuf::from_raw(mbuf) })
    }

    /// mbufs that can be allocated, those in lcores' caches included. Exact only while no lcore works.
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives; the function reads counts.
        unsafe { sys::rte_mempool_avail_count(self.raw.as_ptr()) }
    }

    /// mbufs that somebody holds: drivers (a receive ring's fill), bursts, rings. Exact only while no lcore works.
    pub fn in_use(&self) -> u32 {
        // SAFETY: the pool lives; the function reads counts.
        unsafe { sys::rte_mempool_in_use_count(self.raw.as_ptr()) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn as_ptr(&self) -> *mut sys::rte_mempool {
        self.raw.as_ptr()
    }
}

impl fmt::Debug for Mempool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mempool")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

fn cache_mbufs(mbufs: u32) -> u32 {
    (mbufs / CACHE_SHARE_OF_POOL).min(CACHE_MBUFS_MAX)
}

struct SocketName(Option<u32>);

impl fmt::Display for SocketName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(socket) => write!(f, "socket {socket}"),
            None => f.write_str("any socket"),
        }
    }
}
