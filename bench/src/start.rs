//! One start of a program: a fresh process on its files, measured in windows; of ours, every packet accounted for afterwards.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::conservation::Counts;
use crate::figures::Figure;
use crate::ground::{Files, Ground};
use crate::latency::Distribution;
use crate::layout::Taker;
use crate::meter::Telemetry;
use crate::peers::Start;
use crate::program::Program;
use crate::traffic::{Fate, network::HARNESS, pcap};
use crate::turn::Turn;
use anyhow::{Context, ensure};

/// How programs are measured.
#[derive(Clone, Debug)]
pub struct Manner {
    pub windows: usize,
    pub window: Duration,
    pub worker: PathBuf,
    /// Where l3fwd is; see bench/l3fwd/build.sh.
    pub l3fwd: PathBuf,
}

/// What a start came to.
#[derive(Debug)]
pub struct Measured {
    /// The median of its windows, of one lcore.
    pub mpps: f64,
    /// Of ours: receive to transmit.
    pub times: Distribution,
    /// Of ours: packets accounted for one by one.
    pub accounted: u64,
    /// Of ours: the share of packets that were lost between lcores.
    pub lost_between: f64,
}

/// How long a program may take to its first packet.
const PATIENCE: Duration = Duration::from_secs(120);

fn prefix() -> String {
    format!("sluice-bench-{}", std::process::id())
}

impl Manner {
    /// Starts a program, measures it and stops it; `meanwhile` is called again and again while it is measured.
    pub fn start(
        &self,
        ground: &Ground,
        files: &Files,
        program: Program,
        meanwhile: Option<&mut dyn FnMut() -> anyhow::Result<()>>,
    ) -> anyhow::Result<Measured> {
        let (prefix, log) = (prefix(), ground.dir().join("program.log"));
        let devices = ground.layout.loops(&files.paths());
        let start = Start {
            prefix: &prefix,
            devices: &devices,
            frames: ground.frames,
            log: &log,
        };
        let _turn = Turn::take()?;
        let before = Counts::read(&ground.control);
        let times_before = Distribution::read(&ground.control, files.direction);
        let running = match program {
            Program::Io(_) => start.testpmd(),
            Program::L3fwd(lookup) => start.l3fwd(&self.l3fwd, lookup, ground.sessions),
            Program::Ours(_) => {
                let config = ground.config(files.direction, Taker::Nothing)?;
                start.worker(&self.worker, ground.layout, &config)
            }
        }?;
        let ours = matches!(program, Program::Ours(_));
        let lcores = if ours { ground.layout.lcores() } else { 1 };
        let mpps = std::thread::scope(|scope| {
            let measuring = scope.spawn(|| self.measure(&prefix, lcores, ours));
            if let Some(meanwhile) = meanwhile {
                while !measuring.is_finished() {
                    meanwhile()?;
                    std::thread::sleep(Duration::from_micros(500));
                }
            }
            let measured = measuring
                .join()
                .map_err(|_| anyhow::anyhow!("the meter panicked"))?;
            measured.with_context(|| tail(&log))
        })?;
        running.stop()?;
        let mut measured = Measured {
            mpps,
            times: Distribution::default(),
            accounted: 0,
            lost_between: 0.0,
        };
        if ours {
            let came = Counts::read(&ground.control).since(&before);
            measured.accounted = came.received();
            measured.lost_between = came.spread_full() as f64 / came.received().max(1) as f64;
            came.check(ground, files)?;
            measured.times = Distribution::read(&ground.control, files.direction).since(&times_before);
        }
        Ok(measured)
    }

    fn measure(&self, prefix: &str, lcores: usize, ours: bool) -> anyhow::Result<f64> {
        let telemetry = Telemetry::connect(prefix)?;
        // l3fwd reads its routes after it can be asked: 65,536 of them take a while.
        telemetry.wait_for_packets(PATIENCE)?;
        std::thread::sleep(Duration::from_secs(1));
        let windows = telemetry.measure(lcores, self.windows, self.window)?;
        let (received, sent) = (telemetry.received()?, telemetry.sent()?);
        // What is fast because it does not forward is not fast; a hundredth for what is on its way between the two questions. Ours
        // is accounted for to the packet.
        ensure!(
            ours || sent >= received / 100 * 99,
            "of {received} packets only {sent} were sent on"
        );
        let rates: Vec<f64> = windows.iter().map(|window| window.mpps).collect();
        ensure!(rates.iter().all(|rate| *rate > 0.0), "a window without a packet");
        Ok(Figure::of(&rates).context("no window was kept")?.median)
    }

    /// The files once through our worker: what comes out must be what was expected, byte for byte, and every other frame must have
    /// met its own end. Returns how many frames went in.
    pub fn byte_for_byte(&self, ground: &Ground, files: &Files) -> anyhow::Result<u64> {
        let (prefix, log) = (prefix(), ground.dir().join("program.log"));
        let (devices, outs) = ground
            .layout
            .once(&files.paths(), &ground.dir().join("sent.pcap"));
        let start = Start {
            prefix: &prefix,
            devices: &devices,
            frames: ground.frames,
            log: &log,
        };
        let config = ground.config(files.direction, Taker::Files)?;
        let _turn = Turn::take()?;
        let before = Counts::read(&ground.control);
        let running = start.worker(&self.worker, ground.layout, &config)?;
        let telemetry = Telemetry::connect(&prefix).with_context(|| tail(&log))?;
        let frames: usize = files.parts.iter().map(|part| part.traffic.len()).sum();
        for _ in 0..300 {
            if telemetry.received().with_context(|| tail(&log))? >= frames as u64 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        std::thread::sleep(Duration::from_millis(200));
        running.stop()?;
        let came = Counts::read(&ground.control).since(&before);
        let lost_between = came.spread_full();
        ensure!(
            came.received() == frames as u64,
            "{} frames of {frames} were received",
            came.received()
        );
        came.check(ground, files)?;
        compare(files, &outs, lost_between)?;
        Ok(frames as u64)
    }
}

/// Compares what was sent with what should have been: one file in order; several, from lcores that do not wait for each other, as a heap.
fn compare(files: &Files, outs: &[PathBuf], lost_between: u64) -> anyhow::Result<()> {
    let mut expected: Vec<Vec<u8>> = files
        .parts
        .iter()
        .flat_map(|part| part.traffic.all(&HARNESS))
        .filter_map(|(_, fate)| match fate {
            Fate::Forwarded(frame) => Some(frame),
            Fate::Dropped(_) | Fate::Punted => None,
        })
        .collect();
    let files = outs
        .iter()
        .map(std::fs::read)
        .collect::<Result<Vec<_>, _>>()
        .context("what the worker sent cannot be read")?;
    let mut came: Vec<&[u8]> = Vec::with_capacity(expected.len());
    for file in &files {
        came.extend(pcap::read(file).context("the worker's pcap cannot be read")?);
    }
    if outs.len() > 1 {
        expected.sort_unstable();
        came.sort_unstable();
    }
    ensure!(
        came.len() as u64 + lost_between == expected.len() as u64,
        "{} frames of {} came out",
        came.len(),
        expected.len()
    );
    let mut wanted = expected.iter().enumerate();
    for came in came {
        // What was lost between lcores is passed over; without such a loss the next one is the only one that is right.
        let found = match lost_between {
            0 => wanted.next().filter(|(_, frame)| *frame == came),
            _ => wanted.find(|(_, frame)| *frame == came),
        };
        ensure!(
            found.is_some(),
            "this frame is not the one that was expected:\n{came:02x?}"
        );
    }
    Ok(())
}

/// The end of a program's log, for an error.
fn tail(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    format!(
        "{}: {}",
        log.display(),
        lines[lines.len().saturating_sub(10)..].join("\n")
    )
}
