//! Latency distributions: the time that a share of all packets did not exceed, both axes logarithmic (nines to the right).

use shm_bridge::Direction;

use super::panel;
use super::series::{Look, legend};
use super::svg::{Anchor, Drawing, Scale, Shape, WIDTH, grouped};
use crate::latency::Distribution;
use crate::outcome::{Latency, Outcome, Setting};

const HEIGHT: f64 = 240.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 38.0;
/// Shares on the axis, by the packets that are slower.
const SHARES: [(f64, &str); 7] = [
    (0.0, "0"),
    (0.5, "50"),
    (0.9, "90"),
    (0.99, "99"),
    (0.999, "99.9"),
    (0.9999, "99.99"),
    (0.99999, "99.999"),
];
/// Points of a curve, a nine.
const POINTS_A_NINE: usize = 24;
const NINES: usize = 5;

/// By number of sessions; of a run that had none of those, by feature.
pub fn section(outcome: &Outcome) -> String {
    let sessions = |latency: &&Latency| matches!(latency.setting, Setting::Sessions(_));
    let features = |latency: &&Latency| matches!(latency.setting, Setting::Feature(_));
    let mut shown: Vec<&Latency> = outcome.latencies.iter().filter(sessions).collect();
    if shown.is_empty() {
        shown = outcome.latencies.iter().filter(features).take(6).collect();
    }
    shown.retain(|latency| latency.times.packets() > 0);
    if shown.is_empty() {
        return String::new();
    }
    shown.sort_by_key(|latency| latency.setting);
    let mut settings: Vec<Setting> = shown.iter().map(|latency| latency.setting).collect();
    settings.dedup();
    let looks: Vec<(Setting, Look)> = settings
        .into_iter()
        .zip(
            [
                ("step1", Shape::Circle),
                ("step2", Shape::Square),
                ("step3", Shape::Diamond),
            ]
            .into_iter()
            .cycle(),
        )
        .map(|(setting, (colour, shape))| (setting, Look { colour, shape }))
        .collect();
    let names: Vec<String> = looks
        .iter()
        .map(|(setting, _)| match setting {
            Setting::Sessions(sessions) => format!("{} sessions", grouped(*sessions)),
            Setting::Feature(name) | Setting::Lcores(name) => (*name).to_owned(),
        })
        .collect();
    let entries: Vec<(Look, &str)> = looks
        .iter()
        .zip(&names)
        .map(|((_, look), name)| (*look, name.as_str()))
        .collect();
    let most = shown
        .iter()
        .filter_map(|latency| latency.times.quantile(1.0))
        .max()
        .unwrap_or(1);
    let panels: String = Direction::ALL
        .into_iter()
        .map(|direction| {
            let curves: Vec<(Look, &Distribution)> = looks
                .iter()
                .filter_map(|(setting, look)| {
                    let of = |l: &&&Latency| l.setting == *setting && l.direction == direction;
                    Some((*look, &shown.iter().find(of)?.times))
                })
                .collect();
            let name = format!("{}, from receive to transmit", direction.label());
            panel(&name, &plot(&curves, most, &name))
        })
        .collect();
    format!(
        "<h2>Latency in the worker</h2><p class=\"quiet\">The time a burst takes from its receive to its transmit, as the worker's own \
         histograms count it, over all starts, at full rate. The right end are the pauses that the scheduler of a shared machine makes.</p>\
         {}<div class=\"grid pairs\">{panels}</div>",
        legend(&entries)
    )
}

/// How many nines a share is: 0.999 is 3.
fn nines(share: f64) -> f64 {
    -(1.0 - share).log10()
}

fn plot(curves: &[(Look, &Distribution)], most: u64, name: &str) -> String {
    let x = Scale {
        values: (0.0, NINES as f64),
        places: (LEFT, WIDTH - RIGHT),
    };
    // From 100 ns to the next power of ten above all values.
    let top = (most.max(1_000) as f64).log10().ceil();
    let y = Scale {
        values: (2.0, top),
        places: (HEIGHT - BOTTOM, TOP),
    };
    let mut drawing = Drawing::new(HEIGHT, name);
    for power in 2..=top as u32 {
        let place = y.at(f64::from(power));
        drawing.line((LEFT, place), (WIDTH - RIGHT, place), "rule", None);
        drawing.text((LEFT - 6.0, place + 4.0), Anchor::End, "quiet", &time(power));
    }
    for (share, label) in SHARES {
        let place = x.at(nines(share));
        drawing.line((place, TOP), (place, HEIGHT - BOTTOM), "rule", None);
        drawing.text((place, HEIGHT - BOTTOM + 17.0), Anchor::Middle, "quiet", label);
    }
    drawing.text(
        (LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 5.0),
        Anchor::Middle,
        "quiet",
        "percent of packets",
    );
    for (look, times) in curves {
        let points: Vec<(f64, f64)> = (0..=NINES * POINTS_A_NINE)
            .filter_map(|step| {
                let nines = step as f64 / POINTS_A_NINE as f64;
                let ns = times.quantile(1.0 - 10f64.powf(-nines))?;
                Some((x.at(nines), y.at((ns.max(100) as f64).log10())))
            })
            .collect();
        drawing.path(&points, look.colour);
        for (share, label) in &SHARES[1..] {
            if let Some(ns) = times.quantile(*share) {
                let place = (x.at(nines(*share)), y.at((ns.max(100) as f64).log10()));
                let said = format!("{label} %: {:.2} µs", ns as f64 / 1e3);
                drawing.mark(place, look.shape, look.colour, &said);
            }
        }
    }
    drawing.finish()
}

/// A power of ten of nanoseconds.
fn time(power: u32) -> String {
    let (value, unit) = match power {
        0..=2 => (10u64.pow(power), "ns"),
        3..=5 => (10u64.pow(power - 3), "µs"),
        6..=8 => (10u64.pow(power - 6), "ms"),
        _ => (10u64.pow(power - 9), "s"),
    };
    format!("{value} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nines_and_times_are_named_as_people_do() {
        assert_eq!(nines(0.0), 0.0);
        assert!((nines(0.999) - 3.0).abs() < 1e-9);
        assert_eq!(
            [2, 3, 5, 6, 9, 10].map(time),
            ["100 ns", "1 µs", "100 µs", "1 ms", "1 s", "10 s"]
        );
    }
}
