//! Watching an order.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod harness;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use contracts::proto;
use contracts::proto::order_query_service_server::OrderQueryService;
use contracts::proto::{OrderQueryServiceWatchOrderRequest, WatchOrderRequest};
use futures::StreamExt;
use harness::{World, cancel, place};
use messaging::clock::{Clock, SystemClock, Timestamp};
use messaging::runtime::Feed;
use messaging::store::{self, ErrorKind};
use order::domain::{Order, Status};
use order::service::OrderQueries;
use order::store::{Filter, Listed, Queries};
use tonic::{Code, Request};

/// One order, as the test sets it.
#[derive(Default)]
struct Shown {
    order: Mutex<Option<Order>>,
    down: Mutex<bool>,
}

impl Shown {
    fn set(&self, status: Status, version: i64) {
        let order = Order {
            placed: place("O1", "C1", 1),
            status,
            version,
            reservation_version: 0,
            reason: String::new(),
            placed_at: harness::EPOCH,
            updated_at: harness::EPOCH,
            deadline: None,
        };
        *self.order.lock().unwrap() = Some(order);
    }
}

#[async_trait]
impl Queries for Shown {
    async fn get(&self, _: &str) -> Result<Option<Order>, store::Error> {
        if *self.down.lock().unwrap() {
            return Err(store::Error::new(ErrorKind::Retry, "get order", "busy"));
        }
        Ok(self.order.lock().unwrap().clone())
    }

    async fn list(
        &self,
        _: &Filter,
        _: Option<i64>,
        _: usize,
    ) -> Result<Vec<Listed>, store::Error> {
        Ok(Vec::new())
    }
}

type Watched = <OrderQueries as OrderQueryService>::WatchOrderStream;

fn request(order_id: &str, after_version: i64) -> Request<OrderQueryServiceWatchOrderRequest> {
    let order_id = order_id.to_owned();
    Request::new(OrderQueryServiceWatchOrderRequest {
        request: Some(WatchOrderRequest {
            order_id,
            after_version,
        }),
        customer_id: None,
    })
}

async fn watch(service: &OrderQueries, after_version: i64) -> Watched {
    let answer = service.watch_order(request("O1", after_version)).await;
    answer.unwrap().into_inner()
}

/// A watch that nothing wakes but its own polling.
async fn polled(shown: &Arc<Shown>, after_version: i64) -> Watched {
    let queries = Arc::clone(shown) as Arc<dyn Queries>;
    let service = OrderQueries::new(queries, Feed::new(), Arc::new(SystemClock));
    watch(&service, after_version).await
}

/// The next state's version and status; `None` at the end.
async fn next(watched: &mut Watched) -> Option<(i64, proto::order::Status)> {
    let answer = tokio::time::timeout(Duration::from_secs(30), watched.next());
    let answer = answer.await.expect("an answer")?.unwrap();
    let order = answer.response.unwrap().order.unwrap();
    Some((order.version, order.status()))
}

/// Whether the stream has nothing to say for ten polls.
async fn is_silent(watched: &mut Watched) -> bool {
    tokio::time::timeout(Duration::from_secs(5), watched.next())
        .await
        .is_err()
}

#[tokio::test(start_paused = true)]
async fn the_newest_state_comes_first_then_the_changes_until_a_terminal_one() {
    use proto::order::Status as Wire;
    let shown = Arc::new(Shown::default());
    shown.set(Status::Backordered, 2);
    let mut watched = polled(&shown, 0).await;
    assert_eq!(next(&mut watched).await, Some((2, Wire::Backordered)));
    assert!(is_silent(&mut watched).await, "nothing has changed");
    shown.set(Status::Reserved, 3);
    assert_eq!(next(&mut watched).await, Some((3, Wire::Reserved)));
    shown.set(Status::Completed, 4);
    assert_eq!(next(&mut watched).await, Some((4, Wire::Completed)));
    assert_eq!(next(&mut watched).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_watch_resumes_after_the_version_seen() {
    let shown = Arc::new(Shown::default());
    shown.set(Status::Reserved, 2);
    let mut watched = polled(&shown, 2).await;
    assert!(is_silent(&mut watched).await, "version 2 was seen");
    shown.set(Status::Cancelled, 3);
    let expected = Some((3, proto::order::Status::Cancelled));
    assert_eq!(next(&mut watched).await, expected);
    assert_eq!(next(&mut watched).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_terminal_order_that_was_seen_ends_at_once() {
    let shown = Arc::new(Shown::default());
    for status in [Status::Rejected, Status::Cancelled, Status::Completed] {
        shown.set(status, 2);
        for after in [2, 3] {
            assert_eq!(next(&mut polled(&shown, after).await).await, None);
        }
        assert_ne!(next(&mut polled(&shown, 1).await).await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_not_yet_seen_is_waited_for() {
    let shown = Arc::new(Shown::default());
    let mut watched = polled(&shown, 0).await;
    assert!(is_silent(&mut watched).await);
    shown.set(Status::Pending, 1);
    let expected = Some((1, proto::order::Status::Pending));
    assert_eq!(next(&mut watched).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_database_that_fails_ends_the_watch_as_unavailable() {
    let shown = Arc::new(Shown::default());
    *shown.down.lock().unwrap() = true;
    let mut watched = polled(&shown, 0).await;
    let status = watched.next().await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert!(watched.next().await.is_none());
}

#[tokio::test]
async fn a_bad_request_is_refused() {
    let queries = Arc::new(Shown::default());
    let service = OrderQueries::new(queries, Feed::new(), Arc::new(SystemClock));
    for (order_id, after_version) in [("a b", 0), ("O1", -1)] {
        let refused = service.watch_order(request(order_id, after_version)).await;
        assert_eq!(refused.err().unwrap().code(), Code::InvalidArgument);
    }
}

/// Time that stands still: nothing is ever polled.
struct NoTime;

#[async_trait]
impl Clock for NoTime {
    fn now(&self) -> Timestamp {
        harness::EPOCH
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_watch_wakes_on_commits_without_polling() {
    let world = World::new().await;
    let service = world.start().await;
    let queries = OrderQueries::new(
        Arc::new(service.queries.clone()),
        service.feed.clone(),
        Arc::new(NoTime),
    );
    let mut watched = watch(&queries, 0).await;
    world.command(place("O1", "C1", 1)).await;
    let placed = next(&mut watched).await.unwrap();
    assert_eq!(placed, (1, proto::order::Status::Pending));
    world.command(cancel("O1", "")).await;
    let cancelled = next(&mut watched).await.unwrap();
    assert_eq!(cancelled, (2, proto::order::Status::Cancelled));
    assert_eq!(next(&mut watched).await, None);
    service.stop().await;
}
