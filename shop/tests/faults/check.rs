//! What must hold of a store that has settled, beyond what the audit proves.

use std::collections::{BTreeMap, HashSet};

use audit::record::{Body, Message};
use audit::snapshot::Snapshot;

use crate::client::{Answer, What};
use crate::database::Database;
use crate::load::{History, Sent};
use crate::process::Role;
use crate::rows;
use crate::world::World;

/// What is broken, one line each.
pub(crate) type Broken = Vec<String>;

/// F1, as far as the audit cannot know it: receipts, whose messages get their ids from the gateway;
/// commands that nobody sent; clients who were told that an order stands with other content.
pub(crate) fn promises(snapshot: &Snapshot, history: &History) -> Broken {
    let (mut ids, mut receipts) = (HashSet::new(), HashSet::new());
    let records = snapshot.log.iter().flat_map(|partition| &partition.records);
    for record in records {
        match &record.body {
            Body::Message { envelope, message } => match message {
                Message::Order(_) => {
                    ids.insert(envelope.id.as_str());
                }
                Message::Receive(receipt) => {
                    receipts.insert((receipt.receipt_id.as_str(), receipt.quantity));
                }
                _ => {}
            },
            Body::Unreadable { .. } => {}
        }
    }
    let asked: HashSet<_> = history
        .sent
        .iter()
        .map(|sent| sent.request_id.as_str())
        .collect();
    let mut broken: Broken = ids
        .difference(&asked)
        .map(|id| format!("F1: nobody sent the command {id}"))
        .collect();
    // Clients repeat receipts, and a repetition looks like the first: the best answer counts.
    let mut received: BTreeMap<(&str, i32), Answer> = BTreeMap::new();
    for sent in &history.sent {
        if let What::Receive(receipt) = &sent.what {
            let key = (receipt.receipt_id.as_str(), receipt.quantity);
            let answer = received.entry(key).or_insert(Answer::Fail);
            *answer = sent.answer.max(*answer);
        }
    }
    for (receipt, answer) in &received {
        match answer {
            Answer::Ok | Answer::Conflict if !receipts.contains(receipt) => {
                broken.push(format!(
                    "F1: {receipt:?} was accepted and is not in the log"
                ));
            }
            Answer::Fail if receipts.contains(receipt) => {
                broken.push(format!(
                    "F1: {receipt:?} was not accepted and is in the log"
                ));
            }
            _ => {}
        }
    }
    for receipt in receipts {
        if !received.contains_key(&receipt) {
            broken.push(format!("F1: nobody sent the receipt {receipt:?}"));
        }
    }
    broken.extend(false_conflicts(snapshot, history));
    broken
}

/// Orders that stand as their clients asked, although one was told that they do not.
fn false_conflicts(snapshot: &Snapshot, history: &History) -> Broken {
    let stands_as_asked = |sent: &&Sent| {
        let What::Place(asked, _) = &sent.what else {
            return true;
        };
        snapshot.orders.iter().any(|order| {
            let lines = order.placed.lines.iter();
            let mut asked_lines: Vec<_> = asked
                .lines
                .iter()
                .map(|line| (&line.product_id, line.quantity))
                .collect();
            asked_lines.sort_unstable();
            order.placed.order_id == asked.order_id
                && lines
                    .map(|line| (&line.product_id, line.quantity))
                    .eq(asked_lines)
        })
    };
    let told = history.sent.iter();
    told.filter(|sent| sent.answer == Answer::Conflict)
        .filter(stands_as_asked)
        .map(|sent| format!("F1: told of a conflict that there is not: {sent:?}"))
        .collect()
}

/// Nothing in this traffic may be set aside, the stock agrees with the reservations (S1, S2), and
/// the files are whole.
pub(crate) async fn databases(world: &World) -> Result<Broken, sqlx::Error> {
    let mut broken = Broken::new();
    for role in [Role::Order, Role::Inventory] {
        let file = world.database(role).await;
        let mut database = Database::open(&file).await?;
        let parked: Vec<(String, i64, String, String)> = database
            .rows("SELECT topic, log_offset, reason, detail FROM parked LIMIT 5")
            .await?;
        let damage = rows::damage(&file).await?;
        let name = role.name();
        broken.extend(parked.iter().map(|row| format!("{name}: parked: {row:?}")));
        broken.extend(damage.iter().map(|line| format!("{name}: damaged: {line}")));
    }
    let mut inventory = Database::open(&world.database(Role::Inventory).await).await?;
    let stock: Vec<(String, i64, i64, i64, i64, i64)> = inventory
        .rows(
            "SELECT product_id, on_hand, reserved,
                 (SELECT coalesce(sum(quantity), 0) FROM receipt
                  WHERE receipt.product_id = stock.product_id),
                 (SELECT coalesce(sum(quantity), 0)
                  FROM reservation_line AS line JOIN reservation USING (order_id)
                  WHERE status = 'HELD' AND line.product_id = stock.product_id),
                 (SELECT coalesce(sum(quantity), 0)
                  FROM reservation_line AS line JOIN reservation USING (order_id)
                  WHERE status = 'SHIPPED' AND line.product_id = stock.product_id)
             FROM stock",
        )
        .await?;
    for (product, on_hand, reserved, received, held, shipped) in stock {
        if on_hand < 0 || reserved < 0 || reserved > on_hand {
            broken.push(format!(
                "S1: {product}: {reserved} of {on_hand} are reserved"
            ));
        }
        if reserved != held || on_hand != received - shipped {
            broken.push(format!(
                "S2: {product}: on_hand {on_hand}, reserved {reserved}; received {received}, held \
                 {held}, shipped {shipped}"
            ));
        }
    }
    Ok(broken)
}
