//! A placement as the gateway of another release writes it: with a schema that this one's services
//! have never seen, compatible with theirs.

use bytes::Bytes;
use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use contracts::proto::Order;
use contracts::source;
use messaging::clock::{Clock, SystemClock};
use messaging::codec::{self, Schema, SchemaId};
use messaging::envelope::Envelope;
use messaging::log::{Log, Record};
use messaging::message::{Message, Registration};
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;

use crate::real::PARTITIONS;
use crate::real::topics::Topics;

/// A placement with one field more.
#[derive(serde::Serialize)]
struct Placement<'a> {
    order_id: &'a str,
    customer_id: &'a str,
    currency: &'a str,
    lines: Vec<PlaceOrderLine>,
    on_shortage: OnShortage,
    gift_note: &'a str,
}

/// Its schema.
fn schema() -> String {
    let mut schema: serde_json::Value = serde_json::from_str(PlaceOrder::SCHEMA).unwrap();
    let field = serde_json::json!({ "name": "gift_note", "type": "string", "default": "" });
    schema["fields"].as_array_mut().unwrap().push(field);
    schema.to_string()
}

/// Registers its schema; the id that the registry gives.
pub(crate) async fn register(topics: &Topics) -> SchemaId {
    let subject = Registration::of::<PlaceOrder>().subject();
    let registered = topics.registry.register(&subject, &schema()).await;
    registered.unwrap()
}

/// Appends the placement of `order`.
pub(crate) async fn place(topics: &Topics, id: SchemaId, request_id: &str, order: &Order) {
    let line = |line: &contracts::proto::OrderLine| PlaceOrderLine {
        product_id: line.product_id.clone(),
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    };
    let placement = Placement {
        order_id: &order.order_id,
        customer_id: &order.customer_id,
        currency: &order.currency,
        lines: order.lines.iter().map(line).collect(),
        on_shortage: OnShortage::Backorder,
        gift_note: "for you",
    };
    let (key, now) = (&order.order_id, SystemClock.now());
    let request_id = request_id.to_owned();
    let envelope = Envelope::command(request_id, PlaceOrder::TYPE, source::GATEWAY, key, now);
    let value = codec::encode(id, &Schema::parse(&schema()).unwrap(), &placement);
    let record = Record {
        key: Some(Bytes::from(key.clone())),
        value: Some(value.unwrap()),
        headers: envelope.to_headers(),
        timestamp: now,
    };
    let partition = partition_of(key.as_bytes(), PARTITIONS);
    let appended = topics
        .log
        .append(PlaceOrder::TOPIC, partition, vec![record]);
    appended.await.unwrap();
}
