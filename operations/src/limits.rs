//! Every limit of the operators' calls.

use std::time::Duration;

/// Longest operator's name or reason, in characters.
pub(crate) const TEXT_LEN_MAX: usize = 500;
/// Rows read at a time for a page: a record may be as large as 1 MiB.
pub(crate) const ROWS_PER_READ: usize = 50;
/// Outcomes that an answer to a replay holds, the last ones.
pub(crate) const OUTCOMES_MAX: usize = 1_000;
/// Outcomes per action in a list of actions, the last ones.
pub(crate) const OUTCOMES_LISTED_MAX: usize = 20;
/// How often an action is looked at while its outcome is waited for: another instance's shard wakes
/// nobody here.
pub(crate) const OUTCOME_POLL: Duration = Duration::from_millis(250);
/// How long before the call's deadline the wait for an outcome ends, to say what is left open.
pub(crate) const ANSWER_BEFORE: Duration = Duration::from_millis(100);
/// Shards whose lag is asked for at one time.
pub(crate) const SHARDS_ASKED_AT_ONCE: usize = 16;
/// How long the log may take to tell where a partition ends: who owns it is worth an answer without.
pub(crate) const LAG_WAIT_MAX: Duration = Duration::from_secs(2);
/// How often the database is looked into for the metrics: Prometheus asks as often.
pub(crate) const MEASURE_EVERY: Duration = Duration::from_secs(5);
