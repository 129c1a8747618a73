//! Brokers come and go under load.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Node;
use super::load::Load;

type Action = fn(Node);

/// What happens to a broker, and what ends it.
pub(super) const FAULTS: [(&str, Action, Action); 3] = [
    ("stopped", Node::stop, Node::start),
    ("killed", Node::kill, Node::start),
    ("paused", Node::pause, Node::resume),
];
/// Longer than a broker that is gone stays leader (9 s), with time to come to rest.
pub(super) const GONE: Duration = Duration::from_secs(15);
/// A broker that is back catches up, and is in sync again.
pub(super) const BACK: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a cluster of three: export $(tests/kafka up 3)"]
async fn nothing_acknowledged_is_lost_while_brokers_come_and_go() {
    let load = Load::start().await;
    sleep(Duration::from_secs(2)).await;
    for (name, fault, recovery) in FAULTS {
        let mut pauses = Vec::new();
        for node in Node::ALL {
            let from = Instant::now();
            node.meet(fault).await;
            sleep(GONE).await;
            pauses.extend(load.pauses(from));
            let from = Instant::now();
            node.meet(recovery).await;
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
