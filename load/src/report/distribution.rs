//! How long how many had to wait: the curve of a latency over its percentiles.

use serde::Serialize;

use crate::tally::Times;

/// Marks of a curve from one nine to the next.
const MARKS_PER_NINE: u32 = 20;

/// The distribution of many times.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Distribution {
    /// How many times.
    pub count: u64,
    /// From the shortest (share 0) to the longest (share 1), evenly over the nines.
    pub marks: Vec<Mark>,
}

/// A share of all times, and what they are below.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Mark {
    /// 0 to 1.
    pub share: f64,
    /// In milliseconds.
    pub ms: f64,
}

impl Distribution {
    /// Of these times.
    pub(super) fn of(times: &Times) -> Self {
        let count = times.count();
        let mark = |share| Mark {
            share,
            ms: times.millis_at(share),
        };
        let all = nines(1.0, count);
        let steps = (0..).map(|step| f64::from(step) / f64::from(MARKS_PER_NINE));
        let steps = steps.take_while(|nines| *nines < all);
        let shares = steps.map(|nines| 1.0 - 10_f64.powf(-nines));
        let longest = (count > 0).then(|| mark(1.0));
        Self {
            count,
            marks: shares.map(mark).chain(longest).collect(),
        }
    }

    /// The curve's points: nines, and milliseconds.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        let marks = self.marks.iter();
        let points = marks.map(|mark| (nines(mark.share, self.count), mark.ms));
        points.collect()
    }
}

/// How many nines a share has, `log10(1 / (1 - share))`: 0.9 has one, 0.99 two. Of `count` times the
/// longest stands for one of them, so it has those of `1 - 1 / count`.
pub(super) fn nines(share: f64, count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52 orders")]
    let most = count.max(1) as f64;
    (1.0 - share).recip().min(most).log10()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::report::Shares;

    #[test]
    fn each_further_nine_is_one_step() {
        for (share, count, expected) in [
            (0.0, 1_000, 0.0),
            (0.5, 1_000, 0.301),
            (0.9, 1_000, 1.0),
            (0.99, 1_000, 2.0),
            (0.999, 1_000_000, 3.0),
            (1.0, 1_000, 3.0),
            (1.0, 1, 0.0),
        ] {
            let found = nines(share, count);
            assert!((found - expected).abs() < 1e-3, "{share}: {found}");
        }
    }

    #[test]
    fn the_curve_goes_through_the_figures_of_the_table() {
        let mut times = Times::default();
        for millis in 1..=10_000 {
            times.record(Duration::from_millis(millis));
        }
        let (curve, shares) = (Distribution::of(&times).curve(), Shares::of(&times));
        let at = |nines: f64| {
            let near = curve.iter().filter(|(x, _)| (x - nines).abs() < 1e-6);
            near.map(|(_, ms)| *ms).collect::<Vec<_>>()
        };
        assert_eq!(at(1.0), [shares.p90]);
        assert_eq!(at(2.0), [shares.p99]);
        assert_eq!(at(3.0), [shares.p999]);
        assert_eq!(at(4.0), [shares.max]);
        assert_eq!(curve.len(), 81);
        assert!(curve.is_sorted_by(|(x, ms), (next, longer)| x < next && ms <= longer));
    }

    #[test]
    fn one_time_is_a_mark_and_none_is_nothing() {
        let mut times = Times::default();
        assert_eq!(Distribution::of(&times), Distribution::default());
        times.record(Duration::from_millis(3));
        let only = Distribution::of(&times).curve();
        assert_eq!(only.len(), 1, "{only:?}");
        assert!((only[0].1 - 3.0).abs() < 0.01, "{only:?}");
    }
}
