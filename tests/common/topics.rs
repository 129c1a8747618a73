//! Topics with fixed names on a cluster that tests share.

use std::time::Duration;

use messaging::log::Log;
use messaging::log::kafka::{Config, KafkaLog};
use rskafka::client::ClientBuilder;
use tokio::time::sleep;

/// How long brokers may take to delete a topic.
const DELETE_MS_MAX: i32 = 5_000;

/// Deletes those of `topics` that an earlier test has left, and waits until they are gone.
pub(crate) async fn forget(brokers: Vec<String>, topics: &[&str]) {
    let client = ClientBuilder::new(brokers.clone()).build().await.unwrap();
    let controller = client.controller_client().unwrap();
    let log = KafkaLog::new(Config {
        bootstrap: brokers,
        client_id: "test".to_owned(),
    });
    for topic in topics {
        if log.partitions(topic).await.unwrap().is_some() {
            controller
                .delete_topic(*topic, DELETE_MS_MAX)
                .await
                .unwrap();
        }
    }
    for topic in topics {
        while log.partitions(topic).await.unwrap().is_some() {
            sleep(Duration::from_millis(50)).await;
        }
    }
}
