//! The programs that are compared: testpmd as the floor, and ours, each started on the same file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::Context;
use shm_bridge::Direction;

use crate::traffic::{ACCESS_MAC, CORE_MAC};

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
    let mut arguments: Vec<String> = ["--no-pci", "--huge-unlink", "-m", "256", "--file-prefix", prefix]
        .map(String::from)
        .into();
    arguments.extend(devices(pcap));
    arguments
}

fn spawn(command: &mut Command, log: &Path) -> anyhow::Result<Running> {
    let log = fs::File::create(log).with_context(|| log.display().to_string())?;
    let child = command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn();
    Ok(Running(child.with_context(|| {
        format!("cannot start {:?}", command.get_program())
    })?))
}

/// testpmd, forwarding between the two ports without looking at a packet.
pub fn testpmd(prefix: &str, pcap: &Path, log: &Path) -> anyhow::Result<Running> {
    let mut command = Command::new("dpdk-testpmd");
    // Its main lcore is on CPU 0, the forwarding one on ours.
    command
        .args(["-l", &format!("0,{CPU}")])
        .args(eal(prefix, pcap))
        .args([
            "--",
            "--forward-mode=io",
            "--auto-start",
            "--stats-period=3600",
            "--no-flush-rx",
            "--total-num-mbufs=32768",
        ]);
    spawn(&mut command, log)
}

/// Our worker on one lcore, polling.
pub fn worker(
    binary: &Path,
    prefix: &str,
    pcap: &Path,
    config: &Path,
    log: &Path,
) -> anyhow::Result<Running> {
    let mut command = Command::new(binary);
    command
        .args(["-l", CPU])
        .args(eal(prefix, pcap))
        .arg("--")
        .arg("--config")
        .arg(config);
    spawn(&mut command, log)
}

/// Writes the worker's configuration for a direction, and returns its path.
pub fn write_config(dir: &Path, direction: Direction, sessions: u32) -> anyhow::Result<PathBuf> {
    let (access, core) = match direction {
        Direction::Upstream => ("net_pcap0", "net_null0"),
        Direction::Downstream => ("net_null0", "net_pcap0"),
    };
    let mac = |mac: [u8; 6]| mac.map(|octet| format!("{octet:02x}")).join(":");
    let rows = (sessions + 1).next_power_of_two().max(64);
    let text = format!(
        r#"[node]
id = "bench"
run_dir = "{dir}"
state_dir = "{dir}"

[limits]
sessions = {rows}
tbl8_groups = {groups}

[worker]
idle = "poll"
mbufs = 32768

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
        dir = dir.display(),
        groups = sessions / 256 + 16,
        access_mac = mac(ACCESS_MAC),
        core_mac = mac(CORE_MAC),
    );
    let path = dir.join("sluice.toml");
    fs::write(&path, text)?;
    Ok(path)
}
