//! What the store in memory shows that a file with one writer cannot: turns side by side, waiting
//! for rows, and commits that outlive their client.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use messaging::shard::{Epoch, ShardId};
use messaging::store::contract::counter::{Add, COUNTER, Count, Counter, CounterTables, Counters};
use messaging::store::memory::{Commit, MemoryStore, MemoryTurn, Observer, Timeouts, Tx};
use messaging::store::{
    CursorMove, Effects, Error, ErrorKind, RecordHash, Sequence, Store, Tables, Turn,
};

const FIRST: Epoch = Epoch(1);
const SHARDS: [ShardId; 2] = [ShardId(0), ShardId(1)];
const SECOND: Duration = Duration::from_secs(1);

/// The counters' tables, as a context would have them that locks what it reads before it reads.
struct Locking;

impl Tables<Counter, Tx> for Locking {
    async fn load(&self, tx: &mut Tx, messages: &[&Add]) -> Result<Counters, Error> {
        for add in messages {
            tx.lock(COUNTER, add.key.as_bytes()).await?;
        }
        CounterTables.load(tx, messages).await
    }

    async fn save(&self, tx: &mut Tx, state: &Counters) -> Result<(), Error> {
        CounterTables.save(tx, state).await
    }
}

async fn store<T: Tables<Counter, Tx>>(tables: T) -> MemoryStore<T> {
    let store = MemoryStore::new(tables);
    for shard in SHARDS {
        store.claim(shard, FIRST).await.unwrap();
    }
    store
}

fn total<T>(store: &MemoryStore<T>, key: &str) -> i64 {
    let row = store
        .reader()
        .select(|rows| rows.get::<Count>(COUNTER, key.as_bytes()));
    row.unwrap().map_or(0, |count| count.total)
}

async fn load<T: Tables<Counter, Tx>>(
    turn: &mut MemoryTurn<T>,
    keys: &[&str],
) -> Result<Counters, Error> {
    let adds: Vec<Add> = keys
        .iter()
        .map(|key| Add {
            key: (*key).to_owned(),
            amount: 1,
        })
        .collect();
    turn.load(&adds.iter().collect::<Vec<_>>()).await
}

/// Adds one to each of `keys`.
async fn add<T: Tables<Counter, Tx>>(
    store: &MemoryStore<T>,
    shard: ShardId,
    keys: &[&str],
) -> Result<(), Error> {
    let mut turn = store.begin(shard, FIRST).await?;
    let mut state = load(&mut turn, keys).await?;
    for key in keys {
        state.entry((*key).to_owned()).or_default().total += 1;
    }
    turn.commit(Some(&state), Effects::default()).await?;
    Ok(())
}

fn kind<V>(result: Result<V, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

#[tokio::test(start_paused = true)]
async fn turns_of_two_shards_run_side_by_side() {
    let store = store(Locking).await;
    let mut one = store.begin(SHARDS[0], FIRST).await.unwrap();
    let mut two = store.begin(SHARDS[1], FIRST).await.unwrap();
    load(&mut one, &["a"]).await.unwrap();
    load(&mut two, &["b"]).await.unwrap();
    let state = |key: &str| Counters::from([(key.to_owned(), Count::default())]);
    two.commit(Some(&state("b")), Effects::default())
        .await
        .unwrap();
    one.commit(Some(&state("a")), Effects::default())
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_locks_a_row_before_it_reads_it_loses_nothing() {
    let store = store(Locking).await;
    for _ in 0..20 {
        let turns = tokio::join!(
            add(&store, SHARDS[0], &["a"]),
            add(&store, SHARDS[1], &["a"])
        );
        turns.0.unwrap();
        turns.1.unwrap();
    }
    assert_eq!(total(&store, "a"), 40);
}

/// The mistake that the row locks are there to show.
#[tokio::test(start_paused = true)]
async fn who_reads_a_row_before_it_locks_it_loses_an_update() {
    let store = store(CounterTables).await;
    let turns = tokio::join!(
        add(&store, SHARDS[0], &["a"]),
        add(&store, SHARDS[1], &["a"])
    );
    turns.0.unwrap();
    turns.1.unwrap();
    assert_eq!(total(&store, "a"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_deadlock_undoes_the_younger_turn_only() {
    let store = store(Locking).await;
    let turns = tokio::join!(
        add(&store, SHARDS[0], &["a", "b"]),
        add(&store, SHARDS[1], &["b", "a"])
    );
    turns.0.unwrap();
    assert_eq!(kind(turns.1), Some(ErrorKind::Retry));
    assert_eq!((total(&store, "a"), total(&store, "b")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_row_that_stays_locked_is_waited_for_up_to_the_timeout() {
    let store = store(Locking).await;
    let mut holder = store.begin(SHARDS[0], FIRST).await.unwrap();
    load(&mut holder, &["a"]).await.unwrap();
    let began = tokio::time::Instant::now();
    let waited = add(&store, SHARDS[1], &["a"]).await;
    assert_eq!(kind(waited), Some(ErrorKind::Retry));
    assert_eq!(began.elapsed(), Timeouts::default().lock);
    holder.commit(None, Effects::default()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_paused_holder_is_undone_by_who_waits_for_it() {
    let store = store(Locking).await;
    let mut paused = store.begin(SHARDS[0], FIRST).await.unwrap();
    let state = load(&mut paused, &["a"]).await.unwrap();
    tokio::time::sleep(Timeouts::default().idle_in_transaction - SECOND).await;
    add(&store, SHARDS[1], &["a"]).await.unwrap();
    // Its shard is free as well.
    store.claim(SHARDS[0], Epoch(2)).await.unwrap();
    let woken = paused.commit(Some(&state), Effects::default()).await;
    assert_eq!(kind(woken), Some(ErrorKind::Retry));
    assert_eq!(total(&store, "a"), 1);
}

fn effects(from: i64, to: i64) -> Effects {
    Effects {
        cursors: vec![CursorMove {
            topic: "toy.commands".to_owned(),
            from,
            to,
            last_hash: RecordHash([0; 16]),
        }],
        ..Effects::default()
    }
}

async fn start_late(store: &MemoryStore<CounterTables>, after: Duration) {
    let turn = store.begin(SHARDS[0], FIRST).await.unwrap();
    let state = Counters::from([(
        "a".to_owned(),
        Count {
            total: 7,
            version: 1,
        },
    )]);
    turn.commit_late::<Counter>(Some(&state), effects(0, 7), after)
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_lands_before_the_shards_next_turn_begins() {
    let store = store(CounterTables).await;
    start_late(&store, SECOND).await;
    assert_eq!(total(&store, "a"), 0);
    let mut next = store.begin(SHARDS[0], FIRST).await.unwrap();
    assert_eq!(next.cursors().await.unwrap()[0].next_offset, 7);
    assert_eq!(total(&store, "a"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_is_waited_for_again_and_again_but_never_given_up() {
    let store = store(CounterTables).await;
    start_late(&store, 60 * SECOND).await;
    let mut refused = 0;
    let claimed = loop {
        match store.claim(SHARDS[0], Epoch(2)).await {
            Ok(claimed) => break claimed,
            Err(error) => assert_eq!(error.kind, ErrorKind::Retry),
        }
        refused += 1;
    };
    assert!(refused > 10, "{refused} tries timed out");
    assert_eq!(claimed.cursors[0].next_offset, 7);
}

#[tokio::test(start_paused = true)]
async fn a_late_commit_that_would_be_refused_is_refused_at_once() {
    let store = store(CounterTables).await;
    let turn = store.begin(SHARDS[0], FIRST).await.unwrap();
    turn.commit(None, effects(0, 7)).await.unwrap();
    let turn = store.begin(SHARDS[0], FIRST).await.unwrap();
    let late = turn
        .commit_late::<Counter>(None, effects(0, 7), SECOND)
        .await;
    assert_eq!(kind(late), Some(ErrorKind::CursorMoved));
    store.begin(SHARDS[0], FIRST).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_older_copy_put_back_undoes_what_came_after_and_what_was_under_way() {
    let store = store(CounterTables).await;
    add(&store, SHARDS[1], &["b"]).await.unwrap();
    let older = store.snapshot();
    add(&store, SHARDS[1], &["b"]).await.unwrap();
    start_late(&store, SECOND).await;
    let open = store.begin(SHARDS[1], FIRST).await.unwrap();
    store.restore(older);
    let lost = open.commit(None, effects(0, 3)).await;
    assert_eq!(kind(lost), Some(ErrorKind::Retry));
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!((total(&store, "a"), total(&store, "b")), (0, 1));
    // A begin waits for nobody.
    let mut turn = store.begin(SHARDS[0], FIRST).await.unwrap();
    assert_eq!(turn.cursors().await.unwrap(), []);
}

/// What an observer was told, in words.
#[derive(Default)]
struct Told {
    store: Mutex<Option<MemoryStore<CounterTables>>>,
    lines: Mutex<Vec<String>>,
}

impl Observer for Told {
    fn claimed(&self, shard: ShardId, epoch: Epoch) {
        let line = format!("shard {shard} claimed with {epoch}");
        self.lines.lock().unwrap().push(line);
    }

    fn committed(&self, commit: &Commit<'_>) {
        let store = self.store.lock().unwrap();
        let now = store.as_ref().map(|store| total(store, "a"));
        let changes = commit.changes.iter().map(|change| {
            let total = |row: &Option<messaging::store::memory::Row>| {
                let row = row.as_ref()?;
                Some(row.downcast_ref::<Count>()?.total)
            };
            let key = String::from_utf8_lossy(&change.key).into_owned();
            format!(
                "{} {key}: {:?} to {:?}",
                change.table,
                total(&change.before),
                total(&change.after)
            )
        });
        let line = format!(
            "shard {} under {} wrote {:?}, {} rows, {} cursors; the reader finds {now:?}",
            commit.shard,
            commit.epoch,
            changes.collect::<Vec<_>>(),
            commit.rows.len(),
            commit.effects.cursors.len(),
        );
        self.lines.lock().unwrap().push(line);
    }
}

#[tokio::test(start_paused = true)]
async fn an_observer_is_told_of_claims_and_commits_as_they_happen() {
    let store = store(CounterTables).await;
    let told = Arc::new(Told::default());
    *told.store.lock().unwrap() = Some(store.clone());
    store.observe(Arc::clone(&told) as Arc<dyn Observer>);
    store.claim(SHARDS[0], Epoch(2)).await.unwrap();
    let turn = store.begin(SHARDS[0], Epoch(2)).await.unwrap();
    let state = Counters::from([(
        "a".to_owned(),
        Count {
            total: 7,
            version: 1,
        },
    )]);
    turn.commit_late::<Counter>(Some(&state), effects(0, 7), SECOND)
        .await
        .unwrap();
    // Refused and dropped turns are nobody's news.
    drop(store.begin(SHARDS[1], FIRST).await.unwrap());
    assert!(store.claim(SHARDS[1], FIRST).await.is_err());
    add(&store, SHARDS[1], &["b"]).await.unwrap();
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(
        *told.lines.lock().unwrap(),
        [
            "shard 0 claimed with 2",
            r#"shard 1 under 1 wrote ["counter b: None to Some(1)"], 0 rows, 0 cursors; the reader finds Some(0)"#,
            r#"shard 0 under 2 wrote ["counter a: None to Some(7)"], 0 rows, 1 cursors; the reader finds Some(7)"#,
        ]
    );
    assert_eq!(store.outbox(0, Sequence(0), 1).await.unwrap(), []);
    told.store.lock().unwrap().take();
}
