//! What survives when the machine dies: over a disk that forgets what was not synced, at every
//! change, with the write under way torn at every byte.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Runtime;

use super::api::Broker;
use super::batch::{Header, LENGTH_OVERHEAD};
use super::offsets::{Commit, Committed};
use super::{Config, open_broker, testing};
use crate::files::Files;
use crate::files::faulty::{Disk, Last, Survival, Syncs};

const GROUP: &str = "g";

/// What a client was told, and what it tried last without an answer.
#[derive(Debug, Default)]
struct Told {
    topics: BTreeSet<&'static str>,
    deleted: BTreeSet<&'static str>,
    /// The answer to the last attempt to create or delete this topic is not known.
    unsure: Option<&'static str>,
    /// Batches by topic, partition and first offset, without what the log changes in them.
    records: BTreeMap<(&'static str, i32, i64), Bytes>,
    /// First offset that may be read, as told, and as asked for.
    start: i64,
    start_asked: i64,
    committed: Option<i64>,
    committed_asked: Option<i64>,
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn config() -> Config {
    Config {
        segment_bytes: 250,
        ..Config::new("/log")
    }
}

/// Opens the log on this disk.
pub(super) fn open(disk: &Disk) -> Result<Arc<Broker>, crate::Error> {
    let dir = Path::new("/log");
    disk.create_dir(dir).map_err(|e| crate::Error::io(dir, e))?;
    disk.sync_dir(Path::new("/"))
        .map_err(|e| crate::Error::io(dir, e))?;
    open_broker(Arc::new(disk.clone()), &config()).map(Arc::new)
}

/// A bit of everything that the log makes durable.
async fn scenario(disk: &Disk, told: &mut Told) -> Done {
    let broker = open(disk)?;
    create(&broker, "orders", told)?;
    append(&broker, "orders", 0, &["a"], told).await?;
    append(&broker, "orders", 0, &["b", "c"], told).await?;
    append_together(&broker, told).await?;
    commit(&broker, 1, told)?;
    create(&broker, "stock", told)?;
    append(&broker, "stock", 1, &["x"], told).await?;
    remove_before(&broker, 3, told)?;
    append(&broker, "orders", 0, &["f"], told).await?;
    commit(&broker, 4, told)?;
    drop(broker);
    // A restart, and then the end of the topic.
    let broker = open(disk)?;
    append(&broker, "orders", 0, &["g"], told).await?;
    delete(&broker, "stock", told)?;
    remove_before(&broker, 7, told)?;
    append(&broker, "orders", 0, &["h"], told).await?;
    Ok(())
}

fn create(broker: &Broker, topic: &'static str, told: &mut Told) -> Done {
    told.unsure = Some(topic);
    broker.topics.create(topic, 2)?;
    told.topics.insert(topic);
    told.unsure = None;
    Ok(())
}

fn delete(broker: &Broker, topic: &'static str, told: &mut Told) -> Done {
    told.unsure = Some(topic);
    broker.topics.delete(topic)?;
    told.topics.remove(topic);
    told.deleted.insert(topic);
    told.unsure = None;
    Ok(())
}

async fn append(
    broker: &Broker,
    topic: &'static str,
    number: i32,
    values: &[&str],
    told: &mut Told,
) -> Done {
    let batch = testing::batch(values);
    let partition = broker
        .topics
        .partition(topic, number)
        .ok_or("no partition")?;
    let offset = partition.append(batch.clone()).await?;
    told.records.insert((topic, number, offset), opaque(&batch));
    Ok(())
}

/// Two producers whose batches share a sync.
async fn append_together(broker: &Broker, told: &mut Told) -> Done {
    let partition = broker.topics.partition("orders", 0).ok_or("no partition")?;
    let (first, second) = (testing::batch(&["d"]), testing::batch(&["e"]));
    let (one, two) = tokio::join!(
        partition.append(first.clone()),
        partition.append(second.clone())
    );
    for (offset, batch) in [(one, first), (two, second)] {
        told.records.insert(("orders", 0, offset?), opaque(&batch));
    }
    Ok(())
}

fn commit(broker: &Broker, offset: i64, told: &mut Told) -> Done {
    told.committed_asked = Some(offset);
    let committed = Committed {
        offset,
        metadata: String::new(),
    };
    let commit = Commit {
        topic: "orders".to_owned(),
        partition: 0,
        committed,
    };
    broker.offsets.commit(GROUP, vec![commit])?;
    told.committed = Some(offset);
    Ok(())
}

fn remove_before(broker: &Broker, offset: i64, told: &mut Told) -> Done {
    told.start_asked = offset;
    let partition = broker.topics.partition("orders", 0).ok_or("no partition")?;
    told.start = partition.remove_before(offset)?.start;
    Ok(())
}

/// A batch without the fields that the log fills in.
fn opaque(batch: &Bytes) -> Bytes {
    batch.slice(LENGTH_OVERHEAD + 4..)
}

/// What a recovered log owes the client; an empty list if all is well.
fn violations(disk: &Disk, told: &Told) -> Vec<String> {
    let broker = match open(disk) {
        Ok(broker) => broker,
        Err(error) => return vec![format!("the log does not open: {error}")],
    };
    let mut found = Vec::new();
    for topic in told
        .topics
        .iter()
        .filter(|topic| told.unsure != Some(**topic))
    {
        if broker.topics.get(topic).is_none() {
            found.push(format!("topic {topic} is lost"));
        }
    }
    for topic in &told.deleted {
        if broker.topics.get(topic).is_some() {
            found.push(format!("deleted topic {topic} is back"));
        }
    }
    for ((topic, number, offset), batch) in &told.records {
        let owed = told.topics.contains(topic)
            && told.unsure != Some(*topic)
            && (*topic != "orders" || *offset >= told.start_asked);
        if owed && stored(&broker, topic, *number, *offset).as_ref() != Some(batch) {
            found.push(format!("{topic}/{number}: the batch at {offset} is lost"));
        }
    }
    for topic in broker.topics.all() {
        for partition in &topic.partitions {
            let bounds = partition.bounds();
            if topic.name == "orders" && !(told.start..=told.start_asked).contains(&bounds.start) {
                let of_other = !Arc::ptr_eq(partition, &topic.partitions[0]);
                if !of_other {
                    found.push(format!("the log starts at {}", bounds.start));
                }
            }
            if !is_contiguous(partition, bounds.start, bounds.end) {
                found.push(format!("{}: offsets are not contiguous", topic.name));
            }
        }
    }
    let committed = broker
        .offsets
        .get(GROUP, "orders", 0)
        .map(|committed| committed.offset);
    if committed != told.committed && committed != told.committed_asked {
        found.push(format!("the group stands at {committed:?}"));
    }
    found
}

fn stored(broker: &Broker, topic: &str, number: i32, offset: i64) -> Option<Bytes> {
    let partition = broker.topics.partition(topic, number)?;
    let batches = partition.read(offset, 1, true).ok()?.batches;
    let header = Header::verify(&batches).ok()?;
    (header.base_offset == offset).then(|| opaque(&batches.slice(..header.bytes)))
}

fn is_contiguous(partition: &super::partition::Partition, start: i64, end: i64) -> bool {
    let Ok(read) = partition.read(start, 1 << 20, true) else {
        return false;
    };
    let (mut batches, mut next) = (&read.batches[..], None);
    while let Ok(header) = Header::verify(batches) {
        let follows = next.map_or(header.base_offset <= start, |next| {
            header.base_offset == next
        });
        if !follows {
            return false;
        }
        next = Some(header.next_offset());
        batches = &batches[header.bytes..];
    }
    batches.is_empty() && next.unwrap_or(start) == end
}

/// What a crash may leave, given the length of the write that was under way: that write torn at
/// every byte, together with all or none of what was not synced before it; mixtures untorn.
fn survivals(last_write_bytes: usize) -> Vec<Survival> {
    let whole = Last::Torn(last_write_bytes);
    let mut survivals = Vec::new();
    for (names, others) in [(false, false), (false, true), (true, false), (true, true)] {
        survivals.push(Survival {
            names,
            others,
            last: Last::Synced,
        });
        survivals.push(Survival {
            names,
            others,
            last: whole,
        });
    }
    for kept in 0..last_write_bytes {
        survivals.push(Survival {
            names: false,
            others: false,
            last: Last::Torn(kept),
        });
        survivals.push(Survival {
            names: true,
            others: true,
            last: Last::Torn(kept),
        });
        survivals.push(Survival {
            names: true,
            others: true,
            last: Last::TornZeroed(kept),
        });
    }
    survivals
}

/// Runs the scenario until the machine dies at a change; tells whether it was reached.
fn run(runtime: &Runtime, disk: &Disk, crash_at: u64) -> (Told, bool) {
    let mut told = Told::default();
    disk.crash_at(crash_at);
    let done = runtime.block_on(scenario(disk, &mut told));
    (told, done.is_err())
}

/// What was readable after recovery stays, and there is room for more behind it.
fn assert_goes_on(disk: &Disk, told: &Told) {
    let ends = |broker: &Broker| -> Vec<i64> {
        let topics = broker.topics.all();
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.bounds().end).collect()
    };
    let broker = open(disk).unwrap();
    let readable = ends(&broker);
    let synced = Survival {
        names: false,
        others: false,
        last: Last::Synced,
    };
    let again = open(&disk.after_crash(synced)).unwrap();
    assert_eq!(
        ends(&again),
        readable,
        "what was read after recovery is gone"
    );
    for topic in broker.topics.all() {
        for _ in 0..4 {
            let store = topic.partitions[0].store();
            store.append(&[testing::batch(&[""])], 0).unwrap();
        }
    }
    drop(broker);
    let found = violations(disk, told);
    assert!(found.is_empty(), "after going on: {found:?}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

#[test]
fn nothing_acknowledged_is_lost_whenever_the_machine_dies_and_wherever_it_tears() {
    let runtime = runtime();
    let mut tried = 0;
    for crash_at in 1.. {
        let disk = Disk::new(Syncs::Honest);
        let (told, crashed) = run(&runtime, &disk, crash_at);
        for survival in survivals(disk.last_write_bytes()) {
            let found = violations(&disk.after_crash(survival), &told);
            assert!(
                found.is_empty(),
                "dead at change {crash_at}, {survival:?}: {found:?}\n{told:?}"
            );
            tried += 1;
        }
        if !crashed {
            assert!(crash_at > 100, "the scenario changes a lot: {crash_at}");
            break;
        }
    }
    assert!(tried > 5_000, "{tried} ways to die");
}

#[test]
fn dying_again_during_recovery_loses_nothing_either() {
    let runtime = runtime();
    for crash_at in 1.. {
        let disk = Disk::new(Syncs::Honest);
        let (told, crashed) = run(&runtime, &disk, crash_at);
        assert_goes_on(&disk.after_kill(), &told);
        let half = Last::Torn(disk.last_write_bytes() / 2);
        let almost = Last::Torn(disk.last_write_bytes().saturating_sub(1));
        assert_goes_on(
            &disk.after_crash(Survival {
                names: true,
                others: true,
                last: almost,
            }),
            &told,
        );
        for names in [false, true] {
            let first = Survival {
                names,
                others: true,
                last: half,
            };
            let recovering = disk.after_crash(first);
            open(&recovering).unwrap();
            for again in 1..=recovering.changes() {
                let recovering = disk.after_crash(first);
                recovering.crash_at(again);
                drop(open(&recovering));
                for (names, last) in [(false, Last::Synced), (true, Last::Torn(usize::MAX))] {
                    let second = Survival {
                        names,
                        others: names,
                        last,
                    };
                    let found = violations(&recovering.after_crash(second), &told);
                    assert!(
                        found.is_empty(),
                        "dead at {crash_at} and {again}, {second:?}: {found:?}"
                    );
                }
            }
        }
        if !crashed {
            break;
        }
    }
}

#[test]
fn recovery_done_twice_changes_nothing() {
    let disk = Disk::new(Syncs::Honest);
    let (told, _) = run(&runtime(), &disk, u64::MAX / 2);
    let bounds = |disk: &Disk| {
        let broker = open(disk).unwrap();
        let topics = broker.topics.all();
        let partitions = topics.iter().flat_map(|topic| &topic.partitions);
        partitions
            .map(|partition| partition.bounds())
            .collect::<Vec<_>>()
    };
    let first = bounds(&disk);
    assert_eq!(bounds(&disk), first);
    assert!(violations(&disk, &told).is_empty());
}

#[test]
fn the_checker_notices_a_log_that_does_not_sync() {
    for syncs in [Syncs::Nothing, Syncs::NamesOnly] {
        let runtime = runtime();
        let mut noticed = 0;
        for crash_at in 1.. {
            let disk = Disk::new(syncs);
            let (told, crashed) = run(&runtime, &disk, crash_at);
            let survival = Survival {
                names: false,
                others: false,
                last: Last::Synced,
            };
            noticed += violations(&disk.after_crash(survival), &told)
                .iter()
                .filter(|found| found.contains("lost") || found.contains("does not open"))
                .count();
            if !crashed {
                break;
            }
        }
        assert!(noticed > 0, "{syncs:?} goes unnoticed");
    }
}
