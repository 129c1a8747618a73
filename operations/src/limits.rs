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
