//! No orphans: what this process starts is told to stop when this process ends, however it ends.
//!
//! A supervisor that is killed outright cannot stop what it runs, and the next one would find the segment held. So the kernel does it
//! (`PR_SET_PDEATHSIG`). The signal is SIGTERM, as in an orderly stop: a worker killed outright could leave a device under
//! uio writing into memory that is no longer its own.
//!
//! The kernel counts the *thread* that made the process as its parent: start processes from one that lives as long as the program.
#![allow(unsafe_code)]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{Signal, getpid, getppid, set_parent_process_death_signal};

/// Has the process that `command` will start be sent SIGTERM when the calling thread ends.
pub fn prevent(command: &mut Command) {
    let parent = getpid();
    let ask = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // The parent may have died before the line above: then nobody would tell us.
        if getppid() != Some(parent) {
            return Err(io::Error::from(Errno::SRCH));
        }
        Ok(())
    };
    // Needed because only the new process itself can ask for the signal, before it becomes another program.
    // SAFETY: between fork and exec nothing may allocate or lock. `ask` makes two system calls, prctl and getppid, and its errors
    // are numbers; it owns nothing but a number.
    unsafe {
        command.pre_exec(ask);
    }
}
