//! The time stamp counter, for measuring.

/// Ticks of the time stamp counter; always 0 where the processor has none.
#[inline(always)]
pub fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // Needed because reading the clock costs more than a packet does.
    // SAFETY: rdtsc reads a counter; no kernel we run under forbids it (CR4.TSD is clear on Linux).
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    0
}
