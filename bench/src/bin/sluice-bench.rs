//! `sluice-bench`: measures the pipeline beside testpmd and l3fwd, in turn, on the same frames; makes traffic for other testers.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, Subcommand};
use sluice_bench::bursts::{self, BurstPlan};
use sluice_bench::plan::Plan;
use sluice_bench::side_by_side::{Row, all_rows};
use sluice_bench::start::Manner;
use sluice_bench::summary::Machine;
use sluice_bench::traffic::arguments::TrafficArguments;
use sluice_bench::{leftovers, page, summary, tsc};

#[derive(Debug, Parser)]
#[command(about = "Measure the pipeline beside testpmd and l3fwd")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a pcap of frames: QinQ upstream, plain IP downstream, the same for the same seed.
    Traffic(TrafficArguments),
    /// Compare testpmd io, l3fwd and our worker, upstream and downstream.
    Run(RunArguments),
    /// Ticks a packet and latency of our worker by size of burst, under full load.
    Bursts(BurstArguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// Rows such as up.4096,down.65536. Without this, --features and --lcores: everything.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Row>,
    /// Gardens, table updates, adversarial traffic.
    #[arg(long)]
    features: bool,
    /// One lcore and two, spread by the NIC or in software.
    #[arg(long)]
    lcores: bool,
    /// Frame length with FCS.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(64..=1518))]
    bytes: u16,
    /// Fresh starts of each program.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    starts: u16,
    /// Windows a start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    windows: u16,
    /// Length of a window.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    window_ms: u64,
    /// The worker's binary.
    #[arg(long, default_value = "target/release/sluice-worker")]
    worker: PathBuf,
    /// Where bench/l3fwd/build.sh put l3fwd.
    #[arg(long, default_value = "target/l3fwd")]
    l3fwd: PathBuf,
    /// Where the figures go; the page, index.html, goes beside them.
    #[arg(long, default_value = "bench/out/summary.json")]
    out: PathBuf,
}

#[derive(Debug, clap::Args)]
struct BurstArguments {
    /// Sizes to measure; a burst has 32 packets at most.
    #[arg(long, value_delimiter = ',', default_value = "4,8,16,32", value_parser = clap::value_parser!(u16).range(4..=32))]
    bursts: Vec<u16>,
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1 << 20))]
    sessions: u32,
    /// Frame length with FCS.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(64..=1518))]
    bytes: u16,
    /// Fresh starts of each size.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
    starts: u16,
    /// Windows a start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    windows: u16,
    /// Length of a window.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(10..))]
    window_ms: u64,
    /// The worker's binary.
    #[arg(long, default_value = "target/release/sluice-worker")]
    worker: PathBuf,
}

fn main() -> anyhow::Result<()> {
    leftovers::remove_at_signals()?;
    match Arguments::parse().command {
        Command::Traffic(arguments) => {
            let (network, traffic) = arguments.make()?;
            let out = &arguments.out;
            let file = File::create(out).with_context(|| out.display().to_string())?;
            traffic.write_pcap(&network, BufWriter::new(file))?;
            println!("{}", arguments.fates(&network, &traffic));
            Ok(())
        }
        Command::Run(arguments) => {
            let out = arguments.out.clone();
            run(&arguments.plan(), &out)
        }
        Command::Bursts(arguments) => arguments.run(),
    }
}

impl BurstArguments {
    fn run(self) -> anyhow::Result<()> {
        let mhz = tsc::hertz() / 1e6;
        let mut machine = Machine::look(mhz)?;
        let plan = BurstPlan {
            bursts: self.bursts,
            sessions: self.sessions,
            bytes: usize::from(self.bytes),
            starts: usize::from(self.starts),
            manner: Manner {
                windows: usize::from(self.windows),
                window: Duration::from_millis(self.window_ms),
                worker: self.worker,
                // Not started here.
                l3fwd: PathBuf::new(),
            },
        };
        let rows = plan.run(mhz)?;
        machine.look_again()?;
        println!(
            "{}, TSC {mhz:.0} MHz; load before {}, after {}; commit {}\n\n{}",
            machine.cpu.as_deref().unwrap_or("unknown CPU"),
            machine.load_before,
            machine.load_after,
            machine.commit.as_deref().unwrap_or("unknown"),
            bursts::markdown(&rows)
        );
        Ok(())
    }
}

impl RunArguments {
    fn plan(self) -> Plan {
        let all = self.only.is_empty() && !self.features && !self.lcores;
        Plan {
            rows: if all { all_rows() } else { self.only },
            features: self.features || all,
            lcores: self.lcores || all,
            starts: usize::from(self.starts),
            bytes: usize::from(self.bytes),
            manner: Manner {
                windows: usize::from(self.windows),
                window: Duration::from_millis(self.window_ms),
                worker: self.worker,
                l3fwd: self.l3fwd,
            },
        }
    }
}

fn run(plan: &Plan, out: &Path) -> anyhow::Result<()> {
    let mhz = tsc::hertz() / 1e6;
    let mut machine = Machine::look(mhz)?;
    let outcome = plan.run(mhz)?;
    machine.look_again()?;

    if let Some(dir) = out.parent() {
        std::fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
    }
    let text = serde_json::to_string_pretty(&summary::json(&outcome, plan, &machine))?;
    std::fs::write(out, text).with_context(|| out.display().to_string())?;
    let (page, facts) = (out.with_file_name("index.html"), summary::facts(plan, &machine));
    std::fs::write(&page, page::html(&outcome, mhz, &facts)).with_context(|| page.display().to_string())?;
    println!("{}", page::markdown(&outcome, mhz, &facts));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent_and_no_choice_is_everything() {
        Arguments::command().debug_assert();
        let plan = |words: &[&str]| {
            let all = ["sluice-bench", "run"].iter().chain(words);
            match Arguments::parse_from(all).command {
                Command::Run(run) => run.plan(),
                Command::Traffic(_) | Command::Bursts(_) => unreachable!(),
            }
        };
        let all = plan(&[]);
        assert_eq!((all.rows.len(), all.features, all.lcores), (6, true, true));
        let some = plan(&["--only", "up.4096", "--features"]);
        assert_eq!((some.rows.len(), some.features, some.lcores), (1, true, false));
    }
}
