//! Counts that a regression changes on any machine: instructions of the processor on fixed inputs, and
//! transactions and log requests per order of a simulated store.
//!
//! ```text
//! cargo bench --profile counts -p benchmarks --bench counts              counts, and compares with the
//!                                                                        last release
//! cargo bench --profile counts -p benchmarks --bench counts -- record    counts, and makes that the
//!                                                                        record
//! ```
//!
//! A check ends with 0 if nothing costs more than recorded, with 1 if something does, and with 77 if
//! it could not count (no valgrind) and what it could count is right.

#![allow(
    clippy::expect_used,
    reason = "what cannot be prepared cannot be measured: the panic says why"
)]

#[path = "../common/mod.rs"]
mod common;

mod callgrind;
mod cases;
mod per_order;
mod simulated;

use std::path::PathBuf;
use std::process::ExitCode;

use benchmarks::{Finding, Made, Record, Verdict, judge};

/// Instructions may rise by this factor: what a library's own changes and the hash tables' seeds make
/// of the same code lies below.
const INSTRUCTIONS_TOLERANCE: f64 = 1.05;
/// What the simulated store takes repeats exactly; a change of its timing moves it by less.
const PER_ORDER_TOLERANCE: f64 = 1.05;
/// How this program is run.
const COMMAND: &str = "cargo bench --profile counts -p benchmarks --bench counts";
/// How a script says that it could not run.
const NOT_RUN: u8 = 77;
/// How a command line is refused.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    // cargo bench adds a word of its own.
    let words: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let outcome = match words[..] {
        [] | ["check"] => check(),
        ["record"] => record(),
        [callgrind::MEASURE, ref what @ ..] => callgrind::measure(what),
        _ => {
            eprintln!("usage: {COMMAND} [-- check | record]");
            return ExitCode::from(USAGE);
        }
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("counts: {error}");
        ExitCode::FAILURE
    })
}

/// The record of the last release.
fn path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("counts.json")
}

fn check() -> Result<ExitCode, Failure> {
    let (recorded, here) = (Record::read(&path())?, Made::here());
    if recorded.made.optimisation != here.optimisation {
        return Err(Failure::Optimisation);
    }
    println!("counts of release {}, and now", recorded.release);
    let per_order = judge(
        &recorded.per_order,
        &per_order::count(),
        PER_ORDER_TOLERANCE,
    );
    print("per order", &per_order);
    let instructions = if recorded.made.machine == here.machine {
        callgrind::count()
    } else {
        let there = &recorded.made.machine;
        Err(Failure::NotRun(format!(
            "recorded on {there}, this is {}",
            here.machine
        )))
    };
    let (instructions, not_run) = match instructions {
        Ok(counted) => (
            judge(&recorded.instructions, &counted, INSTRUCTIONS_TOLERANCE),
            None,
        ),
        Err(Failure::NotRun(why)) => (Vec::new(), Some(why)),
        Err(failure) => return Err(failure),
    };
    print("instructions", &instructions);
    let found = || per_order.iter().chain(&instructions);
    if found().any(|finding| finding.verdict == Verdict::Less) {
        println!(
            "\nSome cost less than recorded. So that it stays so, lower the record:\n    {COMMAND} -- record"
        );
    }
    if found().any(Finding::fails) {
        advise(&recorded, &here);
        return Ok(ExitCode::FAILURE);
    }
    Ok(match not_run {
        Some(why) => {
            println!("NOT RUN: instructions: {why}");
            ExitCode::from(NOT_RUN)
        }
        None => ExitCode::SUCCESS,
    })
}

fn advise(recorded: &Record, here: &Made) {
    println!(
        "\nSome cost more than recorded (or are not in the record). What `callgrind_annotate` shows of\n\
         a run before and after the change tells where it goes. If it is worth its price, record it,\n\
         and give the price in the change's description:\n    {COMMAND} -- record"
    );
    if recorded.made.compiler != here.compiler {
        println!(
            "The record was made with {}, this is {}: it may be the compiler's. Record with the new\n\
             one on the code of the last release, then check again.",
            recorded.made.compiler, here.compiler
        );
    }
}

fn print(what: &str, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    println!("\n{what:<44}{:>12}{:>12}{:>8}", "recorded", "now", "ratio");
    for finding in findings {
        println!("{finding}");
    }
}

fn record() -> Result<ExitCode, Failure> {
    let record = Record {
        release: env!("CARGO_PKG_VERSION").to_owned(),
        made: Made::here(),
        instructions: callgrind::count()?,
        per_order: per_order::count(),
    };
    record.write(&path())?;
    println!("recorded in {}", path().display());
    Ok(ExitCode::SUCCESS)
}

/// Why there are no counts.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("NOT RUN: {0}")]
    NotRun(String),
    #[error(transparent)]
    Record(#[from] benchmarks::Error),
    #[error("built with another profile than the record: {COMMAND}")]
    Optimisation,
    #[error("callgrind: {0}")]
    Callgrind(String),
}
