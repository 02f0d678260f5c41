//! `sluice run`, with two shell scripts for control and worker.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::check::CONFIG;
use crate::{Outcome, run, sluice};

/// Notes `name start arguments`, then waits for its signals and notes those too.
const PROGRAM: &str = r#"#!/bin/sh
dir=$(dirname "$0"); name=$(basename "$0")
trap 'echo "$name stop" >> "$dir/log"; exit 0' TERM
trap 'echo "$name reload" >> "$dir/log"' HUP
echo $$ > "$dir/$name.pid"
echo "$name start $*" >> "$dir/log"
while :; do sleep 0.02; done
"#;

struct Bench {
    dir: tempfile::TempDir,
}

impl Bench {
    fn new(control: &str, worker: &str) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("sluice-control", control), ("sluice-worker", worker)] {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let run_dir = dir.path().display();
        fs::write(
            dir.path().join("sluice.toml"),
            format!("[node]\nrun_dir = \"{run_dir}\"\n{CONFIG}"),
        )
        .unwrap();
        Bench { dir }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self) -> Command {
        let mut command = sluice();
        command
            .arg("run")
            .arg("--config")
            .arg(self.path("sluice.toml"))
            .arg("--bin-dir")
            .arg(self.dir.path())
            .args(["--", "-l", "1"]);
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn pid(&self, name: &str) -> String {
        fs::read_to_string(self.path(&format!("{name}.pid"))).unwrap()
    }

    #[track_caller]
    fn wait_for(&self, what: &str, times: usize) {
        let start = Instant::now();
        while self.log().matches(what).count() < times {
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "no {what:?} in\n{}",
                self.log()
            );
            sleep(Duration::from_millis(10));
        }
    }
}

/// Whether the process is there; one that ended and that nobody has waited for is not.
fn runs(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    !state.is_empty() && !state.starts_with('Z')
}

fn signal(pid: &str, name: &str) {
    let done = Command::new("sh")
        .args(["-c", &format!("kill -{name} {}", pid.trim())])
        .status();
    assert!(done.unwrap().success());
}

/// `sluice run`, ended with what it runs also when the test fails.
struct Supervisor(Option<Child>);

impl Supervisor {
    fn start(bench: &Bench) -> Supervisor {
        let mut command = bench.command();
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        Supervisor(Some(command.spawn().unwrap()))
    }

    fn signal(&self, name: &str) {
        signal(&self.0.as_ref().unwrap().id().to_string(), name);
    }

    fn end(mut self) -> Outcome {
        self.0.take().unwrap().wait_with_output().unwrap().into()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            signal(&child.id().to_string(), "TERM");
            child.wait().ok();
        }
    }
}

/// Answers `/health`, as control would, so that the worker need not wait.
fn answer_for_control(socket: &Path) {
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        use std::io::{BufRead, BufReader, Write};
        for mut stream in listener.incoming().flatten() {
            let lines = BufReader::new(&stream).lines();
            lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .for_each(drop);
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
                .ok();
        }
    });
}

#[test]
fn both_run_the_one_that_dies_is_started_anew_and_they_stop_in_order() {
    let bench = Bench::new(PROGRAM, PROGRAM);
    answer_for_control(&bench.path("control.sock"));
    let supervisor = Supervisor::start(&bench);
    bench.wait_for("sluice-control start", 1);
    bench.wait_for("sluice-worker start", 1);
    let config = bench.path("sluice.toml");
    for line in [
        format!("sluice-control start --config {}", config.display()),
        format!("sluice-worker start -l 1 -- --config {}", config.display()),
    ] {
        let log = bench.log();
        assert!(log.lines().any(|found| found == line), "{line}\n{log}");
    }

    signal(&bench.pid("sluice-worker"), "KILL");
    bench.wait_for("sluice-worker start", 2);
    supervisor.signal("HUP");
    bench.wait_for("sluice-control reload", 1);
    supervisor.signal("TERM");
    let outcome = supervisor.end();

    assert_eq!(outcome.code, 0, "{}", outcome.err);
    assert!(
        outcome.err.contains("sluice-worker was ended by signal 9"),
        "{}",
        outcome.err
    );
    // The control that was there was never touched, and goes last.
    let log = bench.log();
    assert_eq!(log.matches("sluice-control start").count(), 1);
    assert!(
        log.ends_with("sluice-worker stop\nsluice-control stop\n"),
        "{log}"
    );
}

#[test]
fn a_supervisor_that_nobody_listens_to_still_stops_both() {
    let bench = Bench::new(PROGRAM, PROGRAM);
    answer_for_control(&bench.path("control.sock"));
    let mut supervisor = Supervisor::start(&bench);
    bench.wait_for("sluice-control start", 1);
    bench.wait_for("sluice-worker start", 1);

    drop(supervisor.0.as_mut().unwrap().stderr.take());
    supervisor.signal("TERM");

    assert_eq!(supervisor.end().code, 0);
    assert!(
        bench.log().ends_with("sluice-worker stop\nsluice-control stop\n"),
        "{}",
        bench.log()
    );
}

#[test]
fn a_supervisor_that_is_killed_leaves_nobody_behind() {
    let bench = Bench::new(PROGRAM, PROGRAM);
    answer_for_control(&bench.path("control.sock"));
    let supervisor = Supervisor::start(&bench);
    bench.wait_for("sluice-control start", 1);
    bench.wait_for("sluice-worker start", 1);
    // One that was started anew is no different from the first.
    signal(&bench.pid("sluice-worker"), "KILL");
    bench.wait_for("sluice-worker start", 2);
    let children = ["sluice-control", "sluice-worker"].map(|name| bench.pid(name));

    supervisor.signal("KILL");
    supervisor.end();

    bench.wait_for("sluice-control stop", 1);
    bench.wait_for("sluice-worker stop", 1);
    let start = Instant::now();
    while children.iter().any(|pid| runs(pid)) {
        assert!(start.elapsed() < Duration::from_secs(20), "{children:?}");
        sleep(Duration::from_millis(10));
    }
}

#[test]
fn one_that_never_lives_is_given_up_and_the_other_is_stopped() {
    let bench = Bench::new(
        PROGRAM,
        "#!/bin/sh\necho \"worker $*\" >> \"$(dirname \"$0\")/log\"\nexit 3\n",
    );
    answer_for_control(&bench.path("control.sock"));

    let outcome = run(&mut bench.command());

    assert_eq!(outcome.code, 1);
    assert!(
        outcome.err.contains("sluice-worker ended with exit code 3")
            && outcome
                .err
                .contains("sluice-worker died 6 times soon after its start and is given up"),
        "{}",
        outcome.err
    );
    assert!(bench.log().ends_with("sluice-control stop\n"), "{}", bench.log());
}

#[test]
fn what_cannot_run_is_told_before_anything_runs() {
    let bench = Bench::new(PROGRAM, PROGRAM);
    let missing = run(sluice()
        .arg("run")
        .arg("--config")
        .arg(bench.path("sluice.toml"))
        .args(["--bin-dir", "/nonexistent"]));
    assert_eq!(missing.code, 1);
    assert!(
        missing.err.contains("/nonexistent/sluice-control is not there"),
        "{}",
        missing.err
    );

    fs::write(bench.path("sluice.toml"), "[pools.wgar]\n").unwrap();
    let wrong = run(&mut bench.command());
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("pools.wgar"), "{}", wrong.err);
    assert_eq!(bench.log(), "");
}
