//! Who did what, when: the readable account of a run.

use std::fmt;
use std::sync::Mutex;

use tokio::time::Instant;

/// The account of one run; lines are made only if somebody wants them.
#[derive(Debug)]
pub(crate) struct Trace {
    started: Instant,
    lines: Option<Mutex<Vec<String>>>,
}

impl Trace {
    /// Starts now. One that does not `record` costs nothing.
    pub(crate) fn new(record: bool) -> Self {
        Self {
            started: Instant::now(),
            lines: record.then(Mutex::default),
        }
    }

    /// Notes that `who` did `what`.
    pub(crate) fn note(&self, who: &str, what: fmt::Arguments<'_>) {
        if let Some(lines) = &self.lines {
            let at = self.started.elapsed().as_micros();
            let (seconds, micros) = (at / 1_000_000, at % 1_000_000);
            let line = format!("{seconds:>4}.{micros:06} {who:<14} {what}");
            lines.lock().unwrap().push(line);
        }
    }

    /// Everything noted so far.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines
            .as_ref()
            .map_or_else(Vec::new, |lines| lines.lock().unwrap().clone())
    }
}
