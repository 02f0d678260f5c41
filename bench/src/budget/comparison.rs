//! What was counted, beside the budget.
//!
//! A load is judged by its total. More than [`TOLERANCE`] above the budget is a growth, and the stages that grew most are named; as
//! much below asks to be written down, so that a gain is not given back unseen.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Budget, Load};

/// Of a load's total. Counts themselves are exact; this is what a change may cost unasked.
pub const TOLERANCE: f64 = 0.03;
/// Instructions a packet: what is named as having grown, at most so many of them.
const NAMED_MIN: f64 = 0.1;
const NAMED_MAX: usize = 4;
/// Instructions a packet below which a stage has no row.
const ROW_MIN: f64 = 0.25;

/// A budget and what was counted now.
#[derive(Debug)]
pub struct Comparison<'b> {
    budget: &'b Budget,
    now: &'b Budget,
}

impl<'b> Comparison<'b> {
    pub fn new(budget: &'b Budget, now: &'b Budget) -> Comparison<'b> {
        Comparison { budget, now }
    }

    /// Why counts of now say nothing about the budget: counted with another compiler, or on a processor with other features.
    pub fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        if self.budget.rustc != self.now.rustc {
            differences.push(format!(
                "the budget is of {}, this is {}",
                self.budget.rustc, self.now.rustc
            ));
        }
        if self.budget.cpu != self.now.cpu {
            differences.push(format!(
                "the budget is of a processor with [{}], this one has [{}]",
                self.budget.cpu.join(" "),
                self.now.cpu.join(" ")
            ));
        }
        differences
    }

    /// What does not keep the budget, each in a sentence; empty where everything does.
    pub fn findings(&self) -> Vec<String> {
        self.names()
            .into_iter()
            .filter_map(
                |name| match (self.budget.loads.get(name), self.now.loads.get(name)) {
                    (Some(budget), Some(now)) => finding(name, budget, now),
                    (None, Some(now)) => Some(format!(
                        "{name}: {:.1}, but no budget: run make budget-bless",
                        now.total
                    )),
                    _ => Some(format!(
                        "{name}: has a budget, but was not counted: run make budget-bless"
                    )),
                },
            )
            .collect()
    }

    /// All loads and their stages.
    pub fn table(&self) -> String {
        let mut table = String::new();
        row(&mut table, ["instructions a packet", "budget", "now", "change"]);
        for name in self.names() {
            let (none, budget) = (Load::default(), self.budget.loads.get(name));
            let now = self.now.loads.get(name).unwrap_or(&none);
            let budget = budget.unwrap_or(&none);
            numbers(&mut table, name, budget.total, now.total);
            for stage in stages(budget, now) {
                let (budget, now) = (budget.stage(stage), now.stage(stage));
                if budget.max(now) >= ROW_MIN {
                    numbers(&mut table, &format!("    {stage}"), budget, now);
                }
            }
        }
        table
    }

    fn names(&self) -> BTreeSet<&'b str> {
        let loads = self.budget.loads.keys().chain(self.now.loads.keys());
        loads.map(String::as_str).collect()
    }
}

fn finding(name: &str, budget: &Load, now: &Load) -> Option<String> {
    let change = now.total / budget.total - 1.0;
    let text = format!(
        "{name}: {:.1} instructions a packet, budget {:.1}: {:+.1} %",
        now.total,
        budget.total,
        change * 100.0
    );
    if change > TOLERANCE {
        Some(format!("{text}; grew most: {}", grown(budget, now)))
    } else if change < -TOLERANCE {
        Some(format!("{text}; better than budget: run make budget-bless"))
    } else {
        None
    }
}

/// The stages that grew most, each with its files that did.
fn grown(budget: &Load, now: &Load) -> String {
    let stages = stages(budget, now).into_iter();
    let grown = most(stages.map(|stage| (stage, now.stage(stage) - budget.stage(stage))));
    let named = grown.into_iter().map(|(stage, growth)| {
        let none = Default::default();
        let (before, after) = (budget.stages.get(stage), now.stages.get(stage));
        let files: BTreeSet<&String> = before
            .unwrap_or(&none)
            .keys()
            .chain(after.unwrap_or(&none).keys())
            .collect();
        let files = files
            .into_iter()
            .map(|file| (file.as_str(), now.file(stage, file) - budget.file(stage, file)));
        let files: Vec<String> = most(files)
            .into_iter()
            .map(|(file, growth)| format!("{file} {growth:+.1}"))
            .collect();
        format!("{stage} {growth:+.1} ({})", files.join(", "))
    });
    named.collect::<Vec<_>>().join("; ")
}

fn most<'n>(growths: impl Iterator<Item = (&'n str, f64)>) -> Vec<(&'n str, f64)> {
    let mut growths: Vec<_> = growths.filter(|(_, growth)| *growth >= NAMED_MIN).collect();
    growths.sort_by(|a, b| b.1.total_cmp(&a.1));
    growths.truncate(NAMED_MAX);
    growths
}

fn stages<'l>(budget: &'l Load, now: &'l Load) -> BTreeSet<&'l str> {
    let stages = budget.stages.keys().chain(now.stages.keys());
    stages.map(String::as_str).collect()
}

fn numbers(table: &mut String, name: &str, budget: f64, now: f64) {
    let change = match (budget > 0.0, now > 0.0) {
        (true, true) => format!("{:+.1} %", (now / budget - 1.0) * 100.0),
        (true, false) => "gone".to_owned(),
        _ => "new".to_owned(),
    };
    row(
        table,
        [name, &format!("{budget:.1}"), &format!("{now:.1}"), &change],
    );
}

fn row(table: &mut String, [name, budget, now, change]: [&str; 4]) {
    // Writing to a string does not fail.
    let _ = writeln!(table, "{name:52} {budget:>8} {now:>8} {change:>9}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const PARSE: &str = "worker/src/stages/parse.rs run";
    const GARDEN: &str = "worker/src/stages/garden.rs run";

    /// One load: a stage of one file each.
    fn counted(parse: f64, garden: f64) -> Budget {
        let stage = |file: &str, count| BTreeMap::from([(file.to_owned(), count)]);
        let load = Load {
            total: parse + garden,
            stages: BTreeMap::from([
                (PARSE.to_owned(), stage("worker/src/frame.rs", parse)),
                (GARDEN.to_owned(), stage("shm-bridge/src/garden/index.rs", garden)),
            ]),
        };
        Budget {
            rustc: "rustc version 1.95.0".to_owned(),
            cpu: vec!["avx2".to_owned(), "bmi2".to_owned()],
            loads: BTreeMap::from([("upstream".to_owned(), load)]),
        }
    }

    fn findings(budget: &Budget, now: &Budget) -> Vec<String> {
        Comparison::new(budget, now).findings()
    }

    #[test]
    fn a_growth_above_three_percent_is_found_and_its_stage_and_file_are_named() {
        let budget = counted(600.0, 400.0);

        assert_eq!(findings(&budget, &counted(600.0, 429.0)), [""; 0]);
        assert_eq!(
            findings(&budget, &counted(599.0, 432.0)),
            [format!(
                "upstream: 1031.0 instructions a packet, budget 1000.0: +3.1 %; grew most: {GARDEN} +32.0 \
                 (shm-bridge/src/garden/index.rs +32.0)"
            )]
        );
    }

    #[test]
    fn what_moves_from_one_stage_to_another_is_no_growth() {
        let (budget, now) = (counted(600.0, 400.0), counted(400.0, 600.0));

        assert_eq!(findings(&budget, &now), [""; 0]);
        assert!(Comparison::new(&budget, &now).table().contains("+50.0 %"));
    }

    #[test]
    fn a_gain_above_three_percent_asks_to_be_written_down() {
        let budget = counted(600.0, 400.0);

        assert_eq!(findings(&budget, &counted(571.0, 400.0)), [""; 0]);
        assert_eq!(
            findings(&budget, &counted(569.0, 400.0)),
            [
                "upstream: 969.0 instructions a packet, budget 1000.0: -3.1 %; better than budget: run make budget-bless"
            ]
        );
    }

    #[test]
    fn a_load_on_one_side_only_is_found() {
        let (budget, mut now) = (counted(600.0, 400.0), counted(600.0, 400.0));
        let load = now.loads.remove("upstream").unwrap();
        now.loads.insert("downstream".to_owned(), load);

        assert_eq!(
            findings(&budget, &now),
            [
                "downstream: 1000.0, but no budget: run make budget-bless",
                "upstream: has a budget, but was not counted: run make budget-bless",
            ]
        );
        let table = Comparison::new(&budget, &now).table();
        assert!(table.contains("new") && table.contains("gone"), "{table}");
    }

    #[test]
    fn another_compiler_and_another_processor_are_said() {
        let (budget, mut now) = (counted(600.0, 400.0), counted(600.0, 400.0));
        assert_eq!(Comparison::new(&budget, &now).differences(), [""; 0]);
        now.rustc = "rustc version 1.96.0".to_owned();
        now.cpu.clear();

        assert_eq!(
            Comparison::new(&budget, &now).differences(),
            [
                "the budget is of rustc version 1.95.0, this is rustc version 1.96.0",
                "the budget is of a processor with [avx2 bmi2], this one has []",
            ]
        );
    }
}
