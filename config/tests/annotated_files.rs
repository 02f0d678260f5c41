//! The files operators start from are loaded as they are, and say what their comments say.

use sluice_config::*;
use std::path::Path;
use std::time::Duration;

fn example() -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("sluice.toml");
    Config::load(&path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_example_loads_and_its_subscribers_with_it() {
    let config = example();
    let subscribers = config
        .load_subscribers()
        .unwrap_or_else(|error| panic!("{error}"))
        .unwrap();

    assert_eq!(config.ports.len(), 2);
    assert_eq!(subscribers.subscribers.len(), 2);
}
