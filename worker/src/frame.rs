//! A frame in its buffer: the whole buffer, and the window of it that is the frame.
//!
//! ```text
//!   0                                                          buffer.len()
//!   ├── headroom ──┼────────── frame ──────────┼──── tailroom ─────┤
//!                start                    start + len
//! ```
//!
//! Tags are taken off and put on by moving `start`; the bytes behind them stay where they are. `start + len` never leaves
//! the buffer, whoever made the frame.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// One frame. It borrows its buffer for the time of a burst.
#[derive(Debug)]
pub struct Frame<'a> {
    buffer: &'a mut [u8],
    start: usize,
    len: usize,
}

impl<'a> Frame<'a> {
    /// A window into a buffer; one that does not lie inside is cut to what does.
    #[inline(always)]
    pub fn new(buffer: &'a mut [u8], start: usize, len: usize) -> Frame<'a> {
        let start = start.min(buffer.len());
        let len = len.min(buffer.len() - start);
        Frame { buffer, start, len }
    }

    /// Where the frame begins in its buffer.
    #[inline(always)]
    pub fn start(&self) -> usize {
        self.start
    }

    #[inline(always)]
    pub fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline(always)]
    pub fn bytes(&self) -> &[u8] {
        // Always inside (see `new`); an empty slice and no panic if it were not.
        self.buffer
            .get(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    #[inline(always)]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        self.buffer
            .get_mut(self.start..self.start + self.len)
            .unwrap_or_default()
    }

    /// The bytes from `offset` on as a header; `None` where the frame ends before the header does.
    #[inline(always)]
    pub fn header<T>(&self, offset: usize) -> Option<&T>
    where
        T: FromBytes + KnownLayout + Immutable + Unaligned,
    {
        let (header, _) = T::ref_from_prefix(self.bytes().get(offset..)?).ok()?;
        Some(header)
    }

    /// The same, to be written to.
    #[inline(always)]
    pub fn header_mut<T>(&mut self, offset: usize) -> Option<&mut T>
    where
        T: FromBytes + IntoBytes + KnownLayout + Immutable + Unaligned,
    {
        let (header, _) = T::mut_from_prefix(self.bytes_mut().get_mut(offset..)?).ok()?;
        Some(header)
    }

    /// Moves the frame's beginning to `offset` bytes behind (positive) or before (negative) where it is now, so that it ends
    /// where it did. `false`, and nothing moved, where that leaves the buffer or the frame.
    #[inline(always)]
    #[must_use]
    pub fn move_start(&mut self, offset: isize) -> bool {
        let Some(start) = self.start.checked_add_signed(offset) else {
            return false;
        };
        let end = self.start + self.len;
        if start > end {
            return false;
        }
        self.start = start;
        self.len = end - start;
        true
    }

    /// Cuts the frame's end; a length beyond it changes nothing.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_moves_inside_its_buffer_and_never_out_of_it() {
        let mut buffer = [0u8; 100];
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = i as u8;
        }
        let mut frame = Frame::new(&mut buffer, 10, 60);

        assert!(frame.move_start(8));
        assert_eq!((frame.start(), frame.len(), frame.bytes()[0]), (18, 52, 18));
        assert!(frame.move_start(-18));
        assert_eq!((frame.start(), frame.len(), frame.bytes()[0]), (0, 70, 0));
        assert!(!frame.move_start(-1));
        assert!(!frame.move_start(71));
        assert!(frame.move_start(70) && frame.is_empty());
    }

    #[test]
    fn a_window_that_the_buffer_does_not_hold_is_cut() {
        let mut buffer = [0u8; 10];
        assert_eq!(Frame::new(&mut buffer, 8, 100).bytes(), [0, 0]);
        assert_eq!(Frame::new(&mut buffer, 100, 100).bytes(), []);
        assert!(Frame::new(&mut buffer, 0, 10).header::<[u8; 11]>(0).is_none());
        assert!(Frame::new(&mut buffer, 0, 10).header::<[u8; 10]>(1).is_none());
        assert!(
            Frame::new(&mut buffer, 0, 10)
                .header::<[u8; 1]>(usize::MAX)
                .is_none()
        );
    }
}
