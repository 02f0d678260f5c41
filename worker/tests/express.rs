//! The express way against the stages: whatever comes, verdict, bytes, counters and session states are the same.

use proptest::prelude::*;
use shm_bridge::Direction;
use sluice_worker::testkit::recipe::{self, Arriving};
use sluice_worker::testkit::{Subscriber, Summary, World};
use sluice_worker::{Owners, Spread, Verdict, Way};

/// Two worlds that differ only in whether the express way is taken.
struct Pair {
    express: World,
    stages: World,
    lines: Vec<Subscriber>,
}

impl Pair {
    fn new() -> Pair {
        let (mut express, mut stages) = (World::new(), World::new());
        stages.express = false;
        let lines = recipe::populate(&mut express);
        recipe::populate(&mut stages);
        Pair {
            express,
            stages,
            lines,
        }
    }

    /// Sends a frame through both; returns what came of it.
    fn send(&mut self, arriving: &Arriving) -> Summary {
        let frames = [(arriving.frame.as_slice(), arriving.stripped)];
        let fast = self.express.burst(arriving.port, Way::Whole, &frames);
        let slow = self.stages.burst(arriving.port, Way::Whole, &frames);
        assert_eq!(fast, slow, "{arriving:02x?}");
        fast
    }

    fn compare_states(&self) {
        for line in &self.lines {
            for direction in Direction::ALL {
                assert_eq!(
                    self.express.traffic(line, direction),
                    self.stages.traffic(line, direction),
                    "{line:?} {direction:?}"
                );
            }
        }
    }
}

proptest! {
    #[test]
    fn both_ways_end_every_frame_alike(
        recipes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 64),
        shared in any::<bool>(),
    ) {
        let mut pair = Pair::new();
        if shared {
            for world in [&mut pair.express, &mut pair.stages] {
                world.own(Owners::new(0, &[0, 1], Spread::Software));
            }
        }
        for recipe in &recipes {
            let arriving = recipe::arriving(recipe, &pair.lines);
            pair.send(&arriving);
            pair.express.now_ns += 10_000_000;
            pair.stages.now_ns += 10_000_000;
        }
        pair.compare_states();
    }
}

#[test]
fn the_recipes_make_every_kind_of_end() {
    let mut pair = Pair::new();
    let (mut forwarded, mut punted, mut reasons) = (0, 0, std::collections::BTreeSet::new());
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let recipe: Vec<u8> = (0..60)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        let arriving = recipe::arriving(&recipe, &pair.lines);
        let out = pair.send(&arriving);
        match out.verdict() {
            Verdict::Forward { .. } => forwarded += 1,
            Verdict::Punt(_) => punted += 1,
            Verdict::Drop(_) | Verdict::HandOver { .. } => {}
        }
        reasons.extend(out.drops.iter().map(|(reason, _)| reason.label()));
        pair.express.now_ns += 1_000_000;
        pair.stages.now_ns += 1_000_000;
    }
    pair.compare_states();

    assert!(forwarded > 2_000, "{forwarded} forwarded");
    assert!(punted > 100, "{punted} punted");
    assert!(reasons.len() >= 28, "{} reasons: {reasons:?}", reasons.len());
}
