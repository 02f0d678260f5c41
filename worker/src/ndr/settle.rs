//! One rate's verdict from several trials: one that the tester itself spoiled is made again, and one that lost may be confirmed.

use super::search::Outcome;

/// A trial with what it came to.
#[derive(Clone, Debug)]
pub struct Attempt<R> {
    pub report: R,
    pub outcome: Outcome,
    /// The tester stood still meanwhile, see [`super::pauses`].
    pub paused: bool,
}

impl<R> Attempt<R> {
    fn is_good(&self) -> bool {
        self.outcome.loss == 0.0 && !self.outcome.tester_limited
    }

    /// Nothing was wrong, or what was wrong was not the tester's pause.
    fn counts(&self) -> bool {
        self.is_good() || !self.paused
    }
}

/// How patient a search is with its machine.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Trials that the tester spoiled and that are made again, at each rate.
    pub retries: u32,
    /// Trials that may fail before their rate has failed. More than 1 is for a device that shares its core with other programs:
    /// it says what the device can, not what it always does.
    pub best_of: u32,
}

/// The verdict.
#[derive(Clone, Debug)]
pub struct Settled<R> {
    pub attempt: Attempt<R>,
    pub trials: u32,
    /// No trial was free of the tester's pauses: the verdict is the best of them, and is the machine's as much as the device's.
    pub spoiled: bool,
}

/// Tries until a trial is good, or patience ends; then the one that counts and lost least.
pub fn settle<R, E>(
    patience: Patience,
    mut trial: impl FnMut() -> Result<Attempt<R>, E>,
) -> Result<Settled<R>, E> {
    let mut best = trial()?;
    let (mut trials, mut spoiled, mut failed) = (1, 0, 0);
    let mut last_counts = best.counts();
    loop {
        if best.is_good() {
            break;
        }
        match last_counts {
            true => failed += 1,
            false => spoiled += 1,
        }
        if failed >= patience.best_of.max(1) || spoiled > patience.retries {
            break;
        }
        let next = trial()?;
        trials += 1;
        last_counts = next.counts();
        let better = match (best.counts(), next.counts()) {
            (false, true) => true,
            (true, false) => false,
            _ => next.is_good() || next.outcome.loss < best.outcome.loss,
        };
        if better {
            best = next;
        }
    }
    Ok(Settled {
        spoiled: !best.counts(),
        attempt: best,
        trials,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: (f64, bool, bool) = (0.0, false, false);

    /// Loss, whether the tester was the limit, whether it paused: trial by trial.
    fn settled(patience: Patience, trials: &[(f64, bool, bool)]) -> Settled<usize> {
        let mut made = trials.iter().enumerate();
        settle(patience, || {
            let (number, (loss, tester_limited, paused)) = made.next().ok_or("asked for one more")?;
            Ok::<_, &str>(Attempt {
                report: number,
                outcome: Outcome {
                    offered: 1e6,
                    loss: *loss,
                    tester_limited: *tester_limited,
                },
                paused: *paused,
            })
        })
        .unwrap()
    }

    const ONCE: Patience = Patience {
        retries: 2,
        best_of: 1,
    };

    #[test]
    fn a_good_trial_settles_at_once_even_with_a_pause() {
        for paused in [false, true] {
            let settled = settled(ONCE, &[(0.0, false, paused)]);
            assert_eq!((settled.trials, settled.spoiled), (1, false));
        }
    }

    #[test]
    fn a_loss_beside_a_pause_is_tried_again_and_a_loss_without_one_is_the_devices() {
        let again = settled(ONCE, &[(0.2, false, true), (0.0, true, true), GOOD]);
        assert_eq!((again.attempt.report, again.trials), (2, 3));

        let lost = settled(ONCE, &[(0.2, false, true), (0.1, false, false)]);
        assert_eq!((lost.attempt.outcome.loss, lost.spoiled), (0.1, false));
    }

    #[test]
    fn a_machine_without_a_quiet_moment_is_said_to_be_one() {
        let all = settled(
            ONCE,
            &[(0.3, false, true), (0.1, false, true), (0.2, false, true)],
        );
        assert_eq!((all.attempt.report, all.trials, all.spoiled), (1, 3, true));
    }

    #[test]
    fn a_device_that_shares_its_core_has_several_chances() {
        let patience = Patience {
            retries: 0,
            best_of: 3,
        };
        let third = settled(patience, &[(0.1, false, false), (0.1, false, false), GOOD]);
        assert_eq!((third.attempt.outcome.loss, third.trials), (0.0, 3));
        let never = settled(
            patience,
            &[(0.1, false, false), (0.3, false, false), (0.2, false, false)],
        );
        assert_eq!((never.attempt.report, never.trials), (0, 3));
    }
}
