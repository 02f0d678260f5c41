//! Frames between a worker's lcore and control: one single-producer single-consumer ring each way and lcore.
//!
//! The slots and the head lie in the producer's region, the tail in the consumer's. Head and tail count for ever; a slot is
//! `count % slots`. A full ring refuses the frame and the producer counts it. The consumer copies a frame out before it
//! looks at it, and believes neither length nor head: a head that claims more than the ring holds is a corrupt ring, which
//! the consumer skips to its end.

use crate::shared::{Cells, Shared};
use crate::sync::{AtomicU64, Ordering};

/// Largest frame a slot carries, bytes: a full Ethernet frame with two tags, and room to spare.
pub const FRAME_MAX: usize = SLOT_BYTES - 32;
/// Bytes of a slot; few in a model, where every word multiplies the interleavings.
pub const SLOT_BYTES: usize = if cfg!(loom) { 48 } else { 2048 };
const FRAME_WORDS: usize = FRAME_MAX / 8;

/// One frame with what is known about it.
#[repr(C, align(64))]
pub struct Slot {
    /// length 0–15, port 16–31, reason 32–39, lcore 40–47
    about: AtomicU64,
    /// When the frame was received, monotonic ns.
    time: AtomicU64,
    /// Session index or 0, and the row's generation in the upper half.
    session: AtomicU64,
    reserved: AtomicU64,
    frame: [AtomicU64; FRAME_WORDS],
}

// SAFETY: four words and an array of words fill the 2048 bytes.
#[allow(unsafe_code)]
unsafe impl Cells for Slot {}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slot>() == SLOT_BYTES);

impl core::fmt::Debug for Slot {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Slot")
    }
}

/// What goes with a frame. As read it is unchecked: the reason and the port may be anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The port it came from (punt) or goes to (inject), as an index of the configuration.
    pub port: u16,
    /// [`crate::PuntReason`] as a number; for injected frames 0.
    pub reason: u8,
    pub lcore: u8,
    /// When the frame was received, monotonic ns.
    pub time_ns: u64,
    /// The session's row, 0 for none.
    pub session: u32,
    /// The row's generation then.
    pub generation: u32,
}

/// Why a frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    #[error("the ring is full")]
    Full,
    #[error("a frame of {0} bytes is larger than a slot's {FRAME_MAX}")]
    TooLong(usize),
}

/// The side that writes frames.
#[derive(Debug)]
pub struct Producer {
    slots: Shared<Slot>,
    head: Shared<AtomicU64>,
    tail: Shared<AtomicU64>,
    next: u64,
}

impl Producer {
    pub(crate) fn new(slots: Shared<Slot>, head: Shared<AtomicU64>, tail: Shared<AtomicU64>) -> Producer {
        assert!(slots.len().is_power_of_two() && head.len() == 1 && tail.len() == 1);
        let next = head[0].load(Ordering::Relaxed);
        Producer {
            slots,
            head,
            tail,
            next,
        }
    }

    /// Copies `frame` into the ring and makes it visible.
    pub fn push(&mut self, about: &About, frame: &[u8]) -> Result<(), PushError> {
        if frame.len() > FRAME_MAX {
            return Err(PushError::TooLong(frame.len()));
        }
        // A tail ahead of the head is corrupt and counts as a full ring.
        let used = self.next.wrapping_sub(self.tail[0].load(Ordering::Acquire));
        if used >= self.slots.len() as u64 {
            return Err(PushError::Full);
        }
        let slot = &self.slots[self.next as usize & (self.slots.len() - 1)];
        for (word, bytes) in slot.frame.iter().zip(frame.chunks(8)) {
            let mut padded = [0u8; 8];
            padded[..bytes.len()].copy_from_slice(bytes);
            word.store(u64::from_ne_bytes(padded), Ordering::Relaxed);
        }
        let bits = frame.len() as u64
            | u64::from(about.port) << 16
            | u64::from(about.reason) << 32
            | u64::from(about.lcore) << 40;
        slot.about.store(bits, Ordering::Relaxed);
        slot.time.store(about.time_ns, Ordering::Relaxed);
        slot.session.store(
            u64::from(about.session) | u64::from(about.generation) << 32,
            Ordering::Relaxed,
        );
        self.next = self.next.wrapping_add(1);
        self.head[0].store(self.next, Ordering::Release);
        Ok(())
    }

    /// Frames ever pushed.
    pub fn pushed(&self) -> u64 {
        self.next
    }
}

/// The side that reads frames.
#[derive(Debug)]
pub struct Consumer {
    slots: Shared<Slot>,
    head: Shared<AtomicU64>,
    tail: Shared<AtomicU64>,
    next: u64,
    corrupt: u64,
}

impl Consumer {
    pub(crate) fn new(slots: Shared<Slot>, head: Shared<AtomicU64>, tail: Shared<AtomicU64>) -> Consumer {
        assert!(slots.len().is_power_of_two() && head.len() == 1 && tail.len() == 1);
        let next = tail[0].load(Ordering::Relaxed);
        Consumer {
            slots,
            head,
            tail,
            next,
            corrupt: 0,
        }
    }

    /// Whether a frame waits: one load, for a polling loop.
    #[inline(always)]
    pub fn has_frames(&self) -> bool {
        self.head[0].load(Ordering::Relaxed) != self.next
    }

    /// Copies the oldest frame into `out` (cleared first). `None` when the ring is empty.
    pub fn pop(&mut self, out: &mut Vec<u8>) -> Option<About> {
        let mut buffer = [0u8; FRAME_MAX];
        let (about, len) = self.pop_into(&mut buffer)?;
        out.clear();
        out.extend_from_slice(&buffer[..len]);
        Some(about)
    }

    /// Copies the oldest frame into `out`, and returns how long it is.
    pub fn pop_into(&mut self, out: &mut [u8; FRAME_MAX]) -> Option<(About, usize)> {
        let head = self.head[0].load(Ordering::Acquire);
        let waiting = head.wrapping_sub(self.next);
        if waiting == 0 {
            return None;
        }
        if waiting > self.slots.len() as u64 {
            self.corrupt += 1;
            self.next = head;
            self.tail[0].store(head, Ordering::Release);
            return None;
        }
        let slot = &self.slots[self.next as usize & (self.slots.len() - 1)];
        let bits = slot.about.load(Ordering::Relaxed);
        let session = slot.session.load(Ordering::Relaxed);
        let about = About {
            port: (bits >> 16) as u16,
            reason: (bits >> 32) as u8,
            lcore: (bits >> 40) as u8,
            time_ns: slot.time.load(Ordering::Relaxed),
            session: session as u32,
            generation: (session >> 32) as u32,
        };
        let len = usize::from(bits as u16).min(FRAME_MAX);
        for (bytes, word) in out[..len.next_multiple_of(8)]
            .chunks_exact_mut(8)
            .zip(&slot.frame)
        {
            bytes.copy_from_slice(&word.load(Ordering::Relaxed).to_ne_bytes());
        }
        self.next = self.next.wrapping_add(1);
        self.tail[0].store(self.next, Ordering::Release);
        Some((about, len))
    }

    /// Frames waiting now, as far as the head can be believed.
    pub fn depth(&self) -> u64 {
        self.head[0]
            .load(Ordering::Relaxed)
            .wrapping_sub(self.next)
            .min(self.slots.len() as u64)
    }

    /// How often the producer's head was impossible.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }
}

#[cfg(any(test, loom))]
impl Slot {
    fn empty() -> Slot {
        Slot {
            about: AtomicU64::new(0),
            time: AtomicU64::new(0),
            session: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
            frame: core::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

/// A ring on the heap, for tests and models.
#[cfg(any(test, loom))]
pub fn on_heap(slots: usize) -> (Producer, Consumer, Shared<AtomicU64>) {
    let cells = Shared::on_heap(slots, Slot::empty);
    let head = Shared::on_heap(1, || AtomicU64::new(0));
    let tail = Shared::on_heap(1, || AtomicU64::new(0));
    let producer = Producer::new(cells.clone(), head.clone(), tail.clone());
    (producer, Consumer::new(cells, head.clone(), tail), head)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn frames_of_every_length_come_out_as_they_went_in() {
        let (mut producer, mut consumer, _) = on_heap(4);
        let mut out = Vec::new();

        for len in (0..=65).chain([1514, FRAME_MAX]) {
            let frame: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
            let about = About {
                port: 3,
                reason: 2,
                lcore: 1,
                time_ns: len as u64,
                session: 9,
                generation: 8,
            };
            producer.push(&about, &frame).unwrap();
            assert_eq!(consumer.pop(&mut out), Some(about));
            assert_eq!(out, frame);
        }
        assert_eq!(
            producer.push(&About::default(), &[0; FRAME_MAX + 1]),
            Err(PushError::TooLong(FRAME_MAX + 1))
        );
    }

    #[test]
    fn a_full_ring_refuses_and_a_drained_one_takes_again() {
        let (mut producer, mut consumer, _) = on_heap(4);
        let mut out = Vec::new();

        for i in 0..4 {
            producer
                .push(
                    &About {
                        session: i,
                        ..About::default()
                    },
                    &[i as u8],
                )
                .unwrap();
        }
        assert_eq!(producer.push(&About::default(), &[9]), Err(PushError::Full));
        for i in 0..4 {
            assert_eq!(consumer.pop(&mut out).unwrap().session, i);
        }
        assert_eq!(consumer.pop(&mut out), None);
        producer.push(&About::default(), &[5]).unwrap();
    }

    #[test]
    fn an_impossible_head_is_counted_and_skipped() {
        let (_, mut consumer, head) = on_heap(4);

        head[0].store(1 << 40, Ordering::Relaxed);

        assert_eq!(consumer.pop(&mut Vec::new()), None);
        assert_eq!(consumer.corrupt(), 1);
        assert!(!consumer.has_frames());
    }
}
