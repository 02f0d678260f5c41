//! One Ethernet frame in a fixed buffer with room at both ends.
//!
//! ```text
//!  0        headroom      start                         end            FRAME_BYTES
//!  ├─ two VLAN tags ──────┼─ destination, source, … ────┼─ Option 82 ──┤
//! ```
//!
//! Tags are pushed and popped by moving the two MAC addresses (12 bytes); the payload never moves.

use std::fmt;

use super::vlan::{TAG_BYTES, is_tpid};

/// Buffer of one frame: a 1,500 byte packet with tags, Option 82 and both rooms, and some to spare.
pub const FRAME_BYTES: usize = 2048;
/// Room in front: two tags, rounded to keep the IP header's alignment.
pub const HEADROOM: usize = 16;
/// Room behind, kept free at receive so that Option 82 (2 + 255 bytes at most) always fits.
pub const TAILROOM: usize = 272;
const MAC_PAIR_BYTES: usize = 12;

#[derive(Clone)]
pub struct Frame {
    buffer: Box<[u8; FRAME_BYTES]>,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room in the frame's buffer")]
pub struct NoRoom;

impl Frame {
    /// The largest frame that can be received.
    pub const RECEIVE_BYTES: usize = FRAME_BYTES - HEADROOM - TAILROOM;

    pub fn new() -> Self {
        Self {
            buffer: Box::new([0; FRAME_BYTES]),
            start: HEADROOM,
            end: HEADROOM,
        }
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, NoRoom> {
        let mut frame = Self::new();
        frame
            .receive_buffer()
            .get_mut(..bytes.len())
            .ok_or(NoRoom)?
            .copy_from_slice(bytes);
        frame.received(bytes.len());
        Ok(frame)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.end]
    }

    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets the content and offers the buffer between the two rooms. [`Frame::received`] then says how
    /// much of it was filled.
    pub fn receive_buffer(&mut self) -> &mut [u8] {
        self.start = HEADROOM;
        self.end = HEADROOM;
        &mut self.buffer[HEADROOM..HEADROOM + Self::RECEIVE_BYTES]
    }

    pub fn received(&mut self, bytes: usize) {
        self.start = HEADROOM;
        self.end = HEADROOM + bytes.min(Self::RECEIVE_BYTES);
    }

    /// Puts a tag behind the MAC addresses, outside of the tags already there.
    pub fn push_tag(&mut self, tpid: u16, tci: u16) -> Result<(), NoRoom> {
        if self.len() < MAC_PAIR_BYTES || self.start < TAG_BYTES {
            return Err(NoRoom);
        }
        let start = self.start - TAG_BYTES;
        self.buffer
            .copy_within(self.start..self.start + MAC_PAIR_BYTES, start);
        self.start = start;
        let tag = start + MAC_PAIR_BYTES;
        self.buffer[tag..tag + 2].copy_from_slice(&tpid.to_be_bytes());
        self.buffer[tag + 2..tag + 4].copy_from_slice(&tci.to_be_bytes());
        Ok(())
    }

    /// The outermost tag as (TPID, TCI), if the frame begins with one.
    pub fn outer_tag(&self) -> Option<(u16, u16)> {
        let tpid = super::ethernet::read_u16(self.bytes(), 12)?;
        let tci = super::ethernet::read_u16(self.bytes(), 14)?;
        is_tpid(tpid).then_some((tpid, tci))
    }

    pub fn pop_tag(&mut self) -> Option<(u16, u16)> {
        let tag = self.outer_tag()?;
        self.buffer
            .copy_within(self.start..self.start + MAC_PAIR_BYTES, self.start + TAG_BYTES);
        self.start += TAG_BYTES;
        Some(tag)
    }

    /// Replaces `removed` bytes at `at` by `inserted`; what follows moves.
    pub fn splice(&mut self, at: usize, removed: usize, inserted: &[u8]) -> Result<(), NoRoom> {
        let after = at
            .checked_add(removed)
            .filter(|after| *after <= self.len())
            .ok_or(NoRoom)?;
        let new_end = self.end - removed + inserted.len();
        if new_end > FRAME_BYTES {
            return Err(NoRoom);
        }
        let at = self.start + at;
        self.buffer
            .copy_within(self.start + after..self.end, at + inserted.len());
        self.buffer[at..at + inserted.len()].copy_from_slice(inserted);
        self.end = new_end;
        Ok(())
    }

    pub fn truncate(&mut self, bytes: usize) {
        self.end = self.end.min(self.start + bytes);
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_tags_are_pushed_and_popped_in_order() {
        let untagged = [&[0x11u8; 6][..], &[0x22; 6], &[0x08, 0x00, 0x45, 0x00]].concat();
        let mut frame = Frame::from_bytes(&untagged).unwrap();

        frame.push_tag(0x8100, 7).unwrap();
        frame.push_tag(0x88a8, 100).unwrap();

        let tagged = [
            &[0x11u8; 6][..],
            &[0x22; 6],
            &[0x88, 0xa8, 0, 100, 0x81, 0, 0, 7, 8, 0, 0x45, 0],
        ]
        .concat();
        assert_eq!(frame.bytes(), tagged);
        assert_eq!(frame.pop_tag(), Some((0x88a8, 100)));
        assert_eq!(frame.pop_tag(), Some((0x8100, 7)));
        assert_eq!(frame.pop_tag(), None);
        assert_eq!(frame.bytes(), untagged);
    }

    #[test]
    fn a_splice_that_does_not_fit_changes_nothing() {
        let mut frame = Frame::from_bytes(&[7; 100]).unwrap();

        assert_eq!(frame.splice(99, 2, &[]), Err(NoRoom));
        assert_eq!(frame.splice(50, 0, &[0; FRAME_BYTES]), Err(NoRoom));
        assert_eq!(frame.bytes(), [7; 100]);

        frame.splice(50, 2, &[1, 2, 3]).unwrap();
        assert_eq!(&frame.bytes()[49..54], &[7, 1, 2, 3, 7]);
        assert_eq!(frame.len(), 101);
    }

    #[test]
    fn tags_beyond_the_headroom_are_refused() {
        let mut frame = Frame::from_bytes(&[7; 60]).unwrap();

        for _ in 0..HEADROOM / TAG_BYTES {
            frame.push_tag(0x8100, 1).unwrap();
        }
        assert_eq!(frame.push_tag(0x8100, 1), Err(NoRoom));
    }
}
