//! What a run would leave behind if a signal ended it: programs, files, the segment on huge pages. They go with the run, and what a
//! killed one (SIGKILL) left goes with the next.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static KNOWN: Mutex<Vec<Leftover>> = Mutex::new(Vec::new());

#[derive(Clone, Debug, PartialEq, Eq)]
enum Leftover {
    File(PathBuf),
    Directory(PathBuf),
    Program(Pid),
}

fn known() -> MutexGuard<'static, Vec<Leftover>> {
    // A list of names is whole after any panic.
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, its file, directory or program goes with the run when a signal ends it.
#[derive(Debug)]
pub struct Watched(Leftover);

impl Watched {
    pub fn file(path: &Path) -> Watched {
        Watched::new(Leftover::File(path.to_owned()))
    }

    pub fn directory(path: &Path) -> Watched {
        Watched::new(Leftover::Directory(path.to_owned()))
    }

    pub fn program(pid: Pid) -> Watched {
        Watched::new(Leftover::Program(pid))
    }

    fn new(leftover: Leftover) -> Watched {
        known().push(leftover.clone());
        Watched(leftover)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        known().retain(|leftover| *leftover != self.0);
    }
}

/// From here on SIGINT, SIGTERM and SIGHUP end this process only after everything that is watched is gone. A SIGHUP that is ignored
/// (nohup) stays so.
pub fn remove_at_signals() -> anyhow::Result<()> {
    let mut wanted = vec![SIGINT, SIGTERM];
    if !ignores(&fs::read_to_string("/proc/self/status")?, SIGHUP) {
        wanted.push(SIGHUP);
    }
    let mut signals = Signals::new(wanted).context("cannot install signal handlers")?;
    std::thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            // Kept locked: nothing new is watched, nor begun, any more.
            let known = known();
            for leftover in known.iter() {
                remove(leftover);
            }
            eprintln!("sluice-bench: ended by signal {signal}");
            std::process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Whether a process of this `/proc/self/status` ignores a signal.
fn ignores(status: &str, signal: i32) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

/// The process ends: what cannot be removed is named.
fn remove(leftover: &Leftover) {
    let removed = match leftover {
        Leftover::File(path) => fs::remove_file(path),
        Leftover::Directory(path) => fs::remove_dir_all(path),
        Leftover::Program(pid) => kill_process(*pid, Signal::KILL).map_err(Into::into),
    };
    if let Err(error) = removed {
        eprintln!("sluice-bench: {leftover:?} is left over: {error}");
    }
}

/// The name of this process's segment.
pub fn segment_name() -> String {
    format!("bench-{}", std::process::id())
}

/// Removes segments in `directory` whose harness is dead.
pub fn sweep(directory: &Path) -> anyhow::Result<()> {
    let listed = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    for entry in listed {
        let path = entry?.path();
        let owner = path.file_name().and_then(|name| owner(name.to_str()?));
        if owner.is_some_and(|pid| !is_harness(pid)) {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
            eprintln!("sluice-bench: removed {}, left by a killed run", path.display());
        }
    }
    Ok(())
}

/// Whose segment a file of this name is.
fn owner(file: &str) -> Option<u32> {
    file.strip_prefix("bench-")?.strip_suffix(".seg")?.parse().ok()
}

/// A pid may have been given to another program since.
fn is_harness(pid: u32) -> bool {
    let comm = fs::read_to_string(format!("/proc/{pid}/comm"));
    comm.is_ok_and(|comm| comm.trim() == harness_name())
}

/// As the kernel has it: 15 bytes at most.
fn harness_name() -> String {
    fs::read_to_string("/proc/self/comm")
        .map(|comm| comm.trim().to_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_segments_of_dead_harnesses_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let live = format!("{}.seg", segment_name());
        // Larger than any pid.
        for name in ["bench-4194305.seg", "bench-x.seg", "bng-01.seg", &live] {
            fs::write(dir.path().join(name), "").unwrap();
        }

        sweep(dir.path()).unwrap();

        let mut left: Vec<_> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut wanted = ["bench-x.seg".to_owned(), "bng-01.seg".to_owned(), live];
        wanted.sort();
        assert_eq!(left, wanted);
    }

    #[test]
    fn an_ignored_signal_is_known_by_its_bit() {
        let status = "Name:\tx\nSigBlk:\tffff\nSigIgn:\t0000000000001001\n";
        assert!(ignores(status, SIGHUP) && ignores(status, 13));
        assert!(!ignores(status, SIGINT) && !ignores("", SIGHUP));
    }

    #[test]
    fn what_is_not_watched_any_more_is_not_removed() {
        let path = Path::new("/nonexistent/watched");
        let watched = Watched::file(path);
        assert!(known().contains(&Leftover::File(path.to_owned())));
        drop(watched);
        assert!(!known().contains(&Leftover::File(path.to_owned())));
    }
}
