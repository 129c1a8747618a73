//! What is kept of each message: enough to decide it again, not its texts.

use contracts::inventory::ReservationEvent;
use contracts::order::{
    CancelOrder, CompleteOrder, OnShortage, OrderCommand, OrderEvent, PlaceOrder, Refusal,
};
use contracts::shared::TIMED_OUT;
use messaging::clock::Timestamp;
use messaging::envelope::Envelope;
use order::domain::Message;

use crate::digest::{self, Digest};

/// What a command asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// To place an order, of this customer, with its deadline.
    Place(OnShortage, Digest, Option<i64>),
    /// To cancel it, for this reason, if it is this customer's.
    Cancel(Box<str>, Option<Digest>),
    /// To ship it.
    Complete,
}

/// A command.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) offset: i64,
    /// Of the message id.
    pub(super) id: Digest,
    /// Of what the client gave.
    pub(super) content: Digest,
    /// Of products and quantities.
    pub(super) lines: Digest,
    pub(super) time: Timestamp,
    pub(super) wish: Wish,
}

impl Step {
    pub(super) fn of(command: &OrderCommand, envelope: &Envelope, offset: i64) -> Self {
        let (content, wish) = match command {
            OrderCommand::Place(place) => (
                place.content(),
                Wish::Place(
                    place.on_shortage,
                    digest::text(&place.customer_id),
                    place.reserve_by,
                ),
            ),
            OrderCommand::Cancel(cancel) => (
                cancel.content(),
                Wish::Cancel(
                    cancel.reason.as_str().into(),
                    cancel.customer_id.as_deref().map(digest::text),
                ),
            ),
            OrderCommand::Complete(complete) => (complete.content(), Wish::Complete),
        };
        let lines = match command {
            OrderCommand::Place(place) => lines_of(place),
            _ => 0,
        };
        Self {
            offset,
            id: digest::text(&envelope.id),
            content: digest::short(content),
            lines,
            time: envelope.time,
            wish,
        }
    }

    /// Whether both are commands of one type.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        std::mem::discriminant(&self.wish) == std::mem::discriminant(&other.wish)
    }

    pub(super) fn is_place(&self) -> bool {
        matches!(self.wish, Wish::Place(..))
    }

    pub(super) fn name(&self) -> &'static str {
        match self.wish {
            Wish::Place(..) => "PlaceOrder",
            Wish::Cancel(..) => "CancelOrder",
            Wish::Complete => "CompleteOrder",
        }
    }

    /// The command for the model, which looks at neither lines nor currency: the content's digest
    /// stands for both. Customers are compared, so their digests will do.
    pub(super) fn message(&self, order_id: &str) -> Message {
        let order_id = order_id.to_owned();
        Message::Command(match &self.wish {
            Wish::Place(on_shortage, customer, reserve_by) => PlaceOrder {
                order_id,
                customer_id: digest_text(*customer),
                currency: digest_text(self.content),
                lines: Vec::new(),
                on_shortage: *on_shortage,
                reserve_by: *reserve_by,
            }
            .into(),
            Wish::Cancel(reason, customer) => CancelOrder {
                order_id,
                reason: reason.to_string(),
                customer_id: customer.map(digest_text),
            }
            .into(),
            Wish::Complete => CompleteOrder { order_id }.into(),
        })
    }
}

/// How a digest stands in a model's order.
fn digest_text(digest: Digest) -> String {
    format!("{digest:016x}")
}

/// The digest of an order's products and quantities.
pub(super) fn lines_of(place: &PlaceOrder) -> Digest {
    let mut lines: Vec<_> = place
        .lines
        .iter()
        .map(|line| (line.product_id.as_str(), line.quantity))
        .collect();
    lines.sort_unstable();
    digest::lines(lines)
}

/// What an event tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Placed,
    Reserved,
    Backordered,
    Rejected,
    Cancelled,
    Completed,
    Refused,
    Released,
    Shipped,
}

/// An event, by its first occurrence.
#[derive(Clone, Debug)]
pub(super) struct Fact {
    pub(super) version: i64,
    pub(super) kind: Kind,
    /// Of the record.
    pub(super) bytes: Digest,
    /// Of the id of the message that caused it.
    pub(super) cause: Digest,
    /// Of all that it says but products and quantities.
    pub(super) body: Digest,
    /// Of products and quantities.
    pub(super) lines: Digest,
    pub(super) time: Timestamp,
    /// The deadline that a placement carries.
    pub(super) deadline: Option<Timestamp>,
    /// The products that it is short of, each on a line, and before them a refusal's reason.
    pub(super) short: Option<Box<str>>,
}

impl Fact {
    pub(super) fn of_order(event: &OrderEvent, envelope: &Envelope, bytes: Digest) -> Self {
        let lines = match event {
            OrderEvent::Placed(placed) => digest::lines(digest::pairs(&placed.lines)),
            _ => 0,
        };
        Self {
            version: event.version(),
            kind: kind_of(event),
            bytes,
            cause: cause(envelope),
            body: body(event),
            lines,
            time: envelope.time,
            deadline: match event {
                OrderEvent::Placed(placed) => placed.reserve_by.map(Timestamp),
                _ => None,
            },
            short: None,
        }
    }

    pub(super) fn of_reservation(
        event: &ReservationEvent,
        envelope: &Envelope,
        bytes: Digest,
    ) -> Self {
        let (kind, lines, short) = match event {
            ReservationEvent::Reserved(event) => (Kind::Reserved, Some(&event.lines), None),
            ReservationEvent::Released(event) => (Kind::Released, Some(&event.lines), None),
            ReservationEvent::Shipped(event) => (Kind::Shipped, Some(&event.lines), None),
            ReservationEvent::Backordered(event) => {
                (Kind::Backordered, None, Some(event.short.join("\n")))
            }
            ReservationEvent::Refused(event) => {
                let short = event.short.iter().map(String::as_str);
                let short: Vec<_> = std::iter::once(event.why()).chain(short).collect();
                (Kind::Refused, None, Some(short.join("\n")))
            }
        };
        Self {
            version: event.version(),
            kind,
            bytes,
            cause: cause(envelope),
            body: 0,
            lines: lines.map_or(0, |lines| digest::lines(digest::pairs(lines))),
            time: envelope.time,
            deadline: None,
            short: short.map(Into::into),
        }
    }

    /// Whether it says that the order's deadline has passed.
    pub(super) fn is_timed_out(&self) -> bool {
        let short = self.short.as_deref().unwrap_or_default();
        self.kind == Kind::Refused && short.lines().next() == Some(TIMED_OUT)
    }

    /// The event of a reservation for Order's model, which looks at no lines.
    pub(super) fn message(&self, order_id: &str) -> Message {
        use contracts::inventory::{
            StockBackordered, StockRefused, StockReleased, StockReserved, StockShipped,
        };
        let (order_id, version) = (order_id.to_owned(), self.version);
        let mut short: Vec<String> = self
            .short
            .iter()
            .flat_map(|short| short.split('\n').map(str::to_owned))
            .collect();
        let lines = Vec::new();
        Message::Reservation(match self.kind {
            Kind::Released => StockReleased {
                order_id,
                version,
                lines,
            }
            .into(),
            Kind::Shipped => StockShipped {
                order_id,
                version,
                lines,
            }
            .into(),
            Kind::Backordered => StockBackordered {
                order_id,
                version,
                short,
            }
            .into(),
            Kind::Refused => {
                let why = short.remove(0);
                let reason = match why.as_str() {
                    "UNKNOWN_PRODUCT" => Refusal::UnknownProduct,
                    _ => Refusal::OutOfStock,
                };
                StockRefused {
                    order_id,
                    version,
                    reason,
                    short,
                    timed_out: why == TIMED_OUT,
                }
                .into()
            }
            _ => StockReserved {
                order_id,
                version,
                lines,
            }
            .into(),
        })
    }
}

fn cause(envelope: &Envelope) -> Digest {
    digest::text(envelope.causation_id.as_deref().unwrap_or_default())
}

pub(super) fn kind_of(event: &OrderEvent) -> Kind {
    match event {
        OrderEvent::Placed(_) => Kind::Placed,
        OrderEvent::Reserved(_) => Kind::Reserved,
        OrderEvent::Backordered(_) => Kind::Backordered,
        OrderEvent::Rejected(_) => Kind::Rejected,
        OrderEvent::Cancelled(_) => Kind::Cancelled,
        OrderEvent::Completed(_) => Kind::Completed,
    }
}

/// The digest of all that Order's event says but its id, version and lines.
pub(super) fn body(event: &OrderEvent) -> Digest {
    let short = |first: &str, short: &[String]| {
        let short = short.iter().map(String::as_bytes);
        digest::parts(std::iter::once(first.as_bytes()).chain(short))
    };
    match event {
        OrderEvent::Placed(placed) => digest::text(placed.on_shortage.as_str()),
        OrderEvent::Reserved(_) | OrderEvent::Completed(_) => 0,
        OrderEvent::Backordered(event) => short("", &event.short),
        OrderEvent::Rejected(event) => short(event.why(), &event.short),
        OrderEvent::Cancelled(event) => digest::text(&event.reason),
    }
}
