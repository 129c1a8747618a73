//! Logs and metrics of the process.

use std::convert::Infallible;
use std::io::IsTerminal;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{
    BuildError, Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;

use crate::clock::SystemClock;

pub mod fields;
pub(crate) mod layer;
mod limiter;
mod line;
mod names;

pub use names::{Kind, METRICS, Metric, describe};

/// What is logged; `RUST_LOG` adds to it. rskafka calls errors what this library expects and tells itself.
const DEFAULT_FILTER: &str = "info,rskafka=off,sqlx=warn";
/// How often histogram samples are folded into their buckets, so that a process that nobody
/// scrapes does not collect them for ever.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Upper bounds of histogram buckets in seconds.
const BUCKETS: [f64; 14] = [
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// As [`BUCKETS`], of what is often far below a millisecond: the steps of a turn.
const FINE_BUCKETS: [f64; 16] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 10.0,
];
/// Upper bounds of buckets of numbers of messages, up to the largest turn.
const SIZE_BUCKETS: [f64; 9] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];

/// The shape of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Sends log lines to stderr, filtered by `RUST_LOG`. Only the first call in a process counts.
///
/// A line has the fields of [`fields::FIELDS`] and no others, and each kind of line at info and above
/// at most [`crate::limits::LOG_BURST`] times in a [`crate::limits::LOG_WINDOW`]. What libraries write
/// through the `log` crate is not written: it has no fields, and values of messages in its sentences.
pub fn init_logs(format: LogFormat) {
    let filter = filter(std::env::var("RUST_LOG").ok().as_deref());
    let colours = std::io::stderr().is_terminal();
    let lines = layer::Lines::new(format, colours, Arc::new(SystemClock), std::io::stderr());
    let subscriber = tracing_subscriber::registry().with(filter).with(lines);
    // Another part of this process was first (several services in one process, or tests).
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// [`DEFAULT_FILTER`] with what somebody wants beside or instead of it; nonsense counts as nothing.
fn filter(wanted: Option<&str>) -> EnvFilter {
    let wanted = wanted.unwrap_or_default();
    EnvFilter::try_new(format!("{DEFAULT_FILTER},{wanted}"))
        .unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER))
}

/// Tells of panics in a log line, for a program that is nothing but a server.
///
/// The words of a panic may quote what a client sent, so the line has the place only. Who sets
/// `RUST_BACKTRACE` gets words and backtrace on stderr as well, as Rust prints them.
pub fn log_panics() {
    let words = std::panic::take_hook();
    let wanted = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    std::panic::set_hook(Box::new(move |panic| {
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "a thread panicked");
        if wanted {
            words(panic);
        }
    }));
}

/// The process's metrics; clones share them.
#[derive(Clone)]
pub struct Metrics {
    handle: PrometheusHandle,
}

/// The process's metrics. The first call starts recording; what was counted before is lost.
#[must_use]
pub fn metrics() -> Metrics {
    static INSTALLED: OnceLock<PrometheusHandle> = OnceLock::new();
    let handle = INSTALLED.get_or_init(|| {
        // Only an empty list of buckets is refused.
        let recorder = recorder().unwrap_or_else(|_| PrometheusBuilder::new().build_recorder());
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another metrics recorder is installed; /metrics stays empty");
        }
        describe(METRICS);
        metrics::gauge!("build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        handle
    });
    Metrics {
        handle: handle.clone(),
    }
}

fn recorder() -> Result<PrometheusRecorder, BuildError> {
    let full = |name: &str| Matcher::Full(name.to_owned());
    let builder = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)?
        .set_buckets_for_metric(full("turn_step_seconds"), &FINE_BUCKETS)?
        .set_buckets_for_metric(full("turn_messages"), &SIZE_BUCKETS)?;
    Ok(builder.build_recorder())
}

impl Metrics {
    /// Everything recorded so far, in Prometheus' text format.
    #[must_use]
    pub fn render(&self) -> String {
        record_process();
        self.handle.render()
    }

    /// Keeps memory bounded between scrapes; runs for ever.
    pub async fn upkeep(&self) -> Infallible {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            self.handle.run_upkeep();
        }
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

/// Resident memory and open files, from Linux's `/proc`; left out elsewhere.
fn record_process() {
    if let Some(bytes) = resident_bytes() {
        metrics::gauge!("process_resident_memory_bytes").set(bytes);
    }
    if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 files")]
        metrics::gauge!("process_open_fds").set(files.count() as f64);
    }
}

/// `VmRSS` of `proc(5)`, which is in kB.
fn resident_bytes() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_comes_before_the_default_and_leaves_the_rest_of_it() {
        let directives = |wanted| {
            let text = filter(wanted).to_string();
            let mut directives: Vec<_> = text.split(',').map(str::to_owned).collect();
            directives.sort();
            directives
        };
        assert_eq!(directives(None), ["info", "rskafka=off", "sqlx=warn"]);
        assert_eq!(directives(Some("")), directives(None));
        assert_eq!(directives(Some("a=b=c")), directives(None));
        assert_eq!(
            directives(Some("debug,rskafka=info")),
            ["debug", "rskafka=info", "sqlx=warn"]
        );
    }

    #[test]
    fn starting_twice_is_no_error_and_metrics_are_shared() {
        init_logs(LogFormat::Text);
        init_logs(LogFormat::Json);
        let first = metrics();
        metrics::counter!("telemetry_test_total").increment(3);
        metrics::histogram!("telemetry_test_seconds").record(0.002);
        let text = metrics().render();
        assert!(text.contains("telemetry_test_total 3"), "{text}");
        assert!(
            text.contains(r#"telemetry_test_seconds_bucket{le="0.0025"} 1"#),
            "{text}"
        );
        assert!(text.contains("build_info"), "{text}");
        assert_eq!(first.render().is_empty(), text.is_empty());
    }
}
