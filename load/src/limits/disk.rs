//! How often the disk syncs.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::meter::{Measured, Period};
use crate::tally::Times;

/// What is written before each sync: a page.
const BYTES: [u8; 4_096] = [0x5a; 4_096];

/// Syncs of a file that grows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Disk {
    /// Syncs per second, one after the other, each after 4 KiB at the end of a file.
    pub syncs_per_second: f64,
    /// The median, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 are below, in microseconds.
    pub p99_us: f64,
}

impl fmt::Display for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { p50_us, p99_us, .. } = self;
        write!(
            f,
            "4 KiB and fdatasync; {p50_us:.0} us, 99th {p99_us:.0} us"
        )
    }
}

/// Appends to a file without a name in `dir` and syncs it, again and again. Blocks for the whole
/// period.
///
/// # Errors
/// When the disk refuses.
pub fn syncs(dir: &Path, period: Period) -> io::Result<Disk> {
    let mut file = tempfile::tempfile_in(dir)?;
    sync_for(&mut file, period.warm_up)?;
    let measured = sync_for(&mut file, period.measured)?;
    Ok(Disk {
        syncs_per_second: measured.per_second(),
        p50_us: 1e3 * measured.times.millis_at(0.5),
        p99_us: 1e3 * measured.times.millis_at(0.99),
    })
}

/// Once at least.
fn sync_for(file: &mut File, span: Duration) -> io::Result<Measured> {
    let start = Instant::now();
    let (mut done, mut last, mut times) = (0, start, Times::default());
    while done == 0 || last - start < span {
        file.write_all(&BYTES)?;
        file.sync_data()?;
        let now = Instant::now();
        times.record(now - last);
        (done, last) = (done + 1, now);
    }
    Ok(Measured {
        done,
        time: last - start,
        times,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_period_has_a_rate_and_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let disk = syncs(dir.path(), Period::of(Duration::from_millis(1))).unwrap();
        assert!(disk.syncs_per_second > 0.0, "{disk:?}");
        assert!(disk.p50_us > 0.0 && disk.p50_us <= disk.p99_us, "{disk:?}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_folder_that_is_not_there_is_an_error() {
        let gone = Path::new("/no/such/folder");
        assert!(syncs(gone, Period::of(Duration::from_millis(1))).is_err());
    }
}
