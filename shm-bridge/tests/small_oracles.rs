//! Latency buckets and rings, each against the plainest thing that does the same.

use std::collections::VecDeque;

use proptest::prelude::*;
use shm_bridge::latency;
use shm_bridge::layout::Geometry;
use shm_bridge::ring::{About, FRAME_MAX, PushError};
use shm_bridge::sides::{ControlSide, WorkerSide, in_memory};

fn sides(ring_slots: u32) -> (ControlSide, WorkerSide) {
    let geometry = Geometry {
        sessions: 64,
        lcores: 1,
        ring_slots,
        garden_rules: 1,
        ..Geometry::DEFAULT
    };
    in_memory(&geometry).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn percentiles_from_buckets_are_within_two_percent_of_hdrhistogram(
        values in prop::collection::vec((0u32..37, any::<u64>()).prop_map(|(bits, v)| v & ((1 << bits) - 1)), 1..2000)
    ) {
        let worker = sides(2).1;
        let cells = worker.tables.latencies.get(0, shm_bridge::Direction::Upstream).unwrap();
        let mut exact = hdrhistogram::Histogram::<u64>::new(5).unwrap();
        for value in &values {
            cells.record(*value, 3);
            exact.record_n(*value, 3).unwrap();
        }

        let (counts, max) = cells.read();
        prop_assert_eq!(max, *values.iter().max().unwrap());
        prop_assert_eq!(counts.iter().sum::<u64>(), 3 * values.len() as u64);
        for percentile in [1.0, 25.0, 50.0, 90.0, 99.0, 99.9, 100.0] {
            let rank = ((percentile / 100.0 * exact.len() as f64).ceil() as u64).max(1);
            let mut seen = 0;
            let bucket = counts.iter().position(|count| { seen += count; seen >= rank }).unwrap();
            let (low, high) = latency::bounds(bucket);
            let wanted = exact.value_at_percentile(percentile) as f64;
            let got = (low + high - 1) as f64 / 2.0;
            prop_assert!((got - wanted).abs() <= 1.0 + wanted * 0.02, "p{percentile}: {got} for {wanted}");
        }
    }

    #[test]
    fn a_ring_is_a_bounded_queue(steps in prop::collection::vec((any::<bool>(), 0usize..FRAME_MAX + 3, any::<u64>()), 1..300)) {
        let (mut control, mut worker) = sides(8);
        let (producer, consumer) = (&mut worker.punts[0], &mut control.punts[0]);
        let mut queue: VecDeque<(About, Vec<u8>)> = VecDeque::new();
        let mut pushed = 0;
        let mut out = Vec::new();
        for (push, len, noise) in steps {
            if push {
                let frame: Vec<u8> = (0..len).map(|i| (noise >> (i % 57)) as u8).collect();
                let about = About {
                    port: noise as u16,
                    reason: (noise >> 16) as u8,
                    lcore: (noise >> 24) as u8,
                    time_ns: noise,
                    session: (noise >> 32) as u32,
                    generation: (noise >> 7) as u32,
                };
                let wanted = match (len > FRAME_MAX, queue.len()) {
                    (true, _) => Err(PushError::TooLong(len)),
                    (false, 8) => Err(PushError::Full),
                    _ => Ok(()),
                };
                prop_assert_eq!(producer.push(&about, &frame), wanted);
                if wanted.is_ok() {
                    queue.push_back((about, frame));
                    pushed += 1;
                }
            } else {
                prop_assert_eq!(consumer.has_frames(), !queue.is_empty());
                let about = consumer.pop(&mut out);
                match queue.pop_front() {
                    Some((wanted, frame)) => {
                        prop_assert_eq!(about, Some(wanted));
                        prop_assert_eq!(&out, &frame);
                    }
                    None => prop_assert_eq!(about, None),
                }
            }
            prop_assert_eq!(consumer.depth(), queue.len() as u64);
            prop_assert_eq!(producer.pushed(), pushed);
        }
        prop_assert_eq!(consumer.corrupt(), 0);
    }
}
