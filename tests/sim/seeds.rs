//! Many seeds, over all cores.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::check;
use crate::counts::{self, Counts};
use crate::run::{self, Report};

/// Runs seeds `from..from + count`; returns the reports in the order of their seeds.
fn run_all(from: u64, count: u64) -> Vec<Report> {
    let next = AtomicU64::new(from);
    let reports = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::SeqCst);
                    if seed >= from + count {
                        return;
                    }
                    let report = run::seed(seed, false);
                    reports.lock().unwrap().push(report);
                }
            });
        }
    });
    let mut reports = reports.into_inner().unwrap();
    reports.sort_by_key(|report| report.seed);
    reports
}

/// A number from the environment.
fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |value| value.parse().unwrap())
}

/// Shows a failed run: what did not hold, how to see it again, and what led to it.
fn show(report: &Report) {
    let again = run::seed(report.seed, true);
    let Some(violation) = &again.violation else {
        println!("seed {} failed once and not again", report.seed);
        return;
    };
    for line in &again.trace {
        println!("{line}");
    }
    println!(
        "seed {}: {} {}",
        report.seed, violation.invariant, violation.detail
    );
    println!(
        "again: SIM_SEED={} cargo test --test sim one_seed -- --nocapture",
        report.seed
    );
}

/// What the runs met, for people.
fn told(reports: &[Report]) -> String {
    let counts: Vec<_> = reports.iter().map(|report| &report.counts).collect();
    let mut all = Counts::default();
    for counts in &counts {
        all.absorb(counts);
    }
    let mut checked = check::Counts::default();
    for report in reports {
        checked.absorb(&report.checked);
    }
    let list = |counted: &BTreeMap<String, u64>| -> String {
        let items = counted
            .iter()
            .map(|(name, count)| format!("\n  {count:>8} {name}"));
        items.collect()
    };
    format!(
        "{}crashes:{}\nfaults:{}\nlongest time to settle: {:?}\n{checked:?}",
        counts::distribution(&counts),
        list(&all.crash_points),
        list(&all.faults),
        all.settle
    )
}

#[test]
fn many_seeds() {
    let (from, count) = (number("SIM_FROM", 0), number("SIM_SEEDS", 100));
    let reports = run_all(from, count);
    println!("{}", told(&reports));
    let failed: Vec<_> = reports
        .iter()
        .filter(|report| report.violation.is_some())
        .collect();
    for report in &failed {
        let violation = report.violation.as_ref().unwrap();
        println!(
            "seed {}: {} {}",
            report.seed, violation.invariant, violation.detail
        );
    }
    if let Some(first) = failed.first() {
        show(first);
    }
    assert!(
        failed.is_empty(),
        "{} of {count} seeds failed",
        failed.len()
    );
}

#[test]
fn one_seed() {
    let seed = number("SIM_SEED", 0);
    let report = run::seed(seed, true);
    for line in &report.trace {
        println!("{line}");
    }
    assert_eq!(report.violation, None, "seed {seed}");
}
