//! Network namespaces with unique names, and their removal whatever happens.
//!
//! A [`Lab`] owns a name prefix, a directory and a *janitor*: a shell that reads the names of namespaces (and of
//! files elsewhere) from a pipe. When this process ends, in whatever way, the pipe closes, and the janitor kills what still runs in
//! those namespaces and removes them with the files and the directory. It has its own process group, so a terminal's
//! Ctrl-C does not reach it.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::net::Netns;

static LABS: AtomicU32 = AtomicU32::new(0);

const JANITOR: &str = r#"
dir=$1
names=
files=
while read -r name; do
    case $name in
        keep) dir= ;;
        /*) files="$files $name" ;;
        *) names="$names $name" ;;
    esac
done
for name in $names; do
    [ -e "/run/netns/$name" ] || continue
    pids=$(ip netns pids "$name")
    [ -z "$pids" ] || kill -9 $pids
    ip netns del "$name"
done
[ -z "$files" ] || rm -f $files
case $dir in */sluice-lab-*) rm -rf "$dir" ;; esac
"#;

/// Should the lab's directory (logs, configuration) stay for a look afterwards?
const KEEP_VARIABLE: &str = "SLUICE_LAB_KEEP";

#[derive(Clone, Debug)]
pub struct Lab {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    prefix: String,
    directory: PathBuf,
    janitor: Mutex<Option<(Child, ChildStdin)>>,
}

impl Lab {
    /// A new prefix, `sl<pid>` and a number, and an empty directory of that name.
    pub fn new() -> io::Result<Self> {
        let prefix = format!(
            "sl{}x{}",
            std::process::id(),
            LABS.fetch_add(1, Ordering::Relaxed)
        );
        let directory = std::env::temp_dir().join(format!("sluice-lab-{prefix}"));
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let to_remove = if keeps() {
            PathBuf::new()
        } else {
            directory.clone()
        };
        let mut janitor = Command::new("/bin/sh")
            .args(["-c", JANITOR, "sluice-lab-janitor"])
            .arg(to_remove)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let names = janitor
            .stdin
            .take()
            .ok_or_else(|| io::Error::other("the janitor has no standard input"))?;
        Ok(Self {
            inner: Arc::new(Inner {
                prefix,
                directory,
                janitor: Mutex::new(Some((janitor, names))),
            }),
        })
    }

    pub fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    /// For logs, sockets and configuration; removed at the end unless `SLUICE_LAB_KEEP` is set.
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Leaves the directory there at the end, as `SLUICE_LAB_KEEP` does: something went wrong, or somebody asked.
    pub fn keep(&self) -> io::Result<()> {
        self.tell_janitor("keep")
    }

    /// A file outside the directory, by its whole path, that is to go with the lab.
    pub fn remove_at_the_end(&self, file: &Path) -> io::Result<()> {
        let path = file.display().to_string();
        if !file.is_absolute() || path.contains(char::is_whitespace) {
            return Err(io::Error::other(format!("{path:?}: not a plain absolute path")));
        }
        self.tell_janitor(&path)
    }

    fn tell_janitor(&self, line: &str) -> io::Result<()> {
        if let Some((_, names)) = &mut *self.inner.janitor() {
            writeln!(names, "{line}")?;
            names.flush()?;
        }
        Ok(())
    }

    /// Makes the namespace `<prefix>-<name>`, loopback up, IPv6 and forwarding off.
    pub fn namespace(&self, name: &str) -> io::Result<Namespace> {
        let full = format!("{}-{name}", self.inner.prefix);
        // Told before it exists: no moment is uncovered.
        self.tell_janitor(&full)?;
        run(Command::new("ip").args(["netns", "add", &full]))?;
        let namespace = Namespace {
            netns: Netns::named(&full),
            name: full,
            lab: self.clone(),
        };
        namespace.ip(&["link", "set", "lo", "up"])?;
        namespace.set_kernel("net/ipv4/ip_forward", "0")?;
        for scope in ["all", "default"] {
            // A kernel without IPv6 has nothing to switch off.
            if Path::new("/proc/sys/net/ipv6").exists() {
                namespace.set_kernel(&format!("net/ipv6/conf/{scope}/disable_ipv6"), "1")?;
            }
        }
        Ok(namespace)
    }
}

fn keeps() -> bool {
    std::env::var_os(KEEP_VARIABLE).is_some_and(|value| !value.is_empty())
}

impl Inner {
    fn janitor(&self) -> std::sync::MutexGuard<'_, Option<(Child, ChildStdin)>> {
        self.janitor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The namespaces are gone already (each holds its lab); the janitor removes the directory.
        if let Some((mut janitor, names)) = self.janitor().take() {
            drop(names);
            let _ = janitor.wait();
        }
    }
}

/// A namespace that is removed, with what still runs in it, when this value goes.
#[derive(Debug)]
pub struct Namespace {
    netns: Netns,
    name: String,
    lab: Lab,
}

impl Namespace {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Runs `work` on a thread inside the namespace: sockets made there stay there.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> io::Result<T> {
        self.netns.run(work)
    }

    /// A command to be run inside, as `ip netns exec` does: own `/sys`, `/etc/netns` over `/etc`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    /// `ip -n <name> …`; what it prints.
    pub fn ip(&self, arguments: &[&str]) -> io::Result<String> {
        run(Command::new("ip").args(["-n", &self.name]).args(arguments))
    }

    /// Packets for `interface` that the kernel dropped because nobody took them from it in time.
    pub fn transmit_drops(&self, interface: &str) -> io::Result<u64> {
        // Of the thread, since it is the thread that is in the namespace.
        let table = self
            .run(|| fs::read_to_string("/proc/thread-self/net/dev"))
            .and_then(|read| read)?;
        transmit_drops(&table, interface)
            .ok_or_else(|| io::Error::other(format!("{}: no counters of {interface}", self.name)))
    }

    /// Sets `/proc/sys/<key>` of this namespace.
    pub fn set_kernel(&self, key: &str, value: &str) -> io::Result<()> {
        let path = Path::new("/proc/sys").join(key);
        self.run(|| fs::write(&path, value))
            .and_then(|written| written)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Ok(pids) = run(Command::new("ip").args(["netns", "pids", &self.name])) {
            for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
                if pid != std::process::id() as i32
                    && let Some(pid) = rustix::process::Pid::from_raw(pid)
                {
                    // It may have ended by itself meanwhile.
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                }
            }
        }
        if let Err(error) = run(Command::new("ip").args(["netns", "del", &self.name])) {
            tracing::warn!(%error, "namespace not removed");
        }
    }
}

/// From `/proc/net/dev`: behind the name eight columns about receiving, then bytes, packets, errors and drops of sending.
fn transmit_drops(table: &str, interface: &str) -> Option<u64> {
    let columns = table.lines().find_map(|line| {
        let (name, columns) = line.split_once(':')?;
        (name.trim() == interface).then_some(columns)
    })?;
    columns.split_whitespace().nth(11)?.parse().ok()
}

/// Runs a command to its end; its standard output, or an error that holds its standard error.
pub fn run(command: &mut Command) -> io::Result<String> {
    let output = command.output().map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("{}: {error}", command.get_program().display()),
        )
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!(
        "{command:?}: {}: {}",
        output.status,
        said.trim()
    )))
}

/// Asks `question` every few milliseconds until it has an answer or patience ends.
pub fn wait_until<T>(patience: Duration, mut question: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = std::time::Instant::now() + patience;
    loop {
        if let Some(answer) = question() {
            return Some(answer);
        }
        if std::time::Instant::now() >= deadline {
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Namespaces and TAP devices need root. A test that has to do without says so, and passes.
pub fn can_run(story: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("SKIPPED {story}: network namespaces and TAP devices need root");
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_from_the_kernels_table() {
        let table = "Inter-|   Receive                                                |  Transmit\n \
                     face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls\n    \
                     lo:     100       2    0    3    0     0          0         0      100       2    0    4    0     0\n\
                     slcore0: 1 2 0 0 0 0 0 0 9 8 0 77 0 0 0 0\n";
        assert_eq!(transmit_drops(table, "slcore0"), Some(77));
        assert_eq!(transmit_drops(table, "lo"), Some(4));
        assert_eq!(transmit_drops(table, "eth0"), None);
    }
}
