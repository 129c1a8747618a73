//! The store as a whole, judged by the same rules as the simulator's and `shop audit`'s.

use audit::checkpoint::Checkpoints;
use audit::fold::{Claims, Known};
use audit::record::{Record, Topic};
use audit::report::Report;
use audit::snapshot::{Partition, Snapshot};
use messaging::log::Log;

use super::PARTITIONS;
use super::backstage::Backstage;
use super::check;
use super::client::What;
use super::load::History;
use super::process::Role;
use super::rows;
use super::topics::Topics;

/// A store that has settled.
pub(crate) async fn snapshot(
    backstage: &Backstage,
    topics: &Topics,
    history: &History,
) -> Result<Snapshot, sqlx::Error> {
    let mut order = backstage.database(Role::Order).await?;
    let mut inventory = backstage.database(Role::Inventory).await?;
    let mut conflicts = rows::conflicts(&mut order).await?;
    conflicts.append(&mut rows::conflicts(&mut inventory).await?);
    Ok(Snapshot {
        partitions: PARTITIONS,
        log: log(topics).await,
        orders: rows::orders(&mut order).await?,
        reservations: rows::reservations(&mut inventory).await?,
        stock: rows::stock(&mut inventory).await?,
        checkpoints: Checkpoints {
            order: rows::checkpoint(&mut order).await?,
            inventory: rows::checkpoint(&mut inventory).await?,
        },
        // Nothing may be parked in this traffic, and `check` sees that nothing is.
        known: Known {
            conflicts,
            ..Known::default()
        },
        claims: claims(history),
        ..Snapshot::default()
    })
}

async fn log(topics: &Topics) -> Vec<Partition> {
    let mut log = Vec::new();
    for topic in Topic::ALL {
        for partition in 0..PARTITIONS {
            let mut records = Vec::new();
            for consumed in topics.partition(topic.name(), partition).await {
                let place = (partition, PARTITIONS);
                let record = Record::of(topic, place, &consumed, &topics.registry).await;
                records.push(record.unwrap());
            }
            log.push(Partition {
                topic,
                partition,
                bounds: topics.log.bounds(topic.name(), partition).await.unwrap(),
                records,
            });
        }
    }
    log
}

/// What clients were told, by the ids of their commands. Receipts have none.
fn claims(history: &History) -> Claims {
    let commands = history.sent.iter();
    commands
        .filter(|sent| !matches!(sent.what, What::Receive(_)))
        .map(|sent| {
            let told = check::told(sent.answer);
            (sent.request_id.clone(), told)
        })
        .collect()
}

/// What the report holds against the store, one line each.
pub(crate) fn offences(report: &Report) -> Vec<String> {
    let offenders = report.offenders.iter().map(ToString::to_string);
    let unsettled = report.unsettled.iter().map(|(why, what)| {
        format!(
            "{} {why}, although all is settled: {:?}",
            what.count, what.examples
        )
    });
    offenders.chain(unsettled).collect()
}
