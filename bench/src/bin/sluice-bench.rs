//! `sluice-bench`: measures the pipeline beside testpmd, in turn, on the same frames.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum};
use comfy_table::Table;
use serde::Serialize;
use shm_bridge::layout::Geometry;
use shm_bridge::segment::{Pages, SegmentConfig};
use shm_bridge::{ControlSide, Direction};
use sluice_bench::meter::{Telemetry, median};
use sluice_bench::{peers, tables, traffic, tsc};

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
    /// Compare testpmd io and our worker, upstream and downstream.
    Run {
        #[arg(long, default_value_t = 4096)]
        sessions: u32,
        #[arg(long, default_value_t = 64)]
        bytes: usize,
        /// Fresh starts of each program.
        #[arg(long, default_value_t = 5)]
        starts: usize,
        /// One-second windows a start.
        #[arg(long, default_value_t = 3)]
        windows: usize,
        /// The worker's binary.
        #[arg(long, default_value = "target/release/sluice-worker")]
        worker: PathBuf,
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

/// One program's or ratio's figures over its starts.
#[derive(Debug, Serialize)]
struct Figure {
    median: f64,
    min: f64,
    max: f64,
    starts: usize,
}

impl Figure {
    fn of(values: &[f64]) -> Figure {
        Figure {
            median: median(values),
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            starts: values.len(),
        }
    }
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
            sessions,
            bytes,
            starts,
            windows,
            worker,
            out,
        } => run(sessions, bytes, starts, windows, &worker, &out),
    }
}

fn run(
    sessions: u32,
    bytes: usize,
    starts: usize,
    windows: usize,
    worker: &Path,
    out: &Path,
) -> anyhow::Result<()> {
    let hertz = tsc::hertz();
    let mut table = Table::new();
    table.set_header(["direction", "program", "Mpps", "tsc/packet", "min..max Mpps"]);
    let mut figures = serde_json::Map::new();
    for (direction, short) in [(Direction::Upstream, "up"), (Direction::Downstream, "down")] {
        let dir = tempfile::tempdir()?;
        let pcap = dir.path().join("frames.pcap");
        let file = BufWriter::new(File::create(&pcap)?);
        traffic::write_pcap(file, direction, sessions, sessions.max(4096), bytes, 42)?;
        let config = peers::write_config(dir.path(), direction, sessions)?;
        let segment = SegmentConfig {
            name: "bench".to_owned(),
            run_dir: dir.path().to_owned(),
            pages: Pages::Auto,
            geometry: Geometry {
                sessions: (sessions + 1).next_power_of_two().max(64),
                tbl8_groups: sessions / 256 + 16,
                ..Geometry::default()
            },
        };
        let control = ControlSide::attach(&segment)?;
        tables::fill(&control, sessions)?;

        let (mut floor, mut ours) = (Vec::new(), Vec::new());
        for start in 0..starts {
            let log = dir.path().join("program.log");
            {
                let prefix = format!("sluice-bench-io-{}-{start}", std::process::id());
                let _running = peers::testpmd(&prefix, &pcap, &log)?;
                floor.push(measure(&prefix, windows).with_context(|| read(&log))?);
            }
            let prefix = format!("sluice-bench-w-{}-{start}", std::process::id());
            let _running = peers::worker(worker, &prefix, &pcap, &config, &log)?;
            ours.push(measure(&prefix, windows).with_context(|| read(&log))?);
        }
        if let Some(path) = &control.about.path {
            std::fs::remove_file(path)?;
        }

        for (name, values) in [("testpmd io", &floor), ("sluice-worker", &ours)] {
            let figure = Figure::of(values);
            table.add_row([
                short.to_owned(),
                name.to_owned(),
                format!("{:.2}", figure.median),
                format!("{:.1}", hertz / 1e6 / figure.median),
                format!("{:.2}..{:.2}", figure.min, figure.max),
            ]);
        }
        let ratios: Vec<f64> = ours
            .iter()
            .zip(&floor)
            .map(|(ours, floor)| ours / floor)
            .collect();
        let deltas: Vec<f64> = ours
            .iter()
            .zip(&floor)
            .map(|(ours, floor)| hertz / 1e6 * (1.0 / ours - 1.0 / floor))
            .collect();
        for (name, values) in [("io", &ratios), ("delta_tsc", &deltas)] {
            figures.insert(
                format!("{short}.{sessions}.{name}"),
                serde_json::to_value(Figure::of(values))?,
            );
        }
        table.add_row([
            short.to_owned(),
            "ratio, delta".to_owned(),
            format!("{:.3}", median(&ratios)),
            format!("{:.1}", median(&deltas)),
            String::new(),
        ]);
    }
    println!("{table}");
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let summary = serde_json::json!({
        "figures": figures,
        "tsc_mhz": hertz / 1e6,
        "frame_bytes": bytes,
        "load": load.trim(),
    });
    if let Some(dir) = out.parent() {
        std::fs::create_dir_all(dir)?;
    }
    std::fs::write(out, serde_json::to_string_pretty(&summary)?)
        .with_context(|| out.display().to_string())?;
    Ok(())
}

/// The median of a start's windows, Mpps.
fn measure(prefix: &str, windows: usize) -> anyhow::Result<f64> {
    let telemetry = Telemetry::connect(prefix)?;
    std::thread::sleep(Duration::from_secs(1));
    let windows = telemetry.measure(windows, Duration::from_secs(1))?;
    Ok(median(
        &windows.iter().map(|window| window.mpps).collect::<Vec<_>>(),
    ))
}

/// The end of a program's log, for an error.
fn read(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().rev().take(10).collect();
    format!(
        "{}: {}",
        log.display(),
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}
