//! Inventory's events as it publishes them.

use contracts::inventory::{
    Line, ReservationEvent, StockBackordered, StockReceived, StockRefused, StockReleased,
    StockReserved, StockShipped,
};
use contracts::shared::Refusal;
use contracts::source;
use inventory::domain::event::{Event, Refusal as Refused};
use inventory::domain::ids::ProductId;
use inventory::domain::reservation::Lines;

use super::World;
use crate::record::{Message, Topic};

impl World {
    /// Publishes an event of the rules.
    pub(super) fn tell(&mut self, event: Event, cause: &str) {
        let of = |lines: &Lines| {
            let line = |(product, quantity): (&ProductId, &i32)| Line {
                product_id: product.to_string(),
                quantity: *quantity,
            };
            lines.iter().map(line).collect::<Vec<_>>()
        };
        let names =
            |products: &[ProductId]| products.iter().map(ToString::to_string).collect::<Vec<_>>();
        let event: ReservationEvent = match event {
            Event::Received {
                product_id,
                version,
                receipt_id,
                quantity,
            } => {
                let received = StockReceived {
                    product_id: product_id.to_string(),
                    version,
                    receipt_id: receipt_id.to_string(),
                    quantity,
                };
                let from = (source::INVENTORY, contracts::inventory::STOCK);
                let key = product_id.to_string();
                self.event(
                    Topic::InventoryStock,
                    from,
                    &key,
                    version,
                    cause,
                    Message::Stock(received.into()),
                );
                return;
            }
            Event::Reserved {
                order_id,
                version,
                lines,
            } => StockReserved {
                order_id: order_id.to_string(),
                version,
                lines: of(&lines),
            }
            .into(),
            Event::Backordered {
                order_id,
                version,
                short,
            } => StockBackordered {
                order_id: order_id.to_string(),
                version,
                short: names(&short),
            }
            .into(),
            Event::Refused {
                order_id,
                version,
                reason,
                short,
            } => {
                let timed_out = reason == Refused::TimedOut;
                let reason = match reason {
                    Refused::UnknownProduct => Refusal::UnknownProduct,
                    Refused::OutOfStock | Refused::TimedOut => Refusal::OutOfStock,
                };
                StockRefused {
                    order_id: order_id.to_string(),
                    version,
                    reason,
                    short: names(&short),
                    timed_out,
                }
                .into()
            }
            Event::Released {
                order_id,
                version,
                lines,
            } => StockReleased {
                order_id: order_id.to_string(),
                version,
                lines: of(&lines),
            }
            .into(),
            Event::Shipped {
                order_id,
                version,
                lines,
            } => StockShipped {
                order_id: order_id.to_string(),
                version,
                lines: of(&lines),
            }
            .into(),
        };
        let from = (source::INVENTORY, contracts::inventory::RESERVATION);
        let (key, version) = (event.key().to_owned(), event.version());
        self.event(
            Topic::InventoryEvents,
            from,
            &key,
            version,
            cause,
            Message::Reservation(event),
        );
    }
}
