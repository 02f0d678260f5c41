//! Instructions of x86-64-v3.

#[cfg(target_arch = "x86_64")]
pub use x86_64::V3;

#[cfg(not(target_arch = "x86_64"))]
pub use elsewhere::V3;

/// Which bytes of two pieces make up 32: an index below 16 takes a byte, [`Picks::NONE`] none. For the lower half what both pieces
/// give is or'ed, and of it the bits of `counts` are kept; the upper half is of the first.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(16))]
pub struct Picks {
    pub first: [u8; 16],
    pub second: [u8; 16],
    pub counts: [u8; 16],
    pub upper: [u8; 16],
}

impl Picks {
    pub const NONE: u8 = 0x80;
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::asm;
    use std::arch::x86_64::*;

    use shm_bridge::sync::AtomicU64;

    use super::Picks;
    use crate::simd::level::Pass;

    /// Proof that this processor has them: it is only made where they were found.
    #[derive(Clone, Copy, Debug)]
    pub struct V3(());

    impl V3 {
        pub fn detect() -> Option<V3> {
            let has = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("bmi1")
                && is_x86_feature_detected!("bmi2")
                && is_x86_feature_detected!("lzcnt")
                && is_x86_feature_detected!("movbe")
                && is_x86_feature_detected!("popcnt");
            has.then_some(V3(()))
        }

        #[inline(always)]
        pub fn run<P: Pass>(self, pass: P) -> P::Output {
            // SAFETY: the processor has the features; this value proves it.
            unsafe { run(pass, self) }
        }

        /// Whether bits that count differ from those expected.
        #[inline(always)]
        pub fn differs(self, bytes: &[u8; 32], expected: &[u8; 32], counts: &[u8; 32]) -> bool {
            // SAFETY: as above.
            unsafe { differs(bytes, expected, counts) }
        }

        /// The same of memory that others may write: each of the cells is read once.
        #[inline(always)]
        pub fn cells_differ(self, cells: &[AtomicU64; 4], expected: &[u8; 32], counts: &[u8; 32]) -> bool {
            // SAFETY: as above.
            unsafe { cells_differ(cells, expected, counts) }
        }

        #[inline(always)]
        pub fn pick(self, first: &[u8; 16], second: &[u8; 16], picks: &Picks, into: &mut [u8; 32]) {
            // SAFETY: as above.
            unsafe { pick(first, second, picks, into) }
        }
    }

    // Needed because a pass is the same source for every level, and only a function can be compiled for one.
    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,movbe,popcnt")]
    #[inline(never)]
    fn run<P: Pass>(pass: P, v3: V3) -> P::Output {
        pass.run(v3)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn differs(bytes: &[u8; 32], expected: &[u8; 32], counts: &[u8; 32]) -> bool {
        differ(load_32(bytes), expected, counts)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn cells_differ(cells: &[AtomicU64; 4], expected: &[u8; 32], counts: &[u8; 32]) -> bool {
        let loaded;
        // SAFETY: it reads these cells. In assembler, as a processor's load is defined where somebody else writes: each eight bytes
        // are of one store.
        unsafe {
            asm!("vmovdqu {}, [{}]", lateout(ymm_reg) loaded, in(reg) cells.as_ptr(),
                options(readonly, nostack, preserves_flags));
        }
        differ(loaded, expected, counts)
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn differ(loaded: __m256i, expected: &[u8; 32], counts: &[u8; 32]) -> bool {
        // SAFETY: each is 32 bytes; the loads ask no alignment.
        let (expected, counts) = unsafe {
            (
                _mm256_loadu_si256(expected.as_ptr().cast()),
                _mm256_loadu_si256(counts.as_ptr().cast()),
            )
        };
        _mm256_testz_si256(_mm256_xor_si256(loaded, expected), counts) == 0
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn pick(first: &[u8; 16], second: &[u8; 16], picks: &Picks, into: &mut [u8; 32]) {
        // SAFETY: each is 16 bytes; the loads ask no alignment.
        let constant = |bytes: &[u8; 16]| unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
        let (first, second) = (load_16(first), load_16(second));
        let lower = _mm_or_si128(
            _mm_shuffle_epi8(first, constant(&picks.first)),
            _mm_shuffle_epi8(second, constant(&picks.second)),
        );
        let lower = _mm_and_si128(lower, constant(&picks.counts));
        let upper = _mm_shuffle_epi8(first, constant(&picks.upper));
        // SAFETY: 16 bytes each of 32; the stores ask no alignment.
        unsafe {
            _mm_storeu_si128(into.as_mut_ptr().cast(), lower);
            _mm_storeu_si128(into.as_mut_ptr().add(16).cast(), upper);
        }
    }

    // These loads in assembler, since what the compiler has seen loaded it never loads again: every byte that is asked for after these it would
    // take out of the vector, in several instructions instead of one.

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load_16(bytes: &[u8; 16]) -> __m128i {
        let loaded;
        // SAFETY: it reads these bytes.
        unsafe {
            asm!("vmovdqu {}, [{}]", lateout(xmm_reg) loaded, in(reg) bytes.as_ptr(),
                options(pure, readonly, nostack, preserves_flags));
        }
        loaded
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn load_32(bytes: &[u8; 32]) -> __m256i {
        let loaded;
        // SAFETY: it reads these bytes.
        unsafe {
            asm!("vmovdqu {}, [{}]", lateout(ymm_reg) loaded, in(reg) bytes.as_ptr(),
                options(pure, readonly, nostack, preserves_flags));
        }
        loaded
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod elsewhere {
    use std::convert::Infallible;

    use shm_bridge::sync::AtomicU64;

    use super::Picks;
    use crate::simd::level::Pass;

    /// Never: these are another architecture's.
    #[derive(Clone, Copy, Debug)]
    pub struct V3(Infallible);

    impl V3 {
        pub fn detect() -> Option<V3> {
            None
        }

        pub fn run<P: Pass>(self, _: P) -> P::Output {
            match self.0 {}
        }

        pub fn differs(self, _: &[u8; 32], _: &[u8; 32], _: &[u8; 32]) -> bool {
            match self.0 {}
        }

        pub fn cells_differ(self, _: &[AtomicU64; 4], _: &[u8; 32], _: &[u8; 32]) -> bool {
            match self.0 {}
        }

        pub fn pick(self, _: &[u8; 16], _: &[u8; 16], _: &Picks, _: &mut [u8; 32]) {
            match self.0 {}
        }
    }
}
