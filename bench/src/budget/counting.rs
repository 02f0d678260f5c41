//! Runs the loads under callgrind, and adds up what it wrote.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};

use super::attribution::Program;
use super::callgrind;
use super::{Budget, Load};

/// The file of the program that is counted; what it does around the pipeline is not.
const HARNESS: &str = "worker/src/bin/sluice-instructions.rs";

/// Counts all loads of `program`, which was built from the project in `root`.
pub fn count(program: &Path, root: &Path) -> anyhow::Result<Budget> {
    let program = program
        .canonicalize()
        .with_context(|| format!("{}: make budget builds it", program.display()))?;
    let root = root.canonicalize().with_context(|| root.display().to_string())?;
    let mut symbols = Program::open(&program, &root)?;
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("counts");
    let story = Story::parse(&run(&program, &out)?)?;

    let mut loads = BTreeMap::new();
    for (part, (name, packets)) in (1..).zip(story.loads) {
        // callgrind numbers its files by the dumps before them.
        let path = dir.path().join(format!("counts.{part}"));
        let text =
            fs::read_to_string(&path).with_context(|| format!("load {name}: callgrind wrote no counts"))?;
        let costs = callgrind::parse(&text).with_context(|| format!("load {name}"))?;
        let load = add_up(&costs, packets, &mut symbols);
        ensure!(
            load.stages.keys().any(|stage| stage.starts_with("worker/")),
            "load {name}: nothing was counted in {}: was {} built there?",
            root.display(),
            program.display()
        );
        loads.insert(name, load);
    }
    Ok(Budget {
        rustc: symbols.compiler()?,
        cpu: story.cpu,
        loads,
    })
}

/// Runs the program; returns what it says.
fn run(program: &Path, out: &Path) -> anyhow::Result<String> {
    let mut out_file = std::ffi::OsString::from("--callgrind-out-file=");
    out_file.push(out);
    let output = Command::new("valgrind")
        .args(["-q", "--tool=callgrind", "--dump-instr=yes"])
        .args(["--compress-strings=no", "--compress-pos=no"])
        .args([
            "--collect-atstart=no",
            "--toggle-collect=sluice_instructions::counted",
        ])
        .arg("--dump-after=sluice_instructions::end_of_load")
        .arg(out_file)
        .arg(program)
        // The stack begins below the environment: with the same one, it lies the same.
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::null())
        .output()
        .context("valgrind: cannot be run (tests/setup-packages.sh installs it)")?;
    if !output.status.success() {
        bail!(
            "valgrind {}: {}\n{}",
            program.display(),
            output.status,
            String::from_utf8_lossy(&output.stderr).trim_end()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What the program says of itself, see there.
#[derive(Debug, PartialEq, Eq)]
struct Story {
    cpu: Vec<String>,
    /// Name and packets, in the order of callgrind's files.
    loads: Vec<(String, u64)>,
}

impl Story {
    fn parse(text: &str) -> anyhow::Result<Story> {
        let mut story = Story {
            cpu: Vec::new(),
            loads: Vec::new(),
        };
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match words.as_slice() {
                ["cpu", features @ ..] => {
                    story.cpu = features.iter().map(|feature| (*feature).to_owned()).collect();
                }
                ["load", name, packets] => {
                    let packets = packets.parse().ok().filter(|packets| *packets > 0);
                    let packets = packets.with_context(|| format!("no number of packets: {line}"))?;
                    story.loads.push(((*name).to_owned(), packets));
                }
                _ => bail!("not understood of the counted program: {line}"),
            }
        }
        ensure!(!story.loads.is_empty(), "the counted program ran no load");
        Ok(story)
    }
}

fn add_up(costs: &[callgrind::Cost], packets: u64, symbols: &mut Program) -> Load {
    let mut total = 0;
    let mut sums: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for cost in costs.iter().filter(|cost| cost.instructions > 0) {
        let owner = symbols.owner(cost);
        if owner.file != HARNESS {
            total += cost.instructions;
            let stage = sums.entry(owner.stage).or_default();
            *stage.entry(owner.file).or_default() += cost.instructions;
        }
    }
    let a_packet = |instructions: u64| (instructions as f64 / packets as f64 * 100.0).round() / 100.0;
    let stage = |files: BTreeMap<String, u64>| {
        let files = files.into_iter().map(|(file, sum)| (file, a_packet(sum)));
        files.collect()
    };
    Load {
        total: a_packet(total),
        stages: sums
            .into_iter()
            .map(|(name, files)| (name, stage(files)))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counted_program_says_what_it_ran() {
        let story = Story::parse("cpu avx2 bmi2\nload upstream 2048\nload downstream 64\n").unwrap();

        assert_eq!(story.cpu, ["avx2", "bmi2"]);
        assert_eq!(
            story.loads,
            [("upstream".to_owned(), 2048), ("downstream".to_owned(), 64)]
        );
    }

    #[test]
    fn a_program_that_says_something_else_is_not_counted() {
        for (text, says) in [
            ("", "the counted program ran no load"),
            ("cpu\nload upstream 0\n", "no number of packets: load upstream 0"),
            ("load upstream many\n", "no number of packets: load upstream many"),
            ("usage: ls\n", "not understood of the counted program: usage: ls"),
        ] {
            assert_eq!(Story::parse(text).unwrap_err().to_string(), says);
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = count(Path::new("/nowhere/program"), Path::new("/")).unwrap_err();

        assert_eq!(error.to_string(), "/nowhere/program: make budget builds it");
    }
}
