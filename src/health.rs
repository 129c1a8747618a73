//! Health that tells the truth: a service is ready while every part of it can make progress.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::watch;

/// The condition of one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Not started yet.
    Starting,
    /// Making progress, or idle and able to.
    Running,
    /// Retrying a failure that may pass.
    Stalled {
        /// The failure in words.
        reason: String,
    },
    /// Stopped until a person acts.
    Stopped {
        /// What to act on.
        reason: String,
    },
}

/// The conditions of a service's parts; clones share them.
#[derive(Clone, Debug)]
pub struct Health {
    parts: Arc<watch::Sender<BTreeMap<String, Condition>>>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            parts: Arc::new(watch::Sender::new(BTreeMap::new())),
        }
    }
}

impl Health {
    /// A service without parts: not ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the condition of a part, for example `shard 3` or `log`; a part that stalls, or runs
    /// again after it did, is logged once.
    pub fn set(&self, part: &str, condition: Condition) {
        self.parts.send_if_modified(|parts| {
            let before = parts.get(part);
            if before == Some(&condition) {
                return false;
            }
            tell(part, before, &condition);
            parts.insert(part.to_owned(), condition);
            true
        });
    }

    /// Forgets a part that this process no longer has.
    pub fn remove(&self, part: &str) {
        self.parts
            .send_if_modified(|parts| parts.remove(part).is_some());
    }

    /// Whether there are parts and all of them run.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        all_running(&self.parts.borrow())
    }

    /// All parts with their conditions, by name.
    #[must_use]
    pub fn report(&self) -> BTreeMap<String, Condition> {
        self.parts.borrow().clone()
    }

    /// Completes when the service is ready.
    pub async fn ready(&self) {
        let mut changes = self.parts.subscribe();
        // `self` holds the sender, so the channel cannot close while this waits.
        let _ = changes.wait_for(all_running).await;
    }

    /// Reports every change from now on, starting with the present state.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BTreeMap<String, Condition>> {
        let mut changes = self.parts.subscribe();
        changes.mark_changed();
        changes
    }
}

/// Logs the beginning and the end of a stall. What stops for good is logged where it stops.
fn tell(part: &str, before: Option<&Condition>, now: &Condition) {
    match (before, now) {
        (Some(Condition::Stalled { .. }), Condition::Stalled { .. }) => {}
        (_, Condition::Stalled { reason }) => {
            tracing::warn!(part, why = reason, "stalled, retrying")
        }
        (Some(Condition::Stalled { .. }), Condition::Running) => tracing::info!(part, "runs again"),
        _ => {}
    }
}

/// Whether there are parts and all of them run.
#[must_use]
pub fn all_running(parts: &BTreeMap<String, Condition>) -> bool {
    !parts.is_empty()
        && parts
            .values()
            .all(|condition| *condition == Condition::Running)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_stalled_part_makes_the_service_unready() {
        let health = Health::new();
        assert!(!health.is_ready(), "a service without parts is not ready");
        health.set("shard 0", Condition::Running);
        health.set("shard 1", Condition::Running);
        assert!(health.is_ready());
        health.set(
            "shard 1",
            Condition::Stalled {
                reason: "the log is down".to_owned(),
            },
        );
        assert!(!health.is_ready());
        health.remove("shard 1");
        assert!(health.is_ready());
    }
}
