//! What a real cluster of three brokers does to the rskafka adapter when its brokers come and go.
//!
//! ```console
//! $ export $(tests/kafka up 3 --secure)
//! $ cargo test --test kafka_cluster -- --ignored --nocapture --test-threads=1
//! $ tests/kafka down
//! ```

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; one request is written to a socket by hand"
)]

mod cluster;
mod load;
mod security;

use std::time::Duration;

use messaging::log::{ErrorKind, Log, ReadLimit};
use tokio::time::{Instant, sleep};

use self::cluster::Node;
use self::load::Load;

/// Longer than a broker that is gone stays leader (9 s), with time to come to rest.
const GONE: Duration = Duration::from_secs(15);
/// A broker that is back catches up, and is in sync again.
const BACK: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster of three: export $(tests/kafka up 3)"]
async fn nothing_acknowledged_is_lost_while_brokers_come_and_go() {
    let load = Load::start().await;
    sleep(Duration::from_secs(2)).await;
    for (name, fault) in [
        ("stopped", Node::stop as fn(Node)),
        ("killed", Node::kill as fn(Node)),
    ] {
        let mut pauses = Vec::new();
        for node in Node::ALL {
            let from = Instant::now();
            node.meet(fault).await;
            sleep(GONE).await;
            pauses.extend(load.pauses(from));
            let from = Instant::now();
            node.meet(Node::start).await;
            sleep(BACK).await;
            let back = load.pauses(from).into_iter().max().unwrap();
            println!("node {node} is back: at most {back:.1?} without an acknowledgement");
        }
        pauses.sort_unstable();
        println!(
            "{name}: without an acknowledgement, per partition: {pauses:.1?}, median {:.1?}",
            pauses[pauses.len() / 2]
        );
    }
    load.finish().await.judge();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster of three: export $(tests/kafka up 3)"]
async fn without_enough_replicas_nothing_is_acknowledged_and_nothing_lost() {
    // Given a cluster in which one broker of three is left: no quorum, no second replica.
    let load = Load::start().await;
    sleep(Duration::from_secs(2)).await;
    for node in &Node::ALL[1..] {
        node.meet(Node::kill).await;
    }
    sleep(GONE).await;
    let from = Instant::now();
    sleep(Duration::from_secs(3)).await;
    assert_eq!(load.acknowledged_since(from), 0);
    // When the others are back, then it goes on, with everything that was acknowledged.
    for node in &Node::ALL[1..] {
        node.meet(Node::start).await;
    }
    sleep(BACK).await;
    load.finish().await.judge();
}

#[tokio::test]
#[ignore = "needs a Kafka cluster: export $(tests/kafka up 3)"]
async fn a_compacted_topic_is_refused() {
    let log = cluster::log();
    let good = cluster::topic();
    log.create_topic(&good, 1).await.unwrap();
    log.check_topic(&good).await.unwrap();
    assert_eq!(log.bounds(&good, 0).await.unwrap().first, 0);

    let compacted = cluster::topic();
    cluster::create_compacted(&compacted).await;
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
    let topic = cluster::topic();
    let log = cluster::log().with_replicas(Some(4));
    let error = log.create_topic(&topic, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry);
    assert_eq!(log.partitions(&topic).await.unwrap(), None);
}

const NOW: ReadLimit = ReadLimit {
    bytes_max: 1 << 20,
    wait_max: Duration::ZERO,
};
