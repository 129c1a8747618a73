//! What rows of a Postgres store must hold, and what its sessions are told.

use messaging::clock::Timestamp;
use messaging::context::ContentHash;
use messaging::log::Record;
use messaging::shard::{Epoch, ShardId};
use messaging::store::contract::add;
use messaging::store::postgres::scratch;
use messaging::store::{
    AggregateKey, Effects, ErrorKind, InboxEntry, InboxKey, OutboxBatch, ParkReason, Parked,
    Sequence, Store, Target, Turn,
};
use sqlx::AssertSqlSafe;

use super::open_postgres;

const FIRST: Epoch = Epoch(1);
const SHARD: ShardId = ShardId(0);

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_sets_aside_whatever_clients_write() {
    scratch::with(async |location| {
        let store = open_postgres(&location).await;
        store.claim(SHARD, FIRST).await.unwrap();
        // Longer than an index entry can be, and hard to compress; and with zero bytes.
        let long: String = (0..4_000_u32)
            .map(|n| char::from(b'!' + u8::try_from(n * n % 7_919 % 90).unwrap()))
            .collect();
        for (offset, id) in [(1, long.as_str()), (2, "\0"), (3, "a\0b")] {
            let aggregate = AggregateKey {
                kind: "counter".to_owned(),
                id: id.to_owned(),
            };
            let parked = Parked {
                topic: "toy.commands".to_owned(),
                offset,
                aggregate: Some(aggregate.clone()),
                reason: ParkReason::Failed,
                detail: format!("{id} is no key"),
                record: record(),
                at: Timestamp(1),
            };
            let key = InboxKey {
                message_type: "toy.Add".to_owned(),
                key: id.to_owned(),
                id: id.to_owned(),
            };
            let entry = InboxEntry {
                key: key.clone(),
                content: ContentHash::of(b"content"),
                at: Timestamp(1),
                lasting: false,
            };
            let effects = Effects {
                parked: vec![parked],
                inbox: vec![entry],
                ..Effects::default()
            };
            let turn = store.begin(SHARD, FIRST).await.unwrap();
            turn.commit(None, effects).await.unwrap();
            let mut turn = store.begin(SHARD, FIRST).await.unwrap();
            let seen = turn
                .seen(&[key], std::slice::from_ref(&aggregate))
                .await
                .unwrap();
            assert_eq!((seen.inbox.len(), seen.parked.len()), (1, 1));
            let target = Target::Aggregate(aggregate.clone());
            let found = store.parked_of(SHARD, &target, 9).await.unwrap();
            assert_eq!(found.len(), 1);
            assert_eq!(found[0].parked.aggregate, Some(aggregate));
            drop(turn);
            // What the context's own table has no place for is that message's fault alone.
            let refused = add(&store, id, 1, Effects::default(), FIRST).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Rejected, "{refused}");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_reads_a_long_outbox_in_parts() {
    scratch::with(async |location| {
        let store = open_postgres(&location).await;
        store.claim(SHARD, FIRST).await.unwrap();
        let batch = OutboxBatch {
            topic: "toy.events".to_owned(),
            partition: 0,
            records: vec![record()],
        };
        let effects = Effects {
            outbox: vec![batch; 1_500],
            ..Effects::default()
        };
        let turn = store.begin(SHARD, FIRST).await.unwrap();
        assert_eq!(turn.commit(None, effects).await.unwrap().len(), 1_500);
        let first = store.outbox(0, Sequence(1), usize::MAX).await.unwrap();
        let last = first.last().unwrap().sequence;
        let rest = store
            .outbox(0, Sequence(last.0 + 1), usize::MAX)
            .await
            .unwrap();
        assert_eq!((last, rest.len()), (Sequence(1_000), 500));
    })
    .await;
}

fn record() -> Record {
    Record {
        key: None,
        value: None,
        headers: Vec::new(),
        timestamp: Timestamp(1),
    }
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_sessions_are_told_what_turns_rely_on() {
    scratch::with(async |location| {
        let store = open_postgres(&location).await;
        for (name, expected) in [
            ("transaction_isolation", "read committed"),
            ("statement_timeout", "5s"),
            ("lock_timeout", "3s"),
            ("idle_in_transaction_session_timeout", "5s"),
            ("tcp_keepalives_idle", "5"),
            ("application_name", "test"),
            ("transaction_read_only", "on"),
        ] {
            let told: String = sqlx::query_scalar(AssertSqlSafe(format!("SHOW {name}")))
                .fetch_one(store.reader())
                .await
                .unwrap();
            assert_eq!(told, expected, "{name}");
        }
        let refused = sqlx::query("DELETE FROM shard")
            .execute(store.reader())
            .await;
        assert!(refused.unwrap_err().to_string().contains("read-only"));
    })
    .await;
}
