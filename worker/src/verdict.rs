//! What becomes of a packet: exactly one of these.

use shm_bridge::{DropReason, PuntReason};

/// The end of a packet's way through this lcore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Out of this port, as the frame stands now.
    Forward { port: u8 },
    /// Gone. Already counted in the context's [`Counts`](crate::counts::Counts).
    Drop(DropReason),
    /// To control, as the frame stands now: whole, as it was received, tags in it. Counted by whoever puts it into the ring.
    Punt(PuntReason),
    /// To the lcore in this slot, the frame as it was received (stripped tags still beside it).
    HandOver { slot: u8, way: Way },
}

/// How much of the way is before a packet that comes to an lcore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// All of it.
    Whole,
    /// The sender's half is done, on another lcore: what remains is the receiving subscriber's downstream half.
    Downstream,
}
