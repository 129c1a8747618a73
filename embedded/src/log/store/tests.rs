//! A disk that is full, a device that fails, and records past their time.

use std::sync::Arc;

use crate::files::faulty::{Disk, Syncs};
use crate::log::api::Broker;
use crate::log::durability::open;
use crate::log::partition::Partition;
use crate::log::read::{Read, ReadError};
use crate::log::{Retention, testing};

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(test);
}

/// The log on this disk, and its one partition of orders.
fn opened(disk: &Disk) -> (Arc<Broker>, Arc<Partition>) {
    let broker = open(disk).unwrap();
    let partition = broker.topics.partition("orders", 0).unwrap();
    (broker, partition)
}

fn created(disk: &Disk) -> (Arc<Broker>, Arc<Partition>) {
    open(disk).unwrap().topics.create("orders", 1).unwrap();
    opened(disk)
}

#[test]
fn a_full_disk_refuses_and_goes_on_when_there_is_room() {
    let disk = Disk::new(Syncs::Honest);
    block_on(async {
        let (broker, partition) = created(&disk);
        disk.fail_writes(true);
        partition.append(testing::batch(&["a"])).await.unwrap_err();
        disk.fail_writes(false);
        assert_eq!(partition.append(testing::batch(&["b"])).await.unwrap(), 0);
        drop(broker);
        let (_broker, partition) = opened(&disk);
        assert_eq!(partition.bounds().end, 1);
    });
}

#[test]
fn after_a_failed_sync_the_partition_takes_no_writes_until_it_is_recovered() {
    let disk = Disk::new(Syncs::Honest);
    block_on(async {
        let (broker, partition) = created(&disk);
        disk.fail_syncs(true);
        partition.append(testing::batch(&["a"])).await.unwrap_err();
        disk.fail_syncs(false);
        partition.append(testing::batch(&["b"])).await.unwrap_err();
        assert_eq!(
            partition.bounds().end,
            0,
            "what may not be durable is not read"
        );
        drop(broker);
        let (_broker, partition) = opened(&disk);
        partition.append(testing::batch(&["c"])).await.unwrap();
    });
}

#[test]
fn records_past_retention_are_removed_in_whole_segments() {
    let disk = Disk::new(Syncs::Honest);
    block_on(async {
        let (broker, partition) = created(&disk);
        for _ in 0..10 {
            partition.append(testing::batch(&["a"])).await.unwrap();
        }
        let hour = std::time::Duration::from_secs(3600);
        let now = crate::clock::now_ms();
        let by_size = Retention {
            max_age: hour,
            max_bytes: Some(600),
        };
        broker.retain(by_size, now);
        let start = partition.bounds().start;
        assert!(
            (1..10).contains(&start),
            "the oldest segments are gone: {start}"
        );
        let by_age = Retention {
            max_age: hour,
            max_bytes: None,
        };
        broker.retain(by_age, now + 1_800_000);
        assert_eq!(partition.bounds().start, start, "nothing is old enough");
        broker.retain(by_age, now + 3_700_000);
        assert_eq!(partition.bounds().start, 10);
        assert_eq!(partition.append(testing::batch(&["b"])).await.unwrap(), 10);
    });
}

#[test]
fn memory_answers_as_the_files_do() {
    let disk = Disk::new(Syncs::Honest);
    block_on(async {
        let (broker, partition) = created(&disk);
        for _ in 0..10 {
            partition
                .append(testing::batch(&["a", "b", "c"]))
                .await
                .unwrap();
        }
        let answer = |read: Result<Read, ReadError>| match read {
            Ok(read) => Ok((read.batches, read.bounds)),
            Err(error) => Err(error.to_string()),
        };
        for (offset, bytes, one) in (-1..=31)
            .flat_map(|offset| {
                [1, 100, 250, 10_000].map(|bytes| [(offset, bytes, true), (offset, bytes, false)])
            })
            .flatten()
        {
            let recent = partition.read_recent(offset, bytes, one).unwrap();
            let stored = partition.read(offset, bytes, one);
            assert_eq!(answer(recent), answer(stored), "{offset} {bytes} {one}");
        }
        drop(broker);
        let (_broker, partition) = opened(&disk);
        assert!(
            partition.read_recent(0, 1, true).is_none(),
            "nothing is kept over a start"
        );
    });
}
