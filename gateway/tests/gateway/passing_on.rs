//! Queries: passed on with a deadline, UNAVAILABLE when nobody answers.

use contracts::proto::{
    GetOrderRequest, GetStockRequest, ListOrdersRequest, ListStockRequest, WatchOrderRequest, order,
};
use tonic::Code;

use crate::services::HANGING;
use crate::store::{Store, assert_unavailable, order, soon, within};

fn get(order_id: &str) -> GetOrderRequest {
    GetOrderRequest {
        order_id: order_id.to_owned(),
    }
}

fn watch(order_id: &str) -> WatchOrderRequest {
    WatchOrderRequest {
        order_id: order_id.to_owned(),
        after_version: 0,
    }
}

fn get_stock(product_id: &str) -> GetStockRequest {
    GetStockRequest {
        product_id: product_id.to_owned(),
    }
}

#[tokio::test]
async fn answers_and_refusals_are_passed_on() {
    let (store, services) = Store::ready().await;
    services
        .orders
        .set(&order("ORDER_001"), order::Status::Reserved);

    let found = store.orders().get_order(get("ORDER_001")).await.unwrap();
    let found = found.into_inner().order.unwrap();
    assert_eq!(found.status(), order::Status::Reserved);
    let all = ListOrdersRequest::default();
    let listed = store.orders().list_orders(all).await.unwrap().into_inner();
    assert_eq!((listed.orders.len(), &*listed.next_page_token), (1, "next"));
    let stock = store.inventory().get_stock(get_stock("PRODUCT_001")).await;
    assert_eq!(stock.unwrap().into_inner().stock.unwrap().on_hand, 10);

    let unknown = store.orders().get_order(get("ORDER_002")).await;
    let unknown = unknown.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    assert_eq!(unknown.message(), "no such order");
}

#[tokio::test]
async fn a_bad_id_is_refused_before_anybody_is_asked() {
    let store = Store::without_services().await;
    let refusals = [
        store.orders().get_order(get("a b")).await.unwrap_err(),
        store.orders().watch_order(watch("")).await.unwrap_err(),
        store
            .inventory()
            .get_stock(get_stock("/"))
            .await
            .unwrap_err(),
    ];
    for status in refusals {
        assert_eq!(status.code(), Code::InvalidArgument);
    }
}

#[tokio::test]
async fn queries_to_a_service_that_is_down_are_unavailable() {
    let mut store = Store::without_services().await;
    store.refuse_services();
    let list_orders = ListOrdersRequest::default();
    let list_stock = ListStockRequest::default();
    let refusals = [
        store
            .orders()
            .get_order(get("ORDER_001"))
            .await
            .unwrap_err(),
        store.orders().list_orders(list_orders).await.unwrap_err(),
        store.orders().watch_order(watch("O1")).await.unwrap_err(),
        store
            .inventory()
            .get_stock(get_stock("P"))
            .await
            .unwrap_err(),
        store.inventory().list_stock(list_stock).await.unwrap_err(),
    ];
    for status in &refusals {
        assert_unavailable(status);
    }
}

#[tokio::test]
async fn a_service_that_hangs_is_unavailable_within_the_deadline() {
    let (store, _services) = Store::ready().await;
    let status = store.orders().get_order(within(get(HANGING), 2_000)).await;
    assert_unavailable(&status.unwrap_err());
}

#[tokio::test]
async fn a_watch_shows_each_state_and_tells_when_the_service_goes_away() {
    let (store, services) = Store::ready().await;
    let states = store.orders().watch_order(watch("ORDER_001")).await;
    let mut states = states.unwrap().into_inner();
    for (status, version) in [(order::Status::Pending, 1), (order::Status::Reserved, 2)] {
        services.orders.set(&order("ORDER_001"), status);
        let state = soon(states.message())
            .await
            .unwrap()
            .unwrap()
            .order
            .unwrap();
        assert_eq!((state.status(), state.version), (status, version));
    }
    drop(services);
    assert_unavailable(&soon(states.message()).await.unwrap_err());
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_watch() {
    let (store, services) = Store::ready().await;
    let states = store.orders().watch_order(watch("ORDER_001")).await;
    services.orders.watched(1).await;
    drop(states);
    services.orders.watched(0).await;
}
