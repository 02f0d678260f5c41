//! A process of the lab: logs to a file, is waited for until ready, stopped in order or killed.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::namespace::wait_until;
use super::spawn::spawn;
use crate::net::Netns;

/// How long a process may take to end after SIGTERM.
const STOP_PATIENCE: Duration = Duration::from_secs(5);
/// Lines of a log that go into an error.
const LOG_TAIL_LINES: usize = 30;

/// Where the lab looks for the BNG's programs.
const BINARIES_VARIABLE: &str = "SLUICE_BIN_DIR";

#[derive(Debug)]
pub struct Process {
    name: String,
    child: Mutex<Child>,
    pid: Pid,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in `namespace`; both outputs go to `log`.
    pub fn start(name: &str, mut command: Command, namespace: &Netns, log: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output);
        let program = command.get_program().display().to_string();
        let child = spawn(command, namespace)
            .map_err(|error| io::Error::new(error.kind(), format!("starting {program}: {error}")))?;
        let pid = Pid::from_child(&child);
        Ok(Self {
            name: name.to_owned(),
            child: Mutex::new(child),
            pid,
            log: log.to_owned(),
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    pub fn log_path(&self) -> &Path {
        &self.log
    }

    pub fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The log's last lines, for an error message.
    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n")
    }

    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.child
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_wait()
            .ok()
            .flatten()
    }

    pub fn is_running(&self) -> bool {
        self.exit_status().is_none()
    }

    /// Waits until `ready` says so; an error with the log's end if the process dies or patience ends.
    pub fn wait_ready(&self, patience: Duration, mut ready: impl FnMut(&Self) -> bool) -> io::Result<()> {
        let outcome = wait_until(patience, || {
            if ready(self) {
                return Some(Ok(()));
            }
            self.exit_status().map(|status| Err(format!("ended: {status}")))
        });
        let reason = match outcome {
            Some(Ok(())) => return Ok(()),
            Some(Err(reason)) => reason,
            None => format!("not ready within {} s", patience.as_secs()),
        };
        Err(io::Error::other(format!(
            "{} {reason}; its log ends:\n{}",
            self.name,
            self.log_tail()
        )))
    }

    /// Has it printed a line that begins with `text`?
    pub fn has_said(&self, text: &str) -> bool {
        self.log().lines().any(|line| line.starts_with(text))
    }

    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // Holding the child keeps its pid from being reaped and reused.
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if child.try_wait()?.is_some() {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("{} has ended", self.name),
            ));
        }
        Ok(kill_process(self.pid, signal)?)
    }

    /// SIGKILL for it and for what it has started (its process group), and waits for its end.
    pub fn kill(&self) -> io::Result<()> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        if child.try_wait()?.is_none() {
            // The group may have lost its leader a moment ago; then the wait below returns at once.
            let _ = rustix::process::kill_process_group(self.pid, Signal::KILL);
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL if that does not end it. Says how it ended.
    pub fn stop(&self) -> io::Result<ExitStatus> {
        if self.is_running() {
            // It may end by itself in between.
            let _ = self.signal(Signal::TERM);
        }
        if let Some(status) = wait_until(STOP_PATIENCE, || self.exit_status()) {
            return Ok(status);
        }
        self.kill()?;
        self.exit_status()
            .ok_or_else(|| io::Error::other(format!("{} does not end", self.name)))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(process = self.name, %error, "not killed");
        }
    }
}

/// Finds a program of this workspace: in `SLUICE_BIN_DIR`, beside the running program (or one directory up,
/// for a test), or in `CARGO_TARGET_DIR`.
pub fn find_binary(name: &str) -> io::Result<PathBuf> {
    let mut places = Vec::new();
    if let Some(directory) = std::env::var_os(BINARIES_VARIABLE) {
        places.push(PathBuf::from(directory));
    } else {
        let beside = std::env::current_exe()?;
        places.extend(beside.ancestors().skip(1).take(2).map(Path::to_owned));
        if let Some(target) = std::env::var_os("CARGO_TARGET_DIR") {
            places.extend(["release", "debug"].map(|profile| Path::new(&target).join(profile)));
        }
    }
    places
        .iter()
        .map(|place| place.join(name))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let places: Vec<_> = places.iter().map(|place| place.display().to_string()).collect();
            let message = format!(
                "{name} is in none of {}; build it or set {BINARIES_VARIABLE}",
                places.join(", ")
            );
            io::Error::new(io::ErrorKind::NotFound, message)
        })
}
