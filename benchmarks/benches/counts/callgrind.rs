//! Instructions, counted by valgrind's callgrind: this program runs itself under it.
//!
//! What one thread does is counted while [`code_under_measurement`] runs, one dump per case. What
//! several threads do together (a database's writer has its own) is the difference between a program
//! that does it more often and one that does it less.

use std::any::Any;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use benchmarks::Counts;

use crate::Failure;
use crate::cases;
use crate::common::{self, Work};

/// The word on the command line that makes this program the one to be counted.
pub(crate) const MEASURE: &str = "measure";
/// The function whose instructions count, by its full name: callgrind knows no patterns here.
const TOGGLE: &str = concat!(module_path!(), "::code_under_measurement");

/// Counts everything.
pub(crate) fn count() -> Result<Counts, Failure> {
    let directory = common::directory();
    let mut counts = one_thread(directory.path())?;
    for name in cases::THREADED {
        counts.insert((*name).to_owned(), threads(directory.path(), name)?);
    }
    Ok(counts)
}

/// What this program does when it is counted.
pub(crate) fn measure(what: &[&str]) -> Result<ExitCode, Failure> {
    match what {
        [] => {
            for mut case in cases::all() {
                // The first run fills caches and lazy statics.
                (case.prepare)()();
                let work = (case.prepare)();
                tidy_memory();
                drop(code_under_measurement(work));
                println!("{}\t{}", case.messages, case.name);
            }
        }
        [name, times] => {
            let times = times
                .parse()
                .map_err(|_| Failure::Callgrind(format!("not a number: {times}")))?;
            println!("{}", cases::threaded(name, times));
        }
        _ => return Err(Failure::Callgrind(format!("cannot measure {what:?}"))),
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the allocator tidy up what was freed while the work was prepared: it does so when a large block
/// is asked for, and the work would pay for it now and then.
fn tidy_memory() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(64 << 10)));
}

/// Returns what is left, to be freed outside.
#[inline(never)]
fn code_under_measurement(work: Work) -> Box<dyn Any> {
    let left = work();
    // The call must not be the last thing done: it would become a jump, and not be seen to return.
    std::hint::black_box(&left);
    left
}

/// Instructions per message of every case of one thread.
fn one_thread(directory: &Path) -> Result<Counts, Failure> {
    let out = directory.join("cases");
    let told = run(
        &out,
        &[
            &format!("--toggle-collect={TOGGLE}"),
            &format!("--dump-after={TOGGLE}"),
        ],
        &[MEASURE],
    )?;
    let mut counts = Counts::new();
    for (number, line) in (1..).zip(told.lines()) {
        let (messages, name) = line
            .split_once('\t')
            .and_then(|(messages, name)| Some((messages.parse::<f64>().ok()?, name)))
            .ok_or_else(|| Failure::Callgrind(format!("it says {line:?}")))?;
        let dump = PathBuf::from(format!("{}.{number}", out.display()));
        counts.insert(name.to_owned(), (total(&dump)? / messages).round());
    }
    Ok(counts)
}

/// Instructions per message of a case of several threads.
fn threads(directory: &Path, name: &str) -> Result<f64, Failure> {
    const LESS: u32 = 2;
    const MORE: u32 = 12;
    let total_of = |times: u32| -> Result<(f64, f64), Failure> {
        let out = directory.join(format!("threads-{times}"));
        let messages = run(&out, &[], &[MEASURE, name, &times.to_string()])?;
        let messages = messages.trim().parse::<f64>();
        let messages = messages.map_err(|error| Failure::Callgrind(error.to_string()))?;
        Ok((total(&out)?, messages))
    };
    let ((less, few), (more, many)) = (total_of(LESS)?, total_of(MORE)?);
    Ok(((more - less) / (many - few)).round())
}

/// Runs this program under callgrind; returns what it prints.
fn run(out: &Path, flags: &[&str], words: &[&str]) -> Result<String, Failure> {
    let unusable = |error: std::io::Error| Failure::Callgrind(error.to_string());
    let program = std::env::current_exe().map_err(unusable)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .args(flags)
        .arg(program)
        .args(words)
        .output()
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::NotRun("valgrind is not installed".to_owned()),
            _ => unusable(error),
        })?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::Callgrind(format!("{}: {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The instructions of a dump.
fn total(dump: &Path) -> Result<f64, Failure> {
    let lacking = |why: String| Failure::Callgrind(format!("{}: {why}", dump.display()));
    let text = fs::read_to_string(dump).map_err(|error| lacking(error.to_string()))?;
    text.lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse().ok())
        .ok_or_else(|| lacking("it has no total".to_owned()))
}
