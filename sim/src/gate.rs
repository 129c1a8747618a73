//! C4: every broken variant of the store is caught, by the invariant that it breaks, within the
//! number of seeds that every change is run with. And what it is run with breaks nothing by itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use messaging::mutant::{self, Layer, Mutant};

use crate::disasters;
use crate::plan::{Event, Plan};
use crate::run::{self, Report};
use crate::seeds::{SEEDS, parallel};

/// Seeds that the whole store is run with on each of the terms.
const WHOLE_SEEDS: u64 = 30;

/// What a variant is run with, beside what its seeds draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Terms {
    /// Nothing else.
    AsDrawn,
    /// The inbox forgets ids at once, but for those that it keeps for good.
    Forgetful,
    /// Commits land after their clients have given up on them, and what a client does not know it
    /// does not look up: only the cursors' compare-and-set is left.
    LateCommits,
    /// The log keeps back from the disk what it has acknowledged, and its machine loses power
    /// every few seconds. What is lost is lost, but it must be noticed.
    LossyLog,
    /// The log loses tails of partitions.
    LostTail,
    /// A database is replaced by an older copy.
    Restored,
}

impl Terms {
    fn without(self) -> &'static [Layer] {
        match self {
            Self::AsDrawn | Self::LostTail | Self::Restored => &[],
            Self::Forgetful => &[Layer::InboxHorizon],
            Self::LateCommits => &[Layer::Reread],
            Self::LossyLog => &[Layer::Fsync],
        }
    }

    fn run(self, seed: u64, record: bool) -> Report {
        match self {
            Self::LostTail => disasters::lost_tail(seed, record),
            Self::Restored => disasters::restored(seed, record),
            _ => run::seasoned(seed, record, |plan| self.season(plan)),
        }
    }

    /// Seeds within which a variant must be caught.
    fn seeds(self) -> u64 {
        match self {
            Self::LostTail | Self::Restored => disasters::SEEDS,
            _ => SEEDS,
        }
    }

    fn season(self, plan: &mut Plan) {
        match self {
            Self::AsDrawn | Self::Forgetful | Self::LostTail | Self::Restored => {}
            Self::LateCommits => {
                let weather = &mut plan.weather;
                weather.commit_late = weather.commit_late.max(60);
                weather.commit_answer_lost = weather.commit_answer_lost.max(60);
            }
            Self::LossyLog => {
                for cut in 1..=6 {
                    let for_ = Duration::from_millis(50);
                    let event = Event::LogDown { for_ };
                    plan.events.push((plan.faults_for * cut / 7, event));
                }
                plan.events.sort_by_key(|(at, _)| *at);
            }
        }
    }

    /// Whether `invariant` may fail though the store is whole.
    fn excuse(self, invariant: &str) -> bool {
        // That the store notices is reported as its not being available. Nothing excuses F4: a row
        // that shows what the log has not is a record that was read and lost unnoticed.
        let noticed = ["F1", "F2", "F3", "F5", "availability"];
        match self {
            Self::AsDrawn
            | Self::LateCommits
            | Self::Forgetful
            | Self::LostTail
            | Self::Restored => false,
            Self::LossyLog => noticed.contains(&invariant),
        }
    }
}

/// A broken variant, what it is run with, and the invariants that it breaks: one of them must be
/// the one that fails.
struct Case(Mutant, Terms, &'static [&'static str]);

const CASES: &[Case] = &[
    Case(Mutant::NoDeduplication, Terms::Forgetful, &["S8"]),
    Case(Mutant::NothingLasts, Terms::Forgetful, &["S10"]),
    Case(Mutant::NoVersionCheck, Terms::AsDrawn, &["S8"]),
    Case(Mutant::NoCompareAndSet, Terms::LateCommits, &["S4"]),
    Case(
        Mutant::NoCompareAndSetOfDuplicates,
        Terms::LateCommits,
        &["S4"],
    ),
    Case(Mutant::NoEpochCheck, Terms::AsDrawn, &["S5"]),
    Case(Mutant::CursorFirst, Terms::AsDrawn, &["S6"]),
    Case(Mutant::PublishBeforeCommit, Terms::AsDrawn, &["E1"]),
    Case(Mutant::NoRepublish, Terms::AsDrawn, &["F2", "E3"]),
    Case(Mutant::DeleteBeforePublish, Terms::AsDrawn, &["F2"]),
    Case(Mutant::StockBeforeLock, Terms::AsDrawn, &["S2"]),
    Case(Mutant::BackordersOutOfOrder, Terms::AsDrawn, &["F6"]),
    Case(Mutant::ReleaseWakesNobody, Terms::AsDrawn, &["F6b"]),
    Case(Mutant::NoTailCheck, Terms::LossyLog, &["S6"]),
    Case(Mutant::NoTailCheck, Terms::LostTail, &["S6", "noticed"]),
    Case(
        Mutant::NoDatabaseCheck,
        Terms::Restored,
        &["E2", "E3", "noticed"],
    ),
    Case(
        Mutant::NoFsync,
        Terms::AsDrawn,
        &["F1", "F2", "availability"],
    ),
    Case(Mutant::BypassParked, Terms::AsDrawn, &["S6"]),
    Case(Mutant::ReplayedStayParked, Terms::AsDrawn, &["S6"]),
    Case(Mutant::DiscardKeepsNothing, Terms::AsDrawn, &["S6"]),
    Case(Mutant::TimeoutKeepsPlace, Terms::AsDrawn, &["F6"]),
    Case(Mutant::NoAlarm, Terms::AsDrawn, &["F6c"]),
];

/// How a case went.
struct Gone {
    /// The invariant that caught the variant, what it said, and in which seed.
    caught: Option<(u64, &'static str, String)>,
    /// What else it broke before.
    others: BTreeMap<&'static str, u64>,
}

fn try_out(Case(mutant, terms, breaks): &Case) -> Gone {
    let _switched = mutant::switch_on(Some(*mutant), terms.without());
    let mut others = BTreeMap::new();
    for seed in 0..terms.seeds() {
        let report = terms.run(seed, false);
        let Some(violation) = report.violation else {
            continue;
        };
        if breaks.contains(&violation.invariant) {
            let caught = Some((seed, violation.invariant, violation.detail));
            return Gone { caught, others };
        }
        *others.entry(violation.invariant).or_default() += 1;
    }
    Gone {
        caught: None,
        others,
    }
}

/// How the store breaks on `terms` although it is whole; `record` makes the trace.
fn whole((terms, seed): (Terms, u64), record: bool) -> Option<Report> {
    let _switched = mutant::switch_on(None, terms.without());
    let report = terms.run(seed, record);
    let violation = report.violation.as_ref()?;
    (!terms.excuse(violation.invariant)).then_some(report)
}

#[test]
fn every_variant_has_its_case() {
    let mut cases: Vec<_> = CASES.iter().map(|case| case.0).collect();
    cases.dedup();
    assert_eq!(cases, Mutant::ALL);
}

#[test]
fn every_broken_variant_is_caught() {
    let gone = parallel(CASES.len(), |index| try_out(&CASES[index]));
    let mut table = format!(
        "{:<28}{:<13}{:<14}{:>6}  before that\n",
        "variant", "terms", "broken", "seeds"
    );
    for (Case(mutant, terms, _), gone) in CASES.iter().zip(&gone) {
        let (seeds, broken) = match &gone.caught {
            Some((seed, invariant, _)) => ((seed + 1).to_string(), *invariant),
            None => (format!(">{}", terms.seeds()), "NOT CAUGHT"),
        };
        let (mutant, terms) = (format!("{mutant:?}"), format!("{terms:?}"));
        let others = &gone.others;
        let _ = writeln!(
            table,
            "{mutant:<28}{terms:<13}{broken:<14}{seeds:>6}  {others:?}"
        );
    }
    println!("{table}");
    for (Case(mutant, ..), gone) in CASES.iter().zip(&gone) {
        if let Some((seed, invariant, detail)) = &gone.caught {
            println!("{mutant:?}, seed {seed}: {invariant}: {detail}\n");
        }
    }
    let missed = gone.iter().filter(|gone| gone.caught.is_none()).count();
    assert_eq!(missed, 0, "variants were not caught");
}

/// The terms are the variants' only excuse: without a variant nothing breaks on them, in at least
/// the seeds that the variants needed. (As drawn, that is what all the other seeds show.)
#[test]
fn what_variants_are_run_with_breaks_nothing_by_itself() {
    let runs: Vec<(Terms, u64)> = [Terms::Forgetful, Terms::LateCommits, Terms::LossyLog]
        .into_iter()
        .flat_map(|terms| (0..WHOLE_SEEDS).map(move |seed| (terms, seed)))
        .collect();
    let reports = parallel(runs.len(), |index| whole(runs[index], false));
    let broken: Vec<_> = runs
        .iter()
        .zip(&reports)
        .filter_map(|(run, report)| Some((run, report.as_ref()?.violation.as_ref()?)))
        .collect();
    if let Some(&(&first, _)) = broken.first() {
        for line in whole(first, true).iter().flat_map(|again| &again.trace) {
            println!("{line}");
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
