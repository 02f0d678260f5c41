//! The other process: this test binary again, told by its environment what to be.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use shm_bridge::sides::{ControlSide, WorkerSide};

use crate::lcores::{self, Pace, Report};
use crate::publisher::{Grace, Publisher};

const ROLE: &str = "SLUICE_SHM_TEST_ROLE";
const DIR: &str = "SLUICE_SHM_TEST_DIR";
const SEED: &str = "SLUICE_SHM_TEST_SEED";

/// A process that is killed when the test is done with it, however it ends.
pub struct Other {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Other {
    /// Starts one and waits until it has attached.
    pub fn start(role: &str, run_dir: &Path, seed: u64) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child_process", "--exact", "--nocapture"])
            .env(ROLE, role)
            .env(DIR, run_dir)
            .env(SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut other = Other { child, out };
        other.line(|line| line.ends_with("attached").then_some(()));
        other
    }

    /// The first line of which `parse` makes something.
    fn line<T>(&mut self, parse: impl Fn(&str) -> Option<T>) -> T {
        let mut line = String::new();
        loop {
            line.clear();
            assert!(
                self.out.read_line(&mut line).unwrap() > 0,
                "the other process ended early"
            );
            if let Some(parsed) = parse(line.trim_end()) {
                return parsed;
            }
        }
    }

    /// Lets a worker end in good order and returns what it saw.
    pub fn stop(mut self) -> Report {
        drop(self.child.stdin.take());
        let report = self.line(Report::parse);
        assert!(self.child.wait().unwrap().success());
        report
    }

    /// kill -9, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // Either may find it gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the other process does; as a test of its own, with no role, nothing.
pub fn act() {
    let Ok(role) = std::env::var(ROLE) else {
        return;
    };
    let config = crate::config(Path::new(&std::env::var(DIR).unwrap()));
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // The parent closes it to end us, or is gone.
            let _ = std::io::stdin().read_to_end(&mut Vec::new());
            stop.store(true, Ordering::Relaxed);
        });
        match role.as_str() {
            "control" => {
                let mut publisher =
                    Publisher::attach(ControlSide::attach(&config).unwrap(), Grace::Kept, seed);
                println!("attached");
                while !stop.load(Ordering::Relaxed) {
                    publisher.run(Duration::from_millis(50));
                }
            }
            pace => {
                let pace = if pace == "dawdling worker" {
                    Pace::Dawdling
                } else {
                    Pace::Quick
                };
                let mut side = WorkerSide::attach(&config, 0).unwrap();
                println!("attached");
                println!("{}", lcores::run(&mut side, pace, &stop).line());
            }
        }
    });
}
