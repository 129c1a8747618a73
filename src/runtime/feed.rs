//! Wake-up by message key: who waits for one aggregate hears of every commit that touched it. And
//! the other way round: an operator's action wakes the shards that may have to carry it out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Notify, watch};

type Watched = HashMap<String, Weak<Notify>>;

/// Tells watchers of a key that a commit of this process handled a message with that key.
///
/// Commits of other processes are not seen: a watcher also polls. Register with [`Feed::watch`]
/// before reading the state, then wait, so that no change falls between the two. A commit that
/// carries an operator's action out, or a part of it, touches the action's id as well.
#[derive(Clone, Debug, Default)]
pub struct Feed {
    watched: Arc<Mutex<Watched>>,
    asked: Arc<watch::Sender<u64>>,
}

/// A registration for one key; dropping it ends the registration.
#[derive(Debug)]
pub struct Watch {
    key: String,
    notify: Arc<Notify>,
    watched: Arc<Mutex<Watched>>,
}

impl Feed {
    /// A feed without watchers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Registers for `key`.
    #[must_use]
    pub fn watch(&self, key: &str) -> Watch {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let notify = watched.get(key).and_then(Weak::upgrade).unwrap_or_default();
        watched.insert(key.to_owned(), Arc::downgrade(&notify));
        Watch {
            key: key.to_owned(),
            notify,
            watched: Arc::clone(&self.watched),
        }
    }

    /// Wakes the shards of this process: an operator's action was submitted. Those of another
    /// process find it when they look the next time.
    pub fn ask(&self) {
        self.asked
            .send_modify(|asked| *asked = asked.wrapping_add(1));
    }

    /// Changes with every [`Feed::ask`] from now on.
    pub(crate) fn asked(&self) -> watch::Receiver<u64> {
        self.asked.subscribe()
    }

    /// Wakes the watchers of `keys`.
    pub(crate) fn publish<'k>(&self, keys: impl Iterator<Item = &'k str>) {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.is_empty() {
            return;
        }
        for key in keys {
            if let Some(notify) = watched.get(key).and_then(Weak::upgrade) {
                notify.notify_waiters();
            }
        }
    }
}

impl Watch {
    /// Completes at the first commit that touches the key after this call, also one before the
    /// future is first polled: create it, read the state, then await it.
    pub fn changed(&self) -> impl Future<Output = ()> + Send + use<> {
        Arc::clone(&self.notify).notified_owned()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        // This watch still holds one reference; only then is nobody else waiting.
        if Arc::strong_count(&self.notify) == 1 {
            watched.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_commit_between_registration_and_wait_is_heard() {
        let feed = Feed::new();
        let watch = feed.watch("O1");
        let change = watch.changed();
        feed.publish(["O2", "O1"].into_iter());
        assert_eq!(change.now_or_never(), Some(()));
    }

    #[test]
    fn who_is_asked_while_busy_hears_of_it_afterwards() {
        let feed = Feed::new();
        let mut asked = feed.asked();
        assert!(asked.changed().now_or_never().is_none());
        feed.ask();
        feed.ask();
        assert!(asked.changed().now_or_never().is_some());
        assert!(asked.changed().now_or_never().is_none(), "once is enough");
    }

    #[test]
    fn other_keys_wake_nobody() {
        let feed = Feed::new();
        let watch = feed.watch("O1");
        let change = watch.changed();
        feed.publish(["O2"].into_iter());
        assert_eq!(change.now_or_never(), None);
    }

    #[test]
    fn the_last_watcher_leaves_nothing_behind() {
        let feed = Feed::new();
        let (first, second) = (feed.watch("O1"), feed.watch("O1"));
        drop(first);
        assert_eq!(feed.watched.lock().unwrap().len(), 1);
        drop(second);
        assert!(feed.watched.lock().unwrap().is_empty());
    }
}
