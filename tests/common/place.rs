//! Places where a store can keep its log and its data: in its own folder, on PostgreSQL, on Apache
//! Kafka. What a store does is the same at each.

use std::future::Future;

use messaging::store::postgres::{Location, scratch};
use tokio::sync::Mutex;

use super::topics;

/// The topics of a cluster have fixed names: one test at a time.
static CLUSTER: Mutex<()> = Mutex::const_new(());

/// Where the stores of one test keep what they keep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    /// Brokers of a log that is there already.
    pub(crate) brokers: Option<String>,
    /// Order's database and Inventory's.
    pub(crate) databases: Option<[Location; 2]>,
    /// More flags of the gateway, Order and Inventory.
    pub(crate) flags: Vec<(&'static str, String)>,
    /// More flags of the gateway alone.
    pub(crate) gateway_flags: Vec<(&'static str, String)>,
}

/// Runs `test` with its databases on the server that `MESSAGING_TEST_POSTGRES` names.
pub(crate) async fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Place) -> F) {
    scratch::with(async move |order| {
        scratch::with(async move |inventory| {
            let databases = Some([order, inventory]);
            test(Place {
                databases,
                ..Place::default()
            })
            .await;
        })
        .await;
    })
    .await;
}

/// Runs `test` with its log on the cluster that `MESSAGING_TEST_KAFKA` names.
pub(crate) async fn on_a_cluster<F: Future<Output = ()>>(test: impl FnOnce(Place) -> F) {
    let _alone = CLUSTER.lock().await;
    let brokers = std::env::var("MESSAGING_TEST_KAFKA").expect("see tests/kafka");
    let names = brokers.split(',').map(str::to_owned).collect();
    topics::forget(names, &contracts::topics::ALL).await;
    test(Place {
        brokers: Some(brokers),
        ..Place::default()
    })
    .await;
}
