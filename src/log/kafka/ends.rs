//! How far each partition is known to have come.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The highest end seen of each partition. A lower one comes from a broker that does not know yet
/// that it leads no more, or from a log that has lost its tail.
#[derive(Debug, Default)]
pub(super) struct Ends(Mutex<HashMap<String, HashMap<i32, i64>>>);

impl Ends {
    /// Notes that the partition has come this far.
    pub(super) fn reach(&self, topic: &str, partition: i32, next: i64) {
        if !self.is_past(topic, partition, next) {
            self.believe(topic, partition, next);
        }
    }

    /// Whether the partition was seen further than this.
    pub(super) fn is_past(&self, topic: &str, partition: i32, next: i64) -> bool {
        let ends = self.ends();
        let seen = ends.get(topic).and_then(|ends| ends.get(&partition));
        seen.is_some_and(|seen| *seen > next)
    }

    /// Takes this for the end, whatever was seen before.
    pub(super) fn believe(&self, topic: &str, partition: i32, next: i64) {
        let mut ends = self.ends();
        match ends.get_mut(topic) {
            Some(ends) => ends.insert(partition, next),
            None => ends
                .entry(topic.to_owned())
                .or_default()
                .insert(partition, next),
        };
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<String, HashMap<i32, i64>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
