//! What a run came to: rates, ratios, latencies, and what was checked; and the summary's shape.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value, json};
use shm_bridge::Direction;

use crate::figures::Figure;
use crate::goals;
use crate::latency::Distribution;
use crate::program::{Program, short};

/// What a group of starts has in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Setting {
    /// By number of sessions, beside the peers.
    Sessions(u32),
    /// What the sessions are, or what else goes on: ours alone, 4,096 sessions.
    Feature(&'static str),
    /// On how many lcores, and how the sessions come to them.
    Lcores(&'static str),
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Setting::Sessions(sessions) => write!(f, "{sessions}"),
            Setting::Feature(name) | Setting::Lcores(name) => f.write_str(name),
        }
    }
}

/// The rate of one program in one setting, Mpps of one lcore.
#[derive(Clone, Debug)]
pub struct Speed {
    pub setting: Setting,
    pub program: Program,
    pub mpps: Figure,
}

impl Speed {
    pub fn name(&self) -> String {
        format!("{}.{}", self.setting, self.program.name())
    }

    /// TSC ticks a packet.
    pub fn tsc(&self, tsc_mhz: f64) -> Figure {
        Figure {
            median: tsc_mhz / self.mpps.median,
            min: tsc_mhz / self.mpps.max,
            max: tsc_mhz / self.mpps.min,
            starts: self.mpps.starts,
        }
    }
}

/// Receive to transmit in our worker, all starts of a setting.
#[derive(Clone, Debug)]
pub struct Latency {
    pub setting: Setting,
    pub direction: Direction,
    pub times: Distribution,
}

/// Something that was compared and found equal; what is not equal ends the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub setting: String,
    pub what: &'static str,
    pub packets: u64,
}

#[derive(Debug, Default)]
pub struct Outcome {
    pub speeds: Vec<Speed>,
    /// Ratios and differences.
    pub figures: BTreeMap<String, Figure>,
    pub latencies: Vec<Latency>,
    pub checks: Vec<Check>,
}

impl Outcome {
    pub fn put_speed(&mut self, setting: Setting, program: Program, rates: &[f64]) {
        self.speeds.extend(Figure::of(rates).map(|mpps| Speed {
            setting,
            program,
            mpps,
        }));
    }

    pub fn put_figure(&mut self, name: String, values: &[f64]) {
        if let Some(figure) = Figure::of(values) {
            self.figures.insert(name, figure);
        }
    }

    pub fn put_latency(&mut self, setting: Setting, direction: Direction, times: &Distribution) {
        let same = |known: &&mut Latency| known.setting == setting && known.direction == direction;
        match self.latencies.iter_mut().find(same) {
            Some(known) => known.times.add(times),
            None => self.latencies.push(Latency {
                setting,
                direction,
                times: times.clone(),
            }),
        }
    }

    /// Adds to what was checked already of this kind.
    pub fn put_check(&mut self, setting: String, what: &'static str, packets: u64) {
        let same = |known: &&mut Check| known.setting == setting && known.what == what;
        match self.checks.iter_mut().find(same) {
            Some(known) => known.packets += packets,
            None => self.checks.push(Check {
                setting,
                what,
                packets,
            }),
        }
    }

    /// The summary, without the machine. `figures` holds what [`goals`] bounds and nothing else; `further` the other ratios.
    pub fn to_json(&self) -> Map<String, Value> {
        let (named, further): (BTreeMap<_, _>, BTreeMap<_, _>) = self
            .figures
            .iter()
            .partition(|(name, _)| goals::of(name).is_some());
        let mpps: BTreeMap<String, &Figure> = self
            .speeds
            .iter()
            .map(|speed| (speed.name(), &speed.mpps))
            .collect();
        let latencies: BTreeMap<String, Value> = self
            .latencies
            .iter()
            .map(|of| {
                (
                    format!("{}.{}", of.setting, short(of.direction)),
                    of.times.to_json(),
                )
            })
            .collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|check| json!({ "setting": check.setting, "what": check.what, "packets": check.packets }))
            .collect();
        let mut map = Map::new();
        map.insert("figures".to_owned(), json!(named));
        map.insert("further".to_owned(), json!(further));
        map.insert("mpps".to_owned(), json!(mpps));
        map.insert("latency_ns".to_owned(), json!(latencies));
        map.insert("checks".to_owned(), Value::Array(checks));
        map
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_holds_exactly_the_bounded_figures_and_the_rest_apart() {
        let mut outcome = Outcome::default();
        let bounded: Vec<String> = goals::GOALS.iter().flat_map(|goal| goal.names()).collect();
        for name in &bounded {
            outcome.put_figure(name.clone(), &[0.5, 0.7, 0.6]);
        }
        outcome.put_figure("up.4096.lpm_counters".to_owned(), &[1.0]);
        outcome.put_figure("never.measured".to_owned(), &[]);

        let summary = Value::Object(outcome.to_json());

        let mut named: Vec<&String> = summary["figures"].as_object().unwrap().keys().collect();
        let mut wanted: Vec<&String> = bounded.iter().collect();
        named.sort();
        wanted.sort();
        assert_eq!(named, wanted);
        assert_eq!(
            summary["figures"]["down.65536.lpm"],
            json!({ "median": 0.6, "min": 0.5, "max": 0.7, "starts": 3 })
        );
        assert_eq!(
            summary["further"].as_object().unwrap().keys().collect::<Vec<_>>(),
            ["up.4096.lpm_counters"]
        );
    }

    #[test]
    fn what_several_starts_add_stands_once() {
        let (setting, up) = (Setting::Sessions(4096), Direction::Upstream);
        let mut outcome = Outcome::default();
        for _ in 0..2 {
            outcome.put_latency(setting, up, &Distribution::of(&[(100, 5)]));
            outcome.put_check("4096.up".to_owned(), "sum", 7);
        }
        outcome.put_speed(setting, Program::Ours(up), &[20.0, 10.0]);

        let summary = Value::Object(outcome.to_json());

        assert_eq!(summary["latency_ns"]["4096.up"]["packets"], 10);
        assert_eq!(
            summary["checks"],
            json!([{ "setting": "4096.up", "what": "sum", "packets": 14 }])
        );
        assert_eq!(summary["mpps"]["4096.up.sluice"]["median"], 10.0);
        assert_eq!(outcome.speeds[0].tsc(2400.0).min, 120.0);
    }
}
