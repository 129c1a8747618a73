//! How often a line may be told: an outage or a client must not fill a disk.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use crate::limits::{LOG_BURST, LOG_KEYS_MAX, LOG_WINDOW};

/// Counts the lines of each key: the first [`LOG_BURST`] of a window of [`LOG_WINDOW`] are told, the
/// rest are counted, and the next one that is told says how many they were.
///
/// It remembers [`LOG_KEYS_MAX`] keys. When there are more it forgets those that are quiet; while
/// none is, all new ones share one key, so that memory and lines stay bounded.
#[derive(Debug)]
pub(super) struct Limiter<K> {
    keys: HashMap<Option<K>, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    began: Duration,
    told: u32,
    suppressed: u64,
}

impl<K> Default for Limiter<K> {
    fn default() -> Self {
        Self {
            keys: HashMap::new(),
        }
    }
}

impl<K: Eq + Hash> Limiter<K> {
    /// Whether a line of `key` may be told at `now`, a monotonic reading; if so, how many like it were
    /// not since the last one that was.
    pub(super) fn admit(&mut self, key: K, now: Duration) -> Option<u64> {
        let key = self.place(key, now);
        let fresh = Window {
            began: now,
            told: 0,
            suppressed: 0,
        };
        let window = self.keys.entry(key).or_insert(fresh);
        if is_over(window, now) {
            (window.began, window.told) = (now, 0);
        }
        if window.told == LOG_BURST {
            window.suppressed += 1;
            return None;
        }
        window.told += 1;
        Some(std::mem::take(&mut window.suppressed))
    }

    /// The key itself if there is room for it, else the one that the rest share.
    fn place(&mut self, key: K, now: Duration) -> Option<K> {
        let key = Some(key);
        if self.keys.len() < LOG_KEYS_MAX || self.keys.contains_key(&key) {
            return key;
        }
        self.keys.retain(|_, window| !is_over(window, now));
        key.filter(|_| self.keys.len() < LOG_KEYS_MAX)
    }
}

fn is_over(window: &Window, now: Duration) -> bool {
    now.saturating_sub(window.began) >= LOG_WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_000);

    #[test]
    fn a_burst_is_told_at_once_and_the_rest_is_counted() {
        let mut limiter = Limiter::default();
        for _ in 0..LOG_BURST {
            assert_eq!(limiter.admit("a", START), Some(0));
        }
        for _ in 0..7 {
            assert_eq!(limiter.admit("a", START + LOG_WINDOW / 2), None);
        }
        assert_eq!(
            limiter.admit("b", START),
            Some(0),
            "another key is not held up"
        );
        assert_eq!(limiter.admit("a", START + LOG_WINDOW), Some(7));
        assert_eq!(limiter.admit("a", START + LOG_WINDOW), Some(0));
    }

    #[test]
    fn a_flood_is_told_at_a_bounded_rate_however_long_it_lasts() {
        let mut limiter = Limiter::default();
        let mut told = 0;
        let mut suppressed = 0;
        for tenth in 0..36_000 {
            let now = START + Duration::from_millis(100) * tenth;
            if let Some(others) = limiter.admit("a", now) {
                told += 1;
                suppressed += others;
            }
        }
        let windows = 3_600 / LOG_WINDOW.as_secs();
        assert_eq!(told, windows * u64::from(LOG_BURST));
        // Those of the last window wait for the line that tells of them.
        let waiting = LOG_WINDOW.as_secs() * 10 - u64::from(LOG_BURST);
        assert_eq!(told + suppressed + waiting, 36_000);
    }

    #[test]
    fn keys_without_number_are_told_as_one() {
        let mut limiter = Limiter::default();
        let told = (0..LOG_KEYS_MAX * 3).filter(|key| limiter.admit(*key, START).is_some());
        let shared = usize::try_from(LOG_BURST).unwrap();
        assert_eq!(told.count(), LOG_KEYS_MAX + shared);
        assert!(limiter.keys.len() <= LOG_KEYS_MAX + 1);
        // Once they are quiet there is room again.
        assert_eq!(limiter.admit(usize::MAX, START + LOG_WINDOW), Some(0));
        assert_eq!(limiter.keys.len(), 1);
    }

    #[test]
    fn what_was_suppressed_of_a_key_that_is_forgotten_is_only_lost_when_keys_are_without_number() {
        let mut limiter = Limiter::default();
        for _ in 0..=LOG_BURST {
            limiter.admit(0, START);
        }
        for key in 1..100 {
            limiter.admit(key, START + LOG_WINDOW);
        }
        assert_eq!(limiter.admit(0, START + LOG_WINDOW * 5), Some(1));
    }
}
