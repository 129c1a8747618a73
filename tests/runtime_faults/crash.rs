//! A service that is cut off at random awaits, again and again, under random faults: every command
//! counts once, and every event stands in the log, first occurrences in order.

use std::collections::BTreeMap;
use std::time::Duration;

use messaging::ids::{Ids, SystemIds};
use messaging::log::memory::AppendFault;
use messaging::log::{ErrorKind, Log};
use messaging::message::Message;
use messaging::store::Store;
use messaging::store::contract::counter::{Counted, Counter, CounterTables};
use messaging::store::sqlite::SqliteStore;

use crate::store::{CommitFault, Faults, Faulty};
use crate::wait::eventually;
use crate::world::{World, in_memory};

const KEYS: [&str; 5] = ["a", "b", "c", "d", "e"];
const LIVES: usize = 8;
const COMMANDS_PER_LIFE: usize = 12;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// The number of commands and their sum, per key.
type Expected = BTreeMap<&'static str, (i64, i64)>;

async fn one_fault<S: Store<Counter>>(world: &World<S>, faults: &Faults, dice: &mut Dice) {
    use AppendFault::{AcknowledgementLost, FailBefore, Twice};
    use CommitFault::{Fails, UnknownAndDone, UnknownAndLost};
    match dice.below(6) {
        0 => world
            .log
            .fail_append(dice.of(&[AcknowledgementLost, FailBefore, Twice])),
        1 => world.log.fail_read(ErrorKind::Retry),
        2 | 3 => faults.commit(dice.of(&[Fails, UnknownAndDone, UnknownAndLost])),
        4 => {
            // An append of an earlier owner lands late.
            let partition = i32::try_from(dice.below(2)).unwrap();
            if world
                .log
                .partitions(Counted::TOPIC)
                .await
                .unwrap()
                .is_some()
            {
                let records = world.log.records(Counted::TOPIC, partition);
                if !records.is_empty() {
                    let late = records[dice.below(records.len())].record.clone();
                    let _ = world
                        .log
                        .append(Counted::TOPIC, partition, vec![late])
                        .await;
                }
            }
        }
        _ => {}
    }
}

/// One life of the service: commands come, some twice; then it is cut off.
async fn live<S: Store<Counter>>(
    world: &mut World<S>,
    faults: &Faults,
    dice: &mut Dice,
    expected: &mut Expected,
) {
    let service = world.launch(2);
    let cut_at = dice.below(COMMANDS_PER_LIFE);
    for nth in 0..COMMANDS_PER_LIFE {
        one_fault(world, faults, dice).await;
        let key = dice.of(&KEYS);
        let amount = i64::try_from(dice.below(9)).unwrap();
        let record = world.add(key, amount);
        for _ in 0..=dice.below(2) {
            world.append(key, &record).await;
        }
        let (count, total) = expected.entry(key).or_default();
        (*count, *total) = (*count + 1, *total + amount);
        if nth == cut_at {
            service.task.abort();
        }
        for _ in 0..dice.below(40) {
            tokio::task::yield_now().await;
        }
        if dice.below(3) == 0 {
            tokio::time::sleep(Duration::from_millis(dice.below(40) as u64)).await;
        }
    }
}

/// First occurrences per key: versions 1, 2, 3, ... and the last total.
async fn folded<S: Store<Counter>>(world: &World<S>, seed: u64) -> BTreeMap<String, (i64, i64)> {
    let mut folded: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    let mut first = BTreeMap::new();
    for event in world.events().await {
        let (version, total) = folded.entry(event.key.clone()).or_default();
        if event.version > *version {
            assert_eq!(
                event.version,
                *version + 1,
                "seed {seed}: a gap in {event:?}"
            );
            (*version, *total) = (event.version, event.total);
            first.insert((event.key.clone(), event.version), event);
        } else {
            let before = &first[&(event.key.clone(), event.version)];
            assert_eq!(
                *before, event,
                "seed {seed}: another event of the same version"
            );
        }
    }
    folded
}

async fn check<S: Store<Counter>>(mut world: World<S>, faults: &Faults, seed: u64) {
    let mut dice = Dice(seed);
    let mut expected = Expected::new();
    for _ in 0..LIVES {
        live(&mut world, faults, &mut dice, &mut expected).await;
    }
    faults.clear();
    let service = world.running().await;
    let expected: BTreeMap<String, (i64, i64)> = expected
        .into_iter()
        .map(|(key, outcome)| (key.to_owned(), outcome))
        .collect();
    eventually(&format!("seed {seed}: every command counted"), async || {
        let found = folded(&world, seed).await;
        for (key, (count, total)) in &found {
            assert!(
                *count <= expected[key].0,
                "seed {seed}: {key} is {count}, {total}"
            );
        }
        (found == expected).then_some(())
    })
    .await;
    world.outbox_empty().await;
    service.stop().await;
    assert_eq!(folded(&world, seed).await, expected, "seed {seed}");
}

#[tokio::test(start_paused = true)]
async fn every_command_counts_once_wherever_the_service_is_cut_off() {
    for seed in 0..40 {
        let store = in_memory();
        let faults = std::sync::Arc::clone(&store.faults);
        check(World::new(2, store).await, &faults, seed).await;
    }
}

#[tokio::test]
async fn the_same_over_sqlite() {
    let seed = SystemIds.random();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("counter.db");
    let sqlite = SqliteStore::open(&path, &CounterTables::migrations(), CounterTables)
        .await
        .unwrap();
    let store = Faulty::new(sqlite);
    let faults = std::sync::Arc::clone(&store.faults);
    check(World::new(2, store).await, &faults, seed).await;
}
