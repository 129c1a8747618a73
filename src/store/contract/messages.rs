//! What is remembered of messages: inbox, parked, conflicts.

use super::counter::Counter;
use super::{
    FIRST, Inspect, SHARD, TOPIC, add, aggregate, assert_refused, commit, conflict, content, count,
    entry, key, parked, record, remembered,
};
use crate::clock::Timestamp;
use crate::limits;
use crate::store::{AggregateKey, Effects, ErrorKind, InboxEntry, InboxKey, Parked, Store, Turn};

/// An inbox entry can be made once; made again, the turn is rejected.
pub async fn an_inbox_entry_is_made_once(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let effects = inbox([entry("id-1", 10)]);
    add(store, "a", 1, effects.clone(), FIRST).await.unwrap();
    assert_refused(
        add(store, "a", 1, effects, FIRST).await,
        ErrorKind::Rejected,
    );
    assert_eq!(count(store, "a").await.total, 1);
}

/// The inbox tells what was applied, with which content, whatever characters the ids hold.
pub async fn the_inbox_remembers_keys_and_content(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let ids = [
        "plain",
        "",
        "it's \"quoted\" \\",
        "line\nbreak",
        "\u{0}nul\u{0}",
        "\u{1f980}",
        "é",
    ];
    commit(store, SHARD, inbox(ids.iter().map(|id| entry(id, 10)))).await;
    let mut asked: Vec<InboxKey> = ids.iter().map(|id| key(id)).collect();
    // Equal in two parts of three is another message; so is another case, or an accent.
    for (kind, owner, id) in [
        ("toy.Add", "a", "unknown"),
        ("toy.Add", "b", "plain"),
        ("toy.Sub", "a", "plain"),
        ("toy.Add", "a", "PLAIN"),
        ("toy.Add", "a", "e\u{301}"),
    ] {
        asked.push(InboxKey {
            message_type: kind.to_owned(),
            key: owner.to_owned(),
            id: id.to_owned(),
        });
    }
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    let seen = turn.seen(&asked, &[]).await.unwrap();
    let expected = ids.iter().map(|id| (key(id), content(id))).collect();
    assert_eq!(seen.inbox, expected);
    assert!(seen.parked.is_empty());
}

/// Hundreds of entries go in and are found in one turn.
pub async fn the_inbox_takes_a_whole_batch(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let ids: Vec<String> = (0..limits::TURN_RECORDS_MAX)
        .map(|n| format!("id-{n}"))
        .collect();
    commit(store, SHARD, inbox(ids.iter().map(|id| entry(id, 10)))).await;
    let keys: Vec<InboxKey> = ids.iter().map(|id| key(id)).collect();
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    assert_eq!(turn.seen(&keys, &[]).await.unwrap().inbox.len(), ids.len());
}

/// Entries older than the horizon go, oldest first and a bounded number at a time; others stay.
pub async fn pruning_the_inbox_is_bounded(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let rows_max = i64::from(limits::INBOX_PRUNE_ROWS);
    let entries = (0..rows_max + 2).map(|n| entry(&format!("id-{n}"), n));
    commit(store, SHARD, inbox(entries)).await;
    commit(store, SHARD, prune(2)).await;
    assert_eq!(remembered(store, 0..4).await, [2, 3]);
    commit(store, SHARD, prune(rows_max + 10)).await;
    assert_eq!(remembered(store, 0..rows_max + 2).await, [0; 0]);
    // What has gone can come again.
    commit(store, SHARD, inbox([entry("id-7", 7)])).await;
    assert_eq!(remembered(store, 0..rows_max + 2).await, [7]);
}

/// Pruning stops at its bound even when more is old.
pub async fn pruning_leaves_the_rest_for_the_next_turn(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let rows_max = i64::from(limits::INBOX_PRUNE_ROWS);
    // Written newest first: age decides, not the order of writing.
    let entries = (0..rows_max + 3)
        .rev()
        .map(|n| entry(&format!("id-{n}"), n));
    commit(store, SHARD, inbox(entries)).await;
    commit(store, SHARD, prune(rows_max + 2)).await;
    let left = [rows_max, rows_max + 1, rows_max + 2];
    assert_eq!(remembered(store, 0..rows_max + 3).await, left);
    commit(store, SHARD, prune(rows_max + 2)).await;
    assert_eq!(remembered(store, 0..rows_max + 3).await, [rows_max + 2]);
}

/// Lasting entries stay however old they are, and those that may go do not wait behind them.
pub async fn lasting_entries_are_never_pruned(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let rows_max = i64::from(limits::INBOX_PRUNE_ROWS);
    let lasting = (0..rows_max + 2).map(|n| InboxEntry {
        lasting: true,
        ..entry(&format!("id-{n}"), n)
    });
    let others = (rows_max + 2..rows_max + 5).map(|n| entry(&format!("id-{n}"), n));
    commit(store, SHARD, inbox(lasting.chain(others))).await;
    for _ in 0..2 {
        commit(store, SHARD, prune(rows_max + 4)).await;
        let left: Vec<i64> = (0..rows_max + 2).chain([rows_max + 4]).collect();
        assert_eq!(remembered(store, 0..rows_max + 5).await, left);
    }
    // As any other, it can be made once.
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    let again = turn.commit(None, inbox([entry("id-0", 0)])).await;
    assert_refused(again, ErrorKind::Rejected);
}

/// An aggregate with a parked message is known by kind and id; a record parked alone holds up
/// nobody; parking the same place again changes nothing.
pub async fn parked_aggregates_are_known(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let alone = Parked {
        aggregate: None,
        ..parked(1, "")
    };
    let effects = Effects {
        parked: vec![alone, parked(2, "b"), parked(3, "b"), parked(4, "c")],
        ..Effects::default()
    };
    commit(store, SHARD, effects.clone()).await;
    commit(store, SHARD, effects).await;
    let other_kind = AggregateKey {
        kind: "other".to_owned(),
        id: "b".to_owned(),
    };
    let asked = [
        aggregate("a"),
        aggregate("b"),
        aggregate("c"),
        aggregate(""),
        other_kind,
    ];
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    let seen = turn.seen(&[], &asked).await.unwrap();
    assert_eq!(seen.parked, [aggregate("b"), aggregate("c")].into());
    assert!(seen.inbox.is_empty());
}

/// A conflict is recorded with its record; recording the same place again changes nothing.
pub async fn conflicts_are_recorded(store: &impl Inspect) {
    store.claim(SHARD, FIRST).await.unwrap();
    let effects = Effects {
        conflicts: vec![conflict(6), conflict(9)],
        ..Effects::default()
    };
    commit(store, SHARD, effects.clone()).await;
    commit(store, SHARD, effects).await;
    let expected = [6, 9].map(|offset| (TOPIC.to_owned(), offset, record("conflict")));
    assert_eq!(store.conflicts().await, expected);
}

fn inbox(entries: impl IntoIterator<Item = InboxEntry>) -> Effects {
    Effects {
        inbox: entries.into_iter().collect(),
        ..Effects::default()
    }
}

fn prune(before: i64) -> Effects {
    Effects {
        prune_inbox_before: Some(Timestamp(before)),
        ..Effects::default()
    }
}
