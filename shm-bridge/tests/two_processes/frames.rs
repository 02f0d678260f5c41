//! Frames over the rings, numbered and with a checksum, so that the other end sees one that is lost, doubled or damaged.

use shm_bridge::ring::{About, Consumer, Producer, PushError};

use crate::common::Random;

/// What one end has sent and seen on one lcore's pair of rings.
#[derive(Default)]
pub struct Frames {
    sent: u32,
    /// The number of the last frame taken; `None` before the first.
    seen: Option<u32>,
    pub full: u64,
    pub bad: u64,
}

impl Frames {
    /// Sends the next frame if there is room.
    pub fn send(&mut self, ring: &mut Producer, lcore: usize) {
        let number = self.sent + 1;
        let mut random = Random::new(u64::from(number) << 8 | lcore as u64);
        let mut frame = vec![0u8; 14 + random.below(1500) as usize];
        for chunk in frame.chunks_mut(8) {
            let word = random.next().to_ne_bytes();
            chunk.copy_from_slice(&word[..chunk.len()]);
        }
        let about = About {
            port: lcore as u16,
            session: number,
            generation: checksum(&frame),
            time_ns: frame.len() as u64,
            ..About::default()
        };
        match ring.push(&about, &frame) {
            Ok(()) => self.sent = number,
            Err(PushError::Full) => self.full += 1,
            Err(PushError::TooLong(len)) => panic!("{len}"),
        }
    }

    /// Takes a frame and judges it; false where there was none.
    pub fn take(&mut self, ring: &mut Consumer) -> bool {
        let mut frame = Vec::new();
        let Some(about) = ring.pop(&mut frame) else {
            return false;
        };
        // A successor finds the middle of the row.
        let in_order = self.seen.is_none_or(|seen| about.session == seen + 1);
        let whole = about.time_ns == frame.len() as u64 && about.generation == checksum(&frame);
        if !in_order || !whole {
            self.bad += 1;
        }
        self.seen = Some(about.session);
        true
    }

    pub fn expect_anew(&mut self) {
        self.seen = None;
    }

    pub fn sent(&self) -> u32 {
        self.sent
    }
}

fn checksum(frame: &[u8]) -> u32 {
    frame.iter().fold(0x811c_9dc5, |sum, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}
