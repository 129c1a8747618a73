//! Many seeds, over all cores.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::check;
use crate::counts::{self, Counts};
use crate::ports::STEPS;
use crate::run::{self, Report};

/// Seeds that every change is run with.
pub(crate) const SEEDS: u64 = 2_000;

/// Does `work` for 0 to `count - 1`, over all cores; returns the results in order.
pub(crate) fn parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    if index >= count {
                        return;
                    }
                    let result = work(index);
                    results.lock().unwrap().push((index, result));
                }
            });
        }
    });
    let mut results = results.into_inner().unwrap();
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// A number from the environment.
pub(crate) fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(otherwise, |value| value.parse().unwrap())
}

/// A kind of runs: what one of them is, and the test that shows it.
pub(crate) struct Family {
    pub(crate) run: fn(u64, bool) -> Report,
    pub(crate) shown_by: &'static str,
}

const PLAIN: Family = Family {
    run: run::seed,
    shown_by: "one_seed",
};

impl Family {
    /// Runs seeds without their traces.
    pub(crate) fn run_all(&self, seeds: &[u64]) -> Vec<Report> {
        parallel(seeds.len(), |index| (self.run)(seeds[index], false))
    }

    /// Runs the seed that the environment names, and shows all of it.
    pub(crate) fn run_one(&self) {
        let seed = number("SIM_SEED", 0);
        let report = (self.run)(seed, true);
        for line in &report.trace {
            println!("{line}");
        }
        assert_eq!(report.violation, None, "seed {seed}");
    }
}

/// Says which runs failed, shows the first of them, and fails.
pub(crate) fn judge(family: &Family, reports: &[Report]) {
    let failed: Vec<_> = reports
        .iter()
        .filter_map(|report| Some((report, report.violation.as_ref()?)))
        .collect();
    for (report, violation) in &failed {
        println!("seed {}: {violation}", report.seed);
    }
    if let Some((first, _)) = failed.first() {
        show(family, first);
    }
    let (failed, all) = (failed.len(), reports.len());
    assert!(failed == 0, "{failed} of {all} seeds failed");
}

/// Shows a failed run: what did not hold, how to see it again, and what led to it.
fn show(family: &Family, report: &Report) {
    let again = (family.run)(report.seed, true);
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
        "again: SIM_SEED={} cargo test -p sim {} -- --nocapture",
        report.seed, family.shown_by
    );
}

/// What the runs met together.
pub(crate) fn sums(reports: &[Report]) -> (Counts, check::Counts) {
    let (mut all, mut checked) = (Counts::default(), check::Counts::default());
    for report in reports {
        all.absorb(&report.counts);
        checked.absorb(&report.checked);
    }
    (all, checked)
}

/// What the runs met, for people.
pub(crate) fn told(reports: &[Report]) -> String {
    let counts: Vec<_> = reports.iter().map(|report| &report.counts).collect();
    let (all, checked) = sums(reports);
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

/// C1 to C3, and that seeds are as rough on average as they are meant to be: of as many runs as
/// every change makes, or more.
fn demand(counts: &Counts, checked: &check::Counts, runs: u64) {
    let mut missing = checked.missing(&STEPS);
    missing.extend(never_met(counts).map(|name| format!("none: {name}")));
    for (name, number, least) in [
        ("orders", counts.orders, 40),
        ("crashes", counts.crashes, 3),
        ("changes of ownership", counts.takeovers, 1),
    ] {
        if number < least * runs {
            missing.push(format!("{number} {name} in {runs} runs: {least} in each"));
        }
    }
    if runs < SEEDS {
        println!("{runs} runs are too few to ask for what these have not met: {missing:?}");
    } else {
        assert!(missing.is_empty(), "{missing:#?}");
    }
}

/// What of the operators' work never happened.
pub(crate) fn never_met(counts: &Counts) -> impl Iterator<Item = &'static str> {
    let numbers = [
        ("garbage under real keys", counts.poisons),
        ("operators' actions", counts.actions),
        ("messages replayed", counts.replayed),
        ("messages discarded", counts.discarded),
        ("operators' asks refused", counts.asks_refused),
    ];
    let never = numbers.into_iter().filter(|(_, number)| *number == 0);
    never.map(|(name, _)| name)
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "people are told how many seeds a second their machine runs"
)]
fn many_seeds() {
    let (from, count) = (number("SIM_FROM", 0), number("SIM_SEEDS", SEEDS));
    let started = std::time::Instant::now();
    let reports = PLAIN.run_all(&(from..from + count).collect::<Vec<_>>());
    println!("{}", told(&reports));
    println!("{count} seeds in {:?}", started.elapsed());
    judge(&PLAIN, &reports);
    let (counts, checked) = sums(&reports);
    demand(&counts, &checked, count);
}

/// Seeds that failed once.
#[test]
fn regressions() {
    let seeds: Vec<u64> = include_str!("regressions.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    assert!(!seeds.is_empty());
    judge(&PLAIN, &PLAIN.run_all(&seeds));
}

#[test]
fn one_seed() {
    PLAIN.run_one();
}
