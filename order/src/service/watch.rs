//! Watching one order: its newest state, then its changes.

use std::sync::Arc;

use futures::stream::{self, Stream};
use messaging::clock::Clock;
use messaging::runtime::{Feed, Watch};
use messaging::store::Error;

use crate::domain::Order;
use crate::limits;
use crate::store::Queries;

use super::viewer::Viewer;

/// The states of a wanted order above the version that was seen, each newer than the one before, until a
/// terminal one. Waits for an order that is not there yet. Ends after an error; whoever watches
/// resumes with the last version seen.
pub(super) fn watch(
    queries: Arc<dyn Queries>,
    feed: &Feed,
    clock: Arc<dyn Clock>,
    wanted: Wanted,
) -> impl Stream<Item = Result<Order, Error>> + Send + use<> {
    let watcher = Watcher {
        watch: feed.watch(&wanted.order_id),
        queries,
        clock,
        wanted,
    };
    stream::unfold(Some(watcher), async |watcher| {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(Some(order)) if order.status.is_terminal() => Some((Ok(order), None)),
            Ok(Some(order)) => Some((Ok(order), Some(watcher))),
            Ok(None) => None,
            Err(error) => Some((Err(error), None)),
        }
    })
}

/// What is watched.
pub(super) struct Wanted {
    pub(super) order_id: String,
    /// Who watches; an order that is not for them is waited for as one that is not there.
    pub(super) viewer: Viewer,
    /// The last version seen.
    pub(super) after: i64,
}

struct Watcher {
    watch: Watch,
    queries: Arc<dyn Queries>,
    clock: Arc<dyn Clock>,
    wanted: Wanted,
}

impl Watcher {
    /// The newest state once it is newer than what was seen; `None` if none will come.
    async fn next(&mut self) -> Result<Option<Order>, Error> {
        loop {
            // Registered before reading: a commit between the two is not missed.
            let changed = self.watch.changed();
            let found = self.queries.get(&self.wanted.order_id).await?;
            if let Some(order) = found.filter(|order| self.wanted.viewer.sees(order)) {
                if order.version > self.wanted.after {
                    self.wanted.after = order.version;
                    return Ok(Some(order));
                }
                if order.status.is_terminal() {
                    return Ok(None);
                }
            }
            tokio::select! {
                () = changed => {}
                () = self.clock.sleep(limits::WATCH_POLL) => {}
            }
        }
    }
}
