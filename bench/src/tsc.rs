//! How fast this machine's time-stamp counter ticks.
#![allow(unsafe_code)]

use std::time::{Duration, Instant};

/// Ticks per second, measured over 100 ms.
pub fn hertz() -> f64 {
    let (start, ticks) = (Instant::now(), read());
    std::thread::sleep(Duration::from_millis(100));
    (read() - ticks) as f64 / start.elapsed().as_secs_f64()
}

fn read() -> u64 {
    // SAFETY: RDTSC exists on every x86_64 and touches no memory.
    unsafe { core::arch::x86_64::_rdtsc() }
}
