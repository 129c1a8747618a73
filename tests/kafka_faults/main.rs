//! What the rskafka adapter does when the broker fails in the middle of things.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; the broker of these tests owns its socket"
)]

mod broker;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records::{
    Compression, Record as WireRecord, RecordBatchEncoder, RecordEncodeOptions, TimestampType,
};
use messaging::clock::Timestamp;
use messaging::log::kafka::security::{Mechanism, Security};
use messaging::log::kafka::{Config, KafkaLog};
use messaging::log::{Error, ErrorKind, Log, ReadLimit, Record};
use tokio::time::{Instant, timeout};

use self::broker::{Broker, Step, TOPIC};

const NOW: ReadLimit = ReadLimit {
    bytes_max: 1 << 20,
    wait_max: Duration::ZERO,
};
/// Short enough for a test, long enough for a busy machine to answer within.
const CALL_TIMEOUT: Duration = Duration::from_secs(1);

fn client(broker: &Broker) -> KafkaLog {
    KafkaLog::new(Config {
        bootstrap: vec![broker.address.to_string()],
        client_id: "test".to_owned(),
    })
    .with_call_timeout(CALL_TIMEOUT)
}

async fn append(log: &KafkaLog) -> Result<i64, Error> {
    let record = Record {
        key: Some(Bytes::from_static(b"key")),
        value: Some(Bytes::from_static(b"value")),
        headers: Vec::new(),
        timestamp: Timestamp(0),
    };
    log.append(TOPIC, 0, vec![record]).await
}

#[tokio::test]
async fn a_silent_broker_costs_one_timeout_and_no_more() {
    // Given a client whose every connection goes silent in the middle of an append.
    let broker = Broker::start().await;
    let log = client(&broker);
    broker.state().produce.extend([Step::AppendThenSilence]);

    // When it is called, then it does not wait for ever, and does not claim to know the outcome.
    let start = Instant::now();
    let error = timeout(CALL_TIMEOUT * 10, append(&log)).await.unwrap();
    assert_eq!(error.unwrap_err().kind, ErrorKind::Ambiguous);
    assert!(start.elapsed() >= CALL_TIMEOUT);

    // Then the next call does not touch the dead connection, which would stay silent.
    assert_eq!(append(&log).await.unwrap(), 1);
    assert_eq!(broker.state().produced, 2);
}

#[tokio::test]
async fn a_broker_that_accepts_and_says_nothing_is_a_definite_failure() {
    let broker = Broker::start().await;
    let log = client(&broker);
    broker.state().silent = true;
    for outcome in [
        append(&log).await.map(drop),
        log.bounds(TOPIC, 0).await.map(drop),
    ] {
        assert_eq!(outcome.unwrap_err().kind, ErrorKind::Retry);
    }
    assert_eq!(broker.state().produced, 0);

    broker.state().silent = false;
    assert_eq!(append(&log).await.unwrap(), 0);
}

#[tokio::test]
async fn a_silent_broker_holds_up_nobody_who_knows_another() {
    let (silent, broker) = (Broker::start().await, Broker::start().await);
    silent.state().silent = true;
    // Whichever of the two is asked first.
    for _ in 0..8 {
        let log = KafkaLog::new(Config {
            bootstrap: vec![silent.address.to_string(), broker.address.to_string()],
            client_id: "test".to_owned(),
        });
        let start = Instant::now();
        assert_eq!(log.partitions(TOPIC).await.unwrap(), Some(1));
        assert!(start.elapsed() < CALL_TIMEOUT);
    }
}

#[tokio::test]
async fn a_leader_that_stands_still_is_given_up_for_its_successor() {
    // Given a cluster whose metadata still names a leader that answers nothing.
    let (paused, broker) = (Broker::start().await, Broker::start().await);
    paused.state().silent = true;
    broker.state().leader = Some(paused.address);
    let log = KafkaLog::new(Config {
        bootstrap: vec![broker.address.to_string()],
        client_id: "test".to_owned(),
    });
    // When the cluster names another one, then the call that waits goes there.
    let (appended, ()) = tokio::join!(append(&log), async {
        tokio::time::sleep(CALL_TIMEOUT / 2).await;
        broker.state().leader = None;
    });
    assert_eq!(appended.unwrap(), 0);
    assert_eq!(broker.state().produced, 1);
}

#[tokio::test]
async fn a_refused_login_is_final_and_a_lost_one_is_not() {
    const SASL_AUTHENTICATION_FAILED: i16 = 58;
    let broker = Broker::start().await;
    let config = Config {
        bootstrap: vec![broker.address.to_string()],
        client_id: "test".to_owned(),
    };
    let [user, password] = ["shop", "wrong"].map(str::to_owned);
    let security = Security::default().with_login(Mechanism::Plain, user, password);
    let log = KafkaLog::secured(config, security).with_call_timeout(CALL_TIMEOUT);

    let lost = log.partitions(TOPIC).await.unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Retry, "{lost}");

    broker.state().login = Some(SASL_AUTHENTICATION_FAILED);
    let refused = log.partitions(TOPIC).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Fatal);
    assert_eq!(
        refused.to_string(),
        "log partitions of faulty failed: the broker refuses this client's login: API error: \
         SaslAuthenticationFailed"
    );

    broker.state().login = Some(0);
    assert_eq!(log.partitions(TOPIC).await.unwrap(), Some(1));

    // Once it was let in, the password may be on its way to where it is missing.
    broker.state().login = Some(SASL_AUTHENTICATION_FAILED);
    broker.cut();
    let refused = log.partitions(TOPIC).await.unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Retry);
    assert!(refused.to_string().contains("login"), "{refused}");
    broker.state().login = Some(0);
    assert_eq!(log.partitions(TOPIC).await.unwrap(), Some(1));
}

#[tokio::test]
async fn a_cluster_that_has_moved_is_found_again_by_the_bootstrap_list() {
    // Given a client whose whole knowledge is one broker, which then is gone for good.
    let (old, new) = (Broker::start().await, Broker::start().await);
    new.state().silent = true;
    let log = KafkaLog::new(Config {
        bootstrap: vec![old.address.to_string(), new.address.to_string()],
        client_id: "test".to_owned(),
    })
    .with_idle_connections();
    assert_eq!(append(&log).await.unwrap(), 0);
    new.state().silent = false;
    old.cut();
    drop(old);
    // Then the append goes to the other one, whole.
    assert_eq!(append(&log).await.unwrap(), 0);
    assert_eq!(new.state().produced, 1);
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_a_definite_failure_in_time() {
    // Given a port that nobody listens on any more.
    let broker = Broker::start().await;
    let log = client(&broker);
    drop(broker);
    let start = Instant::now();
    assert_eq!(append(&log).await.unwrap_err().kind, ErrorKind::Retry);
    let read = log.read(TOPIC, 0, 0, NOW).await;
    assert_eq!(read.unwrap_err().kind, ErrorKind::Retry);
    assert!(start.elapsed() < CALL_TIMEOUT * 2);
}

#[tokio::test]
async fn a_connection_cut_in_an_append_is_ambiguous_and_not_repeated() {
    let broker = Broker::start().await;
    let log = client(&broker);
    broker.state().produce.extend([Step::AppendThenCut]);

    assert_eq!(append(&log).await.unwrap_err().kind, ErrorKind::Ambiguous);
    assert_eq!(
        broker.state().produced,
        1,
        "rskafka would have sent it again"
    );

    assert_eq!(append(&log).await.unwrap(), 1);
}

#[tokio::test]
async fn a_connection_closed_while_idle_is_noticed_before_an_append() {
    // Otherwise the first order after a quiet spell would end as "may have happened".
    let broker = Broker::start().await;
    let log = client(&broker).with_idle_connections();
    assert_eq!(append(&log).await.unwrap(), 0);
    broker.cut();
    assert_eq!(append(&log).await.unwrap(), 1);
    assert_eq!(broker.state().produced, 2);
}

#[tokio::test]
async fn answers_after_the_write_are_ambiguous_and_not_repeated() {
    const REQUEST_TIMED_OUT: i16 = 7;
    const NOT_ENOUGH_REPLICAS_AFTER_APPEND: i16 = 20;
    const NOT_LEADER_OR_FOLLOWER: i16 = 6;
    for code in [
        REQUEST_TIMED_OUT,
        NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        NOT_LEADER_OR_FOLLOWER,
    ] {
        let broker = Broker::start().await;
        let log = client(&broker);
        broker.state().produce.extend([Step::AppendThenError(code)]);
        let error = append(&log).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Ambiguous, "code {code}");
        assert_eq!(broker.state().produced, 1, "code {code}");
    }
}

#[tokio::test]
async fn a_refusal_before_the_write_is_repeated_until_it_passes() {
    const NOT_ENOUGH_REPLICAS: i16 = 19;
    let broker = Broker::start().await;
    // Time enough for three waits on a busy machine.
    let log = client(&broker).with_call_timeout(CALL_TIMEOUT * 20);
    broker
        .state()
        .produce
        .extend([Step::Error(NOT_ENOUGH_REPLICAS); 3]);
    assert_eq!(append(&log).await.unwrap(), 0);
    assert_eq!(broker.state().produced, 4);
}

#[tokio::test]
async fn a_topic_that_does_not_exist_is_never_asked_for_by_name() {
    // Metadata requests of rskafka make a broker create the topics that they name.
    let broker = Broker::start().await;
    let log = client(&broker);
    let error = log.read("misspelt", 0, 0, NOW).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownTopic);
    assert_eq!(log.partitions("misspelt").await.unwrap(), None);
    assert_eq!(broker.state().asked_for, Vec::<String>::new());
}

#[tokio::test]
async fn a_batch_that_cannot_be_decoded_stops_the_reader_there_and_not_before() {
    // Given a record whose header has no value: legal for Kafka, poison for rskafka.
    let broker = Broker::start().await;
    let log = client(&broker);
    let value = Bytes::from_static(b"value");
    broker.state().next = 43;
    broker.state().batches = vec![
        (40, batch(40, Some(value.clone()))),
        (41, batch(41, None)),
        (42, batch(42, Some(value))),
    ];
    // Then what stands before it is read,
    let read = log.read(TOPIC, 0, 40, NOW).await.unwrap();
    let offsets: Vec<_> = read.records.iter().map(|found| found.offset).collect();
    assert_eq!(offsets, [40]);
    // and at the batch itself the failure names the place; nothing is skipped.
    let error = log.read(TOPIC, 0, 41, NOW).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Fatal);
    assert!(error.to_string().contains("offset 41"), "{error}");
    assert!(log.read(TOPIC, 0, 42, NOW).await.is_ok());
}

#[tokio::test]
async fn records_that_are_announced_and_never_come_are_reported() {
    // rskafka drops a batch that breaks off: without this error a reader would spin.
    let broker = Broker::start().await;
    let log = client(&broker);
    broker.state().next = 42;
    let bytes = batch(41, Some(Bytes::from_static(b"value")));
    broker.state().batches = vec![(41, bytes.slice(..bytes.len() - 1))];
    let error = log.read(TOPIC, 0, 41, NOW).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Retry);
    assert!(error.to_string().contains("offset 41"), "{error}");
}

#[tokio::test]
async fn a_lost_tail_is_out_of_range_but_a_new_leader_is_not() {
    const OFFSET_NOT_AVAILABLE: i16 = 78;
    let broker = Broker::start().await;
    let log = client(&broker);
    broker.state().next = 10;
    broker.state().list_offsets.extend([OFFSET_NOT_AVAILABLE]);

    let error = log.read(TOPIC, 0, 12, NOW).await.unwrap_err();
    assert_eq!(
        error.kind,
        ErrorKind::Retry,
        "the leader does not know its end yet"
    );
    let error = log.read(TOPIC, 0, 12, NOW).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::OutOfRange);
}

#[tokio::test]
async fn a_broker_that_does_not_know_its_successor_is_not_believed() {
    const BEHIND: Duration = Duration::from_millis(150);
    let broker = Broker::start().await;
    let log = client(&broker);
    broker.state().next = 10;
    assert_eq!(log.bounds(TOPIC, 0).await.unwrap().next, 10);

    // Given an end that goes back for a moment, then neither call takes it for the log's.
    let catch_up = async || {
        tokio::time::sleep(BEHIND).await;
        broker.state().next = 10;
    };
    broker.state().next = 7;
    let (read, ()) = tokio::join!(log.read(TOPIC, 0, 10, NOW), catch_up());
    assert_eq!(read.unwrap().high_watermark, 10);
    broker.state().next = 7;
    let (bounds, ()) = tokio::join!(log.bounds(TOPIC, 0), catch_up());
    assert_eq!(bounds.unwrap().next, 10);

    // But a tail that stays away is lost.
    broker.state().next = 7;
    let read = log.read(TOPIC, 0, 10, NOW).await;
    assert_eq!(read.unwrap_err().kind, ErrorKind::OutOfRange);
    assert_eq!(log.bounds(TOPIC, 0).await.unwrap().next, 7);
}

/// A batch of one record with this header value.
fn batch(offset: i64, header: Option<Bytes>) -> Bytes {
    let record = WireRecord {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 0,
        producer_id: -1,
        producer_epoch: -1,
        timestamp_type: TimestampType::Creation,
        offset,
        sequence: -1,
        timestamp: 0,
        key: None,
        value: None,
        headers: [(StrBytes::from_static_str("header"), header)]
            .into_iter()
            .collect(),
    };
    let options = RecordEncodeOptions {
        version: 2,
        compression: Compression::None,
    };
    let mut bytes = BytesMut::new();
    RecordBatchEncoder::encode(&mut bytes, [&record], &options).unwrap();
    bytes.freeze()
}
