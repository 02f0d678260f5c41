//! Keeps two processes running.
//!
//! ```text
//!  start   control, and once its socket answers (or soon, if it does not) the worker
//!  run     whichever dies is started anew, later and later while it keeps dying; the other goes on
//!  stop    SIGTERM or SIGINT: the worker first, then control, which so reads final counters
//! ```
//!
//! A process that never lives for long is given up after some attempts, and everything ends with an error: a supervisor that
//! restarts for ever hides that nothing works. SIGHUP (reload) goes to control alone. The two are in process groups of their own, so that
//! an interrupt at the terminal reaches them only in the order above. When the supervisor is killed outright, the kernel tells both
//! to stop, at once and in no order: see `orphan`.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::client::Client;
use crate::error::CliError;
use crate::orphan;

const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Who lived this long is healthy: its next death counts as the first.
const HEALTHY: Duration = Duration::from_secs(30);
/// Early deaths in a row after which it is given up: after some eight seconds, if it dies at once.
const DEATHS_MAX: u32 = 6;
/// How long the worker waits for control to answer at the start. It can run without.
const CONTROL_PATIENCE: Duration = Duration::from_secs(10);
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A line for whoever reads standard error; that nobody does any more must not end a supervisor, as `eprintln!` would.
macro_rules! note {
    ($($what:tt)*) => {
        writeln!(std::io::stderr(), $($what)*).unwrap_or_default()
    };
}

/// What to run.
#[derive(Debug)]
pub struct Program {
    name: &'static str,
    path: PathBuf,
    arguments: Vec<String>,
}

impl Program {
    pub fn find(name: &'static str, dir: &Path, arguments: Vec<String>) -> Result<Program, CliError> {
        let path = dir.join(name);
        if !path.is_file() {
            return Err(CliError::failed(format!(
                "{} is not there; --bin-dir says where the programs are",
                path.display()
            )));
        }
        Ok(Program {
            name,
            path,
            arguments,
        })
    }
}

/// Runs both until a signal or until one is given up.
pub async fn supervise(control: Program, worker: Program, socket: &Path) -> Result<(), CliError> {
    let listen = |kind| signal(kind).map_err(|cause| CliError::failed(format!("signals: {cause}")));
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut hangup = listen(SignalKind::hangup())?;

    let mut control = Supervised::new(control);
    let mut worker = Supervised::new(worker);
    control.start();
    worker.start_after(wait_for_control(socket));

    let ended = loop {
        tokio::select! {
            _ = terminate.recv() => break Ok(()),
            _ = interrupt.recv() => break Ok(()),
            _ = hangup.recv() => control.signal(Signal::HUP),
            result = control.turn() => if let Err(error) = result { break Err(error) },
            result = worker.turn() => if let Err(error) = result { break Err(error) },
        }
    };
    worker.stop().await;
    control.stop().await;
    ended
}

async fn wait_for_control(socket: &Path) {
    let client = Client::new(socket.to_owned());
    let answered = async {
        while client.get("/health").await.is_err() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    if timeout(CONTROL_PATIENCE, answered).await.is_err() {
        note!(
            "sluice: control does not answer on {} yet; the worker starts without it",
            client.socket().display()
        );
    }
}

/// One process and its history.
struct Supervised<'a> {
    program: Program,
    state: State<'a>,
    started: Instant,
    early_deaths: u32,
}

enum State<'a> {
    /// Starts when the future is done.
    Waiting(std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>),
    Running(Child),
    Stopped,
}

impl<'a> Supervised<'a> {
    fn new(program: Program) -> Supervised<'a> {
        Supervised {
            program,
            state: State::Stopped,
            started: Instant::now(),
            early_deaths: 0,
        }
    }

    fn start_after(&mut self, condition: impl Future<Output = ()> + 'a) {
        self.state = State::Waiting(Box::pin(condition));
    }

    fn start(&mut self) {
        self.started = Instant::now();
        let mut command = Command::new(&self.program.path);
        command.args(&self.program.arguments).process_group(0);
        // The supervisor's runtime has one thread, the program's first: it ends with the program.
        orphan::prevent(command.as_std_mut());
        match command.spawn() {
            Ok(child) => {
                note!(
                    "sluice: {} runs as process {}",
                    self.program.name,
                    child.id().unwrap_or(0)
                );
                self.state = State::Running(child);
            }
            Err(cause) => {
                note!(
                    "sluice: {} cannot be started: {cause}",
                    self.program.path.display()
                );
                self.start_later();
            }
        }
    }

    /// Waits for the next thing to happen to this process and acts on it. Cancel safe. Fails when it is given up.
    async fn turn(&mut self) -> Result<(), CliError> {
        match &mut self.state {
            State::Waiting(condition) => {
                condition.await;
                self.start();
            }
            State::Running(child) => {
                let status = child.wait().await;
                self.died(status.map(describe).unwrap_or_else(|cause| cause.to_string()));
            }
            State::Stopped => std::future::pending().await,
        }
        if self.early_deaths >= DEATHS_MAX {
            return Err(CliError::failed(format!(
                "{} died {DEATHS_MAX} times soon after its start and is given up",
                self.program.name
            )));
        }
        Ok(())
    }

    fn died(&mut self, how: String) {
        if self.started.elapsed() >= HEALTHY {
            self.early_deaths = 0;
        }
        note!("sluice: {} {how}", self.program.name);
        self.start_later();
    }

    fn start_later(&mut self) {
        let doubled = BACKOFF_FIRST.saturating_mul(1 << self.early_deaths.min(16));
        let at = Instant::now() + doubled.min(BACKOFF_MAX);
        self.early_deaths += 1;
        self.state = State::Waiting(Box::pin(sleep_until(at)));
    }

    fn signal(&self, signal: Signal) {
        let State::Running(child) = &self.state else {
            return;
        };
        let pid = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw);
        if let Some(Err(error)) = pid.map(|pid| kill_process(pid, signal)) {
            note!("sluice: {} could not be signalled: {error}", self.program.name);
        }
    }

    async fn stop(&mut self) {
        self.signal(Signal::TERM);
        let State::Running(child) = &mut self.state else {
            return;
        };
        let how = match timeout(STOP_PATIENCE, child.wait()).await {
            Ok(Ok(status)) => describe(status),
            Ok(Err(cause)) => cause.to_string(),
            Err(_) => match child.kill().await {
                Ok(()) => format!("did not stop within {} s and was killed", STOP_PATIENCE.as_secs()),
                Err(cause) => cause.to_string(),
            },
        };
        note!("sluice: {} {how}", self.program.name);
        self.state = State::Stopped;
    }
}

fn describe(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => "ended".to_owned(),
        (Some(code), _) => format!("ended with exit code {code}"),
        (None, Some(signal)) => format!("was ended by signal {signal}"),
        (None, None) => "ended".to_owned(),
    }
}
