//! What the figures are held against: a floor that must be kept, and what to go for. The harness prints both and judges nothing.

/// A figure with its bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Goal {
    /// As in the summary; `up.` stands for either direction.
    pub figure: &'static str,
    pub meaning: &'static str,
    pub must: f64,
    pub goal: f64,
    pub better: Better,
    pub unit: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    Higher,
    Lower,
}

const fn ratio(figure: &'static str, meaning: &'static str, must: f64, goal: f64) -> Goal {
    Goal {
        figure,
        meaning,
        must,
        goal,
        better: Better::Higher,
        unit: "",
    }
}

const fn at_most(
    figure: &'static str,
    meaning: &'static str,
    must: f64,
    goal: f64,
    unit: &'static str,
) -> Goal {
    Goal {
        figure,
        meaning,
        must,
        goal,
        better: Better::Lower,
        unit,
    }
}

/// One lcore, 64-byte frames, everything on.
pub const GOALS: [Goal; 11] = [
    ratio("up.4096.io", "of testpmd io, 4,096 sessions", 0.50, 0.70),
    ratio("up.4096.lpm", "of l3fwd lpm, 4,096 /32", 0.75, 1.00),
    ratio("up.4096.em", "of l3fwd em, 4,096 flows", 1.3, 1.8),
    at_most(
        "up.4096.delta_tsc",
        "ticks a packet more than testpmd io",
        40.0,
        17.0,
        "tsc",
    ),
    ratio("up.65536.io", "of testpmd io, 65,536 sessions", 0.35, 0.55),
    ratio("up.65536.lpm", "of l3fwd lpm, 65,536 /32", 0.60, 0.90),
    ratio("up.1048576.io", "of testpmd io, 1,048,576 sessions", 0.30, 0.45),
    ratio(
        "garden64",
        "all sessions in a garden of 64 rules, of active ones",
        0.85,
        0.95,
    ),
    ratio(
        "garden10k",
        "a garden of 10,000 prefixes, of the one of 64 rules",
        0.80,
        0.95,
    ),
    ratio(
        "updates10k",
        "under 10,000 table updates a second, of quiet tables",
        0.90,
        0.97,
    ),
    at_most(
        "bytes_per_session",
        "memory a session at 1,048,576",
        384.0,
        224.0,
        "B",
    ),
];

impl Goal {
    /// The summary's figures that this bounds: both directions, or one for both.
    pub fn names(&self) -> Vec<String> {
        match self.figure.strip_prefix("up.") {
            Some(rest) => vec![self.figure.to_owned(), format!("down.{rest}")],
            None => vec![self.figure.to_owned()],
        }
    }
}

/// The goal of a figure of the summary.
pub fn of(name: &str) -> Option<&'static Goal> {
    GOALS
        .iter()
        .find(|goal| goal.names().iter().any(|figure| figure == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_share_a_goal_and_a_goal_is_harder_than_its_floor() {
        assert_eq!(of("down.4096.em"), of("up.4096.em"));
        assert_eq!(of("down.garden64"), None);
        assert_eq!(GOALS.iter().map(|goal| goal.names().len()).sum::<usize>(), 18);
        for goal in GOALS {
            match goal.better {
                Better::Higher => assert!(goal.goal > goal.must),
                Better::Lower => assert!(goal.goal < goal.must),
            }
        }
    }
}
