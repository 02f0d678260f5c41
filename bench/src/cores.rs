//! How many cores a line rate takes, worked out from what a packet costs one core.
//!
//! ```text
//!   by the NIC:   cores = Σ over both directions: packets/s × (whole packet + owner) ÷ (ticks/s × busy)
//!   in software:  + (n − 1)/n × what a packet costs more that is handed over, for n cores
//! ```
//!
//! The costs are in one file, `bench/line-rate.json`; docs/line-rate.md has what follows from them, and a test compares the two. Assumed is that
//! cores add up (no shared resource gives out), that a packet costs the same at any length (the NIC moves the bytes), and that
//! frames are as long on the access side as on the core side.

use std::fmt::Write as _;

use serde::Deserialize;

/// What a packet costs: TSC ticks, 64-byte frames, everything on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    pub machine: String,
    pub tsc_mhz: f64,
    /// The whole packet, driver and loop included, on one lcore.
    pub upstream: f64,
    pub downstream: f64,
    /// To work out the owner, as the NIC does and where no NIC makes the rule.
    pub owner_by_nic_rule: f64,
    pub owner_in_software: f64,
    /// What a packet costs more that is handed over, both lcores together.
    pub handed_over_upstream: f64,
    pub handed_over_downstream: f64,
    /// Million packets a second that one lcore took in which received alone and handed half of them over.
    pub lone_receiver_mpps: f64,
    /// How far a core is planned to be loaded.
    pub busy: f64,
}

/// Frames on the line: bits a second, and bytes of a frame with its FCS (the mean of a mix).
#[derive(Clone, Copy, Debug)]
struct Load {
    gigabits: f64,
    frame_bytes: f64,
}

/// Who brings packets to their owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Nic,
    Software,
}

const LINES: [f64; 4] = [10.0, 25.0, 100.0, 200.0];
/// 7:4:1 of 64, 570 and 1518.
const IMIX_BYTES: f64 = (7.0 * 64.0 + 4.0 * 570.0 + 1518.0) / 12.0;
const FRAMES: [(&str, f64); 4] = [
    ("64 B", 64.0),
    ("256 B", 256.0),
    ("IMIX", IMIX_BYTES),
    ("1,518 B", 1518.0),
];
/// Preamble, start delimiter and gap.
const LINE_OVERHEAD_BYTES: f64 = 20.0;
/// Slots are bytes.
const CORES_MAX: u32 = 255;

impl Load {
    fn packets_per_second(self) -> f64 {
        self.gigabits * 1e9 / ((self.frame_bytes + LINE_OVERHEAD_BYTES) * 8.0)
    }
}

impl Costs {
    pub fn parse(text: &str) -> Result<Costs, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Cores for this load in both directions at once; `None` where no number of them will do.
    fn cores(&self, load: Load, by: By) -> Option<u32> {
        let need = |n: u32| {
            let ticks = self.ticks(by, n);
            load.packets_per_second() * ticks / (self.tsc_mhz * 1e6 * self.busy)
        };
        (1..=CORES_MAX).find(|n| need(*n) <= f64::from(*n))
    }

    /// Of one packet each way, with so many cores.
    fn ticks(&self, by: By, cores: u32) -> f64 {
        let whole = self.upstream + self.downstream;
        if cores == 1 {
            return whole;
        }
        match by {
            By::Nic => whole + 2.0 * self.owner_by_nic_rule,
            By::Software => {
                let others = f64::from(cores - 1) / f64::from(cores);
                let over = self.handed_over_upstream + self.handed_over_downstream;
                whole + 2.0 * self.owner_in_software + others * over
            }
        }
    }

    /// The generated part of docs/line-rate.md.
    pub fn section(&self) -> String {
        let mut out = String::new();
        let busy = self.busy * 100.0;
        put(
            &mut out,
            &format!(
                "Costs, TSC ticks a packet ({}): upstream {}, downstream {}, driver and loop included; owner {} where a NIC makes the rule, \
                 {} in software; handed over, {} and {} more. Cores loaded to {busy} %. Each cell: cores, both directions at line rate at once.",
                self.machine,
                self.upstream,
                self.downstream,
                self.owner_by_nic_rule,
                self.owner_in_software,
                self.handed_over_upstream,
                self.handed_over_downstream,
            ),
        );
        for (by, title) in [
            (By::Nic, "The NIC brings packets to their owners"),
            (By::Software, "Handed over in software"),
        ] {
            let heads = FRAMES.map(|(name, _)| format!(" {name} |")).concat();
            put(
                &mut out,
                &format!("\n| {title} |{heads}\n|---|{}", "---|".repeat(FRAMES.len())),
            );
            for gigabits in LINES {
                let cells = FRAMES.map(|(_, frame_bytes)| {
                    let load = Load {
                        gigabits,
                        frame_bytes,
                    };
                    self.cores(load, by)
                        .map_or_else(|| " – |".to_owned(), |cores| format!(" {cores} |"))
                });
                put(&mut out, &format!("| {gigabits} Gbit/s |{}", cells.concat()));
            }
        }
        let heads = FRAMES.map(|(name, _)| format!(" {name} |")).concat();
        put(
            &mut out,
            &format!(
                "\n| Packets, million a second each way |{heads}\n|---|{}",
                "---|".repeat(FRAMES.len())
            ),
        );
        for gigabits in LINES {
            let cells = FRAMES.map(|(_, frame_bytes)| {
                let load = Load {
                    gigabits,
                    frame_bytes,
                };
                format!(" {:.2} |", load.packets_per_second() / 1e6)
            });
            put(&mut out, &format!("| {gigabits} Gbit/s |{}", cells.concat()));
        }
        put(
            &mut out,
            &format!(
                "\nIn software one lcore that receives alone takes in some {} million packets a second: give a port several receive queues, \
                 so that several lcores receive, or a NIC that spreads.",
                self.lone_receiver_mpps,
            ),
        );
        out
    }
}

fn put(out: &mut String, line: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn costs() -> Costs {
        Costs::parse(include_str!("../line-rate.json")).unwrap()
    }

    #[test]
    fn a_line_has_the_packets_that_the_standards_say() {
        let rate = |gigabits, frame_bytes| {
            let load = Load {
                gigabits,
                frame_bytes,
            };
            load.packets_per_second()
        };
        assert_eq!(rate(10.0, 64.0).round(), 14_880_952.0);
        assert_eq!(rate(100.0, 1518.0).round(), 8_127_438.0);
        assert_eq!((IMIX_BYTES * 10.0).round(), 3538.0);
    }

    #[test]
    fn cores_are_what_one_works_out_by_hand() {
        let costs = Costs {
            tsc_mhz: 2000.0,
            upstream: 50.0,
            downstream: 50.0,
            owner_by_nic_rule: 0.0,
            owner_in_software: 0.0,
            handed_over_upstream: 50.0,
            handed_over_downstream: 50.0,
            busy: 1.0,
            ..costs()
        };
        // 14.88 million each way, 100 ticks a pair: 1,488 of 2,000 million ticks.
        let ten = Load {
            gigabits: 10.0,
            frame_bytes: 64.0,
        };
        let hundred = Load {
            gigabits: 100.0,
            ..ten
        };
        assert_eq!(costs.cores(ten, By::Nic), Some(1));
        assert_eq!(costs.cores(ten, By::Software), Some(1));
        assert_eq!(costs.cores(hundred, By::Nic), Some(8));
        // 14.88 × (100 + 13/14 × 100) ÷ 200 = 14.35: fifteen; 14 are too few.
        assert_eq!(costs.cores(hundred, By::Software), Some(15));
        assert_eq!(costs.cores(Load { gigabits: 1e6, ..ten }, By::Nic), None);
    }

    #[test]
    fn software_never_takes_fewer_cores() {
        let costs = costs();
        for gigabits in LINES {
            for (_, frame_bytes) in FRAMES {
                let load = Load {
                    gigabits,
                    frame_bytes,
                };
                assert!(costs.cores(load, By::Software) >= costs.cores(load, By::Nic));
            }
        }
    }
}
