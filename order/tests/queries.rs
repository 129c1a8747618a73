//! The gRPC queries over a real SQLite store.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod harness;

use std::sync::Arc;

use contracts::proto;
use contracts::proto::order_audit_service_server::OrderAuditService;
use contracts::proto::order_query_service_server::OrderQueryService;
use contracts::proto::{
    ExportOrdersRequest, GetOrderRequest, ListOrdersRequest, ListOrdersResponse,
    OrderQueryServiceGetOrderRequest, OrderQueryServiceListOrdersRequest, OrderRow,
};
use futures::StreamExt;
use harness::{Service, World, cancel, place, reserved};
use messaging::clock::SystemClock;
use order::domain::Status;
use order::service::OrderQueries;
use order::service::export::OrderExport;
use tonic::{Code, Request};

fn queries(service: &Service) -> OrderQueries {
    OrderQueries::new(
        Arc::new(service.queries.clone()),
        service.feed.clone(),
        Arc::new(SystemClock),
    )
}

fn get(order_id: &str) -> Request<OrderQueryServiceGetOrderRequest> {
    let order_id = order_id.to_owned();
    Request::new(OrderQueryServiceGetOrderRequest {
        request: Some(GetOrderRequest { order_id }),
        customer_id: None,
    })
}

async fn list(queries: &OrderQueries, request: ListOrdersRequest) -> ListOrdersResponse {
    let request = OrderQueryServiceListOrdersRequest {
        request: Some(request),
    };
    let answer = queries.list_orders(Request::new(request)).await;
    answer.unwrap().into_inner().response.unwrap()
}

fn ids(answer: &ListOrdersResponse) -> Vec<&str> {
    answer
        .orders
        .iter()
        .map(|order| order.order_id.as_str())
        .collect()
}

/// All pages of a list, and how many there were.
async fn all(queries: &OrderQueries, request: ListOrdersRequest) -> (Vec<String>, usize) {
    let (mut found, mut pages, mut page_token) = (Vec::new(), 0, String::new());
    loop {
        let request = ListOrdersRequest {
            page_token,
            ..request.clone()
        };
        let answer = list(queries, request).await;
        found.extend(ids(&answer).into_iter().map(str::to_owned));
        pages += 1;
        page_token = answer.next_page_token;
        if page_token.is_empty() {
            return (found, pages);
        }
    }
}

#[tokio::test]
async fn an_order_is_shown_field_by_field() {
    let world = World::new().await;
    let service = world.start().await;
    let deadline = messaging::clock::Timestamp(4_102_444_800_123);
    let placed = contracts::order::PlaceOrder {
        reserve_by: Some(deadline.0),
        ..place("O1", "C1", 3)
    };
    world.command(placed).await;
    service.until("O1", Status::Pending).await;
    world.command(cancel("O1", "changed my mind")).await;
    let known = service.until("O1", Status::Cancelled).await;
    let answer = queries(&service).get_order(get("O1")).await.unwrap();
    let order = answer.into_inner().response.unwrap().order.unwrap();
    let timestamp = |time: messaging::clock::Timestamp| prost_types::Timestamp {
        seconds: time.0 / 1_000,
        nanos: i32::try_from(time.0 % 1_000).unwrap() * 1_000_000,
    };
    let expected = proto::Order {
        order_id: "O1".to_owned(),
        customer_id: "C1".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![proto::OrderLine {
            product_id: "P1".to_owned(),
            quantity: 3,
            unit_price_minor: 1_000,
        }],
        total_price_minor: Some(3_000),
        total_quantity: Some(3),
        on_shortage: proto::order::OnShortage::Backorder.into(),
        status: proto::order::Status::Cancelled.into(),
        version: 2,
        reason: "changed my mind".to_owned(),
        placed_at: Some(timestamp(known.placed_at)),
        updated_at: Some(timestamp(known.updated_at)),
        reserve_by: Some(timestamp(deadline)),
        deadline: Some(timestamp(deadline)),
    };
    assert_eq!(order, expected);
    service.stop().await;
}

#[tokio::test]
async fn an_order_that_is_not_there_is_not_found_and_a_bad_id_is_refused() {
    let world = World::new().await;
    let service = world.start().await;
    let refused = async |request| queries(&service).get_order(request).await.unwrap_err();
    assert_eq!(refused(get("NONE")).await.code(), Code::NotFound);
    let nothing = Request::new(OrderQueryServiceGetOrderRequest::default());
    for bad in [get("a b"), nothing] {
        assert_eq!(refused(bad).await.code(), Code::InvalidArgument);
    }
    let request = OrderQueryServiceListOrdersRequest {
        request: Some(ListOrdersRequest {
            page_size: -1,
            ..Default::default()
        }),
    };
    let refused = queries(&service).list_orders(Request::new(request)).await;
    assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    service.stop().await;
}

#[tokio::test]
async fn an_order_exists_for_the_customer_that_is_asked_for_only() {
    let world = World::new().await;
    let service = world.start().await;
    world.command(place("O1", "C1", 3)).await;
    service.until("O1", Status::Pending).await;
    let asked = async |customer_id: &str| {
        let mut request = get("O1");
        request.get_mut().customer_id = Some(customer_id.to_owned());
        queries(&service).get_order(request).await
    };
    assert!(asked("C1").await.is_ok());
    let foreign = asked("C2").await.unwrap_err();
    let unknown = queries(&service).get_order(get("NONE")).await.unwrap_err();
    assert_eq!(foreign.code(), Code::NotFound);
    assert_eq!(foreign.message().replace("O1", "NONE"), unknown.message());
    service.stop().await;
}

#[tokio::test]
async fn lists_are_newest_first_filtered_and_whole_over_their_pages() {
    let world = World::new().await;
    let service = world.start().await;
    // One order per turn, so that "newest" is certain; customers take turns.
    for number in 0..7 {
        let id = format!("O{number}");
        world.command(place(&id, ["C0", "C1"][number % 2], 1)).await;
        service.until(&id, Status::Pending).await;
    }
    for id in ["O1", "O2", "O5"] {
        world.inventory(reserved(id, 1)).await;
        service.until(id, Status::Reserved).await;
    }
    let queries = queries(&service);
    let everything = ListOrdersRequest {
        page_size: 3,
        ..Default::default()
    };
    let newest_first = ["O6", "O5", "O4", "O3", "O2", "O1", "O0"];
    let (found, pages) = all(&queries, everything.clone()).await;
    assert_eq!(
        (found.as_slice(), pages),
        (&newest_first.map(str::to_owned)[..], 3)
    );

    let of_customer = ListOrdersRequest {
        customer_id: "C1".to_owned(),
        ..everything.clone()
    };
    let (found, pages) = all(&queries, of_customer.clone()).await;
    assert_eq!(found, ["O5", "O3", "O1"]);
    assert_eq!(pages, 1, "a full last page says that it is the last");

    let status = proto::order::Status::Reserved.into();
    let at_status = ListOrdersRequest {
        status,
        page_size: 2,
        ..everything
    };
    let (found, pages) = all(&queries, at_status).await;
    assert_eq!(found, ["O5", "O2", "O1"]);
    assert_eq!(pages, 2);

    let both = ListOrdersRequest {
        status,
        page_size: 1,
        ..of_customer
    };
    let (found, _) = all(&queries, both).await;
    assert_eq!(found, ["O5", "O1"]);
    service.stop().await;
}

#[tokio::test]
async fn orders_placed_while_a_list_is_read_do_not_disturb_it() {
    let world = World::new().await;
    let service = world.start().await;
    for id in ["O1", "O2", "O3"] {
        world.command(place(id, "C1", 1)).await;
        service.until(id, Status::Pending).await;
    }
    let queries = queries(&service);
    let request = ListOrdersRequest {
        page_size: 2,
        ..Default::default()
    };
    let first = list(&queries, request.clone()).await;
    assert_eq!(ids(&first), ["O3", "O2"]);
    world.command(place("O4", "C1", 1)).await;
    service.until("O4", Status::Pending).await;
    let second = ListOrdersRequest {
        page_token: first.next_page_token,
        ..request
    };
    assert_eq!(ids(&list(&queries, second).await), ["O1"]);
    service.stop().await;
}

#[tokio::test]
async fn a_page_ends_before_it_is_too_large_to_send() {
    let world = World::new().await;
    let mut large = place("LARGE", "C1", 1);
    large.lines = (0..100)
        .map(|number| {
            let mut line = large.lines[0].clone();
            line.product_id = format!("{number:0>64}");
            line
        })
        .collect();
    for number in 0..150 {
        large.order_id = format!("O{number}");
        world.command(large.clone()).await;
    }
    let service = world.start().await;
    service.settled(&world).await;
    let request = ListOrdersRequest {
        page_size: 1_000,
        ..Default::default()
    };
    let (found, pages) = all(&queries(&service), request).await;
    assert_eq!(found.len(), 150);
    assert!(pages > 1, "150 orders of 7.5 KB do not go into one page");
    service.stop().await;
}

/// What an export of these orders holds (all if there are none named), and in how many answers.
async fn exported(service: &Service, order_ids: &[&str]) -> (Vec<OrderRow>, usize) {
    let export = OrderExport::new(Arc::new(service.queries.clone()));
    let order_ids = order_ids.iter().map(|id| (*id).to_owned()).collect();
    let request = Request::new(ExportOrdersRequest { order_ids });
    let answers = export.export_orders(request).await.unwrap();
    let answers: Vec<_> = answers.into_inner().map(Result::unwrap).collect().await;
    let count = answers.len();
    let rows = answers.into_iter().flat_map(|answer| answer.rows);
    (rows.collect(), count)
}

#[tokio::test]
async fn an_export_gives_every_order_once_or_those_that_are_named() {
    let world = World::new().await;
    let service = world.start().await;
    assert_eq!(exported(&service, &[]).await, (vec![], 0));
    for number in 0..250 {
        world
            .command(place(&format!("O{number:03}"), "C1", 1))
            .await;
    }
    service.settled(&world).await;
    world.inventory(reserved("O007", 1)).await;
    service.until("O007", Status::Reserved).await;
    let (rows, answers) = exported(&service, &[]).await;
    assert_eq!(answers, 2);
    let id = |row: &OrderRow| row.order.as_ref().unwrap().order_id.clone();
    let mut found: Vec<_> = rows.iter().map(id).collect();
    found.sort();
    let all: Vec<_> = (0..250).map(|number| format!("O{number:03}")).collect();
    assert_eq!(found, all);
    let (named, _) = exported(&service, &["O007", "NOBODY"]).await;
    assert_eq!(named.len(), 1);
    assert_eq!(
        (id(&named[0]), named[0].reservation_version),
        ("O007".to_owned(), 1)
    );
}
