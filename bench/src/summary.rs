//! The summary file: what was measured, on which machine, under which load, of which commit.

use std::fs;
use std::process::Command;

use anyhow::Context;
use serde_json::{Map, Value, json};

use crate::outcome::Outcome;
use crate::plan::Plan;

/// Where and when a run was made.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    pub cpu: Option<String>,
    pub cpus: usize,
    pub kernel: String,
    pub tsc_mhz: f64,
    pub load_before: String,
    pub load_after: String,
    /// `None` outside a repository.
    pub commit: Option<String>,
}

impl Machine {
    pub fn look(tsc_mhz: f64) -> anyhow::Result<Machine> {
        let info = read("/proc/cpuinfo")?;
        let model = info.lines().find_map(|line| line.strip_prefix("model name\t: "));
        Ok(Machine {
            cpu: model.map(str::to_owned),
            cpus: info
                .lines()
                .filter(|line| line.starts_with("processor\t"))
                .count(),
            kernel: read("/proc/sys/kernel/osrelease")?,
            tsc_mhz,
            load_before: read("/proc/loadavg")?,
            load_after: String::new(),
            commit: commit(),
        })
    }

    /// At the end of the run.
    pub fn look_again(&mut self) -> anyhow::Result<()> {
        self.load_after = read("/proc/loadavg")?;
        Ok(())
    }
}

fn read(path: &str) -> anyhow::Result<String> {
    let text = fs::read_to_string(path).with_context(|| path.to_owned())?;
    Ok(text.trim().to_owned())
}

/// The commit that is checked out.
fn commit() -> Option<String> {
    let output = Command::new("git").args(["rev-parse", "HEAD"]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The whole file.
pub fn json(outcome: &Outcome, plan: &Plan, machine: &Machine) -> Map<String, Value> {
    let mut summary = outcome.to_json();
    let about = json!({
        "cpu": machine.cpu, "cpus": machine.cpus, "kernel": machine.kernel, "tsc_mhz": machine.tsc_mhz,
    });
    summary.insert("machine".to_owned(), about);
    let load = json!({ "before": machine.load_before, "after": machine.load_after });
    summary.insert("load".to_owned(), load);
    summary.insert("commit".to_owned(), json!(machine.commit));
    let manner = json!({
        "frame_bytes": plan.bytes, "starts": plan.starts, "windows": plan.manner.windows,
        "window_ms": plan.manner.window.as_millis() as u64,
    });
    summary.insert("manner".to_owned(), manner);
    summary
}

/// The same for people.
pub fn facts(plan: &Plan, machine: &Machine) -> [(&'static str, String); 5] {
    let cpu = machine.cpu.as_deref().unwrap_or("unknown CPU");
    [
        (
            "machine",
            format!(
                "{cpu}, {} CPUs, TSC {:.0} MHz, Linux {}",
                machine.cpus, machine.tsc_mhz, machine.kernel
            ),
        ),
        ("load before", machine.load_before.clone()),
        ("load after", machine.load_after.clone()),
        (
            "manner",
            format!(
                "{}-byte frames; starts of each program in turn: {}; windows a start: {}, of {} ms",
                plan.bytes,
                plan.starts,
                plan.manner.windows,
                plan.manner.window.as_millis()
            ),
        ),
        (
            "commit",
            machine.commit.clone().unwrap_or_else(|| "unknown".to_owned()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::start::Manner;
    use std::time::Duration;

    #[test]
    fn a_summary_says_what_was_measured_where_and_of_which_commit() {
        let plan = Plan {
            rows: Vec::new(),
            features: false,
            lcores: false,
            starts: 3,
            bytes: 64,
            manner: Manner {
                windows: 2,
                window: Duration::from_millis(500),
                worker: "worker".into(),
                l3fwd: "l3fwd".into(),
            },
        };
        let mut machine = Machine::look(2400.0).unwrap();
        machine.look_again().unwrap();
        let mut outcome = Outcome::default();
        outcome.put_figure("bytes_per_session".to_owned(), &[200.0]);

        let summary = Value::Object(json(&outcome, &plan, &machine));

        let mut keys: Vec<&str> = summary.as_object().unwrap().keys().map(String::as_str).collect();
        keys.sort_unstable();
        assert_eq!(
            keys,
            [
                "checks",
                "commit",
                "figures",
                "further",
                "latency_ns",
                "load",
                "machine",
                "manner",
                "mpps"
            ]
        );
        assert_eq!(summary["figures"]["bytes_per_session"]["median"], 200.0);
        assert!(summary["machine"]["cpus"].as_u64().unwrap() > 0);
        assert!(summary["load"]["before"].as_str().unwrap().contains('/'));
        assert_eq!(summary["manner"]["window_ms"], 500);
        assert_eq!(facts(&plan, &machine).len(), 5);
    }
}
