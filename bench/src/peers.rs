//! The programs that are compared, each started on the same file: testpmd as the floor, l3fwd for plain routing, and ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use shm_bridge::Direction;

use crate::traffic::{self, ACCESS_MAC, CORE_MAC, Subscriber};

/// The CPU that the measured program gets for itself.
pub const CPU: &str = "1";

/// A started program; killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may be gone already; either way it is waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Devices of a run: one port loops the file, the other takes what comes.
fn devices(pcap: &Path) -> Vec<String> {
    vec![
        format!("--vdev=net_pcap0,rx_pcap={},infinite_rx=1", pcap.display()),
        "--vdev=net_null0,no-rx=1".to_owned(),
    ]
}

fn eal(prefix: &str, pcap: &Path) -> Vec<String> {
    let mut arguments: Vec<String> = ["--no-pci", "--huge-unlink", "--file-prefix", prefix]
        .map(String::from)
        .into();
    arguments.extend(devices(pcap));
    arguments
}

/// Packet buffers of every program: net_pcap keeps the file in them.
fn mbufs(frames: u32) -> u32 {
    frames + 28_672
}

/// Starts a program in a session of its own, whose autogroup has the highest weight: a core of its own, as far as the scheduler is
/// asked (plain nice only counts inside a session).
fn spawn(program: &Path, arguments: &[String], frames: u32, log: &Path) -> anyhow::Result<Running> {
    let output = fs::File::create(log).with_context(|| log.display().to_string())?;
    let child = Command::new("setsid")
        .args(["bash", "-c", r#"echo -19 > /proc/self/autogroup; exec "$@""#, "_"])
        .arg(program)
        .args(arguments)
        // l3fwd's, see bench/l3fwd/measure.patch.
        .env("L3FWD_MBUFS", mbufs(frames).to_string())
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn();
    Ok(Running(child.with_context(|| {
        format!("cannot start {}", program.display())
    })?))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

impl Running {
    /// Asks the program to stop and waits for it: what it had in hand is finished.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        self.0.wait()?;
        Ok(())
    }
}

/// testpmd, forwarding between the two ports without looking at a packet.
pub fn testpmd(prefix: &str, pcap: &Path, frames: u32, log: &Path) -> anyhow::Result<Running> {
    // Its main lcore is on CPU 0, the forwarding one on ours.
    let mut arguments = words(&["-l", &format!("0,{CPU}")]);
    arguments.extend(eal(prefix, pcap));
    arguments.extend(words(&[
        "--",
        "--forward-mode=io",
        "--auto-start",
        "--stats-period=3600",
        "--no-flush-rx",
        &format!("--total-num-mbufs={}", mbufs(frames)),
    ]));
    spawn(Path::new("dpdk-testpmd"), &arguments, frames, log)
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

/// l3fwd of `dir` (see bench/l3fwd/build.sh) with a route for each session to the idle port.
pub fn l3fwd(
    dir: &Path,
    lookup: Lookup,
    prefix: &str,
    pcap: &Path,
    (sessions, frames): (u32, u32),
    log: &Path,
) -> anyhow::Result<Running> {
    let (binary, mode) = match lookup {
        Lookup::Lpm => ("l3fwd", "lpm"),
        Lookup::LpmCounters => ("l3fwd-counters", "lpm"),
        Lookup::Em => ("l3fwd", "em"),
    };
    let (routes, routes6) = (log.with_extension("routes"), log.with_extension("routes6"));
    fs::write(&routes, rules(lookup, sessions))?;
    let six = match lookup {
        Lookup::Em => "R2001:db8::1 2001:db8::2 9 9 0x11 1\n",
        _ => "R2001:db8::/32 1\n",
    };
    fs::write(&routes6, six)?;
    let mut arguments = words(&["-l", CPU]);
    arguments.extend(eal(prefix, pcap));
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
    spawn(&dir.join(binary), &arguments, frames, log)
}

/// l3fwd's rule file for the downstream frames of `sessions` sessions.
pub fn rules(lookup: Lookup, sessions: u32) -> String {
    (0..sessions)
        .map(|index| {
            let destination = Subscriber::new(index).ipv4;
            match lookup {
                Lookup::Em => format!("R{destination} {} 9 9 0x11 1\n", traffic::far_end(index)),
                _ => format!("R{destination}/32 1\n"),
            }
        })
        .collect()
}

/// Our worker on one lcore, polling.
pub fn worker(
    binary: &Path,
    prefix: &str,
    pcap: &Path,
    config: &Path,
    frames: u32,
    log: &Path,
) -> anyhow::Result<Running> {
    let mut arguments = words(&["-l", CPU]);
    arguments.extend(eal(prefix, pcap));
    arguments.extend(words(&["--", "--config", &config.display().to_string()]));
    spawn(binary, &arguments, frames, log)
}

/// Our worker on a file once: what comes out is written to `sent`.
pub fn worker_once(
    binary: &Path,
    prefix: &str,
    (pcap, sent): (&Path, &Path),
    config: &Path,
    frames: u32,
    log: &Path,
) -> anyhow::Result<Running> {
    let text = fs::read_to_string(config)?.replace("net_null0", "net_pcap1");
    let config = config.with_extension("once.toml");
    fs::write(&config, text)?;
    let arguments = words(&[
        "-l",
        CPU,
        "--no-pci",
        "--huge-unlink",
        "--file-prefix",
        prefix,
        &format!("--vdev=net_pcap0,rx_pcap={},tx_pcap=/dev/null", pcap.display()),
        &format!("--vdev=net_pcap1,tx_pcap={}", sent.display()),
        "--",
        "--config",
        &config.display().to_string(),
    ]);
    spawn(binary, &arguments, frames, log)
}

/// Rows for so many sessions: row 0 is never used, and 2^20 is the most that a segment has.
pub fn rows(sessions: u32) -> u32 {
    (sessions + 1).next_power_of_two().clamp(64, 1 << 20)
}

/// Writes the worker's configuration for a direction, and returns its path.
pub fn write_config(dir: &Path, direction: Direction, sessions: u32, frames: u32) -> anyhow::Result<PathBuf> {
    let (access, core) = match direction {
        Direction::Upstream => ("net_pcap0", "net_null0"),
        Direction::Downstream => ("net_null0", "net_pcap0"),
    };
    let mac = |mac: [u8; 6]| mac.map(|octet| format!("{octet:02x}")).join(":");
    let text = format!(
        r#"[node]
id = "bench-{pid}"
run_dir = "{dir}"
state_dir = "{dir}"

[limits]
sessions = {rows}
tbl8_groups = {groups}
svlan_blocks = {blocks}

[worker]
idle = "poll"
mbufs = {mbufs}

[[ports]]
name = "access0"
role = "access"
device = "{access}"
tagging = "qinq"
outer_tpids = [0x88a8]
mac = "{access_mac}"
[[ports.lines]]
s_vlans = "1-4094"
c_vlans = "1-4094"
model = "1:1"

[[ports]]
name = "core0"
role = "core"
device = "{core}"
mac = "{core_mac}"
address = "192.0.2.2/24"
gateway = "192.0.2.1"

[dhcp]
server_id = "100.127.255.1"

[pools.isp-residential]
network = "100.64.0.0/10"
gateway = "100.127.255.1"
binding_seconds = 86400
dns = ["1.1.1.1"]

[sessions]
unknown_pool = "isp-residential"
suspended_pool = "isp-residential"
"#,
        pid = std::process::id(),
        dir = dir.display(),
        rows = rows(sessions),
        groups = rows(sessions) / 256 + 64,
        blocks = sessions / 4094 + 2,
        mbufs = mbufs(frames),
        access_mac = mac(ACCESS_MAC),
        core_mac = mac(CORE_MAC),
    );
    let path = dir.join(format!("{}.toml", direction.label()));
    fs::write(&path, text)?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_session_has_a_rule_in_l3fwds_own_form() {
        assert_eq!(rules(Lookup::Lpm, 2), "R100.64.0.0/32 1\nR100.64.0.1/32 1\n");
        assert_eq!(rules(Lookup::Em, 1), "R100.64.0.0 198.18.0.0 9 9 0x11 1\n");
    }

    #[test]
    fn a_million_sessions_take_the_largest_segment() {
        assert_eq!((rows(63), rows(64), rows(1 << 20)), (64, 128, 1 << 20));
    }

    #[test]
    fn the_workers_configuration_is_one_that_the_worker_accepts() {
        let dir = tempfile::tempdir().unwrap();
        for (direction, sessions) in [
            (Direction::Upstream, 4096),
            (Direction::Upstream, 65_536),
            (Direction::Downstream, 1_048_575),
        ] {
            let path = write_config(dir.path(), direction, sessions, sessions).unwrap();
            sluice_config::Config::load(&path).unwrap();
        }
    }
}
