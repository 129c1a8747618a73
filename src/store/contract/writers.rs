//! Several writers at once.

use futures::future::join_all;

use super::counter::{Count, Counter, Counters};
use super::{
    FIRST, OTHER, SHARD, TOPIC, assert_refused, count, cursor, cursor_at, outgoing_of, record,
};
use crate::shard::{Epoch, ShardId};
use crate::store::{ErrorKind, OutboxRow, Sequence, Store, Turn};

/// Turns that each writer makes.
const TURNS: i64 = 20;

/// **Ordered**: while two writers fill the same outbox, a reader never sees a row without the ones
/// before it, and a row never changes; in the end every turn's rows stand where it was told.
pub async fn outbox_rows_of_two_writers_appear_in_order(store: &impl Store<Counter>) {
    for shard in [SHARD, OTHER] {
        store.claim(shard, FIRST).await.unwrap();
    }
    let writers = join_all([SHARD, OTHER].map(|shard| write(store, shard)));
    let reader = async {
        let mut seen: Vec<OutboxRow> = Vec::new();
        while seen.len() < 2 * usize::try_from(TURNS).unwrap() {
            let rows = store.outbox(0, Sequence(0), usize::MAX).await.unwrap();
            assert_eq!(rows[..seen.len()], seen, "what was read stays");
            let numbers: Vec<i64> = rows.iter().map(|row| row.sequence.0).collect();
            let all: Vec<i64> = (1..).take(rows.len()).collect();
            assert_eq!(numbers, all);
            seen = rows;
            tokio::task::yield_now().await;
        }
        seen
    };
    let (told, seen) = tokio::join!(writers, reader);
    let mut told = told.concat();
    told.sort_by_key(|row| row.sequence);
    assert_eq!(told, seen);
    for shard in [SHARD, OTHER] {
        let name = |row: &&OutboxRow| row.batch.records[0] == record(&shard.to_string());
        let of_shard = seen.iter().filter(name);
        assert_eq!(i64::try_from(of_shard.count()).unwrap(), TURNS);
        assert_eq!(count(store, &shard.to_string()).await.total, TURNS);
    }
}

/// Turns that each count once and publish once.
async fn write(store: &impl Store<Counter>, shard: ShardId) -> Vec<OutboxRow> {
    let mut rows = Vec::new();
    for total in 1..=TURNS {
        let turn = store.begin(shard, FIRST).await.unwrap();
        let version = total;
        let state = Counters::from([(shard.to_string(), Count { total, version })]);
        let effects = outgoing_of(&[(0, &shard.to_string())]);
        rows.extend(turn.commit(Some(&state), effects).await.unwrap());
    }
    rows
}

/// **Fencing**: the next turn of a shard begins after the one in flight has ended, and sees what
/// it committed.
pub async fn a_turn_waits_for_the_one_in_flight(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    let next = async {
        let mut next = store.begin(SHARD, FIRST).await.unwrap();
        next.cursors().await.unwrap()
    };
    let commit = async {
        // The next one has had every chance to run ahead.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        turn.commit(None, cursor(TOPIC, 0, 7)).await
    };
    let (seen, committed) = tokio::join!(next, commit);
    committed.unwrap();
    assert_eq!(seen, [cursor_at(TOPIC, 7)]);
}

/// **Fencing**: an owner that waits for its turn while the shard is taken over gets none.
pub async fn who_waits_behind_a_claim_is_fenced(store: &impl Store<Counter>) {
    store.claim(SHARD, FIRST).await.unwrap();
    let turn = store.begin(SHARD, FIRST).await.unwrap();
    let end = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        turn.commit(None, cursor(TOPIC, 0, 7)).await
    };
    let claim = store.claim(SHARD, Epoch(2));
    let late = async {
        // The claim stands in front.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        store.begin(SHARD, FIRST).await.map(drop)
    };
    let (committed, claimed, late) = tokio::join!(end, claim, late);
    committed.unwrap();
    assert_eq!(claimed.unwrap().cursors, [cursor_at(TOPIC, 7)]);
    assert_refused(late, ErrorKind::Fenced);
}
