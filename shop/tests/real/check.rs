//! What must hold of a store that has settled, beyond what the audit proves.

use std::collections::BTreeSet;

use audit::fold::Told;
use audit::promises::{self, Receipts};
use audit::snapshot::Snapshot;
use inventory::domain::ids::ProductId;
use inventory::domain::reservation::Status;

use super::backstage::{Backstage, SERVICES};
use super::client::{Answer, What};
use super::load::{History, Sent};
use super::process::Role;
use super::rows;

/// What is broken, one line each.
pub(crate) type Broken = Vec<String>;

/// F1, as far as the audit cannot know it: receipts, whose messages get their ids from the gateway;
/// commands that nobody sent; clients who were told that an order stands with other content.
pub(crate) fn promises(snapshot: &Snapshot, history: &History) -> Broken {
    // Clients repeat receipts, and a repetition looks like the first: the best answer counts.
    let mut receipts = Receipts::new();
    for sent in &history.sent {
        if let What::Receive(receipt) = &sent.what {
            let ids = (receipt.receipt_id.clone(), receipt.product_id.clone());
            let told = told(sent.answer);
            let known = receipts.entry((ids.0, ids.1, receipt.quantity));
            let known = known.or_insert(told);
            *known = told.min(*known);
        }
    }
    let broken = promises::broken(snapshot, &receipts).into_iter();
    broken
        .map(|offender| offender.to_string())
        .chain(false_conflicts(snapshot, history))
        .collect()
}

/// What an answer tells of a command, in the words of the audit.
pub(crate) fn told(answer: Answer) -> Told {
    match answer {
        Answer::Ok | Answer::Conflict => Told::Accepted,
        Answer::Unknown => Told::Unknown,
        Answer::Fail => Told::Refused,
    }
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
pub(crate) async fn databases(backstage: &Backstage) -> Result<Broken, sqlx::Error> {
    let mut broken = Broken::new();
    for role in SERVICES {
        let mut database = backstage.database(role).await?;
        let parked: Vec<(String, i64, String, String)> = database
            .rows("SELECT topic, log_offset, reason, detail FROM parked LIMIT 5")
            .await?;
        let damage = database.damage().await?;
        let name = role.name();
        broken.extend(parked.iter().map(|row| format!("{name}: parked: {row:?}")));
        broken.extend(damage.iter().map(|line| format!("{name}: damaged: {line}")));
    }
    let mut inventory = backstage.database(Role::Inventory).await?;
    let stock: Vec<(String, i64, i64, i64)> = inventory
        .rows(
            "SELECT product_id, on_hand, reserved,
                 (SELECT coalesce(sum(quantity), 0) FROM receipt
                  WHERE receipt.product_id = stock.product_id)
             FROM stock",
        )
        .await?;
    let reservations = rows::reservations(&mut inventory).await?;
    let pieces = |product: &ProductId, status: Status| -> i64 {
        let those = reservations.iter().filter(|one| one.status == status);
        let quantities = those.filter_map(|one| one.lines.get(product).copied());
        quantities.map(i64::from).sum()
    };
    for (product, on_hand, reserved, received) in stock {
        let id = ProductId::from(&product);
        let (held, shipped) = (pieces(&id, Status::Held), pieces(&id, Status::Shipped));
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

/// F7: what a restart of a settled store has changed.
pub(crate) fn changed(before: &[String], after: &[String]) -> Broken {
    let (before, after) = (BTreeSet::from_iter(before), BTreeSet::from_iter(after));
    let gone = before.difference(&after);
    let new = after.difference(&before);
    gone.map(|line| format!("F7: a restart removed {line}"))
        .chain(new.map(|line| format!("F7: a restart added {line}")))
        .collect()
}
