//! Messages in a few words.

use contracts::inventory::{Line, ReservationEvent};
use contracts::order::{OrderCommand, OrderEvent, PlaceOrder};
use contracts::shared::refusal_text;
use messaging::clock::Timestamp;

use super::facts::{Message, Said};

/// Lines of an order that are named one by one.
const LINES_SHOWN_MAX: usize = 4;

/// The message type without its namespace.
#[must_use]
pub fn name(message: &Message) -> &str {
    let name = message.name.as_deref().unwrap_or("(no type)");
    name.rsplit_once('.').map_or(name, |(_, last)| last)
}

/// What the message says beside its type.
#[must_use]
pub fn summary(message: &Message) -> String {
    match &message.said {
        Said::Command(command) => of_command(command),
        Said::Order(event) => of_order(event),
        Said::Reservation(event) => of_reservation(event),
        Said::Receipt(receipt) => format!(
            "{} {}, receipt {}",
            receipt.quantity, receipt.product_id, receipt.receipt_id
        ),
        Said::Unreadable(why) => format!("cannot be read: {why}"),
    }
}

fn of_command(command: &OrderCommand) -> String {
    match command {
        OrderCommand::Place(place) => of_placement(place),
        OrderCommand::Cancel(cancel) => cancel.reason.clone(),
        OrderCommand::Complete(_) => String::new(),
    }
}

fn of_placement(place: &PlaceOrder) -> String {
    let lines = place.lines.iter();
    let pieces = listed(lines.map(|line| (line.quantity, line.product_id.as_str())));
    match place.reserve_by {
        Some(_) => format!(
            "{pieces} for {}, {}",
            place.customer_id,
            deadline(place.reserve_by)
        ),
        None => format!("{pieces} for {}", place.customer_id),
    }
}

/// The deadline that a message carries; empty if it has none.
fn deadline(reserve_by: Option<i64>) -> String {
    reserve_by.map_or(String::new(), |by| format!("reserve by {}", Timestamp(by)))
}

fn of_order(event: &OrderEvent) -> String {
    let rest = match event {
        OrderEvent::Placed(event) => deadline(event.reserve_by),
        OrderEvent::Reserved(_) | OrderEvent::Completed(_) => String::new(),
        OrderEvent::Backordered(event) => short_of(&event.short),
        OrderEvent::Rejected(event) => refusal_text(event.why(), &event.short),
        OrderEvent::Cancelled(event) => event.reason.clone(),
    };
    versioned(event.version(), &rest)
}

fn of_reservation(event: &ReservationEvent) -> String {
    let rest = match event {
        ReservationEvent::Reserved(event) => pieces(&event.lines),
        ReservationEvent::Backordered(event) => short_of(&event.short),
        ReservationEvent::Refused(event) => refusal_text(event.why(), &event.short),
        ReservationEvent::Released(event) if event.lines.is_empty() => "left its queues".to_owned(),
        ReservationEvent::Released(event) => pieces(&event.lines),
        ReservationEvent::Shipped(event) => pieces(&event.lines),
    };
    versioned(event.version(), &rest)
}

fn versioned(version: i64, rest: &str) -> String {
    if rest.is_empty() {
        return format!("version {version}");
    }
    format!("version {version}: {rest}")
}

fn short_of(products: &[String]) -> String {
    format!("short of {}", products.join(", "))
}

fn pieces(lines: &[Line]) -> String {
    listed(
        lines
            .iter()
            .map(|line| (line.quantity, line.product_id.as_str())),
    )
}

fn listed<'l>(lines: impl ExactSizeIterator<Item = (i32, &'l str)>) -> String {
    let more = lines.len().saturating_sub(LINES_SHOWN_MAX);
    let shown: Vec<_> = lines
        .take(LINES_SHOWN_MAX)
        .map(|(quantity, product)| format!("{quantity} {product}"))
        .collect();
    let shown = shown.join(", ");
    if more > 0 {
        return format!("{shown} and {more} more");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::given::{self, place_order};
    use super::*;

    #[test]
    fn a_long_order_is_cut() {
        let lines: Vec<_> = ["A", "B", "C", "D", "E", "F"].map(|id| (id, 2)).into();
        let message = given::command(0, "c1", place_order("O1", &lines));
        assert_eq!(
            summary(&message),
            "2 A, 2 B, 2 C, 2 D and 2 more for CUSTOMER_001"
        );
        assert_eq!(name(&message), "PlaceOrder");
    }
}
