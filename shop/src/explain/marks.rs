//! What is noticeable about a message: repetitions, conflicts, parked and unread ones.

use std::collections::{HashMap, HashSet};

use contracts::order::{OrderCommand, OrderEvent, PlaceOrder};
use contracts::topics;
use inventory::context::InventoryContext;
use messaging::context::{ContentHash, Context as _, Interest};
use order::context::OrderContext;
use serde::Serialize;

use super::facts::{Facts, Message, Place, Said, reader_of};
use crate::services::Service;

/// Something noticeable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mark", rename_all = "snake_case")]
pub enum Mark {
    /// An event that is in the log already: published again after a crash, or by a log client that
    /// repeated itself. It changes nothing.
    Republished {
        /// The first one.
        of: Place,
    },
    /// An event that has the id of an earlier one and other bytes. This must not be.
    Altered {
        /// The first one.
        of: Place,
    },
    /// A command that repeats an id or a business key with the same content. It changes nothing.
    Duplicate {
        /// The first one; `None` if the log no longer has it.
        of: Option<Place>,
    },
    /// A command that repeats an id or a business key with other content. It changes nothing.
    Conflict {
        /// The one that counts; `None` if the log no longer has it.
        of: Option<Place>,
    },
    /// Set aside.
    Parked {
        /// The service that set it aside.
        service: Service,
        /// `undecodable`, `misrouted`, `failed` or `behind`.
        reason: String,
        /// The error in words.
        detail: String,
    },
    /// It was set aside, and an operator took it out or had it decided again.
    Handled {
        /// The service that carried it out.
        service: Service,
        /// Who asked; empty if nobody said.
        operator: String,
        /// Why; empty if nobody said.
        reason: String,
        /// `discarded`, or what a replay came to.
        outcome: String,
    },
    /// The service has not come so far.
    Unread {
        /// The service.
        service: Service,
        /// Records that it has to read before this one.
        ahead: i64,
    },
    /// A cancellation that came before the placement: the placement is cancelled at once.
    Early,
    /// A command that was decided and changed nothing.
    NoEffect,
    /// Versions are missing before this one. This must not be.
    Gap {
        /// The version that should be here.
        expected: i64,
    },
}

/// The marks of each of `messages`, which are in the sequence of the timeline.
#[must_use]
pub fn of(facts: &Facts, messages: &[&Message]) -> Vec<Vec<Mark>> {
    let mut seen = Seen::of(facts, messages);
    messages
        .iter()
        .map(|message| seen.marks(facts, message))
        .collect()
}

/// What earlier messages have said.
struct Seen<'m> {
    /// Ids of messages that caused an event of Order.
    effective: HashSet<&'m str>,
    /// Every event of Order that there is stands in the log.
    all_published: bool,
    /// First messages by type and id.
    first: HashMap<(&'m str, &'m str), &'m Message>,
    /// The placement that counts, as far as the log has it.
    placement: Option<&'m Message>,
    /// The last version by topic.
    versions: HashMap<&'m str, i64>,
}

impl<'m> Seen<'m> {
    fn of(facts: &Facts, messages: &[&'m Message]) -> Self {
        let of_order = |message: &&&'m Message| matches!(message.said, Said::Order(_));
        let events = || messages.iter().filter(of_order);
        let newest = events().filter_map(|message| version(message)).max();
        let effective: HashSet<_> = events()
            .filter_map(|message| message.cause.as_deref())
            .collect();
        let placement = placement(facts, messages, &effective);
        Self {
            all_published: facts.order.known().map(|order| order.version) == newest,
            effective,
            first: HashMap::new(),
            placement,
            versions: HashMap::new(),
        }
    }

    fn marks(&mut self, facts: &Facts, message: &'m Message) -> Vec<Mark> {
        let mut marks = Vec::new();
        marks.extend(set_aside(facts, message));
        let was_set_aside = !marks.is_empty();
        if !was_set_aside {
            marks.extend(self.repetition(facts, message));
        }
        marks.extend(self.gap(facts, message));
        let unread = unread(facts, message);
        let is_plain = marks.is_empty() && unread.is_none();
        marks.extend(unread.filter(|_| !was_set_aside));
        if is_plain {
            marks.extend(self.without_effect(facts, message));
        }
        if let (Some(name), Some(id)) = (&message.name, &message.id) {
            self.first.entry((name, id)).or_insert(message);
        }
        marks
    }

    fn repetition(&self, facts: &Facts, message: &Message) -> Option<Mark> {
        let is_conflict = is_listed_conflict(facts, message);
        if let Said::Command(OrderCommand::Place(place)) = &message.said {
            return self.placed_again(facts, message, place, is_conflict);
        }
        let first = match (&message.name, &message.id) {
            (Some(name), Some(id)) => self.first.get(&(name.as_str(), id.as_str())).copied(),
            _ => None,
        };
        if is_conflict {
            let of = first.map(|first| first.place.clone());
            return Some(Mark::Conflict { of });
        }
        let first = first?;
        let of = first.place.clone();
        Some(match (&first.said, &message.said) {
            (Said::Command(one), Said::Command(other)) if content(one) == content(other) => {
                Mark::Duplicate { of: Some(of) }
            }
            (_, Said::Command(_)) => Mark::Conflict { of: Some(of) },
            _ if first.bytes == message.bytes => Mark::Republished { of },
            _ => Mark::Altered { of },
        })
    }

    /// A placement beside the one that counts.
    fn placed_again(
        &self,
        facts: &Facts,
        message: &Message,
        place: &PlaceOrder,
        is_conflict: bool,
    ) -> Option<Mark> {
        let of = self.placement.map(|placement| placement.place.clone());
        if of.as_ref() == Some(&message.place) && !is_conflict {
            return None;
        }
        let counts = match self.placement.map(|placement| &placement.said) {
            Some(Said::Command(OrderCommand::Place(first))) => Some(first.content()),
            _ => facts.order.known().map(|order| placed(order).content()),
        };
        match counts {
            _ if is_conflict => Some(Mark::Conflict { of }),
            Some(counts) if counts == place.content() => Some(Mark::Duplicate { of }),
            Some(_) => Some(Mark::Conflict { of }),
            None => None,
        }
    }

    fn gap(&mut self, facts: &Facts, message: &'m Message) -> Option<Mark> {
        let version = version(message)?;
        let topic = message.place.topic.as_str();
        let last = self.versions.get(topic).copied();
        self.versions
            .insert(topic, last.unwrap_or_default().max(version));
        let expected = match last {
            Some(last) => last + 1,
            // Retention may have deleted the earlier ones.
            None if !facts.is_whole(topic) => return None,
            None => 1,
        };
        (version > expected).then_some(Mark::Gap { expected })
    }

    /// Of a command that was read, is not parked, and repeats nothing.
    fn without_effect(&self, facts: &Facts, message: &Message) -> Option<Mark> {
        let Said::Command(command) = &message.said else {
            return None;
        };
        let cursor = facts.order_shard.cursor(&message.place.topic)?;
        let id = message.id.as_deref()?;
        if cursor <= message.place.offset || self.effective.contains(id) {
            return None;
        }
        let placed_before = match self.placement {
            Some(placement) => placement.place.offset < message.place.offset,
            None => facts.order.known().is_some(),
        };
        match command {
            OrderCommand::Cancel(_) if !placed_before => Some(Mark::Early),
            OrderCommand::Complete(_) if !placed_before => Some(Mark::NoEffect),
            OrderCommand::Place(_) => None,
            OrderCommand::Cancel(_) | OrderCommand::Complete(_) => {
                self.all_published.then_some(Mark::NoEffect)
            }
        }
    }
}

/// The placement that counts: the one that caused the order's first event, else the first that is
/// not set aside and no conflict, if the log has kept everything.
fn placement<'m>(
    facts: &Facts,
    messages: &[&'m Message],
    effective: &HashSet<&str>,
) -> Option<&'m Message> {
    let placements = || {
        let is_placement =
            |message: &&&'m Message| matches!(message.said, Said::Command(OrderCommand::Place(_)));
        messages.iter().filter(is_placement).copied()
    };
    let caused = placements().find(|message| {
        let id = message.id.as_deref();
        id.is_some_and(|id| effective.contains(id))
    });
    let may_count = |message: &&Message| {
        set_aside(facts, message).is_none() && facts.is_whole(topics::ORDER_COMMANDS)
    };
    caused.or_else(|| placements().find(may_count))
}

/// What was placed, as Order's row tells it.
fn placed(order: &contracts::proto::Order) -> PlaceOrder {
    use contracts::order::{OnShortage, PlaceOrderLine};
    use contracts::proto::order::OnShortage as Shown;
    PlaceOrder {
        order_id: order.order_id.clone(),
        customer_id: order.customer_id.clone(),
        currency: order.currency.clone(),
        lines: order
            .lines
            .iter()
            .map(|line| PlaceOrderLine {
                product_id: line.product_id.clone(),
                quantity: line.quantity,
                unit_price_minor: line.unit_price_minor,
            })
            .collect(),
        on_shortage: match order.on_shortage() {
            Shown::Backorder => OnShortage::Backorder,
            Shown::Reject => OnShortage::Reject,
        },
        reserve_by: order
            .reserve_by
            .as_ref()
            .map(|by| contracts::time::read(by).0),
    }
}

fn content(command: &OrderCommand) -> ContentHash {
    match command {
        OrderCommand::Place(place) => place.content(),
        OrderCommand::Cancel(cancel) => cancel.content(),
        OrderCommand::Complete(complete) => complete.content(),
    }
}

/// Whether a service has recorded the message as a conflict.
fn is_listed_conflict(facts: &Facts, message: &Message) -> bool {
    let mut conflicts = facts
        .shards()
        .filter_map(|shard| shard.conflicts.known())
        .flatten();
    conflicts.any(|conflict| message.place.is(conflict.place.as_ref()))
}

/// The version that an event carries.
pub(super) fn version(message: &Message) -> Option<i64> {
    match &message.said {
        Said::Order(event) => Some(OrderEvent::version(event)),
        Said::Reservation(event) => Some(event.version()),
        Said::Command(_) | Said::Receipt(_) | Said::Unreadable(_) => None,
    }
}

/// Whether the message is or was set aside: where it is decided late or never.
fn set_aside(facts: &Facts, message: &Message) -> Option<Mark> {
    parked(facts, message).or_else(|| handled(facts, message))
}

/// The newest action on a message.
fn handled(facts: &Facts, message: &Message) -> Option<Mark> {
    facts.shards().find_map(|shard| {
        let handled = shard.handled.known()?;
        let newest = handled.iter().find(|one| one.place == message.place)?;
        Some(Mark::Handled {
            service: shard.service,
            operator: newest.operator.clone(),
            reason: newest.reason.clone(),
            outcome: newest.outcome.clone(),
        })
    })
}

fn parked(facts: &Facts, message: &Message) -> Option<Mark> {
    facts.shards().find_map(|shard| {
        let parked = shard.parked.known()?;
        let here = parked
            .iter()
            .find(|one| message.place.is(one.place.as_ref()))?;
        Some(Mark::Parked {
            service: shard.service,
            reason: here.reason.clone(),
            detail: here.detail.clone(),
        })
    })
}

/// Whether the service declares that messages of this type do not concern it.
fn is_ignored(service: Service, message: &Message) -> bool {
    let name = message.name.as_deref().unwrap_or_default();
    let interest = match service {
        Service::Order => OrderContext::default().interest(name),
        Service::Inventory => InventoryContext::default().interest(name),
    };
    interest == Interest::Ignored
}

fn unread(facts: &Facts, message: &Message) -> Option<Mark> {
    if matches!(message.said, Said::Receipt(_)) {
        return None;
    }
    let service = reader_of(&message.place.topic)?;
    if is_ignored(service, message) {
        return None;
    }
    let cursor = facts.shard(service).cursor(&message.place.topic)?;
    let ahead = message.place.offset - cursor;
    (ahead >= 0).then_some(Mark::Unread { service, ahead })
}

#[cfg(test)]
mod tests;
