//! What only a file can show: reopening, damage, older copies, a full disk.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use messaging::limits;
use messaging::shard::{Epoch, ShardId};
use messaging::store::contract::counter::{Add, Count, Counter, CounterTables, Counters};
use messaging::store::contract::{add, count};
use messaging::store::sqlite::SqliteStore;
use messaging::store::{
    CursorMove, Effects, Error, ErrorKind, OutboxBatch, Published, RecordHash, Sequence, Store,
    Tables,
};
use metrics_exporter_prometheus::PrometheusBuilder;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{AssertSqlSafe, Connection, SqlSafeStr, SqliteConnection};
use tempfile::TempDir;

use super::open;

/// A folder with a database in it, to be damaged, copied and reopened.
struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: TempDir::new().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("deep/er/counter.db")
    }

    /// Adds one to "a" in a turn that does everything a turn does.
    async fn turn(&self, store: &SqliteStore<CounterTables>, epoch: Epoch, from: i64) {
        let effects = Effects {
            outbox: vec![OutboxBatch {
                topic: "toy.events".to_owned(),
                partition: 0,
                records: Vec::new(),
            }],
            published: vec![Published {
                partition: 0,
                up_to: Sequence(from),
                offsets: vec![("toy.events".to_owned(), 100 + from)],
            }],
            cursors: vec![CursorMove {
                topic: "toy.commands".to_owned(),
                from,
                to: from + 1,
                last_hash: RecordHash([7; 16]),
            }],
            ..Effects::default()
        };
        add(store, "a", 1, effects, epoch).await.unwrap();
    }

    /// The line that a program shows which cannot start on this database.
    async fn refusal(&self, migrations: &Migrator) -> String {
        let error = SqliteStore::open(&self.path(), migrations, CounterTables)
            .await
            .unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
        let line = error.to_string();
        assert!(!line.contains('\n'), "{line}");
        assert!(line.contains(self.path().to_str().unwrap()), "{line}");
        line
    }
}

#[tokio::test]
async fn reopening_a_database_keeps_everything() {
    let place = Place::new();
    let store = open(&place.path()).await;
    Store::<Counter>::agree_on_partitions(&store, 4)
        .await
        .unwrap();
    store.claim(ShardId(0), Epoch(1)).await.unwrap();
    place.turn(&store, Epoch(1), 0).await;
    store.close().await;

    let store = open(&place.path()).await;
    assert_eq!(store.highest_epoch().await.unwrap(), Epoch(1));
    assert_eq!(
        Store::<Counter>::agree_on_partitions(&store, 2)
            .await
            .unwrap(),
        4
    );
    let expected = Count {
        total: 1,
        version: 1,
    };
    assert_eq!(count(&store, "a").await, expected);
    let rows = Store::<Counter>::outbox(&store, 0, Sequence(0), 100).await;
    assert_eq!(rows.unwrap()[0].sequence, Sequence(1));
    let claimed = Store::<Counter>::claim(&store, ShardId(0), Epoch(2))
        .await
        .unwrap();
    assert_eq!(claimed.cursors[0].next_offset, 1);
    assert_eq!(claimed.acknowledged[0].last_offset, 100);
}

#[tokio::test]
async fn a_database_killed_between_commits_keeps_what_was_committed() {
    let place = Place::new();
    let store = open(&place.path()).await;
    store.claim(ShardId(0), Epoch(1)).await.unwrap();
    place.turn(&store, Epoch(1), 0).await;
    // What a killed process leaves: the files as they are, nothing closed or checkpointed.
    let copy = Place::new();
    std::fs::create_dir_all(copy.path().parent().unwrap()).unwrap();
    for suffix in ["", "-wal"] {
        let name = |path: PathBuf| PathBuf::from(format!("{}{suffix}", path.display()));
        std::fs::copy(name(place.path()), name(copy.path())).unwrap();
    }
    let copied = open(&copy.path()).await;
    assert_eq!(count(&copied, "a").await.total, 1);
}

#[tokio::test]
async fn an_older_copy_shows_in_what_it_says_of_the_log() {
    let place = Place::new();
    let store = open(&place.path()).await;
    store.claim(ShardId(0), Epoch(1)).await.unwrap();
    place.turn(&store, Epoch(1), 0).await;
    store.close().await;
    let backup = std::fs::read(place.path()).unwrap();

    let store = open(&place.path()).await;
    place.turn(&store, Epoch(1), 1).await;
    place.turn(&store, Epoch(1), 2).await;
    let claimed = Store::<Counter>::claim(&store, ShardId(0), Epoch(2))
        .await
        .unwrap();
    assert_eq!(claimed.acknowledged[0].last_offset, 102);
    store.close().await;

    std::fs::write(place.path(), backup).unwrap();
    let store = open(&place.path()).await;
    let claimed = Store::<Counter>::claim(&store, ShardId(0), Epoch(3))
        .await
        .unwrap();
    assert_eq!(claimed.acknowledged[0].last_offset, 100);
    assert_eq!(claimed.cursors[0].next_offset, 1);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    for content in ["x".repeat(3), "no database at all, ".repeat(1_000)] {
        let place = Place::new();
        std::fs::create_dir_all(place.path().parent().unwrap()).unwrap();
        std::fs::write(place.path(), &content).unwrap();
        let line = place.refusal(&CounterTables::migrations()).await;
        assert!(line.contains("not a SQLite database"), "{line}");
        assert_eq!(std::fs::read_to_string(place.path()).unwrap(), content);
    }
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    const PAGE: usize = 4_096;
    let place = Place::new();
    let store = open(&place.path()).await;
    store.claim(ShardId(0), Epoch(1)).await.unwrap();
    place.turn(&store, Epoch(1), 0).await;
    let page: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = 'counter'")
        .fetch_one(store.reader())
        .await
        .unwrap();
    store.close().await;
    let whole = std::fs::read(place.path()).unwrap();

    // Also a page that starting would not read.
    let mut scribbled = whole.clone();
    let page = usize::try_from(page - 1).unwrap() * PAGE;
    scribbled[page..page + PAGE].fill(0xa5);
    let cut = whole[..whole.len() / 2].to_vec();
    for damaged in [scribbled, cut] {
        std::fs::write(place.path(), &damaged).unwrap();
        let line = place.refusal(&CounterTables::migrations()).await;
        assert!(line.contains("damaged"), "{line}");
        assert_eq!(std::fs::read(place.path()).unwrap(), damaged);
    }
}

#[tokio::test]
async fn a_folder_in_the_files_place_is_refused() {
    let place = Place::new();
    std::fs::create_dir_all(place.path()).unwrap();
    place.refusal(&CounterTables::migrations()).await;
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused() {
    let place = Place::new();
    let newer: Vec<Migration> = CounterTables::migrations()
        .iter()
        .cloned()
        .chain([migration(1_001, "CREATE TABLE later (x)")])
        .collect();
    let newer = Migrator::with_migrations(newer);
    let store = SqliteStore::open(&place.path(), &newer, CounterTables)
        .await
        .unwrap();
    store.close().await;
    let line = place.refusal(&CounterTables::migrations()).await;
    assert!(
        line.contains("newer version of this program (migration 1001)"),
        "{line}"
    );
}

#[tokio::test]
async fn another_services_database_is_refused() {
    let place = Place::new();
    open(&place.path()).await.close().await;
    let other = Migrator::with_migrations(vec![migration(1_000, "CREATE TABLE other (x)")]);
    let line = place.refusal(&other).await;
    assert!(line.contains("another service or version"), "{line}");
}

#[tokio::test]
async fn a_context_stays_out_of_the_librarys_versions() {
    let place = Place::new();
    let stray = Migrator::with_migrations(vec![migration(999, "CREATE TABLE stray (x)")]);
    let line = place.refusal(&stray).await;
    assert!(line.contains("999"), "{line}");
}

/// Changes the database's tables behind the store's back.
async fn alter(place: &Place, statements: &'static str) {
    let url = format!("sqlite:{}", place.path().display());
    let mut conn = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(statements).execute(&mut conn).await.unwrap();
}

#[tokio::test]
async fn a_transaction_that_sqlite_itself_undid_does_not_spoil_the_next() {
    let place = Place::new();
    let (store, _) = probed(&place).await;
    // What a full disk can do to a transaction: it is gone before anyone asks for it.
    alter(
        &place,
        "CREATE TRIGGER full BEFORE INSERT ON counter WHEN new.total = 13
         BEGIN SELECT RAISE(ROLLBACK, 'as on a full disk'); END",
    )
    .await;
    for _ in 0..2 {
        add(&store, "a", 13, Effects::default(), Epoch(1))
            .await
            .unwrap_err();
    }
    add(&store, "a", 1, Effects::default(), Epoch(1))
        .await
        .unwrap();
    assert_eq!(
        count(&store, "a").await,
        Count {
            total: 1,
            version: 1
        }
    );
}

#[tokio::test]
async fn a_value_refused_at_the_commit_itself_rejects_the_whole_turn() {
    let place = Place::new();
    let (store, _) = probed(&place).await;
    alter(
        &place,
        "CREATE TABLE child (key TEXT REFERENCES counter (key) DEFERRABLE INITIALLY DEFERRED);
         CREATE TRIGGER child BEFORE INSERT ON counter WHEN new.total = 13
         BEGIN INSERT INTO child VALUES ('nobody'); END",
    )
    .await;
    let error = add(&store, "a", 13, Effects::default(), Epoch(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
    add(&store, "a", 1, Effects::default(), Epoch(1))
        .await
        .unwrap();
    assert_eq!(
        count(&store, "a").await,
        Count {
            total: 1,
            version: 1
        }
    );
}

#[tokio::test]
async fn transactions_are_counted_by_how_they_end() {
    let place = Place::new();
    let recorder = PrometheusBuilder::new().build_recorder();
    let page = recorder.handle();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (store, _) = probed(&place).await;
    add(&store, "a", 1, Effects::default(), Epoch(1))
        .await
        .unwrap();
    add(&store, "a", -2, Effects::default(), Epoch(1))
        .await
        .unwrap_err();
    drop(store.begin(ShardId(0), Epoch(1)).await.unwrap());

    let page = page.render();
    for line in [
        // The claim and the first turn.
        "store_transactions_total{outcome=\"committed\"} 2",
        "store_transactions_total{outcome=\"rolled_back\"} 2",
        "store_turns_total 3",
    ] {
        assert!(
            page.lines().any(|found| found == line),
            "{line} not in:\n{page}"
        );
    }
}

/// The counters' tables, with a hand on the connection that writes.
#[derive(Clone, Default)]
struct Probe {
    /// How many pages the database may grow to; zero changes nothing.
    pages_max: Arc<AtomicU32>,
    /// The connection's journal mode and `synchronous` level, as last seen.
    durability: Arc<Mutex<(String, i64)>>,
}

impl Tables<Counter, SqliteConnection> for Probe {
    async fn load(&self, tx: &mut SqliteConnection, messages: &[&Add]) -> Result<Counters, Error> {
        let pages = self.pages_max.load(Ordering::Relaxed);
        let limit = format!("PRAGMA max_page_count = {pages}");
        sqlx::query(AssertSqlSafe(limit))
            .execute(&mut *tx)
            .await
            .unwrap();
        let mode = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&mut *tx);
        let mode = mode.await.unwrap();
        let level = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&mut *tx);
        *self.durability.lock().unwrap() = (mode, level.await.unwrap());
        CounterTables.load(tx, messages).await
    }

    async fn save(&self, tx: &mut SqliteConnection, state: &Counters) -> Result<(), Error> {
        CounterTables.save(tx, state).await
    }
}

async fn probed(place: &Place) -> (SqliteStore<Probe>, Probe) {
    let probe = Probe::default();
    let tables = probe.clone();
    let store = SqliteStore::open(&place.path(), &CounterTables::migrations(), tables).await;
    let store = store.unwrap();
    store.claim(ShardId(0), Epoch(1)).await.unwrap();
    (store, probe)
}

#[tokio::test]
async fn a_full_disk_is_worth_another_try() {
    let place = Place::new();
    let (store, probe) = probed(&place).await;
    let effects = || Effects {
        outbox: vec![OutboxBatch {
            topic: "t".repeat(1 << 20),
            partition: 0,
            records: Vec::new(),
        }],
        ..Effects::default()
    };
    probe.pages_max.store(60, Ordering::Relaxed);
    for _ in 0..2 {
        let error = add(&store, "a", 1, effects(), Epoch(1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Retry, "{error}");
    }
    probe.pages_max.store(1 << 30, Ordering::Relaxed);
    add(&store, "a", 1, effects(), Epoch(1)).await.unwrap();
    assert_eq!(count(&store, "a").await.total, 1);
}

#[tokio::test]
async fn a_commit_waits_for_the_disk() {
    const FULL: i64 = 2;
    let place = Place::new();
    let (store, probe) = probed(&place).await;
    add(&store, "a", 1, Effects::default(), Epoch(1))
        .await
        .unwrap();
    assert_eq!(*probe.durability.lock().unwrap(), ("wal".to_owned(), FULL));
}

#[tokio::test]
async fn readers_cannot_write() {
    let place = Place::new();
    let store = open(&place.path()).await;
    let refused = sqlx::query("DELETE FROM shard")
        .execute(store.reader())
        .await;
    assert!(refused.unwrap_err().to_string().contains("readonly"));
    let readers = store.reader().options().get_max_connections();
    assert_eq!(readers, limits::SQLITE_READERS);
}

fn migration(version: i64, sql: &'static str) -> Migration {
    let sql = sql.into_sql_str();
    Migration::new(version, "test".into(), MigrationType::Simple, sql, false)
}

#[tokio::test]
async fn whoever_is_dropped_while_it_begins_holds_up_nobody() {
    let place = Place::new();
    let store = open(&place.path()).await;
    Store::<Counter>::claim(&store, ShardId(0), Epoch(1))
        .await
        .unwrap();
    for polls in 1..=20 {
        // It has come further with every round, from before its first statement to behind its last.
        let mut begin = Box::pin(Store::<Counter>::begin(&store, ShardId(0), Epoch(1)));
        for _ in 0..polls {
            if begin.as_mut().now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(begin);
        let url = format!("sqlite:{}", place.path().display());
        let mut other = SqliteConnection::connect(&url).await.unwrap();
        let locked = sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await;
        locked.unwrap();
        other.close().await.unwrap();
        let turn = Store::<Counter>::begin(&store, ShardId(0), Epoch(1)).await;
        drop(turn.unwrap());
    }
}
