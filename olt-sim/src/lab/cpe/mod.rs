//! Customer premises equipment: a stock DHCP client in the subscriber's namespace.
//!
//! The clients run unchanged. A script of ours, called by all three of them, configures the interface (dhcpcd
//! does that itself) and appends one line per event to a file, which [`Cpe::events`] reads:
//!
//! ```text
//! 1760000000.123 bound 10.255.1.7/16 10.255.0.1 8.8.8.8,8.8.4.4 600 10.255.0.1
//! ```
//!
//! udhcpc and dhclient ignore their interface's carrier. A real gateway has a link watcher; ours is
//! [`LinkWatcher`], which makes them ask again when the light comes back.

mod events;
mod link;

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::Signal;

pub use events::{CpeEvent, EventKind, Lease};
pub use link::LinkWatcher;

use super::namespace::{Namespace, wait_until};
use super::process::Process;
use crate::net::{Carrier, Netns};

const SCRIPT: &str = include_str!("client-script.sh");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Udhcpc,
    Dhclient,
    Dhcpcd,
}

#[derive(Debug)]
pub struct Cpe {
    running: Arc<Running>,
    /// Ends with the CPE.
    _watcher: Option<LinkWatcher>,
}

#[derive(Debug)]
struct Running {
    client: Client,
    netns: Netns,
    namespace: String,
    interface: String,
    directory: PathBuf,
    process: Mutex<Process>,
}

impl Cpe {
    /// Starts a client on `interface` of `namespace`. With `watch_link` it asks again after a bounce.
    pub fn start(
        namespace: &Namespace,
        interface: &str,
        client: Client,
        watch: WatchLink,
    ) -> io::Result<Self> {
        let directory = namespace
            .lab()
            .directory()
            .join(format!("cpe-{}-{interface}", namespace.name()));
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        let script = directory.join("script");
        fs::write(&script, SCRIPT)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let process = start_client(client, namespace.netns(), namespace.name(), interface, &directory)?;
        let running = Arc::new(Running {
            client,
            netns: namespace.netns().clone(),
            namespace: namespace.name().to_owned(),
            interface: interface.to_owned(),
            directory,
            process: Mutex::new(process),
        });
        let watcher = match watch {
            WatchLink::Yes if client != Client::Dhcpcd => {
                let running = running.clone();
                Some(LinkWatcher::start(
                    namespace.netns(),
                    interface,
                    move |carrier| {
                        if carrier == Carrier::Up
                            && let Err(error) = running.ask_again()
                        {
                            tracing::warn!(namespace = running.namespace, %error, "the CPE could not ask again");
                        }
                    },
                )?)
            }
            // dhcpcd watches the carrier itself.
            WatchLink::Yes | WatchLink::No => None,
        };
        Ok(Self {
            running,
            _watcher: watcher,
        })
    }

    /// Everything the client has reported, oldest first.
    pub fn events(&self) -> Vec<CpeEvent> {
        fs::read_to_string(self.running.directory.join("events"))
            .map(|text| text.lines().filter_map(CpeEvent::parse).collect())
            .unwrap_or_default()
    }

    /// The lease the client has now.
    pub fn lease(&self) -> Option<Lease> {
        events::current_lease(&self.events())
    }

    /// Waits for a lease that `wanted` accepts.
    pub fn wait_for_lease(&self, patience: Duration, wanted: impl Fn(&Lease) -> bool) -> io::Result<Lease> {
        wait_until(patience, || self.lease().filter(&wanted)).ok_or_else(|| {
            let seconds = patience.as_secs_f32();
            let now = self
                .lease()
                .map_or("none".to_owned(), |lease| lease.address.to_string());
            let log = self.process().log_tail();
            io::Error::other(format!(
                "{}: no such lease within {seconds:.1} s (now: {now}); the client's log ends:\n{log}",
                self.running.namespace
            ))
        })
    }

    /// Asks again, as the link watcher does: udhcpc and dhcpcd renew, dhclient starts anew.
    pub fn renew(&self) -> io::Result<()> {
        self.running.ask_again()
    }

    /// Gives the lease back (DHCPRELEASE). udhcpc then waits for [`Cpe::renew`]; the others end.
    pub fn release(&self) -> io::Result<()> {
        match self.running.client {
            Client::Udhcpc => self.process().signal(Signal::USR2),
            Client::Dhcpcd => self.process().signal(Signal::ALARM),
            Client::Dhclient => {
                // dhclient -r finds the running one by the pid file, and writes to its log.
                let mut command = dhclient_command(&self.running.interface, &self.running.directory);
                command.arg("-r");
                self.run_inside(command)
            }
        }
    }

    /// Ends the client without a release, as a power cut would.
    pub fn stop(&self) -> io::Result<()> {
        self.process().kill()
    }

    pub fn pid(&self) -> u32 {
        self.process().pid()
    }

    pub fn log(&self) -> String {
        self.process().log()
    }

    fn run_inside(&self, command: Command) -> io::Result<()> {
        let log = self.running.directory.join("release.log");
        let process = Process::start("dhclient -r", command, &self.running.netns, &log)?;
        process.wait_ready(Duration::from_secs(10), |process| process.exit_status().is_some())
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.running.process()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WatchLink {
    Yes,
    No,
}

impl Running {
    fn ask_again(&self) -> io::Result<()> {
        match self.client {
            Client::Udhcpc => self.process().signal(Signal::USR1),
            Client::Dhcpcd => self.process().signal(Signal::HUP),
            Client::Dhclient => {
                let mut process = self.process();
                process.kill()?;
                *process = start_client(
                    self.client,
                    &self.netns,
                    &self.namespace,
                    &self.interface,
                    &self.directory,
                )?;
                Ok(())
            }
        }
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Process> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start_client(
    client: Client,
    netns: &Netns,
    namespace: &str,
    interface: &str,
    directory: &Path,
) -> io::Result<Process> {
    let mut command = match client {
        Client::Udhcpc => udhcpc_command(interface, directory),
        Client::Dhclient => dhclient_command(interface, directory),
        Client::Dhcpcd => dhcpcd_command(interface, directory),
    };
    command.env("CPE_DIRECTORY", directory);
    let name = format!("{client:?} of {namespace}").to_lowercase();
    Process::start(&name, command, netns, &directory.join("log"))
}

fn udhcpc_command(interface: &str, directory: &Path) -> Command {
    let mut command = Command::new("udhcpc");
    // Foreground; a DISCOVER a second, three in a row, then a second's pause.
    command
        .args(["-f", "-i", interface, "-t", "3", "-T", "1", "-A", "1", "-s"])
        .arg(directory.join("script"));
    command
}

fn dhclient_command(interface: &str, directory: &Path) -> Command {
    let mut command = Command::new("dhclient");
    command.args(["-4", "-d", "-sf"]).arg(directory.join("script"));
    command.arg("-lf").arg(directory.join("dhclient.leases"));
    command.arg("-pf").arg(directory.join("dhclient.pid"));
    // dhclient hands its script only what it is told to.
    command
        .arg("-e")
        .arg(format!("CPE_DIRECTORY={}", directory.display()));
    command.arg("-cf").arg("/dev/null").arg(interface);
    command
}

/// dhcpcd keeps its state under fixed paths: it gets its own over them, in a mount namespace of its own.
fn dhcpcd_command(interface: &str, directory: &Path) -> Command {
    let mut command = Command::new("unshare");
    let inside = "mkdir -p /run/dhcpcd /var/lib/dhcpcd && mount -t tmpfs tmpfs /run/dhcpcd && \
                  mount -t tmpfs tmpfs /var/lib/dhcpcd && exec dhcpcd -4 -B -f /dev/null -e \"CPE_DIRECTORY=$3\" \
                  -c \"$1\" \"$2\"";
    command
        .args(["--mount", "sh", "-c", inside, "sh"])
        .arg(directory.join("script"))
        .arg(interface)
        .arg(directory);
    command
}
