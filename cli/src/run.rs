//! `sluice run`: control and worker, both from beside this program, supervised.

use std::path::{Path, PathBuf};

use sluice_config::Config;

use crate::args::Run;
use crate::error::CliError;
use crate::socket::CONFIG;
use crate::supervise::{Program, supervise};

pub async fn run(run: Run, config: Option<PathBuf>) -> Result<(), CliError> {
    let file = config.unwrap_or_else(|| CONFIG.into());
    // Wrong values are told here, once and in full, and not by two processes again and again.
    let config = Config::load(&file)?;
    config.load_subscribers()?;
    let bin_dir = match run.bin_dir {
        Some(dir) => dir,
        None => beside_this_program()?,
    };
    let own = ["--config".to_owned(), file.to_string_lossy().into_owned()];
    let worker_arguments = run.eal.into_iter().chain(["--".to_owned()]).chain(own.clone());
    let control = Program::find("sluice-control", &bin_dir, own.to_vec())?;
    let worker = Program::find("sluice-worker", &bin_dir, worker_arguments.collect())?;
    supervise(control, worker, &config.node.control_socket()).await
}

pub(crate) fn beside_this_program() -> Result<PathBuf, CliError> {
    let here = std::env::current_exe()
        .map_err(|cause| CliError::failed(format!("this program's own path is not known: {cause}")))?;
    Ok(here.parent().unwrap_or(Path::new(".")).to_owned())
}
