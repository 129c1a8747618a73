//! What may go wrong, and how often: drawn per seed, gone in the calm phase.

use crate::dice::Dice;

/// Rates per thousand calls (or polls); 0 is never.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    // The scheduler.
    /// A task that could run lets the others go first.
    pub(crate) postpone: u32,
    /// A step of a port call takes some milliseconds.
    pub(crate) jitter: u32,
    // The log.
    pub(crate) append_fails: u32,
    pub(crate) append_unacknowledged: u32,
    pub(crate) append_twice: u32,
    pub(crate) append_hangs: u32,
    /// The caller hears nothing and the records land later, whatever becomes of the caller.
    pub(crate) append_late: u32,
    pub(crate) append_slow: u32,
    pub(crate) read_fails: u32,
    pub(crate) read_empty: u32,
    pub(crate) read_repeats: u32,
    pub(crate) read_older: u32,
    pub(crate) read_out_of_range: u32,
    pub(crate) bounds_fail: u32,
    // The database.
    pub(crate) store_begin_fails: u32,
    pub(crate) store_statement_fails: u32,
    pub(crate) store_slow: u32,
    /// Serialization failure, deadlock, BUSY: nothing is committed.
    pub(crate) commit_refused: u32,
    pub(crate) commit_answer_lost: u32,
    /// The connection is lost before the commit reaches the database.
    pub(crate) commit_lost: u32,
    /// The commit lands after the client has given up on it.
    pub(crate) commit_late: u32,
    /// From one commit on, every commit of the next seconds finds the disk full.
    pub(crate) disk_full: u32,
    // The lease.
    pub(crate) lease_unreachable: u32,
    pub(crate) lease_answer_lost: u32,
    pub(crate) lease_slow: u32,
    // The registry.
    pub(crate) registry_down: u32,
    pub(crate) registry_slow: u32,
    pub(crate) registry_lags: u32,
    pub(crate) registry_incompatible: u32,
}

impl Weather {
    /// Nothing goes wrong; the scheduler has its will.
    pub(crate) fn calm() -> Self {
        Self {
            postpone: 50,
            jitter: 20,
            ..Self::default()
        }
    }

    /// A subset of the faults, each at its own rate.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let mut rate = |choices: &[u32]| {
            if dice.chance(450) {
                dice.of(choices)
            } else {
                0
            }
        };
        let (rare, some, often) = ([2, 5, 20], [5, 20, 60], [20, 100, 300]);
        Self {
            postpone: rate(&[50, 200, 500]),
            jitter: rate(&often).max(20),
            append_fails: rate(&often),
            append_unacknowledged: rate(&often),
            append_twice: rate(&often),
            append_hangs: rate(&rare),
            append_late: rate(&some),
            append_slow: rate(&some),
            read_fails: rate(&some),
            read_empty: rate(&some),
            read_repeats: rate(&often),
            read_older: rate(&often),
            read_out_of_range: rate(&some),
            bounds_fail: rate(&some),
            store_begin_fails: rate(&some),
            store_statement_fails: rate(&some),
            store_slow: rate(&rare),
            commit_refused: rate(&often),
            commit_answer_lost: rate(&often),
            commit_lost: rate(&some),
            commit_late: rate(&often),
            disk_full: rate(&rare),
            lease_unreachable: rate(&some),
            lease_answer_lost: rate(&some),
            lease_slow: rate(&rare),
            registry_down: rate(&often),
            registry_slow: rate(&some),
            registry_lags: rate(&often),
            registry_incompatible: rate(&rare),
        }
    }
}
