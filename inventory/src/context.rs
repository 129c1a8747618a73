//! The Inventory bounded context, as the runtime drives it: which messages it reads, and which
//! rule decides each.

use contracts::inventory::{self, RESERVATION, ReceiveStock, STOCK};
use contracts::order::{
    OrderBackordered, OrderCancelled, OrderCompleted, OrderPlaced, OrderRejected, OrderReserved,
};
use contracts::{source, topics, validate};
use messaging::clock::Timestamp;
use messaging::codec::{self, Schema};
use messaging::context::{
    Cause, Context, Deduplication, FollowUp, Incoming, Input, Interest, Outgoing, Recognised,
    Undecidable,
};
use messaging::message::{self, Encoded, Event as _, Message as _, Registration, Writer};

use crate::domain::book::Book;
use crate::domain::deadline;
use crate::domain::event::Event;
use crate::domain::fulfilment;
use crate::domain::ids::{OrderId, ProductId, ReceiptId};
use crate::domain::place::{self, OnShortage, Placement};
use crate::domain::receive::{self, Receipt};
use crate::domain::reservation::{Flow, Lines};
use crate::domain::settle;
use crate::limits::Bounds;
use crate::wire;

/// What Inventory reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// An order asks for stock.
    Placed(OrderPlaced),
    /// An order ended without goods.
    Cancelled(OrderCancelled),
    /// An order's goods leave.
    Completed(OrderCompleted),
    /// Goods arrive.
    Receive(ReceiveStock),
}

/// The Inventory context.
#[derive(Clone, Copy, Debug, Default)]
pub struct InventoryContext {
    bounds: Bounds,
}

impl InventoryContext {
    /// The context with other bounds than [`Bounds::default`].
    #[must_use]
    pub fn within(bounds: Bounds) -> Self {
        Self { bounds }
    }
}

impl Context for InventoryContext {
    type Message = Message;
    type Event = Event;
    type State = Book;

    fn source(&self) -> &'static str {
        source::INVENTORY
    }

    fn inputs(&self) -> &'static [Input] {
        &[
            Input {
                topic: topics::ORDER_EVENTS,
                aggregate: RESERVATION,
            },
            Input {
                topic: topics::INVENTORY_COMMANDS,
                aggregate: STOCK,
            },
        ]
    }

    fn writes(&self) -> &'static [Registration] {
        const {
            &[
                Registration::of::<inventory::StockReserved>(),
                Registration::of::<inventory::StockBackordered>(),
                Registration::of::<inventory::StockRefused>(),
                Registration::of::<inventory::StockReleased>(),
                Registration::of::<inventory::StockShipped>(),
                Registration::of::<inventory::StockReceived>(),
            ]
        }
    }

    fn keyed_by_order(&self, topic: &str) -> bool {
        matches!(topic, topics::ORDER_EVENTS | topics::INVENTORY_EVENTS)
    }

    fn interest(&self, message_type: &str) -> Interest {
        match message_type {
            OrderPlaced::TYPE
            | OrderCancelled::TYPE
            | OrderCompleted::TYPE
            | ReceiveStock::TYPE => Interest::Handled,
            // Order repeats to its watchers what Inventory told it.
            OrderReserved::TYPE | OrderBackordered::TYPE | OrderRejected::TYPE => Interest::Ignored,
            _ => Interest::Unknown,
        }
    }

    fn decode(
        &self,
        message_type: &str,
        schema: &Schema,
        datum: &[u8],
    ) -> Result<Message, codec::Error> {
        match message_type {
            OrderPlaced::TYPE => message::decode(schema, datum).map(Message::Placed),
            OrderCancelled::TYPE => message::decode(schema, datum).map(Message::Cancelled),
            OrderCompleted::TYPE => message::decode(schema, datum).map(Message::Completed),
            ReceiveStock::TYPE => message::decode(schema, datum).map(Message::Receive),
            other => Err(codec::Error::Unbound {
                message_type: other.to_owned(),
            }),
        }
    }

    fn key<'m>(&self, message: &'m Message) -> &'m str {
        match message {
            Message::Placed(placed) => placed.key(),
            Message::Cancelled(cancelled) => cancelled.key(),
            Message::Completed(completed) => completed.key(),
            Message::Receive(receive) => receive.key(),
        }
    }

    fn deduplication(&self, message: &Message) -> Deduplication {
        match message {
            Message::Placed(_) | Message::Cancelled(_) | Message::Completed(_) => {
                Deduplication::Version
            }
            Message::Receive(_) => Deduplication::BusinessKey,
        }
    }

    fn recognise(&self, book: &Book, incoming: &Incoming<Message>) -> Recognised {
        match &incoming.message {
            Message::Placed(placed) => applied(book, &placed.order_id, placed.version()),
            Message::Cancelled(cancelled) => {
                applied(book, &cancelled.order_id, cancelled.version())
            }
            Message::Completed(completed) => {
                applied(book, &completed.order_id, completed.version())
            }
            Message::Receive(receive) => received(book, receive),
        }
    }

    fn decide(
        &self,
        book: &mut Book,
        incoming: &Incoming<Message>,
    ) -> Result<Vec<Outgoing<Event>>, Undecidable> {
        let event = match &incoming.message {
            Message::Placed(placed) => Some(decide_placed(book, placed, incoming)?),
            Message::Cancelled(cancelled) => settle::cancel(
                book,
                &OrderId::from(&cancelled.order_id),
                cancelled.version,
                &incoming.envelope.id,
            )
            .map_err(undecidable)?,
            Message::Completed(completed) => {
                let order_id = OrderId::from(&completed.order_id);
                settle::complete(book, &order_id, completed.version).map_err(undecidable)?
            }
            Message::Receive(receive) => Some(decide_receive(book, receive, incoming)?),
        };
        let cause = Cause::of(&incoming.envelope);
        Ok(event
            .map(|event| Outgoing { event, cause })
            .into_iter()
            .collect())
    }

    fn tell_time(&self, book: &mut Book, now: Timestamp) {
        book.tell_time(now);
    }

    /// Late waiters go before others are served in their place.
    fn follow_up(&self, book: &mut Book) -> FollowUp<Event> {
        let mut outgoing = deadline::expire(book);
        let pass = fulfilment::pass(book, self.bounds.waiters_per_turn);
        outgoing.extend(pass.outgoing);
        FollowUp {
            outgoing,
            more: pass.more || book.is_due(),
            alarm: deadline::alarm(book),
        }
    }

    fn encode(&self, writer: &Writer, event: &Event) -> Result<Encoded, codec::Error> {
        wire::encode(writer, event)
    }
}

fn applied(book: &Book, order_id: &str, version: i64) -> Recognised {
    match book.reservation(&OrderId::from(order_id)) {
        Ok(Some(reservation)) if reservation.order_version >= version => Recognised::Duplicate,
        _ => Recognised::New,
    }
}

fn received(book: &Book, receive: &ReceiveStock) -> Recognised {
    match book.receipt(&ReceiptId::from(&receive.receipt_id)) {
        Ok(Some(known)) if *known == receipt(receive) => Recognised::Duplicate,
        Ok(Some(_)) => Recognised::Conflict,
        _ => Recognised::New,
    }
}

fn receipt(receive: &ReceiveStock) -> Receipt {
    Receipt {
        receipt_id: ReceiptId::from(&receive.receipt_id),
        product_id: ProductId::from(&receive.product_id),
        quantity: receive.quantity,
    }
}

fn decide_receive(
    book: &mut Book,
    receive: &ReceiveStock,
    incoming: &Incoming<Message>,
) -> Result<Event, Undecidable> {
    let violations = receive.validate();
    if !violations.is_empty() {
        return Err(Undecidable(validate::summary(&violations)));
    }
    receive::receive(book, receipt(receive), &incoming.envelope.id).map_err(undecidable)
}

fn decide_placed(
    book: &mut Book,
    placed: &OrderPlaced,
    incoming: &Incoming<Message>,
) -> Result<Event, Undecidable> {
    let placement = Placement {
        order_id: OrderId::from(&placed.order_id),
        order_version: placed.version,
        lines: lines(placed)?,
        on_shortage: match placed.on_shortage {
            contracts::order::OnShortage::Backorder => OnShortage::Backorder,
            contracts::order::OnShortage::Reject => OnShortage::Reject,
        },
        reserve_by: placed.reserve_by.map(Timestamp),
        flow: Flow {
            correlation_id: incoming.envelope.correlation().to_owned(),
            traceparent: incoming.envelope.traceparent.clone(),
        },
    };
    place::place(book, placement).map_err(undecidable)
}

/// The lines of an event that may come from a foreign writer: what the rules rely on is checked.
fn lines(placed: &OrderPlaced) -> Result<Lines, Undecidable> {
    let mut lines = Lines::new();
    for line in &placed.lines {
        let within = contracts::limits::QUANTITY.contains(&line.quantity);
        let earlier = lines.insert(ProductId::from(&line.product_id), line.quantity);
        if !within || earlier.is_some() {
            return Err(Undecidable(format!(
                "the line of {} has quantity {} or comes twice",
                line.product_id, line.quantity
            )));
        }
    }
    if !(1..=contracts::limits::LINES_MAX).contains(&lines.len()) {
        return Err(Undecidable(format!("the order has {} lines", lines.len())));
    }
    Ok(lines)
}

fn undecidable(error: impl std::error::Error) -> Undecidable {
    Undecidable(error.to_string())
}

#[cfg(test)]
mod tests {
    use contracts::inventory::Line;
    use contracts::order::{OrderEvent, PlaceOrder};
    use messaging::envelope::Envelope;

    use super::*;
    use crate::domain::book::Counters;

    fn incoming(message: Message) -> Incoming<Message> {
        let id = "message 1".to_owned();
        Incoming {
            message,
            envelope: Envelope::command(id, "test", "/test", "key", Timestamp(0)),
            topic: "test".into(),
            offset: 0,
        }
    }

    fn order(lines: &[(&str, i32)]) -> Message {
        let line = |(product, quantity): &(&str, i32)| Line {
            product_id: (*product).to_owned(),
            quantity: *quantity,
        };
        Message::Placed(OrderPlaced {
            order_id: "O1".to_owned(),
            version: 1,
            lines: lines.iter().map(line).collect(),
            on_shortage: contracts::order::OnShortage::Backorder,
            reserve_by: None,
        })
    }

    /// Given a book with stock of A and no orders, when `message` is decided.
    fn decide(message: Message) -> Result<Vec<Outgoing<Event>>, Undecidable> {
        let mut book = Book::new(Counters::default());
        for product in ["A", "B"].map(ProductId::from) {
            book.load_stock(product.clone(), None);
            book.load_queue(product, [], false);
        }
        book.load_reservation(OrderId::from("O1"), None);
        InventoryContext::default().decide(&mut book, &incoming(message))
    }

    #[test]
    fn every_type_of_the_topics_it_reads_is_handled_or_declared_ignored() {
        let context = InventoryContext::default();
        let ignored: Vec<_> = OrderEvent::REGISTRATIONS
            .iter()
            .map(|registration| registration.message_type)
            .filter(|name| context.interest(name) != Interest::Handled)
            .collect();
        let replies = [
            OrderReserved::TYPE,
            OrderBackordered::TYPE,
            OrderRejected::TYPE,
        ];
        assert_eq!(ignored, replies);
        assert!(
            replies
                .iter()
                .all(|name| context.interest(name) == Interest::Ignored)
        );
        assert_eq!(context.interest(ReceiveStock::TYPE), Interest::Handled);
        assert_eq!(context.interest(PlaceOrder::TYPE), Interest::Unknown);
    }

    #[test]
    fn an_event_belongs_to_the_flow_of_its_message() {
        let outgoing = decide(order(&[("A", 1)])).unwrap();
        assert_eq!(outgoing[0].cause.causation_id, "message 1");
        assert_eq!(outgoing[0].cause.correlation_id, "message 1");
    }

    #[test]
    fn what_no_writer_of_ours_would_send_is_undecidable() {
        let many: Vec<_> = (0..101).map(|number| format!("P{number}")).collect();
        let many: Vec<_> = many.iter().map(|product| (product.as_str(), 1)).collect();
        let foreign = [
            order(&[]),
            order(&many),
            order(&[("A", 0)]),
            order(&[("A", 1_000_001)]),
            order(&[("A", 1), ("A", 1)]),
            Message::Receive(ReceiveStock {
                receipt_id: "R1".to_owned(),
                product_id: "A".to_owned(),
                quantity: -5,
            }),
        ];
        for message in foreign {
            let outcome = decide(message.clone());
            assert!(outcome.is_err(), "{message:?} gave {outcome:?}");
        }
    }
}
