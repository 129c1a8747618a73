//! `wait_for`: the answer follows the order, and an acceptance never becomes an error.

use contracts::proto::{PlaceOrderRequest, PlaceOrderResponse, order};
use tonic::{Code, Status};

use crate::store::{Store, order, place, within};

/// Places `ORDER_001` and waits for `status`, at most `millis`.
async fn place_and_wait(
    store: &Store,
    status: order::Status,
    millis: u64,
) -> Result<PlaceOrderResponse, Status> {
    let request = PlaceOrderRequest {
        wait_for: Some(status.into()),
        ..place("ORDER_001")
    };
    let placed = store.orders().place_order(within(request, millis)).await;
    placed.map(tonic::Response::into_inner)
}

#[tokio::test]
async fn the_answer_comes_when_the_status_is_reached() {
    let (store, services) = Store::ready().await;
    let order = order("ORDER_001");
    let change = async {
        services.orders.watched(1).await;
        services.orders.set(&order, order::Status::Pending);
        services.orders.set(&order, order::Status::Backordered);
        services.orders.set(&order, order::Status::Reserved);
    };
    let (answer, ()) = tokio::join!(
        place_and_wait(&store, order::Status::Reserved, 10_000),
        change
    );
    assert_eq!(answer.unwrap().status(), order::Status::Reserved);
    services.orders.watched(0).await;
}

#[tokio::test]
async fn a_status_that_was_passed_answers_at_once() {
    let (store, services) = Store::ready().await;
    services
        .orders
        .set(&order("ORDER_001"), order::Status::Cancelled);
    for wait_for in [
        order::Status::Pending,
        order::Status::Backordered,
        order::Status::Reserved,
        order::Status::Completed,
    ] {
        let answer = place_and_wait(&store, wait_for, 10_000).await.unwrap();
        assert_eq!(answer.status(), order::Status::Cancelled);
    }
}

#[tokio::test]
async fn when_time_runs_out_the_answer_is_the_status_so_far() {
    let (store, services) = Store::ready().await;
    services
        .orders
        .set(&order("ORDER_001"), order::Status::Backordered);
    let answer = place_and_wait(&store, order::Status::Reserved, 2_000)
        .await
        .unwrap();
    assert_eq!(answer.status(), order::Status::Backordered);
}

#[tokio::test]
async fn an_order_of_other_content_already_exists() {
    let (store, services) = Store::ready().await;
    let mut other = order("ORDER_001");
    other.lines[0].quantity += 1;
    services.orders.set(&other, order::Status::Reserved);
    let status = place_and_wait(&store, order::Status::Reserved, 10_000)
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::AlreadyExists);
}

#[tokio::test]
async fn the_same_content_in_other_words_is_no_conflict() {
    let (store, services) = Store::ready().await;
    let mut same = order("ORDER_001");
    same.lines.reverse();
    same.total_quantity = Some(5);
    services.orders.set(&same, order::Status::Reserved);
    let answer = place_and_wait(&store, order::Status::Reserved, 10_000)
        .await
        .unwrap();
    assert_eq!(answer.status(), order::Status::Reserved);
}

#[tokio::test]
async fn an_order_service_that_is_away_leaves_the_acceptance() {
    let mut store = Store::without_services().await;
    let answer = place_and_wait(&store, order::Status::Reserved, 2_000)
        .await
        .unwrap();
    assert_eq!(answer.status(), order::Status::Pending);
    store.refuse_services();
    let answer = place_and_wait(&store, order::Status::Reserved, 2_000)
        .await
        .unwrap();
    assert_eq!(answer.status(), order::Status::Pending);
}

#[tokio::test]
async fn an_order_service_that_comes_back_in_time_is_heard() {
    let mut store = Store::without_services().await;
    let addr = store.services_addr;
    store.refuse_services();
    let return_later = async {
        // The command is in the log: from here on the gateway looks for the order service.
        while store
            .records(contracts::topics::ORDER_COMMANDS, "ORDER_001")
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
        let listener = messaging::server::bind("--listen", addr).unwrap();
        let services = crate::services::Services::start(listener);
        services
            .orders
            .set(&order("ORDER_001"), order::Status::Reserved);
        services
    };
    let (answer, _services) = tokio::join!(
        place_and_wait(&store, order::Status::Reserved, 10_000),
        return_later
    );
    assert_eq!(answer.unwrap().status(), order::Status::Reserved);
}
