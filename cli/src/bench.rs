//! `sluice bench`: programs that measure, from beside this one.

use std::os::unix::process::CommandExt;
use std::process::Command;

use crate::error::CliError;
use crate::run::beside_this_program;

/// Becomes `sluice-ndr`, so that signals and the exit code are its own. Returns only where that failed.
pub fn ndr(arguments: Vec<String>) -> Result<(), CliError> {
    let program = beside_this_program()?.join("sluice-ndr");
    let cause = Command::new(&program).args(arguments).exec();
    Err(CliError::failed(format!("{}: {cause}", program.display())))
}
