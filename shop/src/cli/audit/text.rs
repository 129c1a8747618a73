//! A report, for people and for programs.

use std::fmt::Write as _;

use audit::report::Report;
use serde_json::{Value, json};

/// Offenders that are printed for people; programs get all that the report names.
const LINES_MAX: usize = 100;

/// A short report.
pub(super) fn people(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    for offender in report.offenders.iter().take(LINES_MAX) {
        let _ = writeln!(text, "{offender}");
    }
    let told = report.offenders.len().min(LINES_MAX) as u64;
    if report.offenders_count > told {
        let _ = writeln!(text, "... and {} more", report.offenders_count - told);
    }
    for (why, unsettled) in &report.unsettled {
        let _ = write!(text, "not judged yet: {why}: {}", unsettled.count);
        let examples = unsettled.examples.join(", ");
        let more = if unsettled.count > unsettled.examples.len() as u64 {
            ", ..."
        } else {
            ""
        };
        let _ = writeln!(text, " ({examples}{more})");
    }
    for first in &report.judged_from {
        let _ = writeln!(text, "judged from {first}: earlier records are deleted");
    }
    let counts = &report.counts;
    let _ = writeln!(
        text,
        "{} records, {} orders, {} reservations, {} products, {} receipts",
        counts.records, counts.orders, counts.reservations, counts.products, counts.receipts
    );
    let _ = writeln!(
        text,
        "commands: {} applied, {} changed nothing, {} repeated, {} in conflict; {} events published again",
        counts.applied, counts.nothing, counts.duplicates, counts.conflicts, counts.republished
    );
    for (count, what) in [
        (
            counts.left_out,
            "orders with messages that are or were parked are left out",
        ),
        (
            counts.partial,
            "orders of which records are deleted are judged in part",
        ),
        (
            counts.before_log,
            "orders of which no record is left are not judged",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{count} {what}");
        }
    }
    let verdict = match (report.offenders_count, report.unsettled.is_empty()) {
        (0, true) => "every promise was kept".to_owned(),
        (0, false) => "no promise was broken, as far as it can be judged now".to_owned(),
        (1, _) => "1 broken promise".to_owned(),
        (count, _) => format!("{count} broken promises"),
    };
    let _ = writeln!(text, "{verdict}");
    text
}

/// The report as one line of JSON.
pub(super) fn json(report: &Report) -> Value {
    let offenders: Vec<_> = report
        .offenders
        .iter()
        .map(|offender| {
            json!({
                "invariant": offender.invariant,
                "what": offender.what,
                "detail": offender.detail,
            })
        })
        .collect();
    let unsettled: Vec<_> = report
        .unsettled
        .iter()
        .map(|(why, unsettled)| {
            json!({ "why": why, "count": unsettled.count, "examples": unsettled.examples })
        })
        .collect();
    let judged_from: Vec<_> = report.judged_from.iter().map(ToString::to_string).collect();
    let counts = &report.counts;
    json!({
        "offenders": offenders,
        "offenders_count": report.offenders_count,
        "unsettled": unsettled,
        "judged_from": judged_from,
        "counts": {
            "records": counts.records,
            "orders": counts.orders,
            "reservations": counts.reservations,
            "products": counts.products,
            "receipts": counts.receipts,
            "applied": counts.applied,
            "nothing": counts.nothing,
            "duplicates": counts.duplicates,
            "conflicts": counts.conflicts,
            "republished": counts.republished,
            "left_out": counts.left_out,
            "partial": counts.partial,
            "before_log": counts.before_log,
            "passes": counts.passes,
            "items_max": counts.items_max,
        },
    })
}

#[cfg(test)]
mod tests {
    use audit::report::{Offender, Unsettled};

    use super::*;

    #[test]
    fn people_read_who_offends_first_and_the_verdict_last() {
        let mut report = Report::default();
        assert!(people(&report).ends_with("every promise was kept\n"));
        let why = "orders in flight";
        let unsettled = Unsettled {
            count: 12,
            examples: vec!["order O1".to_owned()],
        };
        report.unsettled.insert(why, unsettled);
        let text = people(&report);
        assert!(
            text.contains("not judged yet: orders in flight: 12 (order O1, ...)\n"),
            "{text}"
        );
        assert!(text.ends_with("as far as it can be judged now\n"), "{text}");
        report.offenders_count = 1;
        report.offenders.push(Offender {
            invariant: "F4",
            what: "product P1".to_owned(),
            detail: "the row says 1".to_owned(),
        });
        let text = people(&report);
        assert!(
            text.starts_with("F4 product P1: the row says 1\n"),
            "{text}"
        );
        assert!(text.ends_with("1 broken promise\n"), "{text}");
        assert_eq!(json(&report)["offenders"][0]["what"], "product P1");
        assert_eq!(json(&report)["unsettled"][0]["count"], 12);
    }
}
