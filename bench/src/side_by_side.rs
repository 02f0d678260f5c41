//! The comparison: all programs of a group in turn, each a fresh process, round after round.
//!
//! ```text
//!   round 1:  io(QinQ)  io(IP)  lpm  lpm+counters  em  ours up  ours down
//!   round 2:  the same again …
//! ```
//!
//! Upstream frames are QinQ, downstream ones plain IP; l3fwd takes the plain file, of the same number and length of frames. The
//! floor is measured on each file. After each start of ours the sum of law 2 must hold: rx + injected + originated = tx + drops + punts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use serde_json::{Map, Value, json};
use shm_bridge::{ControlSide, Direction};
use sluice_config::Config;

use crate::figures::{Figure, deltas, ratios};
use crate::memory;
use crate::meter::Telemetry;
use crate::peers::{self, Lookup, Running};
use crate::{tables, traffic};

/// Rows of the comparison.
pub const SESSIONS: [u32; 3] = [4096, 65_536, 1_048_576];
/// With more sessions l3fwd has no room for the routes.
const L3FWD_SESSIONS_MAX: u32 = 65_536;
const SEED: u64 = 42;

/// One direction with so many sessions, written `up.4096`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub direction: Direction,
    pub sessions: u32,
}

impl FromStr for Row {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Row> {
        let (way, sessions) = text
            .split_once('.')
            .with_context(|| format!("{text}: want up.4096"))?;
        let direction = match way {
            "up" => Direction::Upstream,
            "down" => Direction::Downstream,
            _ => bail!("{text}: want up or down before the dot"),
        };
        let sessions: u32 = sessions.parse().with_context(|| format!("{text}: sessions"))?;
        ensure!((1..=1 << 20).contains(&sessions), "{text}: 1 to 1048576 sessions");
        Ok(Row { direction, sessions })
    }
}

fn short(direction: Direction) -> &'static str {
    match direction {
        Direction::Upstream => "up",
        Direction::Downstream => "down",
    }
}

/// How a comparison is run.
#[derive(Clone, Debug)]
pub struct Plan {
    pub rows: Vec<Row>,
    /// Gardens and table updates.
    pub features: bool,
    pub starts: usize,
    pub windows: usize,
    pub window: Duration,
    pub bytes: usize,
    pub worker: PathBuf,
    /// Where l3fwd is; see bench/l3fwd/build.sh.
    pub l3fwd: PathBuf,
}

/// A program of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Program {
    /// testpmd io on the file of a direction.
    Io(Direction),
    L3fwd(Lookup),
    Ours(Direction),
}

impl Program {
    fn name(self) -> String {
        match self {
            Program::Io(direction) => format!("{}.testpmd-io", short(direction)),
            Program::L3fwd(Lookup::Lpm) => "l3fwd-lpm".to_owned(),
            Program::L3fwd(Lookup::LpmCounters) => "l3fwd-lpm-counters".to_owned(),
            Program::L3fwd(Lookup::Em) => "l3fwd-em".to_owned(),
            Program::Ours(direction) => format!("{}.sluice", short(direction)),
        }
    }

    /// The file it gets.
    fn direction(self) -> Direction {
        match self {
            Program::Io(direction) | Program::Ours(direction) => direction,
            Program::L3fwd(_) => Direction::Downstream,
        }
    }
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Ratios and differences, as the summary names them.
    pub figures: BTreeMap<String, Figure>,
    /// Mpps of each program.
    pub mpps: BTreeMap<String, Figure>,
}

/// Runs all rows of the plan.
pub fn run(plan: &Plan, tsc_mhz: f64) -> anyhow::Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut done = Vec::new();
    for row in &plan.rows {
        if done.contains(&row.sessions) {
            continue;
        }
        done.push(row.sessions);
        let directions: Vec<Direction> = plan
            .rows
            .iter()
            .filter(|other| other.sessions == row.sessions)
            .map(|row| row.direction)
            .collect();
        group(plan, row.sessions, &directions, tsc_mhz, &mut outcome)
            .with_context(|| format!("{} sessions", row.sessions))?;
    }
    if plan.features {
        features(plan, &mut outcome).context("gardens and updates")?;
    }
    let memory: Vec<f64> = [1, 2, 8, 64].map(memory::bytes_per_session).into();
    if let Some(figure) = Figure::of(&memory) {
        outcome.figures.insert("bytes_per_session".to_owned(), figure);
    }
    Ok(outcome)
}

/// The run's segment file: it goes with the run, however that ends.
struct Segment(Option<PathBuf>);

impl Drop for Segment {
    fn drop(&mut self) {
        if let Some(path) = &self.0
            && let Err(error) = std::fs::remove_file(path)
        {
            eprintln!("{} is left over: {error}", path.display());
        }
    }
}

/// The programs of a group, in the order of a round.
fn programs(sessions: u32, directions: &[Direction]) -> Vec<Program> {
    let mut programs: Vec<Program> = directions
        .iter()
        .map(|direction| Program::Io(*direction))
        .collect();
    if sessions <= L3FWD_SESSIONS_MAX {
        programs.extend([Lookup::Lpm, Lookup::LpmCounters, Lookup::Em].map(Program::L3fwd));
    }
    programs.extend(directions.iter().map(|direction| Program::Ours(*direction)));
    programs
}

fn group(
    plan: &Plan,
    frames: u32,
    directions: &[Direction],
    tsc_mhz: f64,
    outcome: &mut Outcome,
) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    // Row 0 is never used: of 1,048,576 sessions one has to share its line.
    let sessions = frames.min(peers::rows(frames) - 1);
    for direction in Direction::ALL {
        let file = BufWriter::new(File::create(pcap(dir.path(), direction))?);
        traffic::write_pcap(file, direction, sessions, frames, plan.bytes, SEED)?;
        peers::write_config(dir.path(), direction, sessions, frames)?;
    }
    let config =
        Config::load(&dir.path().join("upstream.toml")).map_err(|error| anyhow::anyhow!("{error:?}"))?;
    let control = ControlSide::attach(&config.segment())?;
    let _segment = Segment(control.about.path.clone());
    tables::fill(&control, sessions)?;

    for direction in directions {
        byte_for_byte(plan, *direction, (sessions, frames), dir.path())
            .with_context(|| format!("{}: byte for byte", direction.label()))?;
    }
    let programs = programs(frames, directions);
    let mut rates: Vec<(Program, Vec<f64>)> = programs.iter().map(|program| (*program, Vec::new())).collect();
    for start in 0..plan.starts {
        for (program, rates) in &mut rates {
            let mpps = one_start(plan, *program, (sessions, frames), dir.path(), &control)
                .with_context(|| format!("{} start {start}", program.name()))?;
            eprintln!("{frames} {} start {start}: {mpps:.2} Mpps", program.name());
            rates.push(mpps);
        }
    }

    let of = |wanted: Program| {
        rates
            .iter()
            .find(|(program, _)| *program == wanted)
            .map(|(_, rates)| rates)
    };
    let mut put = |name: String, values: &[f64]| {
        if let Some(figure) = Figure::of(values) {
            outcome.figures.insert(name, figure);
        }
    };
    for direction in directions {
        let Some(ours) = of(Program::Ours(*direction)) else {
            continue;
        };
        let prefix = format!("{}.{frames}", short(*direction));
        for (name, peer) in [
            ("io", Program::Io(*direction)),
            ("lpm", Program::L3fwd(Lookup::Lpm)),
            ("lpm_counters", Program::L3fwd(Lookup::LpmCounters)),
            ("em", Program::L3fwd(Lookup::Em)),
        ] {
            if let Some(theirs) = of(peer) {
                put(format!("{prefix}.{name}"), &ratios(ours, theirs));
            }
        }
        if let Some(floor) = of(Program::Io(*direction)) {
            put(format!("{prefix}.delta_tsc"), &deltas(ours, floor, tsc_mhz));
        }
    }
    for (program, rates) in &rates {
        if let Some(figure) = Figure::of(rates) {
            outcome
                .mpps
                .insert(format!("{frames}.{}", program.name()), figure);
        }
    }
    Ok(())
}

fn pcap(dir: &Path, direction: Direction) -> PathBuf {
    dir.join(format!("{}.pcap", direction.label()))
}

/// The file once through our worker: what comes out must be what was expected, frame by frame.
fn byte_for_byte(
    plan: &Plan,
    direction: Direction,
    (sessions, frames): (u32, u32),
    dir: &Path,
) -> anyhow::Result<()> {
    let prefix = format!("sluice-bench-{}", std::process::id());
    let (log, sent) = (dir.join("program.log"), dir.join("sent.pcap"));
    let config = dir.join(format!("{}.toml", direction.label()));
    let files = (pcap(dir, direction), sent.clone());
    let running = peers::worker_once(&plan.worker, &prefix, (&files.0, &files.1), &config, frames, &log)?;
    let telemetry = Telemetry::connect(&prefix).with_context(|| tail(&log))?;
    for _ in 0..300 {
        if telemetry.received()? >= u64::from(frames) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    std::thread::sleep(Duration::from_millis(200));
    running.stop()?;
    let bytes = std::fs::read(&sent)?;
    let got = traffic::read_frames(&bytes).context("the worker's pcap cannot be read")?;
    let order = traffic::order(sessions, frames, SEED);
    ensure!(
        got.len() == order.len(),
        "{} frames of {} came out",
        got.len(),
        order.len()
    );
    for (number, (got, session)) in got.iter().zip(order).enumerate() {
        let expected = traffic::expected(direction, session, plan.bytes, traffic::far_end);
        ensure!(
            *got == expected,
            "frame {number} of session {session} is\n{got:02x?}, expected\n{expected:02x?}"
        );
    }
    eprintln!(
        "{frames} {}: {frames} frames as expected, byte for byte",
        short(direction)
    );
    Ok(())
}

/// Sessions of the rows about features.
const FEATURE_SESSIONS: u32 = 4096;
/// Table updates in a millisecond.
const UPDATES_A_TICK: u32 = 10;

/// Ours alone, on the same frames: active, in gardens of 64 and 10,000 rules, and active under 10,000 table updates a second.
fn features(plan: &Plan, outcome: &mut Outcome) -> anyhow::Result<()> {
    let dir = tempfile::tempdir()?;
    let (sessions, frames) = (FEATURE_SESSIONS, FEATURE_SESSIONS);
    for direction in Direction::ALL {
        let file = BufWriter::new(File::create(pcap(dir.path(), direction))?);
        let order = traffic::order(sessions, frames, SEED).into_iter();
        let far_end = traffic::garden_far_end;
        traffic::write_frames(
            file,
            order.map(|session| traffic::frame_to(direction, session, plan.bytes, far_end)),
        )?;
        peers::write_config(dir.path(), direction, sessions, frames)?;
    }
    let config = Config::load(&dir.path().join("upstream.toml"))?;
    let control = ControlSide::attach(&config.segment())?;
    let _segment = Segment(control.about.path.clone());
    let mut filled = tables::fill(&control, sessions)?;
    let mut rates: BTreeMap<(&str, &str), Vec<f64>> = BTreeMap::new();
    for start in 0..plan.starts {
        for direction in Direction::ALL {
            for (name, garden) in [
                ("active", None),
                ("garden64", Some(tables::GARDEN_64)),
                ("garden10k", Some(tables::GARDEN_10K)),
                ("updates10k", None),
            ] {
                filled.set_policies(&control, garden);
                let program = Program::Ours(direction);
                let mpps = if name == "updates10k" {
                    updated_start(plan, program, dir.path(), &control, &mut filled)
                } else {
                    one_start(plan, program, (sessions, frames), dir.path(), &control)
                }
                .with_context(|| format!("{name}, {}", short(direction)))?;
                eprintln!("{name} {} start {start}: {mpps:.2} Mpps", short(direction));
                rates.entry((name, short(direction))).or_default().push(mpps);
            }
        }
    }
    for (name, base) in [
        ("garden64", "active"),
        ("garden10k", "garden64"),
        ("updates10k", "active"),
    ] {
        // The headline is the worse direction.
        let mut worst: Option<Figure> = None;
        for way in ["up", "down"] {
            let (Some(with), Some(without)) = (rates.get(&(name, way)), rates.get(&(base, way))) else {
                continue;
            };
            if let Some(figure) = Figure::of(&ratios(with, without)) {
                if worst.as_ref().is_none_or(|worst| figure.median < worst.median) {
                    worst = Some(figure.clone());
                }
                outcome.figures.insert(format!("{way}.{name}"), figure);
            }
        }
        if let Some(figure) = worst {
            outcome.figures.insert(name.to_owned(), figure);
        }
    }
    for ((name, way), rates) in &rates {
        if let Some(figure) = Figure::of(rates) {
            outcome.mpps.insert(format!("{name}.{way}.sluice"), figure);
        }
    }
    Ok(())
}

/// A start during which this thread changes tables, 10,000 times a second.
fn updated_start(
    plan: &Plan,
    program: Program,
    dir: &Path,
    control: &ControlSide,
    filled: &mut tables::Filled,
) -> anyhow::Result<f64> {
    let prefix = format!("sluice-bench-{}", std::process::id());
    let (log, pcap) = (dir.join("program.log"), pcap(dir, program.direction()));
    let config = dir.join(format!("{}.toml", program.direction().label()));
    let before = Sum::of(control);
    let running = peers::worker(&plan.worker, &prefix, &pcap, &config, FEATURE_SESSIONS, &log)?;
    let (mpps, updates, took) = std::thread::scope(|scope| {
        let measuring = scope.spawn(|| measure(plan, &prefix));
        let (start, mut updates) = (Instant::now(), 0u32);
        while !measuring.is_finished() {
            // As many as are due by now, so that a late tick does not lower the rate.
            let due = (start.elapsed().as_millis() as u32).saturating_mul(UPDATES_A_TICK);
            while updates < due {
                filled.update(control)?;
                updates += 1;
            }
            std::thread::sleep(Duration::from_micros(500));
        }
        let took = start.elapsed();
        let mpps = measuring
            .join()
            .map_err(|_| anyhow::anyhow!("the meter panicked"))?;
        anyhow::Ok((mpps.with_context(|| tail(&log))?, updates, took))
    })?;
    let rate = f64::from(updates) / took.as_secs_f64();
    ensure!(rate > 9_500.0, "only {rate:.0} table updates a second were made");
    stop(running, program, control, &before)?;
    Ok(mpps)
}

/// Mpps of one start: the median of its windows.
fn one_start(
    plan: &Plan,
    program: Program,
    (sessions, frames): (u32, u32),
    dir: &Path,
    control: &ControlSide,
) -> anyhow::Result<f64> {
    let prefix = format!("sluice-bench-{}", std::process::id());
    let (log, pcap) = (dir.join("program.log"), pcap(dir, program.direction()));
    let config = dir.join(format!("{}.toml", program.direction().label()));
    let before = Sum::of(control);
    let running = match program {
        Program::Io(_) => peers::testpmd(&prefix, &pcap, frames, &log),
        Program::L3fwd(lookup) => peers::l3fwd(&plan.l3fwd, lookup, &prefix, &pcap, (sessions, frames), &log),
        Program::Ours(_) => peers::worker(&plan.worker, &prefix, &pcap, &config, frames, &log),
    }?;
    let mpps = measure(plan, &prefix).with_context(|| tail(&log))?;
    stop(running, program, control, &before)?;
    Ok(mpps)
}

/// The sum of law 2 over all lcores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sum {
    rx: u64,
    tx: u64,
    in_hand: u64,
}

impl Sum {
    fn of(control: &ControlSide) -> Sum {
        let lcores = &control.tables.lcores;
        Sum {
            rx: lcores.sum(|lcore| &lcore.rx),
            tx: lcores.sum(|lcore| &lcore.tx),
            in_hand: lcores
                .used()
                .fold(0, |sum, (_, lcore)| sum.wrapping_add(lcore.in_hand())),
        }
    }
}

/// Stops the program; of ours, every packet must be accounted for and every frame of these files sent on.
fn stop(running: Running, program: Program, control: &ControlSide, before: &Sum) -> anyhow::Result<()> {
    running.stop()?;
    if let Program::Ours(_) = program {
        let after = Sum::of(control);
        let (rx, tx) = (after.rx.wrapping_sub(before.rx), after.tx.wrapping_sub(before.tx));
        ensure!(
            after.in_hand == 0,
            "{} packets are neither sent, dropped nor punted",
            after.in_hand as i64
        );
        ensure!(
            rx > 0 && rx == tx,
            "of {rx} packets {tx} were forwarded; drops: {:?}",
            control
                .tables
                .lcores
                .drops()
                .filter(|(_, count)| *count > 0)
                .collect::<Vec<_>>()
        );
    }
    Ok(())
}

fn measure(plan: &Plan, prefix: &str) -> anyhow::Result<f64> {
    let telemetry = Telemetry::connect(prefix)?;
    std::thread::sleep(Duration::from_secs(1));
    let windows = telemetry.measure(plan.windows, plan.window)?;
    // What is fast because it does not forward is not fast; a hundredth for what is on its way between the two questions.
    let (received, sent) = (telemetry.received()?, telemetry.sent()?);
    ensure!(
        sent >= received / 100 * 99,
        "of {received} packets only {sent} were sent on"
    );
    let rates: Vec<f64> = windows.iter().map(|window| window.mpps).collect();
    Ok(Figure::of(&rates).context("no window was kept")?.median)
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

impl Outcome {
    /// The summary's JSON, without the machine.
    pub fn to_json(&self) -> anyhow::Result<Map<String, Value>> {
        let mut map = Map::new();
        map.insert("figures".to_owned(), json!(self.figures));
        map.insert("mpps".to_owned(), json!(self.mpps));
        Ok(map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_they_are_named_and_wrong_ones_are_refused() {
        let row: Row = "down.65536".parse().unwrap();
        assert_eq!((row.direction, row.sessions), (Direction::Downstream, 65_536));
        for wrong in ["up", "side.4096", "up.0", "up.2000000", "up.x"] {
            assert!(wrong.parse::<Row>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn l3fwd_is_in_the_groups_that_its_tables_hold() {
        let both = Direction::ALL;
        assert_eq!(programs(4096, &both).len(), 7);
        assert_eq!(programs(1 << 20, &both).len(), 4);
    }
}
