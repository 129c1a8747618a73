//! `PlaceOrders`: one answer per request, whatever became of the others.

use std::collections::BTreeMap;

use contracts::proto::place_orders_response::Result as Outcome;
use contracts::proto::{PlaceOrderRequest, PlaceOrdersRequest, PlaceOrdersResponse, order};
use contracts::topics::ORDER_COMMANDS;
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_types::RpcStatusExt;

use crate::store::{Store, assert_unavailable, place, soon};

fn request_id(number: u32) -> String {
    format!("72029ae3-9876-4d2f-a0ae-{number:012}")
}

fn numbered(number: u32) -> PlaceOrderRequest {
    PlaceOrderRequest {
        request_id: request_id(number),
        ..place(&format!("ORDER_{number}"))
    }
}

fn streamed(request: PlaceOrderRequest) -> PlaceOrdersRequest {
    PlaceOrdersRequest {
        request: Some(request),
    }
}

fn by_request(answers: Vec<PlaceOrdersResponse>) -> BTreeMap<String, Outcome> {
    answers
        .into_iter()
        .map(|answer| (answer.request_id, answer.result.unwrap()))
        .collect()
}

fn assert_refused(error: &tonic_types::Status, field: &str) {
    assert_eq!(error.code, Code::InvalidArgument as i32);
    let details = error.get_details_bad_request().unwrap();
    assert_eq!(details.field_violations[0].field, field);
}

#[tokio::test]
async fn a_bad_order_in_the_middle_does_not_end_the_stream() {
    let store = Store::without_services().await;
    let mut requests: Vec<_> = (0..500).map(numbered).collect();
    requests[250].order.as_mut().unwrap().lines.clear();
    let requests = requests.into_iter().map(streamed);
    let nothing = PlaceOrdersRequest::default();

    let answers = store
        .orders()
        .place_orders(stream::iter(requests.chain([nothing])))
        .await
        .unwrap()
        .into_inner()
        .map(|answer| answer.unwrap())
        .collect()
        .await;

    let mut outcomes = by_request(answers);
    for number in 0..500 {
        match outcomes.remove(&request_id(number)).unwrap() {
            Outcome::Acceptance(acceptance) => {
                assert_ne!(number, 250);
                assert_eq!(acceptance.order_id, format!("ORDER_{number}"));
                assert_eq!(acceptance.request_id, request_id(number));
            }
            Outcome::Error(error) => {
                assert_eq!(number, 250);
                assert_refused(&error, "order.lines");
            }
        }
    }
    // The request without anything got an id of its own, and its answer.
    let (_, nothing) = outcomes.pop_first().unwrap();
    assert_eq!(outcomes.len(), 0);
    match nothing {
        Outcome::Acceptance(acceptance) => panic!("{acceptance:?}"),
        Outcome::Error(error) => assert_refused(&error, "order"),
    }
    assert!(store.records(ORDER_COMMANDS, "ORDER_250").is_empty());
    assert_eq!(store.records(ORDER_COMMANDS, "ORDER_499").len(), 1);
}

#[tokio::test]
async fn answers_come_while_the_stream_is_open() {
    let store = Store::without_services().await;
    let (requests, queue) = mpsc::channel(1);
    let mut answers = store
        .orders()
        .place_orders(ReceiverStream::new(queue))
        .await
        .unwrap()
        .into_inner();
    for number in 0..3 {
        requests.send(streamed(numbered(number))).await.unwrap();
        let answer = soon(answers.message()).await.unwrap().unwrap();
        assert_eq!(answer.request_id, request_id(number));
    }
    drop(requests);
    assert!(soon(answers.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_stop_answers_what_was_read_and_tells_that_there_is_no_more() {
    let (store, services) = Store::ready().await;
    let (requests, queue) = mpsc::channel(1);
    let mut answers = store
        .orders()
        .place_orders(ReceiverStream::new(queue))
        .await
        .unwrap()
        .into_inner();
    let waiting = PlaceOrderRequest {
        wait_for: Some(order::Status::Reserved.into()),
        ..numbered(0)
    };
    requests.send(streamed(waiting)).await.unwrap();
    services.orders.watched(1).await;
    store.shutdown.cancel();
    let answer = soon(answers.message()).await.unwrap().unwrap();
    assert_eq!(answer.request_id, request_id(0));
    // No longer waited for, but accepted.
    let Some(Outcome::Acceptance(acceptance)) = answer.result else {
        panic!("{answer:?}");
    };
    assert_eq!(acceptance.status(), order::Status::Pending);
    assert_unavailable(&soon(answers.message()).await.unwrap_err());
    store.ended().await;
}
