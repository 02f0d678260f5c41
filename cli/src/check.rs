//! `sluice check`: is the configuration right, and the subscribers' file that it names?

use std::path::Path;

use serde_json::{Value, json};
use sluice_config::{Config, ConfigError, Problem};

use crate::error::CliError;
use crate::output::{Format, print, print_json};

pub fn check(file: &Path, format: Format) -> Result<(), CliError> {
    match (examine(file), format) {
        (Ok(found), Format::Table) => print(&format!("{}: {found}\n", file.display())),
        (Ok(_), Format::Json) => print_json(&json!({ "file": file, "valid": true, "problems": [] })),
        (Err(error), Format::Table) => Err(error.into()),
        (Err(error), Format::Json) => {
            print_json(&json!({ "file": file, "valid": false, "problems": problems(&error) }))?;
            Err(CliError::Told)
        }
    }
}

/// What is in the file, in a sentence.
fn examine(file: &Path) -> Result<String, ConfigError> {
    let config = Config::load(file)?;
    let subscribers = config.load_subscribers()?;
    let mut text = format!(
        "is right: {} ports, {} pools, {} gardens",
        config.ports.len(),
        config.pools.len(),
        config.gardens.len()
    );
    if let Some(subscribers) = subscribers {
        text.push_str(&format!(
            ", {} subscribers and {} rules",
            subscribers.subscribers.len(),
            subscribers.rules.len()
        ));
    }
    Ok(text)
}

fn problems(error: &ConfigError) -> Vec<Value> {
    if error.problems().is_empty() {
        return vec![json!({ "problem": error.to_string() })];
    }
    error.problems().iter().map(problem).collect()
}

fn problem(problem: &Problem) -> Value {
    json!({
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "problem": problem.kind.to_string(),
        "advice": problem.kind.advice().map(|advice| advice.to_string()),
    })
}
