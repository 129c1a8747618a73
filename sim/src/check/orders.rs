//! Order's rows, as its records make them: the transition table once more (S6, S7).

use std::collections::{BTreeMap, BTreeSet};

use contracts::inventory::ReservationEvent;
use contracts::order::{
    CancelOrder, OrderBackordered, OrderCancelled, OrderCommand, OrderCompleted, OrderPlaced,
    OrderRejected, OrderReserved, PlaceOrder,
};
use contracts::topics;
use messaging::context::ContentHash;
use messaging::message::Message as _;
use order::domain::{Order, Status};

use super::commit::{Change, Row};
use super::decisions::{Decisions, Verdict};
use super::told::Body;
use super::violation::{Checked, require};

/// What Order knows under each order_id.
#[derive(Clone, Default)]
pub(crate) struct Orders {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    /// The customers of the cancellations that came early; `None` is for everybody's order.
    Tombstone(BTreeSet<Option<String>>),
    Known(Known),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    customer_id: String,
    content: ContentHash,
    status: Status,
    version: i64,
    reservation_version: i64,
    deadline: Option<i64>,
}

impl From<&Order> for Known {
    fn from(order: &Order) -> Self {
        Self {
            customer_id: order.placed.customer_id.clone(),
            content: order.placed.content(),
            status: order.status,
            version: order.version,
            reservation_version: order.reservation_version,
            deadline: order.deadline.map(|deadline| deadline.0),
        }
    }
}

impl Orders {
    /// Applies a message, unless it is known.
    pub(crate) fn decide(&mut self, body: &Body, decisions: &mut Decisions) -> Verdict {
        decisions.before(body.key(), &self.entries.get(body.key()));
        match body {
            Body::Order(OrderCommand::Place(place)) => self.place(place, decisions),
            Body::Order(OrderCommand::Cancel(cancel)) if cancel.validate().is_empty() => {
                self.cancel(cancel, decisions)
            }
            Body::Order(OrderCommand::Complete(complete)) if complete.validate().is_empty() => {
                self.change(&complete.order_id, Status::Completed, decisions);
                Verdict::Applied
            }
            Body::Reservation(event) => self.reservation(event, decisions),
            _ => Verdict::Undecidable,
        }
    }

    /// Whether no command changes the order any more, whatever happens.
    pub(crate) fn is_over(&self, id: &str) -> bool {
        match self.entries.get(id) {
            None => false,
            Some(Entry::Tombstone(customers)) => customers.contains(&None),
            Some(Entry::Known(known)) => known.status.is_terminal(),
        }
    }

    fn place(&mut self, place: &PlaceOrder, decisions: &mut Decisions) -> Verdict {
        let id = &place.order_id;
        let status = match self.entries.get(id) {
            Some(Entry::Known(known)) if known.content == place.content() => {
                return Verdict::Duplicate;
            }
            Some(Entry::Known(_)) => return Verdict::Conflict,
            _ if !place.validate().is_empty() => return Verdict::Undecidable,
            Some(Entry::Tombstone(customers))
                if customers.contains(&None)
                    || customers.contains(&Some(place.customer_id.clone())) =>
            {
                Status::Cancelled
            }
            Some(Entry::Tombstone(_)) | None => Status::Pending,
        };
        let known = Known {
            customer_id: place.customer_id.clone(),
            content: place.content(),
            status,
            version: 1,
            reservation_version: 0,
            // Who is cancelled before being placed never waits.
            deadline: place.reserve_by.filter(|_| status == Status::Pending),
        };
        self.entries.insert(id.clone(), Entry::Known(known));
        decisions.say(topics::ORDER_EVENTS, id, 1, event_of(status));
        Verdict::Applied
    }

    fn cancel(&mut self, cancel: &CancelOrder, decisions: &mut Decisions) -> Verdict {
        let id = &cancel.order_id;
        let early = || Entry::Tombstone(BTreeSet::new());
        match self.entries.entry(id.clone()).or_insert_with(early) {
            Entry::Tombstone(customers) if customers.contains(&None) => {}
            Entry::Tombstone(customers) => {
                customers.insert(cancel.customer_id.clone());
            }
            Entry::Known(known) => {
                let owner = cancel.customer_id.as_ref();
                if owner.is_none_or(|owner| *owner == known.customer_id) {
                    self.change(id, Status::Cancelled, decisions);
                }
            }
        }
        Verdict::Applied
    }

    fn reservation(&mut self, event: &ReservationEvent, decisions: &mut Decisions) -> Verdict {
        let Some(Entry::Known(known)) = self.entries.get_mut(event.key()) else {
            return Verdict::Undecidable;
        };
        if event.version() <= known.reservation_version {
            return Verdict::Duplicate;
        }
        known.reservation_version = event.version();
        let status = match event {
            ReservationEvent::Reserved(_) => Status::Reserved,
            ReservationEvent::Backordered(_) => Status::Backordered,
            ReservationEvent::Refused(_) => Status::Rejected,
            ReservationEvent::Released(_) | ReservationEvent::Shipped(_) => {
                return Verdict::Applied;
            }
        };
        self.change(event.key(), status, decisions);
        Verdict::Applied
    }

    /// Goes over to `status`, if that can follow.
    fn change(&mut self, id: &str, status: Status, decisions: &mut Decisions) {
        let Some(Entry::Known(known)) = self.entries.get_mut(id) else {
            return;
        };
        if follows(known.status, status) {
            known.status = status;
            known.version += 1;
            decisions.say(topics::ORDER_EVENTS, id, known.version, event_of(status));
        }
    }

    /// The rows that a commit has written are those that its records make.
    pub(crate) fn compare(&self, changes: &[Change], decisions: &Decisions) -> Checked {
        for change in changes {
            self.compare_row(change, decisions)?;
        }
        for (id, before) in decisions.all_before() {
            let must = self.entries.get(id);
            let written = changes.iter().any(|change| change.key == *id);
            require(written || *before == format!("{must:?}"), "S6", || {
                format!("order {id} must become {must:?}, but was not written")
            })?;
        }
        Ok(())
    }

    fn compare_row(&self, change: &Change, decisions: &Decisions) -> Checked {
        let id = &change.key;
        let must = self.entries.get(id);
        let is = match &change.after {
            Some(Row::Order(order)) => Entry::Known(Known::from(&**order)),
            Some(Row::Tombstone(customers)) => Entry::Tombstone(customers.clone()),
            // A tombstone makes way for its order; an order never goes.
            None if !matches!(change.before, Some(Row::Order(_))) => return Ok(()),
            _ => {
                return require(false, "S7", || format!("order {id} is gone: {change:?}"));
            }
        };
        require(must == Some(&is), decisions.blame(id, "S7"), || {
            format!("order {id} is {is:?}, its records make {must:?}; the row: {change:?}")
        })?;
        rises(change, decisions)
    }
}

/// S7 of the row alone: its version rises with its status, and a terminal one stays.
fn rises(change: &Change, decisions: &Decisions) -> Checked {
    let (Some(Row::Order(before)), Some(Row::Order(after))) = (&change.before, &change.after)
    else {
        return Ok(());
    };
    let changed = before.status != after.status;
    let holds = after.version >= before.version
        && (!changed || (after.version > before.version && !before.status.is_terminal()));
    require(holds, decisions.blame(&change.key, "S7"), || {
        format!("order {} goes from {before:?} to {after:?}", change.key)
    })
}

fn follows(from: Status, to: Status) -> bool {
    use Status::{Backordered, Cancelled, Completed, Pending, Rejected, Reserved};
    matches!(
        (from, to),
        (Pending, Reserved | Backordered | Rejected | Cancelled)
            | (Backordered, Reserved | Rejected | Cancelled)
            | (Reserved, Completed | Cancelled)
    )
}

fn event_of(status: Status) -> &'static str {
    match status {
        Status::Pending => OrderPlaced::TYPE,
        Status::Reserved => OrderReserved::TYPE,
        Status::Completed => OrderCompleted::TYPE,
        Status::Backordered => OrderBackordered::TYPE,
        Status::Rejected => OrderRejected::TYPE,
        Status::Cancelled => OrderCancelled::TYPE,
    }
}
