//! Packets through the whole pipeline, the express way beside the stages.
//!
//! The input is a script: subscribers' policies change, frames come in bursts. The test kit checks after each burst that every
//! packet has one verdict and that the sum of law 2 holds; the twin, that verdicts, bytes, counters and states are the same both
//! ways.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::script::Stage;

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage::honest());
}

fuzz_target!(
    init: STAGE.with(|_| ()),
    |script: &[u8]| STAGE.with_borrow_mut(|stage| stage.play(script))
);
