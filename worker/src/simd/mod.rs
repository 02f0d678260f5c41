//! What the compiler does not do by itself: hints, counters and wide instructions of the processor, behind safe functions.

pub mod level;
pub mod prefetch;
pub mod tsc;
pub mod v3;
