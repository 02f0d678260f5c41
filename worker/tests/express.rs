//! The express way against the stages: whatever comes, verdict, bytes, counters and session states are the same.

use proptest::prelude::*;
use sluice_worker::simd::level::Level;
use sluice_worker::testkit::{Twin, recipe};
use sluice_worker::{Owners, Spread, Verdict};

proptest! {
    #[test]
    fn both_ways_end_every_frame_alike(
        recipes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 64),
        shared in any::<bool>(),
        plain in any::<bool>(),
    ) {
        let mut twin = Twin::new();
        if plain {
            twin.express.context.level = Level::ANY;
        }
        if shared {
            twin.own(&Owners::new(0, &[0, 1], Spread::Software));
        }
        for recipe in &recipes {
            let arriving = recipe::arriving(recipe, &twin.lines);
            twin.send(&arriving);
            twin.wait(10_000_000);
        }
        twin.compare_states();
    }
}

#[test]
fn the_recipes_make_every_kind_of_end() {
    let mut twin = Twin::new();
    let (mut forwarded, mut punted, mut reasons) = (0, 0, std::collections::BTreeSet::new());
    let mut seed = 1u64;
    for _ in 0..20_000 {
        let recipe: Vec<u8> = (0..60)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        let arriving = recipe::arriving(&recipe, &twin.lines);
        let out = twin.send(&arriving);
        match out.verdict() {
            Verdict::Forward { .. } => forwarded += 1,
            Verdict::Punt(_) => punted += 1,
            Verdict::Drop(_) | Verdict::HandOver { .. } => {}
        }
        reasons.extend(out.drops.iter().map(|(reason, _)| reason.label()));
        twin.wait(1_000_000);
    }
    twin.compare_states();

    assert!(forwarded > 2_000, "{forwarded} forwarded");
    assert!(punted > 100, "{punted} punted");
    assert!(reasons.len() >= 28, "{} reasons: {reasons:?}", reasons.len());
}
