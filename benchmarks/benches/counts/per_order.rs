//! What one order takes of the store: transactions, and requests of the log.

use benchmarks::Counts;

use crate::simulated::{self, Store, Taken};

/// Orders of each story.
const ORDERS: u64 = 10_000;

/// Counts each story: a backlog that is drained, and orders that arrive.
pub(crate) fn count() -> Counts {
    let arriving = |each_ms| {
        simulated::runtime().block_on(async {
            let store = Store::start().await;
            store.serve(ORDERS, each_ms).await;
            store.taken()
        })
    };
    let backlog = simulated::runtime().block_on(async {
        let store = Store::start().await;
        let backlog = store.backlog(ORDERS);
        store.drain(backlog).await;
        store.taken()
    });
    let stories = [
        ("backlog", backlog),
        ("1,000 orders/s", arriving(1)),
        ("10,000 orders/s", arriving(10)),
    ];
    let counts = stories
        .into_iter()
        .flat_map(|(story, taken)| each(story, taken));
    counts.collect()
}

fn each(story: &str, taken: Taken) -> [(String, f64); 3] {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let per_order = |what: &str, count: u64| {
        let each = count as f64 / ORDERS as f64;
        (format!("{story}: {what}"), each)
    };
    [
        per_order("transactions", taken.transactions),
        per_order("log appends", taken.appends),
        per_order("log fetches", taken.fetches),
    ]
}
