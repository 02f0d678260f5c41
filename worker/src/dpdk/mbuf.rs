//! A packet in its buffer: an owned [`Mbuf`], and the window into the buffer that is the frame.
//!
//! ```text
//!   buf_addr                                                       buf_addr + buf_len
//!      ├── headroom ──┼────────── frame ──────────┼──── tailroom ─────┤
//!      0            start                    start + len         buffer.len()
//! ```
//!
//! The pipeline works on the whole buffer with a window into it ([`Mbuf::window`]): a header is removed or added by
//! moving `start`, and the result is written back once ([`Mbuf::set_window`]). Chained frames are not put together:
//! [`Mbuf::is_chained`] says so, and the caller drops them (no port asks for scatter, so a chain is a driver's whim).

use std::fmt;
use std::marker::PhantomData;
use std::ptr::NonNull;

use dpdk_sys as sys;

use crate::burst::StrippedTags;
use crate::packet::Packet;
use crate::simd::prefetch::prefetch_at;

/// A packet that this thread owns: dropping it returns it to its pool. The same size as a pointer, also in an `Option`.
#[repr(transparent)]
pub struct Mbuf {
    raw: NonNull<sys::rte_mbuf>,
    this_thread_only: PhantomData<*const ()>,
}

/// The whole buffer of a packet, and where in it the frame lies.
#[derive(Debug)]
pub struct Window<'a> {
    pub buffer: &'a mut [u8],
    pub start: usize,
    pub len: usize,
}

impl Mbuf {
    /// Takes over an mbuf that a driver or a pool gave away.
    ///
    /// # Safety
    /// Nobody else may own it, and this thread must be an lcore (or the last one left).
    pub(super) unsafe fn from_raw(raw: NonNull<sys::rte_mbuf>) -> Self {
        Mbuf {
            raw,
            this_thread_only: PhantomData,
        }
    }

    /// The buffer from its first byte to its last, headroom and tailroom included.
    ///
    /// `start + len <= buffer.len()` whatever the driver wrote.
    pub fn window(&mut self) -> Window<'_> {
        let mbuf = self.fields();
        let (room, start, len) = (
            usize::from(mbuf.buf_len),
            usize::from(mbuf.data_off),
            usize::from(mbuf.data_len),
        );
        let start = start.min(room);
        let address = mbuf.buf_addr.cast::<u8>();
        // SAFETY: buf_addr is buf_len bytes of pool (or driver) memory, mapped and initialised by the kernel, and no
        // other reference exists: one owner per mbuf (DPDK's rule for refcnt 1, which we never raise), borrowed here.
        let buffer = unsafe { std::slice::from_raw_parts_mut(address, room) };
        Window {
            buffer,
            start,
            len: len.min(room - start),
        }
    }

    /// Says where in its buffer the frame lies now.
    ///
    /// # Panics
    /// Where that is not inside the buffer: the pipeline would have written there before.
    pub fn set_window(&mut self, start: usize, len: usize) {
        let room = usize::from(self.fields().buf_len);
        assert!(
            start <= room && len <= room - start,
            "frame {start}+{len} outside its buffer of {room}"
        );
        self.set_fields(start, len);
    }

    /// Makes `frame` the contents, after the usual headroom. `false`, and nothing written, where it has no room.
    #[must_use]
    pub fn fill(&mut self, frame: &[u8]) -> bool {
        let start = sys::RTE_PKTMBUF_HEADROOM as usize;
        let Window { buffer, .. } = self.window();
        let Some(target) = buffer
            .get_mut(start..)
            .and_then(|rest| rest.get_mut(..frame.len()))
        else {
            return false;
        };
        target.copy_from_slice(frame);
        self.set_window(start, frame.len());
        true
    }

    /// The bytes of the frame (of its first segment).
    pub fn frame(&mut self) -> &mut [u8] {
        let Window { buffer, start, len } = self.window();
        &mut buffer[start..start + len]
    }

    /// Whether the frame goes on in further buffers, which [`Mbuf::window`] does not show.
    pub fn is_chained(&self) -> bool {
        self.fields().nb_segs > 1
    }

    /// All segments together.
    pub fn frame_bytes(&self) -> u32 {
        self.fields().pkt_len
    }

    pub fn stripped_tags(&self) -> StrippedTags {
        let mbuf = self.fields();
        stripped(mbuf.ol_flags, mbuf.vlan_tci, mbuf.vlan_tci_outer)
    }

    /// Brings the mbuf's own line near: the first of two misses per packet.
    #[inline]
    pub fn prefetch(&self) {
        prefetch_at(self.raw.as_ptr().cast());
    }

    /// Brings the first line of the frame near; reads the mbuf's own line for it.
    #[inline]
    pub fn prefetch_frame(&self) {
        let mbuf = self.fields();
        prefetch_at(
            mbuf.buf_addr
                .cast::<u8>()
                .wrapping_add(usize::from(mbuf.data_off)),
        );
    }

    fn fields(&self) -> &sys::rte_mbuf {
        // SAFETY: the pointer is to a live mbuf that this value owns; pools live as long as any mbuf (see Eal's drop).
        unsafe { self.raw.as_ref() }
    }
}

/// The NIC has taken a tag out.
const STRIPPED: u64 = sys::MBUF_F_RX_VLAN_STRIPPED | sys::MBUF_F_RX_QINQ_STRIPPED;

// What is looked at and rewritten is sure to lie in the buffer: a driver sets data_off + data_len <= buf_len (rte_mbuf_core.h), and here
// the beginning only moves over bytes that were compared.
impl Packet for Mbuf {
    #[inline(always)]
    fn bring_near(&self) {
        self.prefetch_frame();
    }

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<(&[u8; N], usize)> {
        let mbuf = self.fields();
        let len = usize::from(mbuf.data_len);
        if mbuf.nb_segs != 1 || mbuf.ol_flags & STRIPPED != 0 || len < N {
            return None;
        }
        let start = usize::from(mbuf.data_off);
        // SAFETY: the frame has N bytes (just compared), in mapped, initialised memory that this mbuf alone owns; it is
        // borrowed here, and no mutable reference to it exists.
        Some((unsafe { &*mbuf.buf_addr.cast::<u8>().add(start).cast() }, len))
    }

    #[inline(always)]
    fn headroom(&self) -> usize {
        usize::from(self.fields().data_off)
    }

    #[inline(always)]
    fn strip<const N: usize, const K: usize>(&mut self) -> Option<(&mut [u8; K], usize)> {
        let mbuf = self.fields();
        let len = usize::from(mbuf.data_len);
        if len < N + K {
            return None;
        }
        let start = usize::from(mbuf.data_off) + N;
        // SAFETY: K bytes and more are left.
        Some(unsafe { self.move_to(start, len - N) })
    }

    #[inline(always)]
    fn push<const N: usize, const K: usize>(&mut self) -> Option<(&mut [u8; K], usize)> {
        let mbuf = self.fields();
        let len = usize::from(mbuf.data_len);
        let start = usize::from(mbuf.data_off).checked_sub(N)?;
        if len + N < K {
            return None;
        }
        // SAFETY: the frame ends where it did, and begins inside the buffer.
        Some(unsafe { self.move_to(start, len + N) })
    }
}

impl Mbuf {
    /// The frame is `start..start + len` of the only segment's buffer from now on; its first `K` bytes and its length.
    ///
    /// # Safety
    /// That lies inside the buffer, and `K` is at most `len`.
    #[inline(always)]
    unsafe fn move_to<const K: usize>(&mut self, start: usize, len: usize) -> (&mut [u8; K], usize) {
        self.set_fields(start, len);
        let first = self.fields().buf_addr.cast::<u8>();
        // SAFETY: inside the buffer, which this mbuf alone owns, borrowed mutably here.
        (unsafe { &mut *first.add(start).cast() }, len)
    }

    #[inline(always)]
    fn set_fields(&mut self, start: usize, len: usize) {
        // SAFETY: the only reference to these fields; one owner per mbuf, borrowed mutably here.
        let mbuf = unsafe { self.raw.as_mut() };
        // The casts are exact: both are at most buf_len, a u16.
        mbuf.data_off = start as u16;
        mbuf.data_len = len as u16;
        mbuf.pkt_len = len as u32;
    }
}

impl Drop for Mbuf {
    fn drop(&mut self) {
        // SAFETY: the value owns the mbuf and is gone after this; freeing returns every segment to its pool.
        unsafe { sys::shim_rte_pktmbuf_free(self.raw.as_ptr()) };
    }
}

impl fmt::Debug for Mbuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mbuf = self.fields();
        f.debug_struct("Mbuf")
            .field("frame_bytes", &mbuf.pkt_len)
            .field("segments", &mbuf.nb_segs)
            .field("port", &mbuf.port)
            .finish_non_exhaustive()
    }
}

/// As rte_mbuf_core.h tells the flags' meaning: a stripped outer tag alone is in `vlan_tci_outer` where the NIC knew of two, in
/// `vlan_tci` where it knew of one.
fn stripped(ol_flags: u64, vlan_tci: u16, vlan_tci_outer: u16) -> StrippedTags {
    let is = |flag| ol_flags & flag != 0;
    match (is(sys::MBUF_F_RX_QINQ_STRIPPED), is(sys::MBUF_F_RX_VLAN_STRIPPED)) {
        (false, false) => StrippedTags::None,
        (false, true) => StrippedTags::One { tci: vlan_tci },
        (true, false) => StrippedTags::One { tci: vlan_tci_outer },
        (true, true) => StrippedTags::Two {
            outer_tci: vlan_tci_outer,
            inner_tci: vlan_tci,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stripped_tag_is_found_where_the_nic_puts_it() {
        let (vlan, qinq) = (sys::MBUF_F_RX_VLAN_STRIPPED, sys::MBUF_F_RX_QINQ_STRIPPED);
        let known = sys::MBUF_F_RX_VLAN | sys::MBUF_F_RX_QINQ;

        assert_eq!(stripped(known, 7, 100), StrippedTags::None);
        assert_eq!(stripped(known | vlan, 7, 0), StrippedTags::One { tci: 7 });
        assert_eq!(stripped(known | qinq, 7, 100), StrippedTags::One { tci: 100 });
        assert_eq!(
            stripped(known | qinq | vlan, 7, 100),
            StrippedTags::Two {
                outer_tci: 100,
                inner_tci: 7
            }
        );
    }

    #[test]
    fn an_mbuf_is_a_pointer() {
        assert_eq!(size_of::<Mbuf>(), size_of::<*mut sys::rte_mbuf>());
        assert_eq!(size_of::<Option<Mbuf>>(), size_of::<*mut sys::rte_mbuf>());
    }
}
