//! The clock against the kernel's, and the steering on made-up samples.

use super::*;

const NS_PER_TICK_3_GHZ: u64 = (1 << RATE_SHIFT) / 3;

#[test]
fn the_clock_agrees_with_the_kernels() {
    let timebase = Timebase::calibrate();
    let mut clock = timebase.clock();

    std::thread::sleep(Duration::from_millis(50));
    let before = monotonic_ns();
    let ours = clock.now_ns();
    let after = monotonic_ns();

    let off = if ours < before {
        before - ours
    } else {
        ours.saturating_sub(after)
    };
    assert!(off < 20_000, "{off} ns off after 50 ms");
}

#[test]
fn discipline_keeps_time_from_stepping() {
    let timebase = Timebase::calibrate();
    let mut clock = timebase.clock();
    let mut last = clock.now_ns();

    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(2));
        timebase.discipline();
        let now = clock.now_ns();
        assert!(now >= last && now - last < 1_000_000_000);
        last = now;
    }
}

#[test]
fn an_error_is_gone_after_one_interval() {
    // Given a conversion 100 µs behind the kernel, a second after the last sample
    let second = 1_000_000_000;
    let last = Sample { tsc: 0, ns: 0 };
    let now = Sample {
        tsc: 3 * second,
        ns: second,
    };
    let late = Conversion {
        base_tsc: 3 * second,
        base_ns: second - 100_000,
        rate: NS_PER_TICK_3_GHZ,
    };

    let (base_ns, rate) = late.steer(&last, &now);

    assert_eq!(base_ns, second - 100_000, "no step");
    let next = Conversion {
        base_tsc: now.tsc,
        base_ns,
        rate,
    }
    .ns_at(6 * second);
    assert!(next.abs_diff(2 * second) < 10, "{next}");
}

#[test]
fn the_rate_is_bent_by_500_ppm_at_most() {
    let second = 1_000_000_000;
    let last = Sample { tsc: 0, ns: 0 };
    let now = Sample {
        tsc: 3 * second,
        ns: second,
    };
    let ahead = Conversion {
        base_tsc: 3 * second,
        base_ns: 3 * second,
        rate: NS_PER_TICK_3_GHZ,
    };

    let (base_ns, rate) = ahead.steer(&last, &now);

    assert_eq!(base_ns, 3 * second, "never back");
    let bent = Conversion {
        base_tsc: now.tsc,
        base_ns,
        rate,
    }
    .ns_at(6 * second);
    assert!(bent.abs_diff(4 * second - 500_000) < 1000, "{bent}");
}

#[test]
fn a_machine_that_slept_steps_forward() {
    let second = 1_000_000_000;
    let last = Sample { tsc: 0, ns: 0 };
    let now = Sample {
        tsc: 3 * second,
        ns: 100 * second,
    };
    let asleep = Conversion {
        base_tsc: 0,
        base_ns: 0,
        rate: NS_PER_TICK_3_GHZ,
    };

    assert_eq!(asleep.steer(&last, &now).0, 100 * second);
}

#[test]
fn a_core_whose_counter_is_behind_reads_the_base() {
    let conversion = Conversion {
        base_tsc: 1000,
        base_ns: 5,
        rate: NS_PER_TICK_3_GHZ,
    };

    assert_eq!(conversion.ns_at(990), 5);
}
