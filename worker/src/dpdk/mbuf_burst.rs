//! Packets in their order: what a queue receives into, sends from, and frees at once.

use std::ops::{Deref, DerefMut};

use arrayvec::ArrayVec;
use dpdk_sys as sys;

use super::lcores::Lcore;
use super::mbuf::Mbuf;

/// The most packets that one receive or send moves: two vectors of the widest driver, and 8 KiB of headers in L1.
pub const BURST_MAX: usize = 64;

/// Up to [`BURST_MAX`] packets that this thread owns, in order. A slice of [`Mbuf`], freed in bulk when cleared or
/// dropped.
#[derive(Debug)]
pub struct MbufBurst {
    mbufs: ArrayVec<Mbuf, BURST_MAX>,
    limit: usize,
}

impl MbufBurst {
    pub fn new(lcore: &Lcore) -> Self {
        Self::with_limit(lcore, BURST_MAX)
    }

    /// One that is full at `limit` packets, or at [`BURST_MAX`] if that is less.
    pub fn with_limit(_proof_of_thread: &Lcore, limit: usize) -> Self {
        MbufBurst {
            mbufs: ArrayVec::new(),
            limit: limit.min(BURST_MAX),
        }
    }

    /// How many more it takes.
    pub fn room(&self) -> usize {
        self.limit - self.mbufs.len()
    }

    /// Appends, or gives the packet back where the burst is full.
    pub fn push(&mut self, mbuf: Mbuf) -> Result<(), Mbuf> {
        if self.room() == 0 {
            return Err(mbuf);
        }
        self.mbufs.push(mbuf);
        Ok(())
    }

    /// Takes every packet out, in order; those that the caller does not take are freed.
    pub fn drain(&mut self) -> impl ExactSizeIterator<Item = Mbuf> + '_ {
        self.mbufs.drain(..)
    }

    /// Bytes of all frames.
    pub fn frame_bytes(&self) -> u64 {
        self.mbufs.iter().map(|mbuf| u64::from(mbuf.frame_bytes())).sum()
    }

    /// Frees every packet, in bulk.
    pub fn clear(&mut self) {
        // BURST_MAX fits an unsigned int.
        let count = self.mbufs.len() as u32;
        if count == 0 {
            return;
        }
        // SAFETY: the first `count` slots hold owned mbufs; they are freed here and, with the length 0 set before,
        // by nobody else.
        unsafe {
            self.mbufs.set_len(0);
            sys::rte_pktmbuf_free_bulk(self.slots(), count);
        }
    }

    /// Lets `fill` write owned mbufs into up to `room` free slots behind the packets; it returns how many it wrote.
    ///
    /// # Safety
    /// `fill` must have written that many pointers to mbufs that nobody else owns, and not more than `room`.
    pub(super) unsafe fn append_with(
        &mut self,
        fill: impl FnOnce(*mut *mut sys::rte_mbuf, u16) -> u16,
    ) -> usize {
        let (len, room) = (self.mbufs.len(), self.room());
        // SAFETY: len + room <= BURST_MAX, so the free slots begin inside the array.
        let free = unsafe { self.slots().add(len) };
        let count = usize::from(fill(free, room as u16));
        assert!(count <= room, "{count} packets in a burst with room for {room}");
        // SAFETY: the caller upholds that `count` slots behind `len` were filled with owned mbufs.
        unsafe { self.mbufs.set_len(len + count) };
        count
    }

    /// Lets `take` have the packets; it returns how many, from the first on, it owns now. The others move up.
    ///
    /// # Safety
    /// `take` must have taken ownership of exactly that many.
    pub(super) unsafe fn take_with(
        &mut self,
        take: impl FnOnce(*mut *mut sys::rte_mbuf, u16) -> u16,
    ) -> usize {
        let len = self.mbufs.len();
        let slots = self.slots();
        let count = usize::from(take(slots, len as u16));
        assert!(count <= len, "{count} packets taken from a burst of {len}");
        // SAFETY: the first `count` are no longer ours (the caller upholds it), the rest move to the front, and the
        // length says how many are left; both ranges lie in the array.
        unsafe {
            self.mbufs.set_len(len - count);
            std::ptr::copy(slots.add(count), slots, len - count);
        }
        count
    }

    /// The array as C sees it: `Mbuf` is a transparent pointer.
    fn slots(&mut self) -> *mut *mut sys::rte_mbuf {
        self.mbufs.as_mut_ptr().cast()
    }
}

impl Deref for MbufBurst {
    type Target = [Mbuf];

    fn deref(&self) -> &[Mbuf] {
        &self.mbufs
    }
}

impl DerefMut for MbufBurst {
    fn deref_mut(&mut self) -> &mut [Mbuf] {
        &mut self.mbufs
    }
}

impl Drop for MbufBurst {
    fn drop(&mut self) {
        self.clear();
    }
}
