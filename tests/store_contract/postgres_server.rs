//! What only a server shows: writers side by side, holders that stand still, connections that end.

use std::time::Duration;

use messaging::shard::{Epoch, ShardId};
use messaging::store::contract::counter::{Add, Count, Counter, CounterTables, Counters};
use messaging::store::contract::{add, count};
use messaging::store::postgres::{
    Location, PostgresStore, PostgresTurn, Timeouts, migrate, scratch,
};
use messaging::store::{CursorMove, Effects, Error, ErrorKind, RecordHash, Store, Tables, Turn};
use sqlx::{Connection, Executor, PgConnection};
use tokio::time::{Instant, sleep};

const FIRST: Epoch = Epoch(1);
const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];

/// The counters' tables, as a context would have them that locks what it reads before it reads.
#[derive(Clone, Copy)]
struct Locking;

impl Tables<Counter, PgConnection> for Locking {
    async fn load(&self, tx: &mut PgConnection, messages: &[&Add]) -> Result<Counters, Error> {
        for add in messages {
            sqlx::query("SELECT FROM counter WHERE key = $1 FOR UPDATE")
                .bind(&add.key)
                .execute(&mut *tx)
                .await
                .map_err(|source| messaging::store::postgres::error("load", source))?;
        }
        CounterTables.load(tx, messages).await
    }

    async fn save(&self, tx: &mut PgConnection, state: &Counters) -> Result<(), Error> {
        CounterTables.save(tx, state).await
    }
}

/// A store whose counters "a" and "b" are there, with sessions of short patience.
async fn impatient<T: Tables<Counter, PgConnection>>(
    location: &Location,
    tables: T,
) -> PostgresStore<T> {
    let migrations = CounterTables::postgres_migrations();
    migrate(location, &migrations).await.unwrap();
    let store = instance(location, tables).await;
    for shard in SHARDS {
        Store::<Counter>::claim(&store, shard, FIRST).await.unwrap();
    }
    let turn = Store::<Counter>::begin(&store, SHARDS[0], FIRST)
        .await
        .unwrap();
    let both = ["a", "b"].map(|key| (key.to_owned(), Count::default()));
    turn.commit(Some(&Counters::from(both)), Effects::default())
        .await
        .unwrap();
    store
}

/// An instance on a database that is there.
async fn instance<T: Tables<Counter, PgConnection>>(
    location: &Location,
    tables: T,
) -> PostgresStore<T> {
    let timeouts = Timeouts {
        statement: Duration::from_secs(3),
        lock: Duration::from_millis(1_500),
        idle_in_transaction: Duration::from_millis(2_000),
    };
    let migrations = CounterTables::postgres_migrations();
    PostgresStore::open_within(location, "test", &migrations, tables, timeouts)
        .await
        .unwrap()
}

async fn load<T: Tables<Counter, PgConnection>>(
    turn: &mut PostgresTurn<'_, T>,
    key: &str,
) -> Result<Counters, Error> {
    let add = Add {
        key: key.to_owned(),
        amount: 1,
    };
    turn.load(&[&add]).await
}

async fn total<T: Tables<Counter, PgConnection>>(store: &PostgresStore<T>, key: &str) -> i64 {
    sqlx::query_scalar("SELECT total FROM counter WHERE key = $1")
        .bind(key)
        .fetch_one(store.reader())
        .await
        .unwrap()
}

/// Waits until a session waits for a lock that has to do with this schema's tables. What it waits for
/// may be another transaction, which says nothing of tables; but then it has locked them weakly.
async fn until_somebody_waits<T>(store: &PostgresStore<T>) {
    for _ in 0..200 {
        let waiting: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid IN (
                 SELECT pid FROM pg_locks
                 WHERE relation IN ('counter'::regclass, 'shard'::regclass)))",
        )
        .fetch_one(store.reader())
        .await
        .unwrap();
        if waiting {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("nobody waits");
}

fn kind<V>(result: Result<V, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

fn step(from: i64, to: i64) -> Effects {
    Effects {
        cursors: vec![CursorMove {
            topic: "toy.commands".to_owned(),
            from,
            to,
            last_hash: RecordHash([7; 16]),
        }],
        ..Effects::default()
    }
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_turns_of_two_shards_run_side_by_side() {
    scratch::with(async |location| {
        let store = impatient(&location, Locking).await;
        let mut one = Store::<Counter>::begin(&store, SHARDS[0], FIRST)
            .await
            .unwrap();
        let mut two = Store::<Counter>::begin(&store, SHARDS[1], FIRST)
            .await
            .unwrap();
        let mut state_one = load(&mut one, "a").await.unwrap();
        let mut state_two = load(&mut two, "b").await.unwrap();
        state_one.get_mut("a").unwrap().total += 1;
        state_two.get_mut("b").unwrap().total += 2;
        two.commit(Some(&state_two), step(0, 1)).await.unwrap();
        one.commit(Some(&state_one), step(0, 1)).await.unwrap();
        assert_eq!((total(&store, "a").await, total(&store, "b").await), (1, 2));
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_who_locks_a_row_before_it_reads_it_loses_nothing() {
    scratch::with(async |location| {
        let store = impatient(&location, Locking).await;
        let twenty = async |shard| {
            for _ in 0..20 {
                let mut turn = Store::<Counter>::begin(&store, shard, FIRST).await.unwrap();
                let mut state = load(&mut turn, "a").await.unwrap();
                state.get_mut("a").unwrap().total += 1;
                turn.commit(Some(&state), Effects::default()).await.unwrap();
            }
        };
        tokio::join!(twenty(SHARDS[0]), twenty(SHARDS[1]));
        assert_eq!(total(&store, "a").await, 40);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_answers_a_deadlock_with_retry_to_one_of_the_two() {
    scratch::with(async |location| {
        let store = impatient(&location, Locking).await;
        let mut one = Store::<Counter>::begin(&store, SHARDS[0], FIRST)
            .await
            .unwrap();
        let mut two = Store::<Counter>::begin(&store, SHARDS[1], FIRST)
            .await
            .unwrap();
        load(&mut one, "a").await.unwrap();
        load(&mut two, "b").await.unwrap();
        let outcomes = tokio::join!(
            async {
                let loaded = load(&mut one, "b").await;
                drop(one);
                loaded
            },
            async {
                let loaded = load(&mut two, "a").await;
                drop(two);
                loaded
            }
        );
        let kinds = [kind(outcomes.0), kind(outcomes.1)];
        assert!(kinds.contains(&Some(ErrorKind::Retry)), "{kinds:?}");
        assert!(kinds.contains(&None), "{kinds:?}");
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_gives_a_claim_what_the_turn_in_flight_committed() {
    scratch::with(async |location| {
        let store = impatient(&location, CounterTables).await;
        let turn = Store::<Counter>::begin(&store, SHARDS[0], FIRST)
            .await
            .unwrap();
        let claim = Store::<Counter>::claim(&store, SHARDS[0], Epoch(2));
        let commit = async {
            until_somebody_waits(&store).await;
            Turn::<Counter>::commit(turn, None, step(0, 7)).await
        };
        let (claimed, committed) = tokio::join!(claim, commit);
        committed.unwrap();
        assert_eq!(claimed.unwrap().cursors[0].next_offset, 7);
        let stale = Store::<Counter>::begin(&store, SHARDS[0], FIRST).await;
        assert_eq!(kind(stale), Some(ErrorKind::Fenced));
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_fences_an_owner_that_waits_behind_a_claim() {
    scratch::with(async |location| {
        let store = impatient(&location, CounterTables).await;
        let turn = Store::<Counter>::begin(&store, SHARDS[0], FIRST)
            .await
            .unwrap();
        let claim = Store::<Counter>::claim(&store, SHARDS[0], Epoch(2));
        let rest = async {
            until_somebody_waits(&store).await;
            let late = Store::<Counter>::begin(&store, SHARDS[0], FIRST);
            let end = async {
                sleep(Duration::from_millis(200)).await;
                Turn::<Counter>::commit(turn, None, step(0, 7)).await
            };
            let (late, committed) = tokio::join!(late, end);
            committed.unwrap();
            kind(late)
        };
        let (claimed, late) = tokio::join!(claim, rest);
        claimed.unwrap();
        assert_eq!(late, Some(ErrorKind::Fenced));
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_undoes_a_holder_of_locks_that_stands_still() {
    scratch::with(async |location| {
        let store = impatient(&location, CounterTables).await;
        let other = instance(&location, CounterTables).await;
        let paused = Store::<Counter>::begin(&store, SHARDS[0], FIRST)
            .await
            .unwrap();
        let since = Instant::now();
        // The waiter hears of it before the holder is undone, and asks again.
        let first = Store::<Counter>::claim(&other, SHARDS[0], Epoch(2)).await;
        assert_eq!(kind(first), Some(ErrorKind::Retry));
        Store::<Counter>::claim(&other, SHARDS[0], Epoch(2))
            .await
            .unwrap();
        assert!(
            since.elapsed() < Duration::from_secs(4),
            "{:?}",
            since.elapsed()
        );
        // It wakes up: its turn is gone, and so is its shard.
        let state = Counters::from([(
            "a".to_owned(),
            Count {
                total: 9,
                version: 9,
            },
        )]);
        let woken = Turn::<Counter>::commit(paused, Some(&state), step(0, 1)).await;
        assert_eq!(kind(woken), Some(ErrorKind::Retry));
        assert_eq!(total(&other, "a").await, 0);
        let again = Store::<Counter>::begin(&store, SHARDS[0], FIRST).await;
        assert_eq!(kind(again), Some(ErrorKind::Fenced));
    })
    .await;
}

/// Runs statements behind the store's back.
async fn alter(location: &Location, statements: &'static str) {
    let mut connection = scratch::connect(location).await;
    connection.execute(statements).await.unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_leaves_a_commit_unknown_that_ended_with_its_connection() {
    scratch::with(async |location| {
        let store = impatient(&location, CounterTables).await;
        alter(
            &location,
            "CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1);
                RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER die AFTER UPDATE ON counter DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW WHEN (new.total = 13) EXECUTE FUNCTION die()",
        )
        .await;
        let lost = add(&store, "a", 13, Effects::default(), FIRST).await;
        assert_eq!(kind(lost), Some(ErrorKind::Unknown));
        add(&store, "a", 1, Effects::default(), FIRST)
            .await
            .unwrap();
        assert_eq!(total(&store, "a").await, 1);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_rejects_a_turn_for_a_value_refused_at_the_commit_itself() {
    scratch::with(async |location| {
        let store = impatient(&location, CounterTables).await;
        alter(
            &location,
            "CREATE TABLE child (key TEXT REFERENCES counter (key) DEFERRABLE INITIALLY DEFERRED);
             CREATE FUNCTION child() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN INSERT INTO child VALUES ('nobody'); RETURN new; END $$;
             CREATE TRIGGER child BEFORE UPDATE ON counter FOR EACH ROW WHEN (new.total = 13)
             EXECUTE FUNCTION child()",
        )
        .await;
        let refused = add(&store, "a", 13, Effects::default(), FIRST).await;
        assert_eq!(kind(refused), Some(ErrorKind::Rejected));
        add(&store, "a", 1, Effects::default(), FIRST)
            .await
            .unwrap();
        assert_eq!(count(&store, "a").await.total, 1);
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_errors_quote_no_value_and_no_statement() {
    const MARK: &str = "VALUE_MARK";
    scratch::with(async |location| {
        alter(&location, "CREATE TABLE marked (key TEXT PRIMARY KEY)").await;
        let mut connection = scratch::connect(&location).await;
        for (statement, quoted, words) in [
            ("SELECT 'VALUE_MARK'::int", true, "22P02"),
            ("SELECT VALUE_MARK VALUE_MARK VALUE_MARK", true, "42601"),
            (
                "INSERT INTO marked VALUES ('VALUE_MARK'), ('VALUE_MARK')",
                false,
                "marked_pkey",
            ),
        ] {
            let source = connection.execute(statement).await.unwrap_err();
            assert_eq!(source.to_string().contains(MARK), quoted, "{source}");
            let told = messaging::store::postgres::error("load", source).to_string();
            assert!(told.contains(words) && !told.contains(MARK), "{told}");
        }
        connection.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
#[ignore = "set MESSAGING_TEST_POSTGRES=postgres://..., see tests/postgres"]
async fn postgres_replaces_connections_that_the_server_ended() {
    scratch::with(async |location| {
        // The name tells this test's sessions from those of the others.
        let name = format!("test-{}", std::process::id());
        let store = impatient(&location, CounterTables).await;
        store.close().await;
        let migrations = CounterTables::postgres_migrations();
        let store = PostgresStore::open(&location, &name, &migrations, CounterTables)
            .await
            .unwrap();
        let kill = async || {
            let mut connection = scratch::connect(&location).await;
            sqlx::query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1",
            )
            .bind(&name)
            .execute(&mut connection)
            .await
            .unwrap();
        };
        // Inside a turn: nothing of it is kept.
        let mut turn = Store::<Counter>::begin(&store, SHARDS[0], FIRST).await.unwrap();
        kill().await;
        assert_eq!(kind(load(&mut turn, "a").await), Some(ErrorKind::Retry));
        drop(turn);
        // Between turns: whoever was silent for a while is tried first.
        add(&store, "a", 1, Effects::default(), FIRST).await.unwrap();
        kill().await;
        sleep(Duration::from_millis(1_100)).await;
        add(&store, "a", 1, Effects::default(), FIRST).await.unwrap();
        assert_eq!(total(&store, "a").await, 2);
    })
    .await;
}
