//! Rates by number of sessions: one plot a direction and unit, every program a line with its range at each number.

use shm_bridge::Direction;

use super::panel;
use super::series::{legend, look, title};
use super::svg::{Anchor, Drawing, Scale, WIDTH, grouped, short, tick_label, ticks};
use crate::figures::Figure;
use crate::outcome::{Outcome, Setting, Speed};
use crate::peers::Lookup;
use crate::program::Program;

const HEIGHT: f64 = 240.0;
const LEFT: f64 = 34.0;
const RIGHT: f64 = 10.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;
/// Between two programs' marks at the same number of sessions.
const DODGE: f64 = 7.0;

#[derive(Clone, Copy)]
enum Unit {
    Mpps,
    Tsc(f64),
}

impl Unit {
    fn title(self) -> &'static str {
        match self {
            Unit::Mpps => "Mpps of one lcore",
            Unit::Tsc(_) => "TSC ticks a packet",
        }
    }

    fn of(self, speed: &Speed) -> Figure {
        match self {
            Unit::Mpps => speed.mpps.clone(),
            Unit::Tsc(mhz) => speed.tsc(mhz),
        }
    }
}

/// Nothing where nothing was measured by number of sessions.
pub fn section(outcome: &Outcome, tsc_mhz: f64) -> String {
    let mut numbers: Vec<u32> = outcome.speeds.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.is_empty() {
        return String::new();
    }
    let mut panels = String::new();
    for unit in [Unit::Mpps, Unit::Tsc(tsc_mhz)] {
        for direction in Direction::ALL {
            let name = format!("{}, {}", direction.label(), unit.title());
            panels += &panel(&name, &plot(outcome, &numbers, direction, unit, &name));
        }
    }
    let entries: Vec<_> = programs(Direction::Upstream)
        .into_iter()
        .filter(|program| {
            let kind = |speed: &Speed| number(speed).is_some() && speed.program.kind() == program.kind();
            outcome.speeds.iter().any(kind)
        })
        .map(|program| (look(program), title(program)))
        .collect();
    format!(
        "<h2>By number of sessions</h2><p class=\"quiet\">Marks are medians over process starts, lines through them reach from the \
         slowest to the fastest start. l3fwd routes the same number of plain IP frames in both plots.</p>{}<div class=\"grid pairs\">{panels}</div>",
        legend(&entries)
    )
}

fn number(speed: &Speed) -> Option<u32> {
    match speed.setting {
        Setting::Sessions(sessions) => Some(sessions),
        Setting::Feature(_) | Setting::Lcores(_) => None,
    }
}

/// Those that a direction's plot shows, in order.
fn programs(direction: Direction) -> [Program; 5] {
    [
        Program::Ours(direction),
        Program::Io(direction),
        Program::L3fwd(Lookup::Lpm),
        Program::L3fwd(Lookup::LpmCounters),
        Program::L3fwd(Lookup::Em),
    ]
}

fn plot(outcome: &Outcome, numbers: &[u32], direction: Direction, unit: Unit, name: &str) -> String {
    let of = |program: Program, sessions: u32| {
        outcome
            .speeds
            .iter()
            .find(|speed| speed.program == program && number(speed) == Some(sessions))
            .map(|speed| unit.of(speed))
    };
    let shown: Vec<(Program, Vec<Option<Figure>>)> = programs(direction)
        .into_iter()
        .map(|program| (program, numbers.iter().map(|n| of(program, *n)).collect()))
        .collect();
    let most = shown
        .iter()
        .flat_map(|(_, figures)| figures.iter().flatten())
        .map(|figure| figure.max)
        .fold(0.0, f64::max);
    let ticks = ticks(most);
    let y = Scale {
        values: (0.0, ticks.last().copied().unwrap_or(1.0)),
        places: (HEIGHT - BOTTOM, TOP),
    };
    let width = (WIDTH - LEFT - RIGHT) / numbers.len() as f64;
    let centre = |at: usize| LEFT + width * (at as f64 + 0.5);

    let mut drawing = Drawing::new(HEIGHT, name);
    for tick in &ticks {
        drawing.line((LEFT, y.at(*tick)), (WIDTH - RIGHT, y.at(*tick)), "rule", None);
        drawing.text(
            (LEFT - 6.0, y.at(*tick) + 4.0),
            Anchor::End,
            "quiet",
            &tick_label(*tick),
        );
    }
    for (at, sessions) in numbers.iter().enumerate() {
        drawing.text(
            (centre(at), HEIGHT - BOTTOM + 17.0),
            Anchor::Middle,
            "quiet",
            &grouped(*sessions),
        );
    }
    drawing.text(
        (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 5.0),
        Anchor::Middle,
        "quiet",
        "sessions",
    );
    for (order, (program, figures)) in shown.iter().enumerate() {
        let look = look(*program);
        let shift = (order as f64 - 2.0) * DODGE;
        let points: Vec<(f64, &Figure)> = figures
            .iter()
            .enumerate()
            .filter_map(|(at, figure)| Some((centre(at) + shift, figure.as_ref()?)))
            .collect();
        let line: Vec<_> = points
            .iter()
            .map(|(x, figure)| (*x, y.at(figure.median)))
            .collect();
        drawing.path(&line, look.colour);
        for (x, figure) in points {
            let (low, high) = (y.at(figure.min), y.at(figure.max));
            drawing.line((x, low), (x, high), "range", Some(look.colour));
            let said = format!(
                "{}: {} ({} to {}, {} starts)",
                title(*program),
                short(figure.median),
                short(figure.min),
                short(figure.max),
                figure.starts
            );
            drawing.mark((x, y.at(figure.median)), look.shape, look.colour, &said);
        }
    }
    drawing.finish()
}
