//! The instruction budget: how many instructions a packet costs, by stage and direction, and whether that has grown.
//!
//! ```text
//!  sluice-instructions (worker/, without DPDK) ── under callgrind ──► instructions at each address        callgrind
//!                                                 debug information ──► whose they are                    attribution
//!                                                                            │                            counting
//!  bench/budget.json ◄── make budget-bless ──────────────────────────────────┤
//!        └───────────────────────────────────────────── make budget ─────────┴──► what grew, what shrank  comparison
//! ```
//!
//! Unlike time, a count is the same on a busy machine, and a growth of a few percent is seen in one run. What it does not see is
//! waiting: cache misses, mispredicted branches, chains of dependent instructions. Those are `sluice-bench`'s.
//!
//! A count holds for a compiler, and for what of the processor code is chosen by at run time. Both stand in the file; counts under others
//! are shown, and warn instead of failing. Valgrind hides AVX-512.

pub mod attribution;
pub mod callgrind;
pub mod comparison;
pub mod counting;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

/// What was counted, now or when the budget was written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// The compiler that says it made the program.
    pub rustc: String,
    /// What the processor has, as the program saw it.
    pub cpu: Vec<String>,
    pub loads: BTreeMap<String, Load>,
}

/// One kind of packets in one direction. Instructions a packet, two decimals.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Load {
    pub total: f64,
    /// By stage, and in it by the file that the instructions are of.
    pub stages: BTreeMap<String, BTreeMap<String, f64>>,
}

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: there is no budget: make budget-bless writes one", .0.display())]
    Missing(PathBuf),
    #[error("{}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("{}: no instruction budget: {source}", path.display())]
    Malformed {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: load {load}: {value} is no number of instructions", path.display())]
    NoCount { path: PathBuf, load: String, value: f64 },
}

impl Budget {
    pub fn read(path: &Path) -> Result<Budget, FileError> {
        let text = fs::read_to_string(path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => FileError::Missing(path.to_owned()),
            _ => FileError::Unreadable {
                path: path.to_owned(),
                source,
            },
        })?;
        let budget: Budget = serde_json::from_str(&text).map_err(|source| FileError::Malformed {
            path: path.to_owned(),
            source,
        })?;
        for (name, load) in &budget.loads {
            // A total is divided by; a stage may cost nothing.
            let parts = load.stages.values().flat_map(BTreeMap::values);
            let wrong = parts.copied().find(|part| *part < 0.0);
            if let Some(value) = wrong.or((load.total <= 0.0).then_some(load.total)) {
                return Err(FileError::NoCount {
                    path: path.to_owned(),
                    load: name.clone(),
                    value,
                });
            }
        }
        Ok(budget)
    }

    pub fn write(&self, path: &Path) -> Result<(), FileError> {
        fs::write(path, self.text()).map_err(|source| FileError::Unreadable {
            path: path.to_owned(),
            source,
        })
    }

    /// As JSON with a line for each stage, so that a diff shows the stages that changed.
    fn text(&self) -> String {
        let loads = self.loads.iter().map(|(name, load)| {
            let stages = load.stages.iter().map(|(stage, files)| {
                let files = files
                    .iter()
                    .map(|(file, count)| format!("{}: {count}", json!(file)));
                format!("        {}: {{ {} }}", json!(stage), joined(files, ", "))
            });
            format!(
                "    {}: {{\n      \"total\": {},\n      \"stages\": {{\n{}\n      }}\n    }}",
                json!(name),
                load.total,
                joined(stages, ",\n")
            )
        });
        format!(
            "{{\n  \"rustc\": {},\n  \"cpu\": {},\n  \"loads\": {{\n{}\n  }}\n}}\n",
            json!(self.rustc),
            json!(self.cpu),
            joined(loads, ",\n")
        )
    }
}

fn joined(parts: impl Iterator<Item = String>, separator: &str) -> String {
    parts.collect::<Vec<_>>().join(separator)
}

impl Load {
    /// A stage's instructions a packet; 0 where it has none.
    pub fn stage(&self, name: &str) -> f64 {
        self.stages.get(name).map_or(0.0, |files| files.values().sum())
    }

    /// Those of one file in a stage.
    pub fn file(&self, stage: &str, file: &str) -> f64 {
        self.stages
            .get(stage)
            .and_then(|files| files.get(file))
            .copied()
            .unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_budget_has_loads_in_both_directions_and_their_stages_add_up() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("budget.json");

        let budget = Budget::read(&path).unwrap();

        for direction in ["upstream", "downstream"] {
            assert!(budget.loads.contains_key(direction), "{direction}");
        }
        for (name, load) in &budget.loads {
            let sum: f64 = load.stages.keys().map(|stage| load.stage(stage)).sum();
            // Each part is rounded to a hundredth.
            assert!((sum - load.total).abs() < 1.0, "{name}: {sum} of {}", load.total);
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("budget.json");
        let files = BTreeMap::from([("shm-bridge/src/fib.rs".to_owned(), 12.5)]);
        let load = Load {
            total: 12.5,
            stages: BTreeMap::from([("worker/src/stages/fib.rs run".to_owned(), files)]),
        };
        let budget = Budget {
            rustc: "rustc version 1.95.0".to_owned(),
            cpu: vec!["avx2".to_owned()],
            loads: BTreeMap::from([("upstream".to_owned(), load)]),
        };

        budget.write(&path).unwrap();

        assert_eq!(Budget::read(&path).unwrap(), budget);
    }

    #[test]
    fn a_file_that_is_no_budget_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("budget.json");
        let error = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(&path, text).unwrap();
            }
            Budget::read(&path).unwrap_err().to_string()
        };
        let with_total = |total: &str| {
            format!(r#"{{"rustc":"r","cpu":[],"loads":{{"upstream":{{"total":{total},"stages":{{}}}}}}}}"#)
        };

        for (text, says) in [
            (None, "there is no budget: make budget-bless writes one"),
            (Some(""), "no instruction budget: EOF"),
            (Some("{}"), "missing field `rustc`"),
            (
                Some(r#"{"rustc":"r","cpu":[],"loads":{},"more":1}"#),
                "unknown field `more`",
            ),
            (Some(&with_total("\"many\"")), "invalid type"),
            (Some(&with_total("1e999")), "number out of range"),
            (
                Some(&with_total("0.0")),
                "load upstream: 0 is no number of instructions",
            ),
            (
                Some(&with_total("-3.5")),
                "load upstream: -3.5 is no number of instructions",
            ),
        ] {
            let error = error(text);
            assert!(error.contains(says), "{error}");
            assert!(error.starts_with(path.to_str().unwrap()), "{error}");
        }
    }

    #[test]
    fn a_folder_is_no_budget() {
        let dir = tempfile::tempdir().unwrap();

        let error = Budget::read(dir.path()).unwrap_err().to_string();

        assert!(error.starts_with(dir.path().to_str().unwrap()), "{error}");
    }
}
