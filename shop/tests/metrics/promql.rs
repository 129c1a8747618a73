//! The metrics, the labels and the values of labels that a query names.

use std::collections::BTreeSet;

/// Words of the query language that are no metrics.
const KEYWORDS: [&str; 7] = ["by", "count", "max", "min", "sum", "on", "ignoring"];

/// What one query names.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Named {
    /// Metrics, with the labels and the values that must be equal.
    pub(crate) metrics: BTreeSet<(String, Vec<(String, String)>)>,
    /// Labels, of matchers and of groups.
    pub(crate) labels: BTreeSet<String>,
}

/// Takes `query` apart. It knows as much of the language as this store's queries use: metrics with
/// matchers and ranges, functions, `by (...)`, operators and numbers.
pub(crate) fn names(query: &str) -> Named {
    let mut named = Named::default();
    let mut rest = query;
    while let Some(letter) = rest.chars().next() {
        if is_part(letter) {
            let word = take_word(&mut rest);
            let is_call = rest.trim_start().starts_with('(');
            if word == "by" {
                let (group, after) = rest.split_once('(').unwrap().1.split_once(')').unwrap();
                named
                    .labels
                    .extend(group.split(',').map(|label| label.trim().to_owned()));
                rest = after;
            } else if !is_call && !letter.is_ascii_digit() && !KEYWORDS.contains(&word) {
                let mut equal = Vec::new();
                if let Some(matchers) = rest.strip_prefix('{') {
                    rest = take_matchers(matchers, &mut equal, &mut named.labels);
                }
                named.metrics.insert((word.to_owned(), equal));
            }
        } else if letter == '[' {
            rest = rest.split_once(']').unwrap().1;
        } else {
            rest = &rest[letter.len_utf8()..];
        }
    }
    named
}

fn is_part(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '_' | ':')
}

fn take_word<'q>(rest: &mut &'q str) -> &'q str {
    let end = rest.find(|letter| !is_part(letter)).unwrap_or(rest.len());
    let (word, after) = rest.split_at(end);
    *rest = after;
    word
}

/// Reads `label="value", label!~"value"}`; returns what follows.
fn take_matchers<'q>(
    matchers: &'q str,
    equal: &mut Vec<(String, String)>,
    labels: &mut BTreeSet<String>,
) -> &'q str {
    let mut rest = matchers;
    loop {
        rest = rest.trim_start_matches([' ', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let label = take_word(&mut rest);
        let (operator, after) = rest.split_once('"').unwrap();
        let (value, after) = after.split_once('"').unwrap();
        labels.insert(label.to_owned());
        if operator == "=" {
            equal.push((label.to_owned(), value.to_owned()));
        }
        rest = after;
    }
}

#[test]
fn queries_are_taken_apart() {
    let query = r#"histogram_quantile(0.99, sum by (le, method) (
        rate(a_bucket{job="b_c", kind!~"x.*(y)"}[1m]))) + d > 7 * 86400"#;
    let named = names(query);
    let metric = |name: &str, equal: &[(&str, &str)]| {
        let equal = equal
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        (name.to_owned(), equal.collect())
    };
    let metrics = [metric("a_bucket", &[("job", "b_c")]), metric("d", &[])];
    assert_eq!(named.metrics, metrics.into());
    let labels = ["job", "kind", "le", "method"].map(str::to_owned);
    assert_eq!(named.labels, labels.into());
}
