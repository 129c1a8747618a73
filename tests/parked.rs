//! A poisoned message among ten thousand: it holds up its own order and nobody else, and once its
//! cause is gone a replay completes the order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod common;

use std::ops::Range;

use bytes::Bytes;
use common::{PARTITIONS, Part, Store, eventually, order, streamed, within};
use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use contracts::proto;
use contracts::proto::operations_service_client::OperationsServiceClient;
use contracts::proto::order::Status;
use futures::StreamExt;
use messaging::clock::Timestamp;
use messaging::codec::{self, Schema, SchemaId};
use messaging::envelope::Envelope;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{Log, Record};
use messaging::message::{Message, Registration};
use messaging::partitioner::partition_of;
use messaging::registry::SchemaRegistry;
use messaging::registry::confluent::ConfluentRegistry;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// Orders that have nothing to do with the poisoned one.
const ORDERS: usize = 10_000;
const POISONED: &str = "POISONED";

/// A release of the schema that this store's registry has not been told of.
fn next_release() -> String {
    let field = r#"{"name": "note", "type": "string", "default": ""}]}"#;
    let text = PlaceOrder::SCHEMA.trim_end();
    let open = text.strip_suffix('}').unwrap().trim_end();
    let open = open.strip_suffix(']').unwrap().trim_end();
    format!("{open}, {field}")
}

/// The placement as a producer of the next release writes it, under a schema id of `id`.
fn poison(id: SchemaId) -> Record {
    #[derive(serde::Serialize)]
    struct NextRelease {
        order_id: &'static str,
        customer_id: &'static str,
        currency: &'static str,
        lines: Vec<PlaceOrderLine>,
        on_shortage: OnShortage,
        note: &'static str,
    }
    let place = NextRelease {
        order_id: POISONED,
        customer_id: "CUSTOMER_001",
        currency: "GBP",
        lines: vec![PlaceOrderLine {
            product_id: "PRODUCT_00".to_owned(),
            quantity: 1,
            unit_price_minor: 100,
        }],
        on_shortage: OnShortage::Backorder,
        note: "hello",
    };
    let schema = Schema::parse(&next_release()).unwrap();
    let envelope = Envelope::command(
        "11111111-1111-7111-8111-111111111111".to_owned(),
        PlaceOrder::TYPE,
        "/test",
        POISONED,
        Timestamp(1_795_000_000_000),
    );
    Record {
        key: Some(Bytes::from_static(POISONED.as_bytes())),
        value: Some(codec::encode(id, &schema, &place).unwrap()),
        headers: envelope.to_headers(),
        timestamp: Timestamp(1_795_000_000_000),
    }
}

/// The id that the registry will give next.
async fn next_id(registry: &ConfluentRegistry) -> SchemaId {
    let mut id = SchemaId(1);
    while registry.schema(id).await.is_ok() {
        id = SchemaId(id.0 + 1);
    }
    id
}

async fn place(store: &Store, range: Range<usize>) {
    let count = range.len();
    let orders = range.map(|n| {
        let product = format!("PRODUCT_{:02}", n % 20);
        streamed(order(&format!("ORDER_{n:05}"), &[(&product, 1)]))
    });
    let stream = futures::stream::iter(orders);
    let answers = store.orders().place_orders(stream).await.unwrap();
    let answers = within(answers.into_inner().collect::<Vec<_>>(), "the answers").await;
    use proto::place_orders_response::Result::Acceptance;
    let accepted = answers
        .into_iter()
        .filter(|answer| matches!(answer.as_ref().unwrap().result, Some(Acceptance(_))));
    assert_eq!(accepted.count(), count);
}

async fn poisoned_stream(store: &Store, registry: &ConfluentRegistry) {
    for n in 0..20 {
        let product = format!("PRODUCT_{n:02}");
        store.receive(&format!("R{n}"), &product, 1_000).await;
    }
    place(store, 0..ORDERS / 2).await;
    let log = KafkaLog::new(kafka::Config {
        bootstrap: vec![store.address(Part::Log).to_string()],
        client_id: "test".to_owned(),
    });
    let partition = partition_of(POISONED.as_bytes(), PARTITIONS);
    let record = poison(next_id(registry).await);
    log.append(PlaceOrder::TOPIC, partition, vec![record])
        .await
        .unwrap();
    let cancel = proto::CancelOrderRequest {
        order_id: POISONED.to_owned(),
        reason: "changed my mind".to_owned(),
        ..Default::default()
    };
    store.orders().cancel_order(cancel).await.unwrap();
    let complete = proto::CompleteOrderRequest {
        order_id: POISONED.to_owned(),
        ..Default::default()
    };
    store.orders().complete_order(complete).await.unwrap();
    place(store, ORDERS / 2..ORDERS).await;
}

type Operations = OperationsServiceClient<Channel>;

fn operations(store: &Store, part: Part) -> Operations {
    let endpoint = Endpoint::from_shared(store.url(part)).unwrap();
    OperationsServiceClient::new(endpoint.connect_lazy())
}

async fn parked(operations: &mut Operations) -> Vec<proto::ParkedMessage> {
    let all = proto::ListParkedRequest::default();
    let page = operations.list_parked(all).await.unwrap().into_inner();
    assert_eq!(page.next_page_token, "");
    page.messages
}

async fn replay(operations: &mut Operations, dry_run: bool) -> proto::ReplayParkedResponse {
    let request = proto::ReplayParkedRequest {
        aggregate_id: POISONED.to_owned(),
        operator: "ada".to_owned(),
        reason: "the schema is registered".to_owned(),
        dry_run,
        ..Default::default()
    };
    let answer = operations.replay_parked(request).await;
    answer.unwrap().into_inner()
}

fn told(answer: &proto::ReplayParkedResponse) -> Vec<(&str, &str)> {
    let outcomes = answer.outcomes.iter();
    outcomes
        .map(|outcome| (outcome.outcome.as_str(), outcome.detail.as_str()))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_poisoned_message_holds_up_its_own_order_only_and_a_replay_completes_it() {
    let metrics = messaging::telemetry::metrics();
    let store = Store::start().await;
    let registry = ConfluentRegistry::new(&store.url(Part::Registry)).unwrap();
    poisoned_stream(&store, &registry).await;

    eventually("the other orders are reserved", async || {
        let reserved = "SELECT COUNT(*) FROM orders WHERE status = 'RESERVED'";
        (store.count(Part::Order, reserved).await == ORDERS as i64).then_some(())
    })
    .await;
    assert!(store.order(POISONED).await.is_none());
    let mut operations = operations(&store, Part::Order);
    let waiting = parked(&mut operations).await;
    let types: Vec<(&str, &str)> = waiting
        .iter()
        .map(|message| (message.message_type.as_str(), message.reason.as_str()))
        .collect();
    assert_eq!(
        types,
        [
            ("shop.order.PlaceOrder", "undecodable"),
            ("shop.order.CancelOrder", "behind"),
            ("shop.order.CompleteOrder", "behind"),
        ]
    );
    let shard = partition_of(POISONED.as_bytes(), PARTITIONS);
    let gauge = format!("parked_messages{{source=\"/order\",shard=\"{shard}\"}} 3");
    eventually("the gauge tells", async || {
        metrics.render().contains(&gauge).then_some(())
    })
    .await;

    // The cause is still there.
    let answer = replay(&mut operations, false).await;
    assert_eq!((told(&answer).len(), answer.left), (1, 3));
    assert_eq!(told(&answer)[0].0, "parked");

    // It goes, and a dry run says so first.
    let subject = Registration::of::<PlaceOrder>().subject();
    let id = registry.register(&subject, &next_release()).await.unwrap();
    let place = waiting[0].place.clone();
    let shown = operations.get_parked(proto::GetParkedRequest { place });
    let shown = shown.await.unwrap().into_inner();
    assert_eq!(shown.schema_id, i32::try_from(id.0).unwrap());
    assert!(
        shown.decoded_json.contains("\"note\":\"hello\""),
        "{shown:?}"
    );
    let done = [
        ("applied", "shop.order.OrderPlaced"),
        ("applied", "shop.order.OrderCancelled"),
        ("applied", ""),
    ];
    let answer = replay(&mut operations, true).await;
    assert_eq!((told(&answer).as_slice(), answer.left), (&done[..], 3));
    assert!(store.order(POISONED).await.is_none());
    let answer = replay(&mut operations, false).await;
    assert_eq!((told(&answer).as_slice(), answer.left), (&done[..], 0));
    assert!(parked(&mut operations).await.is_empty());
    let order = store.reaches(POISONED, Status::Cancelled).await;
    assert_eq!(
        (order.version, order.reason.as_str()),
        (2, "changed my mind")
    );

    let request = proto::ReplayParkedRequest {
        aggregate_id: POISONED.to_owned(),
        ..Default::default()
    };
    let refused = operations.replay_parked(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}
