//! `sluice`: checks a configuration, runs the two processes, and asks the control process over its Unix socket.
//!
//! ```text
//!  sluice check FILE ─────────► sluice-config
//!  sluice demo ───────────────► olt-sim's lab: both processes, ONTs, subscribers, core side
//!  sluice bench ndr ──────────► sluice-ndr, in this program's place
//!  sluice run ────────────────► supervisor ──► sluice-control, sluice-worker
//!  sluice show | activate … ──► control.sock ──► REST ──► table or JSON
//! ```
//!
//! Everything shown is the REST API's answer; `--json` prints it as it came. Exit codes: 0 done, 1 refused or failed, 2 wrong usage,
//! 3 the control process cannot be reached, 130 interrupted.
#![deny(unsafe_code)]

mod args;
mod bench;
mod check;
mod client;
mod command;
mod demo;
mod error;
mod events;
mod orphan;
mod output;
mod rate;
mod run;
mod selector;
mod show;
mod socket;
mod supervise;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Action, Args, Bench};
use error::CliError;

fn main() -> ExitCode {
    let args = Args::parse();
    match act(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error.report();
            error.exit_code()
        }
    }
}

fn act(args: Args) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|cause| CliError::failed(format!("tokio cannot start: {cause}")))?;
    let format = args.format();
    match args.action {
        Action::Demo(play) => demo::demo(&play, format),
        Action::Check(check) => check::check(&check.file, format),
        Action::Bench {
            what: Bench::Ndr { arguments },
        } => bench::ndr(arguments),
        Action::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "sluice", &mut script);
            output::print(&String::from_utf8_lossy(&script))
        }
        Action::Run(run) => runtime.block_on(run::run(run, args.place.config)),
        Action::Show { what } => runtime.block_on(show::show(&args.place.client()?, what, format)),
        Action::Events(follow) => runtime.block_on(events::events(&args.place.client()?, follow, format)),
        Action::Activate(activate) => {
            runtime.block_on(command::activate(&args.place.client()?, activate, format))
        }
        Action::Suspend(target) => {
            runtime.block_on(command::change(&args.place.client()?, "suspend", target, format))
        }
        Action::Resume(target) => {
            runtime.block_on(command::change(&args.place.client()?, "resume", target, format))
        }
        Action::Terminate(target) => runtime.block_on(command::change(
            &args.place.client()?,
            "terminate",
            target,
            format,
        )),
    }
}
