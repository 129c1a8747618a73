//! Commands: checked, in the log before the answer, and nothing promised without it.

use contracts::order::OrderCommand;
use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, PlaceOrderRequest, ReceiveStockRequest, order,
};
use contracts::topics::{INVENTORY_COMMANDS, ORDER_COMMANDS};
use messaging::log::memory::AppendFault;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::store::{Store, assert_unavailable, order, place, placed, within};

const REQUEST_ID: &str = "72029ae3-9876-4d2f-a0ae-aaee86b8ec34";
const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test]
async fn an_accepted_order_is_in_the_log_with_its_metadata() {
    let store = Store::without_services().await;
    let mut request = Request::new(PlaceOrderRequest {
        request_id: REQUEST_ID.to_owned(),
        ..place("ORDER_001")
    });
    request
        .metadata_mut()
        .insert("traceparent", TRACE.parse().unwrap());

    let answer = store.orders().place_order(request).await.unwrap();

    let answer = answer.into_inner();
    assert_eq!(answer.order_id, "ORDER_001");
    assert_eq!(answer.request_id, REQUEST_ID);
    assert_eq!(answer.status(), order::Status::Pending);
    let records = store.records(ORDER_COMMANDS, "ORDER_001");
    assert_eq!(records.len(), 1);
    let (envelope, command) = store.read(&records[0]).await;
    assert_eq!(command, OrderCommand::Place(placed("ORDER_001")));
    assert_eq!(envelope.id, REQUEST_ID);
    assert_eq!(envelope.source, "/gateway");
    assert_eq!(envelope.subject, "ORDER_001");
    assert_eq!(envelope.traceparent.as_deref(), Some(TRACE));
    assert_eq!(envelope.time, records[0].record.timestamp);
}

#[tokio::test]
async fn a_request_without_an_id_gets_one() {
    let store = Store::without_services().await;
    let answer = store
        .orders()
        .place_order(place("ORDER_001"))
        .await
        .unwrap();
    let request_id = answer.into_inner().request_id;
    let (envelope, _) = store
        .read(&store.records(ORDER_COMMANDS, "ORDER_001")[0])
        .await;
    assert_eq!(envelope.id, request_id);
    assert_eq!(request_id.len(), REQUEST_ID.len());
}

#[tokio::test]
async fn every_bad_field_is_named_and_nothing_is_written() {
    let store = Store::without_services().await;
    let mut bad = order("ORDER_001");
    bad.currency = "pounds".to_owned();
    bad.lines[1].quantity = 0;
    let request = PlaceOrderRequest {
        request_id: "7".to_owned(),
        order: Some(bad),
        wait_for: None,
    };

    let status = store.orders().place_order(request).await.unwrap_err();

    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let fields: Vec<_> = details
        .bad_request()
        .unwrap()
        .field_violations
        .iter()
        .map(|violation| violation.field.as_str())
        .collect();
    assert_eq!(
        fields,
        ["request_id", "order.currency", "order.lines[1].quantity"]
    );
    assert!(store.records(ORDER_COMMANDS, "ORDER_001").is_empty());
}

#[tokio::test]
async fn no_answer_comes_before_the_logs_acknowledgement() {
    let store = Store::without_services().await;
    store.log.fail_append(AppendFault::Hang);
    let status = store
        .orders()
        .place_order(within(place("ORDER_001"), 2_000))
        .await
        .unwrap_err();
    assert_unavailable(&status);
}

#[tokio::test]
async fn a_log_that_is_down_is_unavailable_within_the_deadline() {
    let store = Store::without_services().await;
    store.log.set_down(true);
    let receipt = ReceiveStockRequest {
        receipt_id: "R1".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity: 1,
    };
    let (mut orders, mut inventory) = (store.orders(), store.inventory());
    let (placed, received) = tokio::join!(
        orders.place_order(within(place("ORDER_001"), 2_000)),
        inventory.receive_stock(within(receipt, 2_000)),
    );
    assert_unavailable(&placed.unwrap_err());
    assert_unavailable(&received.unwrap_err());
}

#[tokio::test]
async fn a_failure_that_passes_within_the_deadline_is_not_seen() {
    let store = Store::without_services().await;
    store.log.fail_append(AppendFault::FailBefore);
    store.log.fail_append(AppendFault::FailBefore);
    store
        .orders()
        .place_order(place("ORDER_001"))
        .await
        .unwrap();
    assert_eq!(store.records(ORDER_COMMANDS, "ORDER_001").len(), 1);
}

#[tokio::test]
async fn a_retry_after_a_lost_acknowledgement_keeps_id_and_content() {
    let store = Store::without_services().await;
    store.log.fail_append(AppendFault::AcknowledgementLost);
    store
        .orders()
        .place_order(place("ORDER_001"))
        .await
        .unwrap();
    let records = store.records(ORDER_COMMANDS, "ORDER_001");
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].record, records[1].record);
}

#[tokio::test]
async fn cancelling_and_completing_are_commands_of_the_order() {
    let store = Store::without_services().await;
    let cancelled = store
        .orders()
        .cancel_order(CancelOrderRequest {
            order_id: "ORDER_001".to_owned(),
            reason: "changed my mind".to_owned(),
            request_id: REQUEST_ID.to_owned(),
        })
        .await
        .unwrap()
        .into_inner();
    let completed = store
        .orders()
        .complete_order(CompleteOrderRequest {
            order_id: "ORDER_001".to_owned(),
            request_id: String::new(),
        })
        .await
        .unwrap()
        .into_inner();
    assert_eq!(cancelled.request_id, REQUEST_ID);

    let records = store.records(ORDER_COMMANDS, "ORDER_001");
    let (first, cancel) = store.read(&records[0]).await;
    let (second, complete) = store.read(&records[1]).await;
    assert_eq!(first.id, REQUEST_ID);
    assert!(matches!(cancel, OrderCommand::Cancel(command) if command.reason == "changed my mind"));
    assert_eq!(second.id, completed.request_id);
    assert!(matches!(complete, OrderCommand::Complete(_)));
}

#[tokio::test]
async fn a_receipt_is_a_command_of_its_product() {
    let store = Store::without_services().await;
    let receipt = ReceiveStockRequest {
        receipt_id: "R1".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity: 5,
    };
    let answer = store.inventory().receive_stock(receipt).await.unwrap();
    assert_eq!(answer.into_inner().receipt_id, "R1");
    assert_eq!(store.records(INVENTORY_COMMANDS, "PRODUCT_001").len(), 1);
}

#[tokio::test]
async fn bad_commands_of_every_kind_are_refused() {
    let store = Store::without_services().await;
    let cancel = CancelOrderRequest {
        order_id: "no such/id".to_owned(),
        reason: "x".repeat(201),
        request_id: "7".to_owned(),
    };
    let complete = CompleteOrderRequest::default();
    let receive = ReceiveStockRequest::default();
    let refusals = [
        store.orders().cancel_order(cancel).await.unwrap_err(),
        store.orders().complete_order(complete).await.unwrap_err(),
        store.inventory().receive_stock(receive).await.unwrap_err(),
    ];
    for (status, count) in refusals.iter().zip([3, 1, 3]) {
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        let violations = &details.bad_request().unwrap().field_violations;
        assert_eq!(violations.len(), count, "{violations:?}");
    }
}
