//! The records that an order leaves in the log when its stock is there: the command, and three
//! events. Written as the gateway and the services write them.

use std::sync::Arc;

use bytes::Bytes;
use contracts::inventory::StockReserved;
use contracts::order::{Line, OnShortage, OrderPlaced, OrderReserved, PlaceOrder, PlaceOrderLine};
use contracts::proto::PlaceOrderRequest;
use contracts::source;
use messaging::clock::Timestamp;
use messaging::codec;
use messaging::envelope::{Envelope, event_id};
use messaging::ids::Ids;
use messaging::limits::TURN_RECORDS_MAX;
use messaging::log::Record;
use messaging::message::{Binding, Event, Message, Registration, Writer};
use messaging::registry::memory::MemoryRegistry;

use super::Error;
use crate::orders::Orders;
use crate::plan::Plan;

/// Orders of an ideal batch: as many as one turn of a shard takes messages.
pub const ORDERS: usize = TURN_RECORDS_MAX;

/// An order as it comes out of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// The id of its command.
    pub message_id: String,
    /// What was ordered.
    pub command: PlaceOrder,
}

/// [`ORDERS`] orders, and what they leave in the log: one record of each kind per order.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The orders.
    pub orders: Vec<Ordered>,
    /// `PlaceOrder`, to `order.commands`.
    pub commands: Vec<Record>,
    /// `OrderPlaced`, to `order.events`.
    pub placed: Vec<Record>,
    /// `StockReserved`, to `inventory.events`.
    pub held: Vec<Record>,
    /// `OrderReserved`, to `order.events`.
    pub reserved: Vec<Record>,
}

impl Batch {
    /// Bytes of keys, values and headers of all records.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.records().map(Record::size).sum()
    }

    /// All records.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        [&self.commands, &self.placed, &self.held, &self.reserved]
            .into_iter()
            .flatten()
    }
}

/// The first orders of `plan`, accepted at `now`.
///
/// # Errors
/// When a message does not fit its schema: a defect.
pub async fn batch(plan: &Plan, ids: Arc<dyn Ids>, now: Timestamp) -> Result<Batch, Error> {
    let registrations = [
        Registration::of::<PlaceOrder>(),
        Registration::of::<OrderPlaced>(),
        Registration::of::<StockReserved>(),
        Registration::of::<OrderReserved>(),
    ];
    let registry = MemoryRegistry::new();
    let writer = Writer::bind(&registry, &registrations, Binding::Register).await?;
    let plain = Plan {
        duplicates: 0.0,
        shortages: 0.0,
        cancels: 0.0,
        ..plan.clone()
    };
    let mut orders = Orders::new(&plain, ids);
    let mut batch = Batch::default();
    for _ in 0..ORDERS {
        add(&mut batch, &writer, orders.next().request, now)?;
    }
    Ok(batch)
}

fn add(
    batch: &mut Batch,
    writer: &Writer,
    request: PlaceOrderRequest,
    now: Timestamp,
) -> Result<(), codec::Error> {
    let command = command(&request);
    let order_id = command.order_id.clone();
    let line = |line: &PlaceOrderLine| Line {
        product_id: line.product_id.clone(),
        quantity: line.quantity,
    };
    let lines: Vec<_> = command.lines.iter().map(line).collect();
    let placed = OrderPlaced {
        order_id: order_id.clone(),
        version: 1,
        lines: lines.clone(),
        on_shortage: command.on_shortage,
        reserve_by: None,
    };
    let held = StockReserved {
        order_id: order_id.clone(),
        version: 1,
        lines,
    };
    let reserved = OrderReserved {
        order_id,
        version: 2,
    };
    let flow = &request.request_id;
    let (placed_id, placed) = event(writer, source::ORDER, &placed, (flow, flow), now)?;
    let (held_id, held) = event(writer, source::INVENTORY, &held, (&placed_id, flow), now)?;
    let (_, reserved) = event(writer, source::ORDER, &reserved, (&held_id, flow), now)?;
    let message_id = request.request_id.clone();
    let envelope = Envelope::command(
        message_id,
        PlaceOrder::TYPE,
        source::GATEWAY,
        command.key(),
        now,
    );
    let value = writer.encode(&command)?;
    batch.commands.push(record(&envelope, value));
    batch.placed.push(placed);
    batch.held.push(held);
    batch.reserved.push(reserved);
    batch.orders.push(Ordered {
        message_id: request.request_id,
        command,
    });
    Ok(())
}

fn command(request: &PlaceOrderRequest) -> PlaceOrder {
    let order = request.order.clone().unwrap_or_default();
    let line = |line: contracts::proto::OrderLine| PlaceOrderLine {
        product_id: line.product_id,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    };
    PlaceOrder {
        order_id: order.order_id,
        customer_id: order.customer_id,
        currency: order.currency,
        lines: order.lines.into_iter().map(line).collect(),
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
    .sorted()
}

/// An event's id and its record; `of` has the ids of its cause and of its flow.
fn event<E: Event>(
    writer: &Writer,
    source: &str,
    event: &E,
    of: (&str, &str),
    now: Timestamp,
) -> Result<(String, Record), codec::Error> {
    let encoded = writer.event(event)?;
    let id = event_id(source, encoded.aggregate, &encoded.key, encoded.version).to_string();
    let (cause, flow) = of;
    let envelope = Envelope {
        causation_id: Some(cause.to_owned()),
        correlation_id: Some(flow.to_owned()),
        ..Envelope::command(id.clone(), E::TYPE, source, &encoded.key, now)
    };
    Ok((id, record(&envelope, encoded.value)))
}

fn record(envelope: &Envelope, value: Bytes) -> Record {
    Record {
        key: Some(Bytes::copy_from_slice(envelope.subject.as_bytes())),
        value: Some(value),
        headers: envelope.to_headers(),
        timestamp: envelope.time,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::HashSet;

    use messaging::ids::SystemIds;

    use super::*;
    use crate::plan::tests::plan;

    /// A batch of orders of a plain plan.
    pub(crate) async fn of_plan() -> Batch {
        let now = Timestamp(1_700_000_000_000);
        batch(&plan(), Arc::new(SystemIds), now).await.unwrap()
    }

    #[tokio::test]
    async fn an_order_leaves_a_command_and_three_events_of_its_flow() {
        let batch = of_plan().await;
        assert_eq!(batch.orders.len(), ORDERS);
        assert_eq!(batch.records().count(), 4 * ORDERS);
        let ids: HashSet<_> = batch.orders.iter().map(|one| &one.message_id).collect();
        assert_eq!(ids.len(), ORDERS);
        for (number, order) in batch.orders.iter().enumerate() {
            let of = |records: &[Record]| {
                let record = &records[number];
                assert_eq!(
                    record.key.as_deref(),
                    Some(order.command.order_id.as_bytes())
                );
                Envelope::from_headers(&record.headers).unwrap()
            };
            let flow = [&batch.placed, &batch.held, &batch.reserved].map(|records| of(records));
            let mut cause = of(&batch.commands).id;
            for event in flow {
                assert_eq!(event.causation_id, Some(cause));
                assert_eq!(event.correlation(), order.message_id);
                cause = event.id;
            }
        }
    }

    #[tokio::test]
    async fn a_plan_with_shortages_is_measured_by_orders_that_are_reserved() {
        let plan = Plan {
            shortages: 1.0,
            duplicates: 0.9,
            ..plan()
        };
        let batch = batch(&plan, Arc::new(SystemIds), Timestamp(0))
            .await
            .unwrap();
        let ids: HashSet<_> = batch
            .orders
            .iter()
            .map(|one| &one.command.order_id)
            .collect();
        assert_eq!(ids.len(), ORDERS);
        let products = batch.orders.iter().flat_map(|one| &one.command.lines);
        assert!(
            products
                .into_iter()
                .all(|line| line.product_id.starts_with("LOAD_0"))
        );
    }
}
