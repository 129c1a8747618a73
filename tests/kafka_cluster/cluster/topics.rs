//! What topics the log accepts and creates.

use std::time::Duration;

use messaging::log::{ErrorKind, Log};
use tokio::time::sleep;

#[tokio::test]
#[ignore = "needs a Kafka cluster: export $(tests/kafka up 3)"]
async fn a_compacted_topic_is_refused() {
    let log = super::log();
    let good = super::topic();
    log.create_topic(&good, 1).await.unwrap();
    log.check_topic(&good).await.unwrap();
    assert_eq!(log.bounds(&good, 0).await.unwrap().first, 0);

    let compacted = super::topic();
    super::create_compacted(&compacted).await;
    while log.partitions(&compacted).await.unwrap().is_none() {
        sleep(Duration::from_millis(20)).await;
    }
    let error = log.check_topic(&compacted).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fatal);
    assert!(
        error.to_string().contains("cleanup.policy=compact"),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs a cluster of three: export $(tests/kafka up 3)"]
async fn more_replicas_than_brokers_are_waited_for() {
    let topic = super::topic();
    let log = super::log().with_replicas(Some(4));
    let error = log.create_topic(&topic, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry);
    assert_eq!(log.partitions(&topic).await.unwrap(), None);
}
