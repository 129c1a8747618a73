//! The contract suite of the `Log` port: one function per rule, run against every adapter.
//!
//! [`log_contract!`](crate::log_contract) turns the whole list into tests for one adapter, so
//! that no adapter can leave a rule out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a broken rule panics: that is the report"
)]

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::{Bounds, Consumed, ErrorKind, Log, ReadLimit, Record};
use crate::clock::Timestamp;
use crate::limits;

/// An empty log under test, with what the port itself does not offer.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The adapter.
    fn log(&self) -> &dyn Log;

    /// The topic that the rules may create; another one for each fixture where they share a log.
    fn topic(&self) -> &str {
        "contract.rules"
    }

    /// Makes retention drop every record below `offset`.
    async fn delete_before(&self, topic: &str, partition: i32, offset: i64);
}

/// Tests of every rule, in a module `$name`; `$fixture` is an async function that makes a
/// [`Fixture`](crate::log::contract::Fixture). Attributes in front of the name are those of every
/// test.
#[macro_export]
macro_rules! log_contract {
    ($(#[$attribute:meta])* $name:ident, $fixture:path) => {
        mod $name {
            $crate::log_contract!(@rules [$(#[$attribute])*] $fixture:
                a_topic_keeps_the_partitions_it_was_created_with,
                an_unknown_topic_is_told_and_not_created,
                an_unknown_partition_is_told,
                a_record_comes_back_as_it_was_written,
                records_of_one_append_are_contiguous_and_in_order,
                appends_one_after_the_other_keep_their_order,
                appends_at_the_same_time_mix_only_as_a_whole,
                partitions_are_apart,
                a_read_may_start_in_the_middle_of_an_append,
                a_read_is_bounded_but_never_stuck,
                an_empty_read_waits_as_long_as_it_may,
                a_waiting_read_wakes_for_an_append,
                an_abandoned_read_harms_nobody,
                the_end_can_be_read_and_what_lies_beyond_is_out_of_range,
                what_retention_dropped_is_out_of_range,
                an_append_too_large_is_refused_for_ever,
            );
        }
    };
    (@rules $attributes:tt $fixture:path: $($rule:ident,)+) => {
        $($crate::log_contract!(@rule $attributes $fixture: $rule);)+
    };
    (@rule [$(#[$attribute:meta])*] $fixture:path: $rule:ident) => {
        $(#[$attribute])*
        #[tokio::test]
        async fn $rule() {
            let fixture = $fixture().await;
            $crate::log::contract::$rule(&fixture).await;
        }
    };
}

/// Longer than any test takes: whoever waits this long has not been woken.
const FOREVER: Duration = Duration::from_secs(20);

fn record(value: impl Into<Bytes>) -> Record {
    Record {
        key: Some(Bytes::from_static(b"key")),
        value: Some(value.into()),
        headers: vec![("ce_id".into(), Bytes::from_static(b"1"))],
        timestamp: Timestamp(1_795_000_000_123),
    }
}

fn limit(wait_max: Duration) -> ReadLimit {
    ReadLimit {
        bytes_max: limits::FETCH_BYTES_MAX,
        wait_max,
    }
}

async fn with_topic(fixture: &dyn Fixture) -> (&dyn Log, &str) {
    let (log, topic) = (fixture.log(), fixture.topic());
    log.create_topic(topic, 2).await.unwrap();
    (log, topic)
}

/// Everything from `from` to the end, by as many reads as it takes.
async fn read_to_end(
    (log, topic): (&dyn Log, &str),
    partition: i32,
    mut from: i64,
    limit: ReadLimit,
) -> Vec<Consumed> {
    let end = log.bounds(topic, partition).await.unwrap().next;
    let mut found = Vec::new();
    while from < end {
        let batch = log.read(topic, partition, from, limit).await.unwrap();
        assert!(
            !batch.records.is_empty(),
            "stuck at {from} below the end {end}"
        );
        assert!(batch.records.iter().all(|found| found.offset >= from));
        from = batch.records.last().unwrap().offset + 1;
        found.extend(batch.records);
    }
    found
}

fn values(found: &[Consumed]) -> Vec<Bytes> {
    found
        .iter()
        .map(|found| found.record.value.clone().unwrap())
        .collect()
}

/// `create_topic` leaves a topic that exists as it is.
pub async fn a_topic_keeps_the_partitions_it_was_created_with(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    assert_eq!(log.partitions(topic).await.unwrap(), Some(2));
    log.append(topic, 1, vec![record("kept")]).await.unwrap();

    log.create_topic(topic, 2).await.unwrap();
    log.create_topic(topic, 5).await.unwrap();

    assert_eq!(log.partitions(topic).await.unwrap(), Some(2));
    assert_eq!(log.bounds(topic, 1).await.unwrap().next, 1);
}

/// Asking for a topic never creates it.
pub async fn an_unknown_topic_is_told_and_not_created(fixture: &dyn Fixture) {
    let (log, topic) = (fixture.log(), fixture.topic());
    let read = log.read(topic, 0, 0, limit(Duration::ZERO)).await;
    let append = log.append(topic, 0, vec![record("lost")]).await;
    let bounds = log.bounds(topic, 0).await;
    assert_eq!(read.unwrap_err().kind, ErrorKind::UnknownTopic);
    assert_eq!(append.unwrap_err().kind, ErrorKind::UnknownTopic);
    assert_eq!(bounds.unwrap_err().kind, ErrorKind::UnknownTopic);
    assert_eq!(log.partitions(topic).await.unwrap(), None);
}

/// A partition beyond the last one is as unknown as a topic, and the error says which.
pub async fn an_unknown_partition_is_told(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    let error = log
        .append(topic, 2, vec![record("lost")])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::UnknownTopic);
    assert_eq!((error.topic.as_str(), error.partition), (topic, 2));
}

/// Key, value, headers and time survive; so do a missing key and value.
pub async fn a_record_comes_back_as_it_was_written(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    let full = Record {
        headers: vec![
            ("ce_id".into(), Bytes::from_static(b"1")),
            ("ce_type".into(), Bytes::from_static(b"shop.Some")),
            ("empty".into(), Bytes::new()),
        ],
        ..record("value")
    };
    let bare = Record {
        key: None,
        value: None,
        headers: Vec::new(),
        timestamp: Timestamp(1),
    };
    let written = vec![full, bare];
    log.append(topic, 0, written.clone()).await.unwrap();

    let batch = log.read(topic, 0, 0, limit(FOREVER)).await.unwrap();
    assert_eq!(batch.high_watermark, 2);
    let found: Vec<_> = batch
        .records
        .into_iter()
        .map(|found| found.record)
        .collect();
    assert_eq!(found, written);
}

/// The offset returned is the last record's; the others count back from it.
pub async fn records_of_one_append_are_contiguous_and_in_order(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    let last = log
        .append(topic, 0, vec![record("a"), record("b"), record("c")])
        .await
        .unwrap();
    assert_eq!(last, 2);
    let found = read_to_end((log, topic), 0, 0, limit(FOREVER)).await;
    let offsets: Vec<_> = found.iter().map(|found| found.offset).collect();
    assert_eq!(offsets, [0, 1, 2]);
    assert_eq!(values(&found), ["a", "b", "c"]);
    assert_eq!(
        log.bounds(topic, 0).await.unwrap(),
        Bounds { first: 0, next: 3 }
    );
}

/// An append that starts after another has returned stands behind it.
pub async fn appends_one_after_the_other_keep_their_order(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    for number in 0..50_i64 {
        let offset = log.append(topic, 0, vec![record(number.to_string())]).await;
        assert_eq!(offset.unwrap(), number);
    }
    let expected: Vec<_> = (0..50)
        .map(|number| Bytes::from(number.to_string()))
        .collect();
    assert_eq!(
        values(&read_to_end((log, topic), 0, 0, limit(FOREVER)).await),
        expected
    );
}

/// Concurrent appends lose nothing and are never torn apart.
pub async fn appends_at_the_same_time_mix_only_as_a_whole(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    let appends = (0..16).map(|caller| async move {
        let records = (0..5)
            .map(|index| record(format!("{caller}:{index}")))
            .collect();
        (caller, log.append(topic, 0, records).await.unwrap())
    });
    let ends = futures::future::join_all(appends).await;

    let found = values(&read_to_end((log, topic), 0, 0, limit(FOREVER)).await);
    assert_eq!(found.len(), 16 * 5);
    for (caller, last) in ends {
        let first = usize::try_from(last - 4).unwrap();
        for index in 0..5 {
            assert_eq!(found[first + index], format!("{caller}:{index}"));
        }
    }
}

/// What goes into one partition is in no other.
pub async fn partitions_are_apart(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    log.append(topic, 0, vec![record("zero")]).await.unwrap();
    log.append(topic, 1, vec![record("one")]).await.unwrap();
    for (partition, value) in [(0, "zero"), (1, "one")] {
        assert_eq!(
            values(&read_to_end((log, topic), partition, 0, limit(FOREVER)).await),
            [value]
        );
    }
}

/// The records before the offset asked for are left out, although the log keeps batches.
pub async fn a_read_may_start_in_the_middle_of_an_append(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    let records = (0..10).map(|index| record(index.to_string())).collect();
    log.append(topic, 0, records).await.unwrap();
    let batch = log.read(topic, 0, 7, limit(FOREVER)).await.unwrap();
    assert_eq!(batch.records[0].offset, 7);
    assert_eq!(values(&batch.records), ["7", "8", "9"]);
}

/// A read stays near its byte limit, returns at least one record, and skips none.
pub async fn a_read_is_bounded_but_never_stuck(fixture: &dyn Fixture) {
    const RECORD_BYTES: usize = 50_000;
    let (log, topic) = with_topic(fixture).await;
    for fill in 0..8_u8 {
        log.append(topic, 0, vec![record(vec![fill; RECORD_BYTES])])
            .await
            .unwrap();
    }
    for bytes_max in [1, 120_000] {
        let small = ReadLimit {
            bytes_max,
            wait_max: FOREVER,
        };
        let first = log.read(topic, 0, 0, small).await.unwrap();
        assert!(
            (1..=3).contains(&first.records.len()),
            "{}",
            first.records.len()
        );
        assert_eq!(first.high_watermark, 8);
        let found = values(&read_to_end((log, topic), 0, 0, small).await);
        let fills: Vec<_> = found.iter().map(|value| value[0]).collect();
        assert_eq!(fills, [0, 1, 2, 3, 4, 5, 6, 7]);
    }
}

/// With nothing to read it takes the time that it is given, and no more than a little longer.
pub async fn an_empty_read_waits_as_long_as_it_may(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    for wait in [Duration::ZERO, Duration::from_millis(100)] {
        let start = Instant::now();
        let batch = timeout(FOREVER, log.read(topic, 0, 0, limit(wait))).await;
        let batch = batch.unwrap().unwrap();
        assert_eq!((batch.records, batch.high_watermark), (vec![], 0));
        assert!(start.elapsed() >= wait);
    }
}

/// The long poll ends with the first record.
pub async fn a_waiting_read_wakes_for_an_append(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    log.append(topic, 0, vec![record("before")]).await.unwrap();
    let (batch, last) = timeout(FOREVER / 2, async {
        tokio::join!(
            log.read(topic, 0, 1, limit(FOREVER)),
            log.append(topic, 0, vec![record("after")]),
        )
    })
    .await
    .expect("the read was not woken");
    assert_eq!(last.unwrap(), 1);
    assert_eq!(values(&batch.unwrap().records), ["after"]);
}

/// Dropping a call is safe: later calls on the same partition work.
pub async fn an_abandoned_read_harms_nobody(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    for offset in 0..3 {
        let abandoned = log.read(topic, 0, offset, limit(FOREVER));
        timeout(Duration::from_millis(20), abandoned)
            .await
            .unwrap_err();
        let last = log.append(topic, 0, vec![record("next")]).await;
        assert_eq!(last.unwrap(), offset);
        let batch = log.read(topic, 0, offset, limit(FOREVER)).await.unwrap();
        assert_eq!(values(&batch.records), ["next"]);
    }
}

/// The next offset is a place to wait at; one further is an error, never a silent reset.
pub async fn the_end_can_be_read_and_what_lies_beyond_is_out_of_range(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    log.append(topic, 0, vec![record("only")]).await.unwrap();
    let at_end = log.read(topic, 0, 1, limit(Duration::ZERO)).await.unwrap();
    assert_eq!(at_end.records, []);
    assert_eq!(at_end.high_watermark, 1);
    for beyond in [2, 1_000] {
        let error = log.read(topic, 0, beyond, limit(Duration::ZERO)).await;
        assert_eq!(error.unwrap_err().kind, ErrorKind::OutOfRange);
    }
}

/// The first offset moves up, what lies below is an error, and the rest stays readable.
pub async fn what_retention_dropped_is_out_of_range(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    for number in 0..5 {
        log.append(topic, 0, vec![record(number.to_string())])
            .await
            .unwrap();
    }
    fixture.delete_before(topic, 0, 3).await;

    assert_eq!(
        log.bounds(topic, 0).await.unwrap(),
        Bounds { first: 3, next: 5 }
    );
    for below in [0, 2] {
        let error = log.read(topic, 0, below, limit(Duration::ZERO)).await;
        assert_eq!(error.unwrap_err().kind, ErrorKind::OutOfRange);
    }
    assert_eq!(
        values(&read_to_end((log, topic), 0, 3, limit(FOREVER)).await),
        ["3", "4"]
    );
}

/// Beyond the log's own limit nothing is appended, and the error says that a retry is no help.
pub async fn an_append_too_large_is_refused_for_ever(fixture: &dyn Fixture) {
    let (log, topic) = with_topic(fixture).await;
    let error = log.append(topic, 0, vec![record(vec![7; 3 << 20])]).await;
    assert_eq!(error.unwrap_err().kind, ErrorKind::Fatal);
    assert_eq!(log.bounds(topic, 0).await.unwrap().next, 0);
    let fits = record(vec![7; limits::APPEND_BYTES_MAX]);
    assert_eq!(log.append(topic, 0, vec![fits]).await.unwrap(), 0);
}
