//! What features cost: ours alone on 4,096 sessions, each direction, one feature after the other, round after round.

use std::time::Instant;

use anyhow::{Context, ensure};
use shm_bridge::Direction;

use crate::figures::{Figure, ratios};
use crate::ground::{Files, Ground};
use crate::layout::Layout;
use crate::outcome::{Outcome, Setting};
use crate::plan::Plan;
use crate::program::{Program, short};
use crate::tables::{Filled, GARDEN_10K, GARDEN_64};
use crate::traffic::network::{garden_far_end, is_in_garden};
use crate::traffic::{Mix, Spec, Traffic};

const SESSIONS: u32 = 4096;
/// Table updates in a millisecond.
const UPDATES_A_TICK: u32 = 10;
/// Of 10,000 a second, the least that a run of this feature has.
const UPDATES_A_SECOND_MIN: f64 = 9_500.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Feature {
    /// All sessions active: what the others are compared with.
    Active,
    /// All sessions in a garden of 64 rules.
    Garden64,
    /// All sessions in a garden of 10,000 prefixes, the same far ends.
    Garden10k,
    /// Active, while the tables change 10,000 times a second.
    Updates10k,
    /// A tenth malformed, a tenth spoofed, a tenth refused by the garden.
    Adversarial,
}

const ALL: [Feature; 5] = [
    Feature::Active,
    Feature::Garden64,
    Feature::Garden10k,
    Feature::Updates10k,
    Feature::Adversarial,
];

impl Feature {
    fn name(self) -> &'static str {
        match self {
            Feature::Active => "active",
            Feature::Garden64 => "garden64",
            Feature::Garden10k => "garden10k",
            Feature::Updates10k => "updates10k",
            Feature::Adversarial => "adversarial",
        }
    }

    /// What its ratio is to.
    fn base(self) -> Option<Feature> {
        match self {
            Feature::Active => None,
            Feature::Garden10k => Some(Feature::Garden64),
            _ => Some(Feature::Active),
        }
    }

    /// The garden of each session.
    fn garden(self, session: u32) -> Option<u8> {
        match self {
            Feature::Active | Feature::Updates10k => None,
            Feature::Garden64 => Some(GARDEN_64),
            Feature::Garden10k => Some(GARDEN_10K),
            Feature::Adversarial => is_in_garden(session).then_some(GARDEN_64),
        }
    }
}

/// Files of both kinds of traffic in one direction.
struct Pair {
    permitted: Files,
    adversarial: Files,
}

impl Pair {
    fn of(&self, feature: Feature) -> &Files {
        match feature {
            Feature::Adversarial => &self.adversarial,
            _ => &self.permitted,
        }
    }
}

pub fn run(plan: &Plan, outcome: &mut Outcome) -> anyhow::Result<()> {
    let (ground, mut filled) = Ground::new(Layout::One, SESSIONS, SESSIONS)?;
    let pair = |direction| {
        let plain = Spec {
            sizes: vec![plan.bytes],
            ..Spec::plain(direction, SESSIONS)
        };
        let permitted = Traffic::new(Spec {
            far_end: garden_far_end,
            ..plain.clone()
        })?;
        let adversarial = Traffic::new(Spec {
            mix: Mix::ADVERSARIAL,
            ..plain
        })?;
        anyhow::Ok(Pair {
            permitted: ground.files("permitted", &permitted)?,
            adversarial: ground.files("adversarial", &adversarial)?,
        })
    };
    let pairs = [pair(Direction::Upstream)?, pair(Direction::Downstream)?];

    for feature in ALL {
        filled.set_policies(&ground.control, |session| feature.garden(session));
        // Updates change what the tables say, never what becomes of a frame; while they are made the sum is checked.
        if feature != Feature::Updates10k {
            for pair in &pairs {
                plan.check(
                    &ground,
                    pair.of(feature),
                    Setting::Feature(feature.name()),
                    outcome,
                )?;
            }
        }
    }
    let mut rates: Vec<(Feature, Direction, Vec<f64>)> = Vec::new();
    for feature in ALL {
        rates.extend(Direction::ALL.map(|direction| (feature, direction, Vec::new())));
    }
    for start in 0..plan.starts {
        for (feature, direction, rates) in &mut rates {
            let pair = &pairs[*direction as usize];
            let mpps = one_start(plan, &ground, pair, *feature, &mut filled, outcome)
                .with_context(|| format!("{} {} start {start}", feature.name(), short(*direction)))?;
            rates.push(mpps);
        }
    }
    compare(&rates, outcome);
    for (feature, direction, rates) in &rates {
        let setting = Setting::Feature(feature.name());
        outcome.put_speed(setting, Program::Ours(*direction), rates);
    }
    Ok(())
}

fn one_start(
    plan: &Plan,
    ground: &Ground,
    pair: &Pair,
    feature: Feature,
    filled: &mut Filled,
    outcome: &mut Outcome,
) -> anyhow::Result<f64> {
    filled.set_policies(&ground.control, |session| feature.garden(session));
    let files = pair.of(feature);
    let what = (Setting::Feature(feature.name()), Program::Ours(files.direction));
    if feature != Feature::Updates10k {
        return plan.one_start(ground, files, what, None, outcome);
    }
    let (start, mut updates) = (Instant::now(), 0u32);
    let mut update = || {
        // As many as are due by now, so that a late tick does not lower the rate.
        let due = (start.elapsed().as_millis() as u32).saturating_mul(UPDATES_A_TICK);
        while updates < due {
            filled.update(&ground.control)?;
            updates += 1;
        }
        Ok(())
    };
    let mpps = plan.one_start(ground, files, what, Some(&mut update), outcome)?;
    let rate = f64::from(updates) / start.elapsed().as_secs_f64();
    ensure!(
        rate > UPDATES_A_SECOND_MIN,
        "only {rate:.0} table updates a second were made"
    );
    Ok(mpps)
}

/// A ratio for each direction; the headline is the worse one.
fn compare(rates: &[(Feature, Direction, Vec<f64>)], outcome: &mut Outcome) {
    let of = |wanted: (Feature, Direction)| {
        rates
            .iter()
            .find(|(feature, direction, _)| (*feature, *direction) == wanted)
            .map(|(_, _, rates)| rates)
    };
    for feature in ALL {
        let Some(base) = feature.base() else {
            continue;
        };
        let mut worst: Option<Figure> = None;
        for direction in Direction::ALL {
            let (Some(with), Some(without)) = (of((feature, direction)), of((base, direction))) else {
                continue;
            };
            let Some(figure) = Figure::of(&ratios(with, without)) else {
                continue;
            };
            if worst.as_ref().is_none_or(|worst| figure.median < worst.median) {
                worst = Some(figure.clone());
            }
            let name = format!("{}.{}", short(direction), feature.name());
            outcome.figures.insert(name, figure);
        }
        if let Some(figure) = worst {
            outcome.figures.insert(feature.name().to_owned(), figure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals;

    #[test]
    fn the_headline_is_the_worse_direction_and_each_feature_has_its_base() {
        use Direction::{Downstream, Upstream};
        let rates = [
            (Feature::Active, Upstream, vec![20.0]),
            (Feature::Active, Downstream, vec![10.0]),
            (Feature::Garden64, Upstream, vec![16.0]),
            (Feature::Garden64, Downstream, vec![9.0]),
            (Feature::Garden10k, Upstream, vec![8.0]),
        ];
        let mut outcome = Outcome::default();

        compare(&rates, &mut outcome);

        assert_eq!(outcome.figures["up.garden64"].median, 0.8);
        assert_eq!(outcome.figures["down.garden64"].median, 0.9);
        assert_eq!(outcome.figures["garden64"].median, 0.8);
        assert_eq!(outcome.figures["garden10k"].median, 0.5);
        assert!(!outcome.figures.contains_key("updates10k"));
        assert!(goals::of("garden64").is_some());
    }
}
