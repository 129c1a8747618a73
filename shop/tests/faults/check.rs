//! What must hold when a store has settled.

use std::collections::{BTreeMap, HashSet};

use contracts::topics;

use crate::client::{Answer, What};
use crate::database::Database;
use crate::load::History;
use crate::process::Role;
use crate::topics::Topics;
use crate::world::World;

/// What is broken, one line each.
pub(crate) type Broken = Vec<String>;

/// F1 as far as clients know: what they were told was accepted is in the log, what they were told
/// was not is not. What becomes of a command in the log is the audit's.
pub(crate) async fn promises(topics: &Topics, history: &History) -> Broken {
    let ids: HashSet<_> = topics
        .ids(topics::ORDER_COMMANDS)
        .await
        .into_iter()
        .collect();
    let receipts = topics.receipts().await;
    let mut broken = Broken::new();
    // Clients repeat receipts, and a receipt has no id of its own: the best answer counts.
    let mut received: BTreeMap<(&str, i32), Answer> = BTreeMap::new();
    for sent in &history.sent {
        let landed = match &sent.what {
            What::Receive(receipt) => {
                let key = (receipt.receipt_id.as_str(), receipt.quantity);
                let answer = received.entry(key).or_insert(Answer::Fail);
                *answer = sent.answer.max(*answer);
                continue;
            }
            _ => ids.contains(&sent.request_id),
        };
        if let Some(what) = contradiction(sent.answer, landed) {
            broken.push(format!("F1: {what}: {sent:?}"));
        }
    }
    for ((receipt_id, quantity), answer) in received {
        let landed = receipts
            .iter()
            .any(|receipt| receipt.receipt_id == receipt_id && receipt.quantity == quantity);
        if let Some(what) = contradiction(answer, landed) {
            broken.push(format!("F1: {what}: {receipt_id} of {quantity}"));
        }
    }
    let asked: HashSet<_> = history.sent.iter().map(|sent| &sent.request_id).collect();
    let strangers = ids.iter().filter(|id| !asked.contains(id));
    broken.extend(strangers.map(|id| format!("F1: nobody sent the command {id}")));
    broken
}

fn contradiction(answer: Answer, landed: bool) -> Option<&'static str> {
    match answer {
        Answer::Ok | Answer::Conflict if !landed => Some("accepted and not in the log"),
        Answer::Fail if landed => Some("told that nothing was accepted, and it is in the log"),
        _ => None,
    }
}

/// Nothing in this traffic may be set aside, and the stock agrees with the reservations (S1, S2).
pub(crate) async fn rows(world: &World) -> Result<Broken, sqlx::Error> {
    let mut broken = Broken::new();
    for role in [Role::Order, Role::Inventory] {
        let mut database = Database::open(&world.database(role).await).await?;
        let parked: Vec<(String, i64, String, String)> = database
            .rows("SELECT topic, log_offset, reason, detail FROM parked LIMIT 5")
            .await?;
        broken.extend(
            parked
                .iter()
                .map(|row| format!("{}: parked: {row:?}", role.name())),
        );
    }
    let mut inventory = Database::open(&world.database(Role::Inventory).await).await?;
    let stock: Vec<(String, i64, i64, i64, i64, i64)> = inventory
        .rows(
            "SELECT product_id, on_hand, reserved,
                 (SELECT coalesce(sum(quantity), 0) FROM receipt WHERE receipt.product_id = stock.product_id),
                 (SELECT coalesce(sum(quantity), 0) FROM reservation_line JOIN reservation USING (order_id)
                  WHERE status = 'HELD' AND reservation_line.product_id = stock.product_id),
                 (SELECT coalesce(sum(quantity), 0) FROM reservation_line JOIN reservation USING (order_id)
                  WHERE status = 'SHIPPED' AND reservation_line.product_id = stock.product_id)
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
