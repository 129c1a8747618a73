//! Prometheus' text format, as far as the programs write it.

use std::collections::{BTreeMap, BTreeSet};

/// One value, with its labels.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// The name, with `_bucket`, `_sum` or `_count` of a histogram.
    pub(crate) name: String,
    /// Its labels.
    pub(crate) labels: BTreeMap<String, String>,
    /// The value.
    pub(crate) value: f64,
}

impl Sample {
    /// Whether it has all these labels.
    pub(crate) fn has(&self, labels: &[(impl AsRef<str>, impl AsRef<str>)]) -> bool {
        labels.iter().all(|(label, value)| {
            self.labels.get(label.as_ref()).map(String::as_str) == Some(value.as_ref())
        })
    }
}

/// What `/metrics` says.
#[derive(Debug)]
pub(crate) struct Exposition {
    /// All samples.
    pub(crate) samples: Vec<Sample>,
    /// The type of each metric.
    pub(crate) types: BTreeMap<String, String>,
    /// The metrics that are explained.
    pub(crate) explained: BTreeSet<String>,
}

impl Exposition {
    /// Takes an answer apart, its head included.
    pub(crate) fn of(answer: &str) -> Self {
        let body = answer
            .split_once("\r\n\r\n")
            .map_or(answer, |(_, body)| body);
        let mut found = Self {
            samples: Vec::new(),
            types: BTreeMap::new(),
            explained: BTreeSet::new(),
        };
        for line in body.lines().filter(|line| !line.is_empty()) {
            if let Some(help) = line.strip_prefix("# HELP ") {
                found
                    .explained
                    .extend(help.split(' ').next().map(str::to_owned));
            } else if let Some(typed) = line.strip_prefix("# TYPE ") {
                let (name, kind) = typed.split_once(' ').unwrap();
                found.types.insert(name.to_owned(), kind.to_owned());
            } else {
                found.samples.push(sample(line));
            }
        }
        found
    }

    /// The samples with this name and these labels.
    pub(crate) fn of_name<'e>(
        &'e self,
        name: &'e str,
        labels: &'e [(impl AsRef<str>, impl AsRef<str>)],
    ) -> impl Iterator<Item = &'e Sample> {
        let named = self
            .samples
            .iter()
            .filter(move |sample| sample.name == name);
        named.filter(|sample| sample.has(labels))
    }

    /// Their sum.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.of_name(name, labels).map(|sample| sample.value).sum()
    }
}

fn sample(line: &str) -> Sample {
    let (named, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = named.split_once('{').unwrap_or((named, ""));
    let labels = labels.trim_end_matches('}').split("\",");
    let labels = labels.filter_map(|label| {
        let (name, value) = label.split_once("=\"")?;
        Some((name.to_owned(), value.trim_end_matches('"').to_owned()))
    });
    Sample {
        name: name.to_owned(),
        labels: labels.collect(),
        value: value.parse().unwrap(),
    }
}

#[test]
fn samples_are_taken_apart() {
    let text =
        "# HELP a_total what\n# TYPE a_total counter\na_total{b=\"/c d\",e=\"f\"} 2\n\ng 0.5\n";
    let found = Exposition::of(text);
    assert_eq!(found.sum("a_total", &[("b", "/c d"), ("e", "f")]), 2.0);
    assert_eq!(found.sum("a_total", &[("b", "f")]), 0.0);
    assert_eq!(found.sum("g", &[]), 0.5);
    assert_eq!(found.types["a_total"], "counter");
    assert!(found.explained.contains("a_total"));
}
