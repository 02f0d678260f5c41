//! Documents that are made from the code are as the code is. `SLUICE_BLESS=1 cargo test -p sluice-control --test generated_docs`
//! writes them anew.

use std::fs;
use std::path::Path;

use shm_bridge::{DropReason, PuntReason};

fn compare(name: &str, made: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name);
    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::write(&path, made).unwrap();
    }
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let differs = kept
        .lines()
        .zip(made.lines())
        .find(|(kept, made)| kept != made)
        .map(|(kept, made)| format!("\n  it says  {kept}\n  code says {made}"));
    assert!(
        kept == made,
        "docs/{name} is not what the code says; SLUICE_BLESS=1 writes it anew{}",
        differs.unwrap_or_default()
    );
}

#[test]
fn metrics_are_documented_as_they_are() {
    compare("metrics.md", &sluice_control::metrics::list::markdown());
}

#[test]
fn the_api_is_documented_as_it_is() {
    compare("openapi.json", &sluice_control::rest::openapi::text().unwrap());
}

#[test]
fn drop_and_punt_reasons_are_documented_as_they_are() {
    let mut text = String::from(
        "# Why a packet ended\n\n\
         Made from `shm-bridge/src/reasons.rs`; a test compares the two.\n\n\
         Every packet gets exactly one verdict: forward, drop or punt. The reasons are the values of the label `reason` in metrics, and what \
         `sluice show drops` and `sluice show punts` list.\n\n\
         ## Drops: `bng_drops_total{reason}`\n\n| reason | what happened |\n|---|---|\n",
    );
    for reason in DropReason::ALL {
        text.push_str(&format!("| `{}` | {} |\n", reason.label(), reason.meaning()));
    }
    text.push_str(
        "\n## Punts: `bng_punts_total{reason}`\n\n| reason | what was handed to control |\n|---|---|\n",
    );
    for reason in PuntReason::ALL {
        text.push_str(&format!("| `{}` | {} |\n", reason.label(), reason.meaning()));
    }
    compare("drop-reasons.md", &text);
}
