//! Rates of ours by feature and by lcores: a bar each, direction by direction.

use shm_bridge::Direction;

use super::panel;
use super::svg::{Anchor, Drawing, Scale, WIDTH, short};
use crate::outcome::{Outcome, Setting, Speed};
use crate::program::Program;

const ROW: f64 = 40.0;
const BAR: f64 = 14.0;
/// Room for the longest value behind the longest bar.
const RIGHT: f64 = 116.0;

pub fn features(outcome: &Outcome, tsc_mhz: f64) -> String {
    section(
        outcome,
        tsc_mhz,
        |setting| matches!(setting, Setting::Feature(_)),
        "By feature",
        "Ours on one lcore, 4,096 sessions: all active; all in a garden of 64 rules or 10,000 prefixes; under 10,000 table updates a \
         second; a tenth of the frames malformed, a tenth spoofed, a tenth refused by the garden.",
    )
}

pub fn lcores(outcome: &Outcome, tsc_mhz: f64) -> String {
    section(
        outcome,
        tsc_mhz,
        |setting| matches!(setting, Setting::Lcores(_)),
        "By lcores",
        "What one lcore does, 4,096 sessions: alone; two of them, each receiving its own sessions as a NIC spreads; two of which one \
         receives and hands half of the packets over. Two lcores forward twice the figure of one as far as they have cores of their own.",
    )
}

fn section(
    outcome: &Outcome,
    tsc_mhz: f64,
    wanted: fn(&Setting) -> bool,
    title: &str,
    about: &str,
) -> String {
    let speeds: Vec<&Speed> = outcome
        .speeds
        .iter()
        .filter(|speed| wanted(&speed.setting))
        .collect();
    if speeds.is_empty() {
        return String::new();
    }
    let most = speeds.iter().map(|speed| speed.mpps.max).fold(0.0, f64::max);
    let panels: String = Direction::ALL
        .into_iter()
        .map(|direction| {
            let of = |speed: &&&Speed| speed.program == Program::Ours(direction);
            let rows: Vec<&Speed> = speeds.iter().filter(of).copied().collect();
            let name = format!("{}, Mpps of one lcore and ticks a packet", direction.label());
            panel(&name, &plot(&rows, most, tsc_mhz, &name))
        })
        .collect();
    format!("<h2>{title}</h2><p class=\"quiet\">{about}</p><div class=\"grid pairs\">{panels}</div>")
}

fn plot(speeds: &[&Speed], most: f64, tsc_mhz: f64, name: &str) -> String {
    let x = Scale {
        values: (0.0, most),
        places: (0.0, WIDTH - RIGHT),
    };
    let mut drawing = Drawing::new(speeds.len() as f64 * ROW, name);
    for (row, speed) in speeds.iter().enumerate() {
        let (top, rate) = (row as f64 * ROW, &speed.mpps);
        let middle = top + 18.0 + BAR / 2.0;
        drawing.text((0.0, top + 13.0), Anchor::Start, "", &speed.setting.to_string());
        let said = format!(
            "{}: {} Mpps ({} to {}, {} starts)",
            speed.setting,
            short(rate.median),
            short(rate.min),
            short(rate.max),
            rate.starts
        );
        drawing.rect((0.0, top + 18.0), (x.at(rate.median), BAR), "ours", &said);
        drawing.line(
            (x.at(rate.min), middle),
            (x.at(rate.max), middle),
            "range",
            Some("ink"),
        );
        drawing.text(
            (x.at(rate.max) + 6.0, middle + 4.0),
            Anchor::Start,
            "strong",
            &format!(
                "{} · {} tsc",
                short(rate.median),
                short(speed.tsc(tsc_mhz).median)
            ),
        );
    }
    drawing.finish()
}
