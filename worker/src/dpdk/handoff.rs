//! A ring that takes mbufs from the lcore that receives them to the lcore that owns their sessions.
//!
//! One sender, one receiver, bounded. Used only where the NIC cannot spread by the subscriber's address. What goes through is
//! counted, for whoever wants to know how much of it there is ([`HandoffMeter`]).

use std::ffi::{CString, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dpdk_sys as sys;

use super::eal::{Eal, EalShared};
use super::errno::Errno;
use super::mbuf::Mbuf;
use super::mbuf_burst::MbufBurst;

/// Makes a ring of `slots` (a power of two; one slot stays empty). `name` is unique in the process, at most 28 bytes.
pub fn handoff(
    eal: &Eal,
    name: &str,
    slots: u32,
    socket: Option<u32>,
) -> Result<(HandoffSender, HandoffReceiver), HandoffError> {
    let failed = |errno| HandoffError {
        name: name.to_owned(),
        slots,
        errno,
    };
    let c_name = CString::new(name)
        .map_err(|_| failed(Errno::from_return(rustix::io::Errno::INVAL.raw_os_error())))?;
    let any_socket: c_int = -1;
    let socket = socket
        .and_then(|socket| c_int::try_from(socket).ok())
        .unwrap_or(any_socket);
    // SAFETY: a NUL-terminated name, which is copied; the function checks length and size.
    let raw =
        unsafe { sys::rte_ring_create(c_name.as_ptr(), slots, socket, sys::RING_F_SP_ENQUEUE_SC_DEQUEUE) };
    let raw = NonNull::new(raw).ok_or_else(|| failed(Errno::last()))?;
    let ring = Arc::new(Ring {
        raw,
        _eal: Arc::clone(&eal.shared),
    });
    Ok((
        HandoffSender {
            ring: Arc::clone(&ring),
            meter: HandoffMeter::default(),
        },
        HandoffReceiver { ring },
    ))
}

#[derive(Debug, thiserror::Error)]
#[error("handoff {name} of {slots} slots: {errno}")]
pub struct HandoffError {
    name: String,
    slots: u32,
    errno: Errno,
}

/// The receiving lcore's end.
#[derive(Debug)]
pub struct HandoffSender {
    ring: Arc<Ring>,
    meter: HandoffMeter,
}

/// How many packets went through a ring. It outlives the ring.
#[derive(Debug, Clone, Default)]
pub struct HandoffMeter {
    count: Arc<Count>,
}

/// Written by the sender alone, on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Count(AtomicU64);

impl HandoffMeter {
    pub fn packets(&self) -> u64 {
        self.count.0.load(Ordering::Relaxed)
    }

    /// One writer, so that no locked instruction is needed.
    pub(crate) fn add(&self, packets: usize) {
        self.count
            .0
            .store(self.packets().wrapping_add(packets as u64), Ordering::Relaxed);
    }
}

impl HandoffSender {
    pub fn meter(&self) -> HandoffMeter {
        self.meter.clone()
    }

    /// Hands packets over, in order, and returns how many; those that found no slot stay in the burst.
    #[inline]
    pub fn send(&mut self, burst: &mut MbufBurst) -> usize {
        if burst.is_empty() {
            return 0;
        }
        let ring = self.ring.raw.as_ptr();
        // SAFETY: one producer (&mut, one sender per ring). The ring owns the mbufs that it took; the other end turns
        // them into owned ones again. Pointers to mbufs are pointers to objects for the ring.
        let taken = unsafe {
            burst.take_with(|slots, count| {
                sys::shim_rte_ring_sp_enqueue_burst(ring, slots.cast::<*mut c_void>(), u32::from(count))
                    as u16
            })
        };
        self.meter.add(taken);
        taken
    }
}

/// The owning lcore's end.
#[derive(Debug)]
pub struct HandoffReceiver {
    ring: Arc<Ring>,
}

impl HandoffReceiver {
    /// Appends what has been handed over, up to the burst's room.
    #[inline]
    pub fn receive(&mut self, burst: &mut MbufBurst) -> usize {
        let ring = self.ring.raw.as_ptr();
        // SAFETY: one consumer (&mut, one receiver per ring); what comes out are mbufs that a sender has given up.
        unsafe {
            burst.append_with(|slots, room| {
                sys::shim_rte_ring_sc_dequeue_burst(ring, slots.cast::<*mut c_void>(), u32::from(room)) as u16
            })
        }
    }

    /// Packets waiting.
    pub fn len(&self) -> usize {
        // SAFETY: the ring lives; reads two indexes.
        unsafe { sys::shim_rte_ring_count(self.ring.raw.as_ptr()) as usize }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Debug)]
struct Ring {
    raw: NonNull<sys::rte_ring>,
    _eal: Arc<EalShared>,
}

// SAFETY: the ring is shared between two threads by design: one enqueues, one dequeues, as its flags say. mbufs may
// change threads inside it, since their pools are thread-safe and the ring orders memory.
unsafe impl Send for Ring {}
// SAFETY: as above; only the ends' methods use it, each of which wants `&mut` on the one end of its kind.
unsafe impl Sync for Ring {}

impl Drop for Ring {
    fn drop(&mut self) {
        let mut left = std::ptr::null_mut::<c_void>();
        // SAFETY: both ends are gone, so this thread is the only user; each pointer that comes out is an mbuf that
        // nobody else owns, and the ring is freed once, empty.
        unsafe {
            while sys::shim_rte_ring_sc_dequeue_burst(self.raw.as_ptr(), &mut left, 1) == 1 {
                if let Some(mbuf) = NonNull::new(left.cast::<sys::rte_mbuf>()) {
                    drop(Mbuf::from_raw(mbuf));
                }
            }
            sys::rte_ring_free(self.raw.as_ptr());
        }
    }
}
