//! The operator's files: any text gives a configuration or an error that can be printed and points into the text.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice_config::{Config, Subscribers};

static EXAMPLE: LazyLock<Config> = LazyLock::new(|| {
    let text = include_str!("../../config/sluice.toml");
    Config::parse("sluice.toml", text).expect("the example is right")
});

fuzz_target!(|text: &str| {
    match Config::parse("sluice.toml", text) {
        Ok(config) => {
            assert_eq!(config.check(), [], "what was read holds together");
            assert!(config.pools.iter().all(|pool| pool.capacity() > 0));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(!error.problems().is_empty());
            for problem in error.problems() {
                assert!(text.get(problem.span.clone()).is_some(), "{problem:?}");
            }
        }
    }
    let _ = Subscribers::parse("subscribers.toml", text, &EXAMPLE);
});
