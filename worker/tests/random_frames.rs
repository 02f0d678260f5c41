//! Frames nobody would send, in whole bursts: nothing panics, every lane has one verdict, and the sum of law 2 holds (the test
//! kit checks both after each burst).

use proptest::prelude::*;
use sluice_worker::testkit::{World, recipe};
use sluice_worker::{StrippedTags, Way};

fn stripped() -> impl Strategy<Value = StrippedTags> {
    prop_oneof![
        4 => Just(StrippedTags::None),
        1 => any::<u16>().prop_map(|tci| StrippedTags::One { tci }),
        1 => any::<(u16, u16)>().prop_map(|(outer_tci, inner_tci)| StrippedTags::Two { outer_tci, inner_tci }),
    ]
}

proptest! {
    #[test]
    fn bursts_of_spoiled_packets_end(
        recipes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..=32),
        port in 0u8..4,
        way in prop_oneof![Just(Way::Whole), Just(Way::Downstream)],
        stripped in stripped(),
    ) {
        let mut world = World::new();
        let lines = recipe::populate(&mut world);
        let frames: Vec<Vec<u8>> = recipes.iter().map(|r| recipe::arriving(r, &lines).frame).collect();
        let burst: Vec<_> = frames.iter().map(|frame| (frame.as_slice(), stripped)).collect();

        let out = world.burst(port, way, &burst);

        prop_assert_eq!(out.outs.len(), frames.len());
    }

    #[test]
    fn noise_ends(
        frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..=32),
        port in 0u8..4,
        stripped in stripped(),
    ) {
        let mut world = World::new();
        recipe::populate(&mut world);
        let burst: Vec<_> = frames.iter().map(|frame| (frame.as_slice(), stripped)).collect();

        let out = world.burst(port, Way::Whole, &burst);

        prop_assert_eq!(out.outs.len(), frames.len());
    }
}
