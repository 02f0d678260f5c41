//! The meter, the same for every program: packets by DPDK's telemetry socket, seconds by the scheduler's own account.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use serde_json::Value;

/// With less of a core a window says more about the neighbours than about the program.
const SHARE_MIN: f64 = 0.9;
/// How long a start waits for its first good window: a busy minute does not end an hour's run.
const PATIENCE: Duration = Duration::from_secs(120);

/// One window of a run.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Packets received per second of on-CPU time of the busiest threads together, in millions: the rate of one lcore.
    pub mpps: f64,
    /// How much of the window the one of them that had least had a core.
    pub share: f64,
}

/// A DPDK program's telemetry connection.
#[derive(Debug)]
pub struct Telemetry {
    socket: rustix::fd::OwnedFd,
    pid: u64,
}

impl Telemetry {
    /// Waits up to a minute for a program with this file prefix.
    pub fn connect(prefix: &str) -> anyhow::Result<Telemetry> {
        let path = format!("/var/run/dpdk/{prefix}/dpdk_telemetry.v2");
        let address = SocketAddrUnix::new(Path::new(&path))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let socket = rustix::net::socket_with(
                AddressFamily::UNIX,
                SocketType::SEQPACKET,
                SocketFlags::CLOEXEC,
                None,
            )?;
            match rustix::net::connect(&socket, &address) {
                Ok(()) => {
                    let mut telemetry = Telemetry { socket, pid: 0 };
                    let info = telemetry.receive()?;
                    telemetry.pid = info["pid"].as_u64().context("telemetry: no pid")?;
                    return Ok(telemetry);
                }
                Err(error) if Instant::now() > deadline => bail!("{path}: {error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn receive(&self) -> anyhow::Result<Value> {
        let mut buffer = vec![0u8; 65_536];
        let (len, _) = rustix::net::recv(&self.socket, &mut buffer[..], RecvFlags::empty())?;
        Ok(serde_json::from_slice(&buffer[..len])?)
    }

    /// One question, one answer.
    pub fn ask(&self, command: &str) -> anyhow::Result<Value> {
        rustix::net::send(&self.socket, command.as_bytes(), SendFlags::empty())?;
        let mut answer = self.receive()?;
        let name = command.split(',').next().unwrap_or(command);
        Ok(answer[name].take())
    }

    /// Packets that all ports received.
    pub fn received(&self) -> anyhow::Result<u64> {
        self.sum("ipackets")
    }

    /// Returns when the first packets were received.
    pub fn wait_for_packets(&self, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        while self.received()? == 0 {
            if Instant::now() > deadline {
                bail!("no packet was received in {patience:?}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Packets that all ports sent.
    pub fn sent(&self) -> anyhow::Result<u64> {
        self.sum("opackets")
    }

    fn sum(&self, counter: &str) -> anyhow::Result<u64> {
        let mut sum = 0;
        for port in self
            .ask("/ethdev/list")?
            .as_array()
            .context("telemetry: no ports")?
        {
            let stats = self.ask(&format!("/ethdev/stats,{port}"))?;
            sum += stats[counter]
                .as_u64()
                .with_context(|| format!("telemetry: no {counter}"))?;
        }
        Ok(sum)
    }

    /// On-CPU seconds of each thread.
    fn cpu(&self) -> anyhow::Result<Vec<(String, f64)>> {
        let mut seconds = Vec::new();
        for task in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let task = task?.path();
            // A thread may end between the listing and the reading.
            let Ok(text) = fs::read_to_string(task.join("schedstat")) else {
                continue;
            };
            let ns: f64 = text.split(' ').next().unwrap_or("0").parse()?;
            seconds.push((task.display().to_string(), ns / 1e9));
        }
        Ok(seconds)
    }

    /// Measures windows of `length` of a program with so many busy threads; those in which one of them had less than 90 % of a core
    /// are thrown away and measured again: four times as many at most, or until there is one.
    pub fn measure(&self, lcores: usize, windows: usize, length: Duration) -> anyhow::Result<Vec<Window>> {
        let mut kept = Vec::new();
        let deadline = Instant::now() + PATIENCE;
        for tried in 0.. {
            let enough = kept.len() == windows || (tried >= 4 * windows && !kept.is_empty());
            if enough || Instant::now() > deadline {
                break;
            }
            let (start, packets, cpu) = (Instant::now(), self.received()?, self.cpu()?);
            std::thread::sleep(length);
            let (now, received, after) = (start.elapsed(), self.received()?, self.cpu()?);
            let mut used: Vec<f64> = after
                .iter()
                .filter_map(|(task, s)| cpu.iter().find(|(t, _)| t == task).map(|(_, before)| s - before))
                .collect();
            used.sort_by(|a, b| b.total_cmp(a));
            used.truncate(lcores);
            let share = used.last().copied().unwrap_or(0.0) / now.as_secs_f64();
            if share >= SHARE_MIN {
                kept.push(Window {
                    mpps: (received - packets) as f64 / used.iter().sum::<f64>() / 1e6,
                    share,
                });
            }
        }
        if kept.is_empty() {
            bail!("for {PATIENCE:?} the program never had 90 % of a core: is something else running?");
        }
        Ok(kept)
    }
}
