//! `sluice-bench`: measures the pipeline beside testpmd, in turn, on the same frames.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use serde_json::json;
use shm_bridge::Direction;
use sluice_bench::side_by_side::{self, Plan, Row, SESSIONS};
use sluice_bench::{page, traffic, tsc};

#[derive(Debug, Parser)]
#[command(about = "Measure the pipeline beside testpmd")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a pcap of frames.
    Pcap {
        #[arg(long, value_enum, default_value = "upstream")]
        direction: Way,
        #[arg(long, default_value_t = 4096)]
        sessions: u32,
        #[arg(long, default_value_t = 4096)]
        packets: u32,
        /// Frame length with FCS.
        #[arg(long, default_value_t = 64)]
        bytes: usize,
        #[arg(long, default_value_t = 42)]
        seed: u64,
        out: PathBuf,
    },
    /// Compare testpmd io, l3fwd and our worker, upstream and downstream.
    Run {
        /// Rows such as up.4096,down.65536; all of the table where absent.
        #[arg(long, value_delimiter = ',')]
        only: Vec<Row>,
        /// Gardens and table updates: without rows these alone, with rows both.
        #[arg(long)]
        features: bool,
        #[arg(long, default_value_t = 64)]
        bytes: usize,
        /// Fresh starts of each program.
        #[arg(long, default_value_t = 5)]
        starts: usize,
        /// Windows a start.
        #[arg(long, default_value_t = 3)]
        windows: usize,
        /// Length of a window.
        #[arg(long, default_value_t = 1000)]
        window_ms: u64,
        /// The worker's binary.
        #[arg(long, default_value = "target/release/sluice-worker")]
        worker: PathBuf,
        /// Where bench/l3fwd/build.sh put l3fwd.
        #[arg(long, default_value = "target/l3fwd")]
        l3fwd: PathBuf,
        /// Where the figures go.
        #[arg(long, default_value = "bench/out/summary.json")]
        out: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Way {
    Upstream,
    Downstream,
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Pcap {
            direction,
            sessions,
            packets,
            bytes,
            seed,
            out,
        } => {
            let direction = match direction {
                Way::Upstream => Direction::Upstream,
                Way::Downstream => Direction::Downstream,
            };
            let file = File::create(&out).with_context(|| out.display().to_string())?;
            traffic::write_pcap(BufWriter::new(file), direction, sessions, packets, bytes, seed)?;
            Ok(())
        }
        Command::Run {
            only,
            features,
            bytes,
            starts,
            windows,
            window_ms,
            worker,
            l3fwd,
            out,
        } => {
            let all = only.is_empty() && !features;
            let rows = if all { all_rows() } else { only };
            let plan = Plan {
                rows,
                features: features || all,
                starts,
                windows,
                window: Duration::from_millis(window_ms),
                bytes,
                worker,
                l3fwd,
            };
            run(&plan, &out)
        }
    }
}

fn all_rows() -> Vec<Row> {
    SESSIONS
        .into_iter()
        .flat_map(|sessions| Direction::ALL.map(|direction| Row { direction, sessions }))
        .collect()
}

fn run(plan: &Plan, out: &Path) -> anyhow::Result<()> {
    let mhz = tsc::hertz() / 1e6;
    let load_before = std::fs::read_to_string("/proc/loadavg")?;
    let outcome = side_by_side::run(plan, mhz)?;

    let mut summary = outcome.to_json()?;
    let machine = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = machine
        .lines()
        .find_map(|line| line.strip_prefix("model name\t: "));
    summary.insert("machine".to_owned(), json!({ "cpu": model, "tsc_mhz": mhz }));
    summary.insert("frame_bytes".to_owned(), json!(plan.bytes));
    summary.insert("load_before".to_owned(), json!(load_before.trim()));
    summary.insert(
        "load".to_owned(),
        json!(std::fs::read_to_string("/proc/loadavg")?.trim()),
    );
    summary.insert("commit".to_owned(), json!(commit()));
    if let Some(dir) = out.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(out, serde_json::to_string_pretty(&summary)?)
        .with_context(|| out.display().to_string())?;
    let about = format!(
        "{}, TSC {mhz:.0} MHz, {}-byte frames, load before {}, commit {}",
        model.unwrap_or("unknown CPU"),
        plan.bytes,
        load_before.trim(),
        commit().as_deref().unwrap_or("unknown")
    );
    let page = out.with_file_name("index.html");
    std::fs::write(&page, page::html(&outcome, mhz, &about)).with_context(|| page.display().to_string())?;
    println!("{}", page::markdown(&outcome, mhz, &about));
    Ok(())
}

/// The commit that is checked out; `None` outside a repository.
fn commit() -> Option<String> {
    let output = std::process::Command::new("git")
        .args(["rev-parse", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
