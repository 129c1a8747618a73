//! The store's own counters, from its metrics.

use std::collections::BTreeMap;

use serde::Serialize;

/// A counter of the store, and what it is called in a report.
const COUNTERS: [(&str, &str); 6] = [
    ("transactions", "store_transactions_total"),
    ("turns", "store_turns_total"),
    ("log_requests", "embedded_log_requests_total"),
    ("log_fsyncs", "embedded_log_fsyncs_total"),
    ("log_bytes_received", "embedded_log_received_bytes_total"),
    ("log_bytes_sent", "embedded_log_sent_bytes_total"),
];

/// Counters, by their names in a report.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Counters(pub BTreeMap<&'static str, f64>);

impl Counters {
    /// The counters in Prometheus' text format, added up over their labels.
    pub(crate) fn of_text(text: &str) -> Self {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let name = line.split(['{', ' ']).next().unwrap_or_default();
            let value = line
                .rsplit(' ')
                .next()
                .and_then(|value| value.parse::<f64>().ok());
            *sums.entry(name).or_default() += value.unwrap_or_default();
        }
        let found = COUNTERS.iter();
        let found = found.filter_map(|(told, name)| Some((*told, *sums.get(name)?)));
        Self(found.collect())
    }

    /// These and others, added up.
    pub(crate) fn and(mut self, others: Self) -> Self {
        for (name, value) in others.0 {
            *self.0.entry(name).or_default() += value;
        }
        self
    }

    /// What was counted since `before`, for each of so many orders.
    pub(crate) fn per_order(&self, before: &Self, orders: u64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 orders")]
        let orders = orders.max(1) as f64;
        let each = self.0.iter().map(|(name, now)| {
            let before = before.0.get(name).copied().unwrap_or_default();
            (*name, (now - before) / orders)
        });
        Self(each.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# TYPE store_turns_total counter\n\
        store_turns_total 7\n\
        embedded_log_requests_total{api=\"Fetch\"} 5\n\
        embedded_log_requests_total{api=\"Produce\"} 3\n\
        other_total 100\n";

    #[test]
    fn labels_are_added_up_and_other_counters_left_out() {
        let counters = Counters::of_text(TEXT);
        assert_eq!(counters.0.get("turns"), Some(&7.0));
        assert_eq!(counters.0.get("log_requests"), Some(&8.0));
        assert_eq!(counters.0.len(), 2);
    }

    #[test]
    fn what_was_counted_before_does_not_count() {
        let before = Counters::of_text(TEXT);
        let after = before
            .clone()
            .and(Counters::of_text("store_turns_total 20"));
        let each = after.per_order(&before, 10);
        assert_eq!(each.0.get("turns"), Some(&2.0));
        assert_eq!(each.0.get("log_requests"), Some(&0.0));
    }
}
