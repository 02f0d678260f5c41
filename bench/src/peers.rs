//! The programs that are compared, each started on the same file: testpmd as the floor, l3fwd for plain routing, and ours.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process};

use crate::layout::Layout;
use crate::leftovers::Watched;
use crate::traffic::network::{address, far_end};

/// The CPU that a program of one lcore gets for itself.
const CPU: &str = "1";

/// A started program; killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    _watched: Watched,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Asks the program to stop and waits for it: what it had in hand is finished.
    pub fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        self.child.wait()?;
        Ok(())
    }
}

/// Packet buffers of every program: net_pcap keeps the file in them, once for each queue.
pub fn mbufs(frames: u32) -> u32 {
    frames + 28_672
}

/// What a start needs besides its program.
#[derive(Clone, Copy, Debug)]
pub struct Start<'a> {
    pub prefix: &'a str,
    /// EAL's `--vdev` arguments.
    pub devices: &'a [String],
    pub frames: u32,
    pub log: &'a Path,
}

impl Start<'_> {
    fn eal(&self, cpus: &str) -> Vec<String> {
        let mut arguments = words(&[
            "-l",
            cpus,
            "--no-pci",
            "--huge-unlink",
            "--file-prefix",
            self.prefix,
        ]);
        arguments.extend(self.devices.iter().cloned());
        arguments
    }

    /// Starts a program in a session of its own, whose autogroup has the highest weight: a core of its own, as far as the scheduler is
    /// asked (plain nice only counts inside a session). It ends with this process, however that ends.
    fn spawn(&self, program: &Path, arguments: &[String]) -> anyhow::Result<Running> {
        let output = fs::File::create(self.log).with_context(|| self.log.display().to_string())?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "setsid", "bash", "-c"])
            .args([r#"echo -19 > /proc/self/autogroup; exec "$@""#, "_"])
            .arg(program)
            .args(arguments)
            // l3fwd's, see bench/l3fwd/measure.patch.
            .env("L3FWD_MBUFS", mbufs(self.frames).to_string())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn();
        let child = child.with_context(|| format!("cannot start {}", program.display()))?;
        let watched = Watched::program(Pid::from_child(&child));
        Ok(Running {
            child,
            _watched: watched,
        })
    }

    /// testpmd, forwarding between the two ports without looking at a packet.
    pub fn testpmd(&self) -> anyhow::Result<Running> {
        // Its main lcore is on CPU 0, the forwarding one on ours.
        let mut arguments = self.eal(&format!("0,{CPU}"));
        arguments.extend(words(&[
            "--",
            "--forward-mode=io",
            "--auto-start",
            "--stats-period=3600",
            "--no-flush-rx",
            &format!("--total-num-mbufs={}", mbufs(self.frames)),
        ]));
        self.spawn(Path::new("dpdk-testpmd"), &arguments)
    }

    /// l3fwd of `dir` (see bench/l3fwd/build.sh) with a route for each session to the idle port.
    pub fn l3fwd(&self, dir: &Path, lookup: Lookup, sessions: u32) -> anyhow::Result<Running> {
        let (binary, mode) = match lookup {
            Lookup::Lpm => ("l3fwd", "lpm"),
            Lookup::LpmCounters => ("l3fwd-counters", "lpm"),
            Lookup::Em => ("l3fwd", "em"),
        };
        let (routes, routes6) = (
            self.log.with_extension("routes"),
            self.log.with_extension("routes6"),
        );
        fs::write(&routes, rules(lookup, sessions))?;
        let six = match lookup {
            Lookup::Em => "R2001:db8::1 2001:db8::2 9 9 0x11 1\n",
            _ => "R2001:db8::/32 1\n",
        };
        fs::write(&routes6, six)?;
        let mut arguments = self.eal(CPU);
        arguments.extend(words(&[
            "--",
            "-p",
            "0x3",
            "--no-numa",
            "--parse-ptype",
            &format!("--lookup={mode}"),
            &format!("--config=(0,0,{CPU}),(1,0,{CPU})"),
            &format!("--rule_ipv4={}", routes.display()),
            &format!("--rule_ipv6={}", routes6.display()),
        ]));
        self.spawn(&dir.join(binary), &arguments)
    }

    /// Our worker, polling.
    pub fn worker(&self, binary: &Path, layout: Layout, config: &Path) -> anyhow::Result<Running> {
        let mut arguments = self.eal(layout.cpus());
        arguments.extend(words(&["--", "--config", &config.display().to_string()]));
        self.spawn(binary, &arguments)
    }
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// How l3fwd looks a packet up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Longest prefix match, a /32 for each session.
    Lpm,
    /// The same, with one 64-byte line of counters a destination.
    LpmCounters,
    /// Exact match of the five-tuple.
    Em,
}

/// l3fwd's rule file for the downstream frames of `sessions` sessions.
pub fn rules(lookup: Lookup, sessions: u32) -> String {
    (0..sessions)
        .map(|index| {
            let destination = address(index);
            match lookup {
                Lookup::Em => format!("R{destination} {} 9 9 0x11 1\n", far_end(index)),
                _ => format!("R{destination}/32 1\n"),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_has_a_rule_in_l3fwds_own_form() {
        assert_eq!(rules(Lookup::Lpm, 2), "R100.64.0.0/32 1\nR100.64.0.1/32 1\n");
        assert_eq!(rules(Lookup::Em, 1), "R100.64.0.0 198.18.0.0 9 9 0x11 1\n");
    }
}
