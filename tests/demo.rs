//! `sluice demo`, as people run it: it holds what it promises, and leaves nothing behind, however it ends.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use olt_sim::lab::namespace::{run, wait_until};
use olt_sim::lab::process::find_binary;
use serde_json::{Value, json};
use sluice_tests::world::assert_root;

/// `--fast` takes some 15 s and the set-up a few; a busy machine three times that.
const DEMO_PATIENCE: Duration = Duration::from_secs(120);
/// For an end in order, and for the janitor after none.
const END_PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_full_lifecycle_is_as_promised() {
    let demo = Demo::start(&[
        "--scenario",
        "full-lifecycle",
        "--subscribers",
        "10",
        "--fast",
        "--json",
    ]);
    let (output, leftovers) = demo.finish();
    assert_eq!(output.status.code(), Some(0), "{}", tail(&output));
    assert_eq!(leftovers, Leftovers::default());

    let result: Value = serde_json::from_slice(&output.stdout).expect("--json prints one JSON value");
    assert_eq!((&result["ok"], &result["failures"]), (&json!(true), &json!([])));
    assert_eq!(
        result["onts_by_state"],
        json!({"wgar": 3, "suspended": 1, "active": 6})
    );
    assert_eq!(result["onts_by_pool"], json!({"wgar": 4, "isp-residential": 6}));
    let held = result["expectations_held"].as_u64().unwrap();
    assert!(held > 100, "only {held} expectations were checked");

    // 100 MB went through, and are the subscribers' sum.
    let bytes =
        |traffic: &Value| ["upstream", "downstream"].map(|way| traffic[way]["bytes"].as_u64().unwrap());
    let [up, down] = bytes(&result["traffic"]);
    assert!(up + down >= 100_000_000, "{up} + {down}");
    let subscribers = result["subscribers"]
        .as_array()
        .expect("a row for each subscriber");
    assert_eq!(subscribers.len(), 10);
    let sum = subscribers
        .iter()
        .map(|row| bytes(row).iter().sum::<u64>())
        .sum::<u64>();
    assert_eq!(sum, up + down);

    // Law 2: each packet has one verdict.
    let count = |name: &str| result["conservation"][name].as_u64().unwrap();
    assert_eq!(
        count("rx") + count("injected") + count("originated"),
        count("tx") + count("drops") + count("punts")
    );
    // The garden refused what it should, and one subscriber at least sent too fast.
    let drops = result["drops"].as_array().unwrap();
    for reason in ["garden_destination", "policed"] {
        assert!(
            drops.iter().any(|drop| drop["reason"] == reason),
            "no drop {reason}: {drops:?}"
        );
    }
}

#[test]
fn the_move_without_a_bounce_is_told_line_by_line() {
    let demo = Demo::start(&["--scenario", "no-bounce", "--subscribers", "3", "--fast"]);
    let (output, leftovers) = demo.finish();
    assert_eq!(output.status.code(), Some(0), "{}", tail(&output));
    assert_eq!(leftovers, Leftovers::default());

    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.lines().filter(|line| line.contains("── ")).count() > 3,
        "{told}"
    );
    assert!(!told.contains("FAILED"), "{told}");
    for heading in ["ONTs", "Pools", "Drops by reason", "Every packet has one verdict"] {
        assert!(
            told.lines().any(|line| line == heading),
            "no table {heading}:\n{told}"
        );
    }
    let last = told
        .lines()
        .rfind(|line| !line.trim().is_empty())
        .unwrap_or_default();
    assert!(last.starts_with("ok: all "), "{last}");
}

#[test]
fn an_interrupted_demo_leaves_nothing_behind() {
    let mut demo = Demo::start(&["--subscribers", "3", "--fast"]);
    demo.wait_for_line("── ");
    assert!(
        !demo.leftovers().namespaces.is_empty(),
        "it runs in namespaces of its own"
    );
    run(Command::new("kill").args(["-INT", &demo.pid().to_string()])).unwrap();

    let (output, leftovers) = demo.finish();
    assert_eq!(output.status.code(), Some(130), "{}", tail(&output));
    assert_eq!(leftovers, Leftovers::default());
}

#[test]
fn a_killed_demo_leaves_nothing_behind() {
    let mut demo = Demo::start(&["--subscribers", "3", "--fast"]);
    demo.wait_for_line("── ");
    demo.child.kill().unwrap();

    let (output, leftovers) = demo.finish();
    assert!(!output.status.success());
    assert_eq!(leftovers, Leftovers::default());
}

#[test]
fn without_root_the_demo_says_what_it_needs() {
    assert_root();
    // Where anybody may run it, wherever it was built.
    let directory = std::env::temp_dir().join(format!("sluice-demo-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    fs::set_permissions(&directory, fs::Permissions::from_mode(0o755)).unwrap();
    let program = directory.join("sluice");
    fs::copy(find_binary("sluice").unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();

    let nobody = Command::new(&program)
        .args(["demo", "--fast"])
        .uid(65534)
        .gid(65534)
        .current_dir("/")
        .output();
    fs::remove_dir_all(&directory).unwrap();

    let output = nobody.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("root") && said.lines().count() == 1, "{said}");
}

/// A running `sluice demo`.
struct Demo {
    child: Child,
    pid: u32,
    output: PathBuf,
}

/// What must not be there when it has ended.
#[derive(Debug, Default, PartialEq, Eq)]
struct Leftovers {
    namespaces: Vec<String>,
    processes: Vec<String>,
    directories: Vec<String>,
    /// TAP devices outside its namespaces.
    devices: Vec<String>,
}

impl Demo {
    fn start(arguments: &[&str]) -> Self {
        assert_root();
        let program = find_binary("sluice").unwrap_or_else(|error| panic!("{error}"));
        let name = format!("sluice-demo-{}-{}.out", std::process::id(), arguments.join(""));
        let output = std::env::temp_dir().join(name);
        let child = Command::new(program)
            .arg("demo")
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(fs::File::create(&output).unwrap())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        Self { child, pid, output }
    }

    fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits until a line with `text` is printed.
    fn wait_for_line(&mut self, text: &str) {
        let found = wait_until(DEMO_PATIENCE, || {
            let told = fs::read_to_string(&self.output).unwrap_or_default();
            (told.contains(text) || self.child.try_wait().ok().flatten().is_some()).then_some(told)
        });
        let told = found.unwrap_or_default();
        assert!(told.contains(text), "no line with `{text}`:\n{told}");
    }

    /// Waits for the end, then for the last traces to go; what did not.
    fn finish(mut self) -> (Output, Leftovers) {
        let mut errors = self.child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut text = Vec::new();
            errors.read_to_end(&mut text).map(|_| text).unwrap_or_default()
        });
        let ended = wait_until(DEMO_PATIENCE, || self.child.try_wait().unwrap());
        let Some(status) = ended else {
            self.child.kill().unwrap();
            panic!(
                "it does not end:\n{}",
                fs::read_to_string(&self.output).unwrap_or_default()
            );
        };
        let gone = wait_until(END_PATIENCE, || {
            (self.leftovers() == Leftovers::default()).then(Leftovers::default)
        });
        let output = Output {
            status,
            stdout: fs::read(&self.output).unwrap_or_default(),
            stderr: reader.join().unwrap(),
        };
        (output, gone.unwrap_or_else(|| self.leftovers()))
    }

    /// A lab's names begin with its maker's process id.
    fn leftovers(&self) -> Leftovers {
        let prefix = format!("sl{}x", self.pid);
        let directory = std::env::temp_dir().join(format!("sluice-lab-{prefix}"));
        let directory = directory.display().to_string();
        Leftovers {
            namespaces: named("/run/netns", &prefix),
            processes: processes_about(&[&directory, &prefix]),
            directories: named(
                &std::env::temp_dir().display().to_string(),
                &format!("sluice-lab-{prefix}"),
            ),
            devices: ["slacc0", "slcore0"]
                .into_iter()
                .filter(|device| PathBuf::from("/sys/class/net").join(device).exists())
                .map(str::to_owned)
                .collect(),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        let _ = fs::remove_file(&self.output);
    }
}

/// Entries of a directory whose names begin with `prefix`.
fn named(directory: &str, prefix: &str) -> Vec<String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Command lines in which one of the words occurs.
fn processes_about(words: &[&str]) -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines
        .filter(|line| words.iter().any(|word| line.contains(word)))
        .collect()
}

/// What it printed last, for a message.
fn tail(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(60)..].join("\n")
}
