//! Who waits, and who is served: F6 and F6b at the very commit that serves.
//!
//! In a commit the messages come first and the queues after them, and after the messages the book
//! is known exactly. From there on pieces are only given away, so whoever is short of a product
//! then stays in its queue until it is served: nobody behind may get the product before.

use std::collections::BTreeMap;

use contracts::inventory::{StockRefused, StockReserved};
use contracts::topics;
use inventory::domain::ids::ProductId;
use inventory::domain::reservation::Status;
use inventory::domain::stock::Stock;
use messaging::message::Message as _;

use super::book::{Book, Held, NEW_PLACE};
use super::commit::{Change, Row};
use super::decisions::Decisions;
use super::violation::{Checked, require};

/// Takes in which products must still be looked at.
pub(super) fn marks(book: &mut Book, changes: &[Change]) {
    for change in changes {
        match (&change.before, &change.after) {
            (_, Some(Row::Mark(_))) => {
                book.marks.insert(change.key.clone());
            }
            (Some(Row::Mark(_)), None) => {
                book.marks.remove(&change.key);
            }
            _ => {}
        }
    }
}

/// F6: places are taken in the order in which the orders queued.
pub(super) fn take_places(book: &mut Book, written: &BTreeMap<String, Held>) -> Checked {
    for id in std::mem::take(&mut book.queued) {
        let Some(row) = written.get(&id) else {
            continue;
        };
        let Some(held) = book.reservations.get_mut(&id) else {
            continue;
        };
        // One that must not wait by the rules' lights shows when the rows are compared.
        let Some(place) = row.position else {
            continue;
        };
        let last = book.last_position;
        require(place > last, "F6", || {
            format!("order {id} queues at place {place} after place {last} was taken")
        })?;
        book.last_position = place;
        held.position = Some(place);
    }
    Ok(())
}

/// Works out what became of those who waited: served in order, or moved to other queues.
pub(super) fn follow_up(
    book: &mut Book,
    written: &BTreeMap<String, Held>,
    decisions: &mut Decisions,
) -> Checked {
    let (mut served, mut late) = (Vec::new(), Vec::new());
    for (id, row) in written {
        let Some(held) = book.reservations.get_mut(id) else {
            continue;
        };
        match (held.status, row.status) {
            (Status::Waiting, Status::Held) => {
                if let Some(number) = row.fulfilment {
                    served.push((number, id.clone()));
                }
            }
            (Status::Waiting, Status::Refused) => late.push(id.clone()),
            (Status::Waiting, Status::Waiting) => {
                let asked = row
                    .short
                    .iter()
                    .all(|product| held.lines.contains_key(product));
                require(asked && !row.short.is_empty(), "F6", || {
                    format!("order {id} waits for {:?} of {:?}", row.short, held.lines)
                })?;
            }
            _ => {}
        }
    }
    // Who is too late has left before anybody is served in its place.
    for id in late {
        time_out(book, &id, decisions)?;
    }
    served.sort();
    let most = book.stock.clone();
    for (number, id) in served {
        serve(book, number, &id, &most, decisions)?;
    }
    for (id, row) in written {
        if let Some(held) = book.reservations.get_mut(id)
            && (held.status, row.status) == (Status::Waiting, Status::Waiting)
        {
            held.short = row.short.clone();
        }
    }
    Ok(())
}

/// S11: a waiter is refused for its deadline, which has passed.
fn time_out(book: &mut Book, id: &str, decisions: &mut Decisions) -> Checked {
    let Some(waiter) = book.reservations.get_mut(id) else {
        return Ok(());
    };
    require(decisions.is_late(waiter.reserve_by), "S11", || {
        format!("order {id} is refused at {waiter:?}, before its deadline")
    })?;
    waiter.version += 1;
    waiter.status = Status::Refused;
    waiter.short.clear();
    let version = waiter.version;
    decisions.say(topics::INVENTORY_EVENTS, id, version, StockRefused::TYPE);
    Ok(())
}

/// Serves a waiter; `most` is what was there before the first one was served.
fn serve(
    book: &mut Book,
    number: i64,
    id: &str,
    most: &BTreeMap<ProductId, Stock>,
    decisions: &mut Decisions,
) -> Checked {
    let last = book.last_fulfilment;
    require(number > last, "F6", || {
        format!("order {id} is served as number {number} after number {last}")
    })?;
    book.last_fulfilment = number;
    let Some(waiter) = book.reservations.get(id).cloned() else {
        return Ok(());
    };
    require(!decisions.is_late(waiter.reserve_by), "S11", || {
        format!("order {id} is served at {waiter:?}, after its deadline")
    })?;
    for product in waiter.lines.keys() {
        let most = most.get(product).map_or(0, Stock::available);
        let passed = passed(book, &waiter, product, most);
        require(passed.is_none(), "F6", || {
            format!("order {id} at {waiter:?} is served with {product} before {passed:?}")
        })?;
    }
    book.hold(&waiter.lines);
    let held = Held {
        version: waiter.version + 1,
        status: Status::Held,
        fulfilment: Some(number),
        short: Default::default(),
        ..waiter
    };
    decisions.say(
        topics::INVENTORY_EVENTS,
        id,
        held.version,
        StockReserved::TYPE,
    );
    book.reservations.insert(id.to_owned(), held);
    Ok(())
}

/// Somebody who certainly stands before `waiter` in the queue of `product` still.
fn passed<'b>(
    book: &'b Book,
    waiter: &Held,
    product: &ProductId,
    most: i64,
) -> Option<(&'b String, &'b Held)> {
    book.waiters(product).find(|(_, other)| {
        let before = other.position < waiter.position;
        // Who asks for more products may stand in another queue for the moment, if there was ever
        // enough of this one for it.
        let alone = other.lines.len() == 1;
        let asked = other.lines.get(product).copied().unwrap_or_default();
        before && (alone || most < i64::from(asked))
    })
}

/// What a reservation breaks that is not as the rules make it.
pub(super) fn blame(must: Option<&Held>, is: &Held) -> &'static str {
    match (must.map(|must| must.status), is.status) {
        (Some(Status::Waiting), Status::Held) => "F6",
        (Some(Status::Held), Status::Waiting) => "F6b",
        (Some(Status::Refused), Status::Refused) => "F6",
        (Some(Status::Refused), _) => "S11",
        _ => "S7",
    }
}

/// F6: who waits stands in the queues of what it is short of, at its own place, and in no other.
pub(super) fn places(book: &Book, written: &BTreeMap<String, Held>) -> Checked {
    for id in written.keys() {
        let stands = book.places.iter().filter(|(_, order)| *order == id);
        let stands: Vec<_> = stands.map(|(place, _)| place.clone()).collect();
        let held = book.reservations.get(id);
        let must: Vec<_> = held
            .into_iter()
            .flat_map(|held| {
                let place = held.position.unwrap_or(NEW_PLACE);
                held.short
                    .iter()
                    .map(move |product| (product.clone(), place))
            })
            .collect();
        require(stands == must, "F6", || {
            format!("order {id} stands in the queues at {stands:?}, it must at {must:?}")
        })?;
    }
    Ok(())
}

/// F6b: nobody waits while everything it needs is available and nobody is ahead of it, unless its
/// queue is marked to be looked at.
pub(super) fn nobody_waits_in_vain(book: &Book) -> Checked {
    for (id, held) in &book.reservations {
        let marked = held
            .short
            .iter()
            .any(|product| book.marks.contains(product.as_str()));
        if held.status != Status::Waiting || marked {
            continue;
        }
        let has_cause = held.lines.iter().any(|(product, quantity)| {
            let ahead = |(_, other): (_, &Held)| other.position < held.position;
            book.available(product) < i64::from(*quantity) || book.waiters(product).any(ahead)
        });
        require(has_cause, "F6b", || {
            format!("order {id} waits, although it can be served and no mark says so: {held:?}")
        })?;
    }
    Ok(())
}
