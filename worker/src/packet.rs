//! What the express way asks of a packet, whatever memory it lies in: an mbuf on an lcore, a lane in a test.

use crate::burst::{Lane, StrippedTags};

/// A packet that can be looked at and rewritten where it lies.
pub trait Packet {
    /// Asks for the frame's first line.
    fn bring_near(&self);

    /// The frame's first `N` bytes and its length. `None` where it has fewer, and for a frame that does not lie there whole: in several
    /// pieces, or with a tag taken out by the NIC.
    fn head<const N: usize>(&self) -> Option<(&[u8; N], usize)>;

    /// Bytes before the frame in its buffer.
    fn headroom(&self) -> usize;

    /// Moves the frame's beginning `N` bytes ahead, so that it ends where it did; the first `K` bytes as they are now and the new
    /// length. `None`, and nothing moved, where the frame has not that many.
    fn strip<const N: usize, const K: usize>(&mut self) -> Option<(&mut [u8; K], usize)>;

    /// Moves the frame's beginning `N` bytes back; else as [`Packet::strip`].
    fn push<const N: usize, const K: usize>(&mut self) -> Option<(&mut [u8; K], usize)>;
}

impl Packet for Lane<'_> {
    #[inline(always)]
    fn bring_near(&self) {}

    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<(&[u8; N], usize)> {
        let head = self.frame.bytes().first_chunk()?;
        (self.stripped == StrippedTags::None).then_some((head, self.frame.len()))
    }

    #[inline(always)]
    fn headroom(&self) -> usize {
        self.frame.start()
    }

    #[inline(always)]
    fn strip<const N: usize, const K: usize>(&mut self) -> Option<(&mut [u8; K], usize)> {
        self.moved(N as isize)
    }

    #[inline(always)]
    fn push<const N: usize, const K: usize>(&mut self) -> Option<(&mut [u8; K], usize)> {
        self.moved(-(N as isize))
    }
}

impl Lane<'_> {
    #[inline(always)]
    fn moved<const K: usize>(&mut self, by: isize) -> Option<(&mut [u8; K], usize)> {
        let len = self.frame.len().checked_add_signed(-by)?;
        if len < K || !self.frame.move_start(by) {
            return None;
        }
        Some((self.frame.bytes_mut().first_chunk_mut()?, len))
    }
}
