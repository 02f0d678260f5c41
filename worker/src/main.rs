//! `sluice-worker`: the packet processor.
//!
//! What stands before `--` is DPDK's, what follows is ours.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use shm_bridge::WorkerSide;
use shm_bridge::sides::Tables;
use sluice_config::Config;
use sluice_worker::assembly::{Assembly, assemble};
use sluice_worker::dpdk::{Eal, StopFlag, Timebase};
use sluice_worker::{housekeeping, lcore, telemetry};

/// The packet processor of Sluice.
#[derive(Debug, Parser)]
#[command(version, override_usage = "sluice-worker [EAL ARGUMENTS] -- --config <FILE>")]
struct Arguments {
    /// The configuration, shared with sluice-control.
    #[arg(long, default_value = "/etc/sluice/sluice.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse_from(ours(std::env::args()));
    // A wrong file is said before DPDK takes memory and devices.
    let config = match Config::load(&arguments.config).map_err(miette::Report::new) {
        Ok(config) => config,
        Err(report) => {
            eprintln!("{report:?}");
            return ExitCode::from(2);
        }
    };
    match run(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-worker: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Our own arguments: the program's name and what follows `--`. Without `--`, a call for help or the version is ours.
fn ours(arguments: impl Iterator<Item = String>) -> Vec<String> {
    let all: Vec<String> = arguments.collect();
    let own = match all.iter().position(|argument| argument == "--") {
        Some(separator) => all[separator + 1..].to_vec(),
        None => all
            .iter()
            .skip(1)
            .filter(|a| ["-h", "--help", "-V", "--version"].contains(&a.as_str()))
            .cloned()
            .collect(),
    };
    all.into_iter().take(1).chain(own).collect()
}

fn run(config: &Config) -> anyhow::Result<()> {
    // EAL pins this thread; threads that are not lcores go where they may.
    let unpinned = rustix::thread::sched_getaffinity(None).context("cannot read the CPU affinity")?;
    let stop = StopFlag::on_signals().context("cannot install signal handlers")?;
    let (eal, _) = Eal::init(std::env::args())?;
    let timebase = Timebase::calibrate();
    let side = WorkerSide::attach(&config.segment(), timebase.clock().now_ns())?;
    report_segment(&side);
    let tables: Tables = side.tables.clone();
    let presence = side.presence();
    telemetry::register(&eal, &tables)?;
    let Assembly { mut tasks, ports } = assemble(&eal, config, side, &timebase, &stop)?;

    let watch = {
        let (stop, tables) = (stop.clone(), tables.clone());
        std::thread::Builder::new()
            .name("housekeeping".to_owned())
            .spawn(move || {
                if let Err(error) = rustix::thread::sched_setaffinity(None, &unpinned) {
                    eprintln!("housekeeping stays on an lcore's CPU: {error}");
                }
                housekeeping::run(ports, &tables, &timebase, &stop)
            })?
    };
    let main_task = tasks.remove(0);
    let mut handles = Vec::new();
    for (id, task) in eal.worker_lcores().into_iter().zip(tasks) {
        handles.push(eal.launch(id, move |lcore| lcore::run(lcore, task))?);
    }
    println!(
        "sluice-worker: ready ({} lcores, {} ports, {})",
        1 + handles.len(),
        config.ports.len(),
        eal.version()
    );

    lcore::run(&eal.main_lcore(), main_task);
    for handle in handles {
        handle.join()?;
    }
    // The ports close here, before EAL.
    drop(watch.join());
    drop(presence);
    Ok(())
}

fn report_segment(side: &WorkerSide) {
    let about = &side.about;
    let path = about
        .path
        .as_ref()
        .map_or_else(String::new, |path| path.display().to_string());
    let found = if about.created { "made" } else { "found" };
    let pages = if about.huge_pages {
        "huge pages"
    } else {
        "ordinary pages"
    };
    eprintln!(
        "segment {path}: {found}, {pages}, worker generation {}",
        side.generation()
    );
    if let Some(warning) = &about.warning {
        eprintln!("segment: no huge pages, the tables will be slower: {warning}");
    }
}
