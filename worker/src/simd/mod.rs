//! What the compiler does not do by itself: hints and counters of the processor, behind safe functions.

pub mod prefetch;
pub mod tsc;
