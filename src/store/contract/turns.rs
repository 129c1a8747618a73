//! Owning a shard, committing as a whole, moving cursors.

use super::counter::{Count, Counter, Counters};
use super::{
    EVENTS, FIRST, Inspect, OTHER, SHARD, TOPIC, add, addition, aggregate, assert_no_effect,
    assert_refused, commit, content, count, cursor, cursor_at, cursors, every_effect, key,
    outgoing_of, record, row, step,
};
use crate::shard::Epoch;
use crate::store::{Acknowledged, Effects, ErrorKind, Sequence, Store, Turn};

/// **Fencing**: a claim raises the epoch; the same or a lower one is refused, and so is a turn
/// under any but the newest epoch.
pub async fn an_older_epoch_is_fenced(store: &impl Store<Counter>) {
    // A shard that nobody ever claimed is nobody's.
    assert_refused(store.begin(SHARD, FIRST).await, ErrorKind::Fenced);
    store.claim(SHARD, Epoch(5)).await.unwrap();
    drop(store.begin(SHARD, Epoch(5)).await.unwrap());
    for stale in [Epoch(5), Epoch(4)] {
        assert_refused(store.claim(SHARD, stale).await, ErrorKind::Fenced);
    }
    store.claim(SHARD, Epoch(6)).await.unwrap();
    for other in [Epoch(5), Epoch(7)] {
        assert_refused(store.begin(SHARD, other).await, ErrorKind::Fenced);
    }
    drop(store.begin(SHARD, Epoch(6)).await.unwrap());
    // Each shard has an epoch of its own.
    store.claim(OTHER, FIRST).await.unwrap();
}

/// **Fencing**: a refused claim changes nothing for the owner.
pub async fn a_refused_claim_takes_nothing_away(store: &impl Store<Counter>) {
    store.claim(SHARD, Epoch(2)).await.unwrap();
    assert_refused(store.claim(SHARD, FIRST).await, ErrorKind::Fenced);
    add(store, "a", 1, Effects::default(), Epoch(2))
        .await
        .unwrap();
}

/// **Fencing**: a claim made while a turn is in progress waits for its end, and sees its commit.
pub async fn a_claim_waits_for_the_turn_in_flight(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    let commit = async {
        // The claim has had every chance to run ahead.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        turn.commit(None, cursor(TOPIC, 0, 7)).await
    };
    let (claimed, committed) = tokio::join!(store.claim(SHARD, Epoch(2)), commit);
    committed.unwrap();
    assert_eq!(claimed.unwrap().cursors, [cursor_at(TOPIC, 7)]);
}

/// **Atomic**: state and every effect are there together after a commit.
pub async fn a_commit_keeps_everything(store: &impl Inspect) {
    store.claim(SHARD, FIRST).await.unwrap();
    let rows = add(store, "a", 3, every_effect(), FIRST).await.unwrap();
    assert_eq!(rows, [row(0, 1, "e1")]);

    assert_eq!(
        count(store, "a").await,
        Count {
            total: 3,
            version: 1
        }
    );
    assert_eq!(store.outbox(0, Sequence(0), 1_000).await.unwrap(), rows);
    let mut turn = store.begin(SHARD, FIRST).await.unwrap();
    assert_eq!(turn.cursors().await.unwrap(), [cursor_at(TOPIC, 7)]);
    let seen = turn.seen(&[key("id-1")], &[aggregate("b")]).await.unwrap();
    assert_eq!(seen.inbox.get(&key("id-1")), Some(&content("id-1")));
    assert!(seen.parked.contains(&aggregate("b")));
    drop(turn);
    assert_eq!(
        store.parked().await,
        [(TOPIC.to_owned(), 5, record("parked"))]
    );
    assert_eq!(
        store.conflicts().await,
        [(TOPIC.to_owned(), 6, record("conflict"))]
    );
    let claimed = store.claim(SHARD, Epoch(2)).await.unwrap();
    let acknowledged = Acknowledged {
        topic: EVENTS.to_owned(),
        last_offset: 41,
    };
    assert_eq!(claimed.acknowledged, [acknowledged]);
}

/// **Atomic**: a turn that is dropped before its commit leaves nothing, and the next one begins.
pub async fn a_dropped_turn_leaves_nothing(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    add(store, "a", 1, Effects::default(), FIRST).await.unwrap();
    for _ in 0..3 {
        let mut turn = store.begin(SHARD, FIRST).await.unwrap();
        turn.load(&[&addition("a", 1)]).await.unwrap();
        drop(turn);
    }
    // Dropped in the middle of its commit as well.
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    let state = Counters::from([("a".to_owned(), Count::default())]);
    let committing = turn.commit(Some(&state), every_effect());
    drop(futures::poll!(Box::pin(committing)));

    add(store, "a", 1, Effects::default(), FIRST).await.unwrap();
    // All of the dropped commit has happened, or none of it.
    let landed = !store
        .outbox(0, Sequence(0), 1_000)
        .await
        .unwrap()
        .is_empty();
    let expected = if landed { 1 } else { 2 };
    assert_eq!(count(store, "a").await.total, expected);
}

/// **Atomic**: when one value is refused, nothing of the turn is kept, and the next one begins.
pub async fn a_refused_value_rejects_the_whole_turn(store: &impl Inspect) {
    store.claim(SHARD, FIRST).await.unwrap();
    add(store, "a", 5, Effects::default(), FIRST).await.unwrap();
    let refused = add(store, "a", -6, every_effect(), FIRST).await;
    assert_refused(refused, ErrorKind::Rejected);

    assert_eq!(
        count(store, "a").await,
        Count {
            total: 5,
            version: 1
        }
    );
    assert_no_effect(store).await;
    add(store, "a", -5, every_effect(), FIRST).await.unwrap();
    assert_eq!(
        count(store, "a").await,
        Count {
            total: 0,
            version: 2
        }
    );
}

/// A cursor moves from where the batch began, and from nowhere else; a topic without a cursor has
/// not been read and starts anywhere.
pub async fn a_cursor_moves_from_where_it_stands(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    add(store, "a", 1, cursor(TOPIC, 100, 107), FIRST)
        .await
        .unwrap();
    for elsewhere in [100, 106, 108] {
        let mut effects = every_effect();
        effects.cursors = vec![step("toy.other", 0, 1), step(TOPIC, elsewhere, 110)];
        assert_refused(
            add(store, "a", 1, effects, FIRST).await,
            ErrorKind::CursorMoved,
        );
    }
    assert_eq!(count(store, "a").await.total, 1);
    assert_eq!(cursors(store).await, [cursor_at(TOPIC, 107)]);
    add(store, "a", 1, cursor(TOPIC, 107, 110), FIRST)
        .await
        .unwrap();
    assert_eq!(cursors(store).await, [cursor_at(TOPIC, 110)]);
}

/// Cursors belong to their shard.
pub async fn shards_have_cursors_of_their_own(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    store.claim(OTHER, FIRST).await.unwrap();
    add(store, "a", 1, cursor(TOPIC, 0, 7), FIRST)
        .await
        .unwrap();
    commit(store, OTHER, cursor(TOPIC, 0, 3)).await;
    assert_eq!(cursors(store).await, [cursor_at(TOPIC, 7)]);
    let claimed = store.claim(OTHER, Epoch(2)).await.unwrap();
    assert_eq!(claimed.cursors, [cursor_at(TOPIC, 3)]);
}

/// The first number of partitions stays.
pub async fn the_number_of_partitions_is_agreed_once(store: &impl Store<Counter>) {
    assert_eq!(store.agree_on_partitions(4).await.unwrap(), 4);
    assert_eq!(store.agree_on_partitions(8).await.unwrap(), 4);
    assert_eq!(store.agree_on_partitions(4).await.unwrap(), 4);
}

/// Queries beside an open turn see what is committed, and do not wait for it.
pub async fn reading_does_not_wait_for_a_turn(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    commit(store, SHARD, outgoing_of(&[(0, "r1")])).await;
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    assert_eq!(
        store.outbox(0, Sequence(0), 1_000).await.unwrap(),
        [row(0, 1, "r1")]
    );
    drop(turn);
}
