//! The highest rate that keeps a bound on loss (RFC 2544 section 26.1), by halving.

/// What one rate came to; with repetitions, the worst of them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Outcome {
    /// Frames a second that were really sent.
    pub offered: f64,
    /// Share of them that did not come back.
    pub loss: f64,
    /// The tester could not send what it was asked to.
    pub tester_limited: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Found {
    /// Frames a second, as really sent; 0 where even the lowest rate tried lost too much.
    pub rate: f64,
    /// The tester, not the device, ended the search: the device does at least this.
    pub tester_limited: bool,
}

/// Halves between 0 and `max` until the bounds are `resolution` (a share of `max`) apart. The highest rate is tried first.
pub fn search<E>(
    max: f64,
    resolution: f64,
    loss_allowed: f64,
    mut trial: impl FnMut(f64) -> Result<Outcome, E>,
) -> Result<Found, E> {
    let (mut low, mut high, mut rate) = (0.0, max, max);
    let mut found = Found {
        rate: 0.0,
        tester_limited: false,
    };
    loop {
        let outcome = trial(rate)?;
        if outcome.loss <= loss_allowed {
            if outcome.offered >= found.rate {
                found = Found {
                    rate: outcome.offered,
                    tester_limited: outcome.tester_limited,
                };
            }
            low = rate;
            // Asking a tester that is at its end for more shows nothing.
            if outcome.tester_limited {
                return Ok(found);
            }
        } else {
            high = rate;
        }
        if high - low <= max * resolution {
            return Ok(found);
        }
        rate = low + (high - low) / 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A device that does `able` frames a second, asked by a tester that can send `sends`.
    fn device(able: f64, sends: f64) -> impl FnMut(f64) -> Result<Outcome, ()> {
        move |rate| {
            let offered = rate.min(sends);
            Ok(Outcome {
                offered,
                loss: (offered - able).max(0.0) / offered,
                tester_limited: rate > sends,
            })
        }
    }

    #[test]
    fn the_devices_rate_is_found_within_the_resolution() {
        for able in [1.0, 123.0, 500.0, 999.0] {
            let found = search(1000.0, 0.001, 0.0, device(able, 1e9)).unwrap();
            assert!((able - 1.0..=able).contains(&found.rate), "{able}: {found:?}");
        }
        let fast = search(1000.0, 0.001, 0.0, device(5000.0, 1e9)).unwrap();
        assert_eq!(fast.rate, 1000.0);
    }

    #[test]
    fn a_little_loss_allows_a_little_more() {
        let none = search(1000.0, 0.001, 0.0, device(500.0, 1e9)).unwrap();
        let some = search(1000.0, 0.001, 0.1, device(500.0, 1e9)).unwrap();

        assert!(some.rate > none.rate * 1.1, "{none:?} {some:?}");
    }

    #[test]
    fn a_tester_at_its_end_says_so() {
        let found = search(1000.0, 0.001, 0.0, device(800.0, 300.0)).unwrap();

        assert_eq!((found.rate, found.tester_limited), (300.0, true));
    }

    #[test]
    fn a_device_that_loses_always_has_rate_zero() {
        let lossy = |rate| {
            Ok::<_, ()>(Outcome {
                offered: rate,
                loss: 0.2,
                tester_limited: false,
            })
        };
        assert_eq!(search(1000.0, 0.01, 0.0, lossy).unwrap().rate, 0.0);
    }
}
