//! Counts against those of the last release.

use std::fmt;

use super::record::Counts;

/// What is to be said of one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is what it was, within the tolerance.
    Same,
    /// A regression.
    More,
    /// So much less that the record should follow, or it would hide a later regression.
    Less,
    /// Nothing is recorded of it.
    New,
    /// It is recorded and was not counted.
    Gone,
}

/// One number, then and now.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// What was counted.
    pub name: String,
    /// In the record.
    pub recorded: Option<f64>,
    /// Now.
    pub counted: Option<f64>,
    /// What is to be said.
    pub verdict: Verdict,
}

impl Finding {
    fn new(name: &str, recorded: Option<f64>, counted: Option<f64>, tolerance: f64) -> Self {
        let verdict = match (recorded, counted) {
            (None, _) => Verdict::New,
            (_, None) => Verdict::Gone,
            (Some(recorded), Some(counted)) if counted > recorded * tolerance => Verdict::More,
            (Some(recorded), Some(counted)) if counted * tolerance < recorded => Verdict::Less,
            _ => Verdict::Same,
        };
        Self {
            name: name.to_owned(),
            recorded,
            counted,
            verdict,
        }
    }

    /// Whether a check fails by it. A record that does not hold what is counted fails too: nothing
    /// would be checked.
    #[must_use]
    pub fn fails(&self) -> bool {
        matches!(self.verdict, Verdict::More | Verdict::New | Verdict::Gone)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<f64>| match number {
            None => "-".to_owned(),
            Some(large) if large >= 100.0 => format!("{large:.0}"),
            Some(small) => format!("{small:.4}"),
        };
        let said = match self.verdict {
            Verdict::Same => "",
            Verdict::More => "MORE THAN RECORDED",
            Verdict::Less => "less: lower the record",
            Verdict::New => "NOT RECORDED",
            Verdict::Gone => "RECORDED, NOT COUNTED",
        };
        let ratio = match (self.recorded, self.counted) {
            (Some(recorded), Some(counted)) => format!("{:.3}", counted / recorded),
            _ => "-".to_owned(),
        };
        let (recorded, counted) = (number(self.recorded), number(self.counted));
        let line = format!(
            "{:<44}{recorded:>12}{counted:>12}{ratio:>8}  {said}",
            self.name
        );
        f.write_str(line.trim_end())
    }
}

/// Compares every number; one may rise by the factor `tolerance` (above 1) without being found.
#[must_use]
pub fn judge(recorded: &Counts, counted: &Counts, tolerance: f64) -> Vec<Finding> {
    let gone = recorded.keys().filter(|name| !counted.contains_key(*name));
    counted
        .keys()
        .chain(gone)
        .map(|name| {
            let (then, now) = (recorded.get(name), counted.get(name));
            Finding::new(name, then.copied(), now.copied(), tolerance)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: f64 = 1.05;

    fn counts<const N: usize>(counts: [(&str, f64); N]) -> Counts {
        counts
            .map(|(name, count)| (name.to_owned(), count))
            .into_iter()
            .collect()
    }

    fn verdict(recorded: f64, counted: f64) -> (Verdict, bool) {
        let found = judge(
            &counts([("encode", recorded)]),
            &counts([("encode", counted)]),
            TOLERANCE,
        );
        (found[0].verdict, found[0].fails())
    }

    #[test]
    fn a_regression_fails_and_what_lies_within_the_tolerance_does_not() {
        assert_eq!(verdict(1_000.0, 1_051.0), (Verdict::More, true));
        assert_eq!(verdict(1_000.0, 1_049.0), (Verdict::Same, false));
        assert_eq!(verdict(0.02, 0.0211), (Verdict::More, true));
        assert_eq!(verdict(0.0, 0.001), (Verdict::More, true));
    }

    #[test]
    fn an_improvement_is_told_and_does_not_fail() {
        assert_eq!(verdict(1_000.0, 940.0), (Verdict::Less, false));
        assert_eq!(verdict(1_000.0, 960.0), (Verdict::Same, false));
    }

    #[test]
    fn one_regression_among_many_is_named_with_its_ratio() {
        let recorded = counts([("decode", 500.0), ("encode", 1_000.0)]);
        let counted = counts([("decode", 1_000.0), ("encode", 1_000.0)]);
        let found = judge(&recorded, &counted, TOLERANCE);
        let failing: Vec<String> = found
            .iter()
            .filter(|finding| finding.fails())
            .map(ToString::to_string)
            .collect();
        assert_eq!(failing.len(), 1);
        assert!(failing[0].starts_with("decode"), "{failing:?}");
        assert!(failing[0].contains("2.000  MORE"), "{failing:?}");
    }

    #[test]
    fn a_record_that_lacks_a_count_or_has_one_too_many_fails() {
        let found = judge(&counts([("old", 1.0)]), &counts([("new", 1.0)]), TOLERANCE);
        let verdicts: Vec<_> = found.iter().map(|finding| finding.verdict).collect();
        assert_eq!(verdicts, [Verdict::New, Verdict::Gone]);
        assert!(found.iter().all(Finding::fails));
    }
}
