//! Watching one order: its newest state, then its changes.

use std::sync::Arc;

use futures::stream::{self, Stream};
use messaging::clock::Clock;
use messaging::runtime::{Feed, Watch};
use messaging::store::Error;

use crate::domain::Order;
use crate::limits;
use crate::store::Queries;

/// The states of an order above version `after`, each newer than the one before, until a
/// terminal one. Waits for an order that is not there yet. Ends after an error; whoever watches
/// resumes with the last version seen.
pub(super) fn watch(
    queries: Arc<dyn Queries>,
    feed: &Feed,
    clock: Arc<dyn Clock>,
    order_id: String,
    after: i64,
) -> impl Stream<Item = Result<Order, Error>> + Send + use<> {
    let watcher = Watcher {
        watch: feed.watch(&order_id),
        queries,
        clock,
        order_id,
        after,
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

struct Watcher {
    watch: Watch,
    queries: Arc<dyn Queries>,
    clock: Arc<dyn Clock>,
    order_id: String,
    /// The last version seen.
    after: i64,
}

impl Watcher {
    /// The newest state once it is newer than what was seen; `None` if none will come.
    async fn next(&mut self) -> Result<Option<Order>, Error> {
        loop {
            // Registered before reading: a commit between the two is not missed.
            let changed = self.watch.changed();
            if let Some(order) = self.queries.get(&self.order_id).await? {
                if order.version > self.after {
                    self.after = order.version;
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
