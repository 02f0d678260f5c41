//! Figures: what several starts of a program, or the ratios of several rounds, come to.

use serde::Serialize;

/// A figure over its starts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub starts: usize,
}

impl Figure {
    /// `None` where there are no values.
    pub fn of(values: &[f64]) -> Option<Figure> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        Some(Figure {
            // Of an even count the lower one of the middle two.
            median: *sorted.get(sorted.len().saturating_sub(1) / 2)?,
            min: *sorted.first()?,
            max: *sorted.last()?,
            starts: sorted.len(),
        })
    }
}

/// The ratio in each round: a round's starts came one after another, so they met the same machine.
pub fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| ours / theirs)
        .collect()
}

/// TSC ticks a packet more than theirs, in each round; rates in Mpps.
pub fn deltas(ours: &[f64], theirs: &[f64], tsc_mhz: f64) -> Vec<f64> {
    ours.iter()
        .zip(theirs)
        .map(|(ours, theirs)| tsc_mhz / ours - tsc_mhz / theirs)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_start_and_no_start_is_no_figure() {
        let figure = Figure::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(
            (figure.median, figure.min, figure.max, figure.starts),
            (2.0, 1.0, 3.0, 3)
        );
        assert_eq!(Figure::of(&[4.0, 1.0]).unwrap().median, 1.0);
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn rounds_are_compared_one_by_one() {
        assert_eq!(ratios(&[10.0, 30.0], &[20.0, 30.0]), [0.5, 1.0]);
        assert_eq!(deltas(&[10.0], &[20.0], 2000.0), [100.0]);
    }
}
