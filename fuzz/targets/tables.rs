//! Packets while the other process writes any word into its tables: nothing panics, every packet has one verdict, the sum of law 2
//! holds, and the express way still does what the stages do.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sluice_fuzz::script::Stage;

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage::hostile());
}

fuzz_target!(
    init: STAGE.with(|_| ()),
    |script: &[u8]| STAGE.with_borrow_mut(|stage| stage.play(script))
);
