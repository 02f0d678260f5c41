//! The comparison by number of sessions: all programs in turn, each a fresh process, round after round.
//!
//! ```text
//!   round 1:  io(QinQ)  io(IP)  lpm  lpm+counters  em  ours up  ours down
//!   round 2:  the same again …
//! ```
//!
//! Upstream frames are QinQ, downstream ones plain IP; l3fwd takes the plain file, of the same number and length of frames. The
//! floor is measured on each file.

use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use shm_bridge::Direction;

use crate::figures::{deltas, ratios};
use crate::ground::{Files, Ground};
use crate::layout::Layout;
use crate::outcome::{Outcome, Setting};
use crate::peers::Lookup;
use crate::plan::Plan;
use crate::program::{Program, short};
use crate::settings::rows;
use crate::traffic::{Spec, Traffic};

/// Rows of the comparison.
pub const SESSIONS: [u32; 3] = [4096, 65_536, 1_048_576];
/// With more sessions l3fwd has no room for the routes.
const L3FWD_SESSIONS_MAX: u32 = 65_536;

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

/// All rows of the table.
pub fn all_rows() -> Vec<Row> {
    SESSIONS
        .into_iter()
        .flat_map(|sessions| Direction::ALL.map(|direction| Row { direction, sessions }))
        .collect()
}

/// Runs the rows, those of the same number of sessions together.
pub fn run(plan: &Plan, tsc_mhz: f64, outcome: &mut Outcome) -> anyhow::Result<()> {
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
        group(plan, row.sessions, &directions, tsc_mhz, outcome)
            .with_context(|| format!("{} sessions", row.sessions))?;
    }
    Ok(())
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
    // Row 0 is never used: of 1,048,576 sessions one has to share its line.
    let sessions = frames.min(rows(frames) - 1);
    let setting = Setting::Sessions(frames);
    let (ground, _filled) = Ground::new(Layout::One, sessions, frames)?;
    let files = Direction::ALL
        .into_iter()
        .map(|direction| {
            let traffic = Traffic::new(Spec {
                packets: frames,
                sizes: vec![plan.bytes],
                ..Spec::plain(direction, sessions)
            })?;
            ground.files("plain", &traffic)
        })
        .collect::<anyhow::Result<Vec<Files>>>()?;
    let of = |direction: Direction| {
        files
            .iter()
            .find(|files| files.direction == direction)
            .context("no such file")
    };

    for direction in directions {
        plan.check(&ground, of(*direction)?, setting, outcome)?;
    }
    let programs = programs(frames, directions);
    let mut rates: Vec<(Program, Vec<f64>)> = programs.iter().map(|program| (*program, Vec::new())).collect();
    for start in 0..plan.starts {
        for (program, rates) in &mut rates {
            let files = of(program.direction())?;
            let mpps = plan
                .one_start(&ground, files, (setting, *program), None, outcome)
                .with_context(|| format!("{} start {start}", program.name()))?;
            rates.push(mpps);
        }
    }
    compare(frames, directions, &rates, tsc_mhz, outcome);
    for (program, rates) in &rates {
        outcome.put_speed(setting, *program, rates);
    }
    Ok(())
}

/// Ratios of each direction to its peers, and the ticks more than the floor.
fn compare(
    frames: u32,
    directions: &[Direction],
    rates: &[(Program, Vec<f64>)],
    tsc_mhz: f64,
    outcome: &mut Outcome,
) {
    let of = |wanted: Program| {
        rates
            .iter()
            .find(|(program, _)| *program == wanted)
            .map(|(_, rates)| rates)
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
                outcome.put_figure(format!("{prefix}.{name}"), &ratios(ours, theirs));
            }
        }
        if let Some(floor) = of(Program::Io(*direction)) {
            outcome.put_figure(format!("{prefix}.delta_tsc"), &deltas(ours, floor, tsc_mhz));
        }
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

    #[test]
    fn a_row_is_compared_with_every_program_of_its_group() {
        let up = Direction::Upstream;
        let rates = [
            (Program::Io(up), vec![40.0, 50.0]),
            (Program::L3fwd(Lookup::Lpm), vec![25.0, 20.0]),
            (Program::Ours(up), vec![20.0, 20.0]),
        ];
        let mut outcome = Outcome::default();

        compare(4096, &[up], &rates, 2000.0, &mut outcome);

        let names: Vec<&String> = outcome.figures.keys().collect();
        assert_eq!(names, ["up.4096.delta_tsc", "up.4096.io", "up.4096.lpm"]);
        let io = &outcome.figures["up.4096.io"];
        assert_eq!((io.min, io.max, io.starts), (0.4, 0.5, 2));
    }
}
