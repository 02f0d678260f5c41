//! Starting a process so that it ends with this one, inside a namespace.
//!
//! `PR_SET_PDEATHSIG` fires when the *thread* that made the process ends, not the program: all processes are
//! therefore made by one thread that lives as long as the program.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::net::Netns;

struct Job {
    command: Command,
    namespace: Netns,
    answer: SyncSender<io::Result<Child>>,
}

/// Starts `command` inside `namespace`, in a process group of its own; it is killed when this program ends.
pub(super) fn spawn(command: Command, namespace: &Netns) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that starts processes is gone");
    let (answer, answered) = sync_channel(1);
    let job = Job {
        command,
        namespace: namespace.clone(),
        answer,
    };
    spawner()?.send(job).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

fn spawner() -> io::Result<&'static Sender<Job>> {
    static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();
    if let Some(spawner) = SPAWNER.get() {
        return Ok(spawner);
    }
    let (sender, jobs) = channel::<Job>();
    std::thread::Builder::new()
        .name("spawner".into())
        .spawn(move || {
            for job in jobs {
                // The asker waits on the other end; only a panic there loses the answer.
                let _ = job.answer.send(spawn_here(job.command, &job.namespace));
            }
        })?;
    // Of two racing first callers one spawner is kept; the other ends with its dropped sender.
    Ok(SPAWNER.get_or_init(|| sender))
}

fn spawn_here(mut command: Command, namespace: &Netns) -> io::Result<Child> {
    let file = namespace.path().map(File::open).transpose()?;
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only system calls without allocation or locks may be made. These are
    // setns, prctl and getppid; errors are passed by number.
    unsafe {
        command.pre_exec(move || {
            if let Some(file) = &file {
                move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            }
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The parent may have died before the line above: then nobody would kill us.
            if getppid() != Some(parent) {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            Ok(())
        });
    }
    command.process_group(0).spawn()
}
