//! One binary for every processor: a pass of the hot path is compiled for each level of instructions, and the level is chosen at run time.
//!
//! x86-64-v3 is what processors since Haswell and Zen have (x86-64 psABI, "micro-architecture levels"). Everything works without, and is
//! then the oracle for what does it in fewer instructions.

use super::v3::V3;

/// A part of the hot path. Its `run` is to be `#[inline(always)]`, so that it is compiled for the level that calls it.
pub trait Pass {
    type Output;

    fn run<I: Isa>(self, isa: I) -> Self::Output;
}

/// Instructions that a pass may use.
pub trait Isa: Copy {
    /// `Some` where those of x86-64-v3 are there; known when the pass is compiled.
    fn v3(self) -> Option<V3>;
}

/// What every processor has.
#[derive(Clone, Copy, Debug)]
struct Any;

impl Isa for Any {
    #[inline(always)]
    fn v3(self) -> Option<V3> {
        None
    }
}

impl Isa for V3 {
    #[inline(always)]
    fn v3(self) -> Option<V3> {
        Some(self)
    }
}

/// How passes are run on this processor.
#[derive(Clone, Copy, Debug)]
pub struct Level(Option<V3>);

impl Level {
    /// Nothing that not every processor has.
    pub const ANY: Level = Level(None);

    /// The best that this processor has.
    pub fn best() -> Level {
        Level(V3::detect())
    }

    pub fn name(self) -> &'static str {
        match self.0 {
            Some(_) => "x86-64-v3",
            None => "any processor",
        }
    }

    /// Runs a pass, as a function of its own: what it keeps in registers the next pass need not spill.
    #[inline(always)]
    pub fn run<P: Pass>(self, pass: P) -> P::Output {
        match self.0 {
            Some(v3) => v3.run(pass),
            None => run_anywhere(pass),
        }
    }
}

#[inline(never)]
fn run_anywhere<P: Pass>(pass: P) -> P::Output {
    pass.run(Any)
}
