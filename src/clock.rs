//! Time, as a port: wall-clock readings and sleeps.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use async_trait::async_trait;
use chrono::SecondsFormat;
use tokio::time::Instant;

/// Milliseconds since the Unix epoch, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant moved back by `span`, saturating.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// This instant moved forward by `span`, saturating.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }

    /// Time passed since `earlier`; zero if `earlier` lies ahead.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 with milliseconds, as CloudEvents' `time` attribute wants it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match chrono::DateTime::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}ms", self.0),
        }
    }
}

impl std::str::FromStr for Timestamp {
    type Err = chrono::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        chrono::DateTime::parse_from_rfc3339(text).map(|time| Self(time.timestamp_millis()))
    }
}

/// The port for time.
///
/// `now` may jump in either direction; only recorded times and the inbox horizon use it, never
/// an ordering or an ownership decision. `sleep` measures monotonic time and may end late.
#[async_trait]
pub trait Clock: Send + Sync + 'static {
    /// The wall clock's reading.
    fn now(&self) -> Timestamp;

    /// A reading for measuring how long something took, as the time since some fixed moment. Only
    /// metrics use it. The default is the wall clock's, for clocks that are not the system's.
    fn monotonic(&self) -> Duration {
        self.now().since(Timestamp(0))
    }

    /// The wall clock's reading as exactly as there is one, as the time since the Unix epoch. Only the
    /// times of spans come from it. The default has milliseconds.
    fn since_epoch(&self) -> Duration {
        self.now().since(Timestamp(0))
    }

    /// Completes after `span`, never before.
    async fn sleep(&self, span: Duration);
}

/// The operating system's clock, with tokio's timer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.since_epoch().as_millis()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the adapter that the ban points to"
    )]
    fn since_epoch(&self) -> Duration {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
    }

    async fn sleep(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_survives_its_text_form() {
        let time = Timestamp(1_795_000_000_123);
        assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn spans_are_measured_below_a_millisecond() {
        let readings: Vec<_> = (0..100).map(|_| SystemClock.monotonic()).collect();
        assert!(readings.is_sorted());
        assert!(
            readings
                .iter()
                .any(|reading| reading.as_nanos() % 1_000_000 != 0)
        );
    }

    #[test]
    fn a_time_ahead_is_no_time_ago() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(9).since(Timestamp(5)), Duration::from_millis(4));
    }
}
