//! The outbox: numbering, reading, leaving.

use bytes::Bytes;

use super::counter::{Count, Counter, Counters};
use super::{
    EVENTS, FIRST, OTHER, SHARD, assert_refused, commit, outgoing_of, published, record, row,
};
use crate::clock::Timestamp;
use crate::log::Record;
use crate::shard::Epoch;
use crate::store::{Acknowledged, Claimed, Effects, ErrorKind, OutboxBatch, Sequence, Store, Turn};

/// **Ordered**: shards that write for the same partition share one numbering, without gaps, in
/// commit order; a turn that did not commit takes no number.
pub async fn outbox_rows_are_numbered_in_commit_order(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    store.claim(OTHER, FIRST).await.unwrap();
    let one = commit(store, SHARD, outgoing_of(&[(2, "c"), (0, "a"), (0, "b")])).await;
    assert_eq!(one, [row(0, 1, "a"), row(0, 2, "b"), row(2, 1, "c")]);
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    drop(turn);
    let below_zero = Counters::from([(
        "a".to_owned(),
        Count {
            total: -1,
            version: 1,
        },
    )]);
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    let refused = turn
        .commit(Some(&below_zero), outgoing_of(&[(0, "lost")]))
        .await;
    assert_refused(refused, ErrorKind::Rejected);
    let two = commit(store, OTHER, outgoing_of(&[(0, "d"), (2, "e")])).await;
    assert_eq!(two, [row(0, 3, "d"), row(2, 2, "e")]);
    let three = commit(store, SHARD, outgoing_of(&[(0, "f")])).await;
    assert_eq!(three, [row(0, 4, "f")]);

    let all = store.outbox(0, Sequence(0), usize::MAX).await.unwrap();
    assert_eq!(
        all,
        [
            row(0, 1, "a"),
            row(0, 2, "b"),
            row(0, 3, "d"),
            row(0, 4, "f")
        ]
    );
    assert_eq!(store.outbox(1, Sequence(0), usize::MAX).await.unwrap(), []);
}

/// Records come back from the outbox as they went in, whatever they lack.
pub async fn records_survive_the_outbox(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let records = vec![
        record("plain"),
        Record {
            key: None,
            value: None,
            headers: vec![("ce_id".into(), Bytes::from_static(&[0, 255]))],
            timestamp: Timestamp(-1),
        },
    ];
    let batch = OutboxBatch {
        topic: EVENTS.to_owned(),
        partition: 0,
        records,
    };
    let effects = Effects {
        outbox: vec![batch.clone()],
        ..Effects::default()
    };
    commit(store, SHARD, effects).await;
    let rows = store.outbox(0, Sequence(0), 1_000).await.unwrap();
    assert_eq!(rows[0].batch, batch);
}

/// Reading the outbox starts where it is told to and stops at the limit, but never before the
/// first row.
pub async fn reading_the_outbox_is_bounded(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let four = outgoing_of(&[(0, "r1"), (0, "r2"), (0, "r3"), (0, "r4")]);
    commit(store, SHARD, four).await;
    let size = record("r1").size();
    for (from, bytes_max, expected) in [
        (0, 0, 1..=1),
        (1, size, 1..=1),
        (1, 2 * size, 1..=2),
        (2, 3 * size - 1, 2..=3),
        (3, 10 * size, 3..=4),
    ] {
        let rows = store.outbox(0, Sequence(from), bytes_max).await.unwrap();
        let found: Vec<i64> = rows.iter().map(|row| row.sequence.0).collect();
        assert_eq!(
            found,
            expected.collect::<Vec<_>>(),
            "from {from}, {bytes_max} bytes"
        );
    }
    assert_eq!(store.outbox(0, Sequence(5), 1_000).await.unwrap(), []);
}

/// What the log has acknowledged leaves the outbox, its position stays and never goes back, and
/// its numbers are not used again.
pub async fn published_rows_leave_and_their_position_stays(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    commit(
        store,
        SHARD,
        outgoing_of(&[(0, "r1"), (0, "r2"), (0, "r3")]),
    )
    .await;
    commit(store, SHARD, published(2, 11)).await;
    assert_eq!(
        store.outbox(0, Sequence(0), 1_000).await.unwrap(),
        [row(0, 3, "r3")]
    );
    commit(store, SHARD, published(3, 12)).await;
    commit(store, SHARD, published(1, 10)).await;
    assert_eq!(store.outbox(0, Sequence(0), 1_000).await.unwrap(), []);
    let claimed = store.claim(SHARD, Epoch(2)).await.unwrap();
    let acknowledged = [Acknowledged {
        topic: EVENTS.to_owned(),
        last_offset: 12,
    }];
    assert_eq!(claimed.acknowledged, acknowledged);
    assert_eq!(store.acknowledged(0).await.unwrap(), acknowledged);
    // Another shard's partition has nothing of it.
    assert_eq!(store.acknowledged(1).await.unwrap(), []);
    let other = store.claim(OTHER, FIRST).await.unwrap();
    assert_eq!(other, Claimed::default());

    let turn = store.begin(SHARD, Epoch(2)).await.unwrap();
    let rows = turn.commit(None, outgoing_of(&[(0, "r4")])).await.unwrap();
    assert_eq!(rows, [row(0, 4, "r4")]);
}
