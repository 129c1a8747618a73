//! The gRPC service: what the gateway asks of Order.

use std::pin::Pin;
use std::sync::Arc;

use contracts::proto::order_query_service_server::OrderQueryService;
use contracts::proto::{
    GetOrderResponse, ListOrdersResponse, OrderQueryServiceGetOrderRequest,
    OrderQueryServiceGetOrderResponse, OrderQueryServiceListOrdersRequest,
    OrderQueryServiceListOrdersResponse, OrderQueryServiceWatchOrderRequest,
    OrderQueryServiceWatchOrderResponse, WatchOrderRequest, WatchOrderResponse,
};
use contracts::validate::{self, Violation};
use contracts::{access, status::unknown_order};
use futures::stream::{Stream, StreamExt};
use messaging::auth::Need;
use messaging::clock::Clock;
use messaging::runtime::Feed;
use messaging::status;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::limits;
use crate::store::Queries;

mod convert;
pub mod export;
mod page;
mod viewer;
mod watch;

use viewer::Viewer;

/// Answers queries from the order tables.
#[derive(Clone)]
pub struct OrderQueries {
    queries: Arc<dyn Queries>,
    feed: Feed,
    clock: Arc<dyn Clock>,
}

impl OrderQueries {
    /// Reads through `queries`; watches wake on `feed` and poll by `clock`.
    #[must_use]
    pub fn new(queries: Arc<dyn Queries>, feed: Feed, clock: Arc<dyn Clock>) -> Self {
        Self {
            queries,
            feed,
            clock,
        }
    }
}

#[tonic::async_trait]
impl OrderQueryService for OrderQueries {
    type WatchOrderStream =
        Pin<Box<dyn Stream<Item = Result<OrderQueryServiceWatchOrderResponse, Status>> + Send>>;

    async fn get_order(
        &self,
        request: Request<OrderQueryServiceGetOrderRequest>,
    ) -> Result<Response<OrderQueryServiceGetOrderResponse>, Status> {
        let viewer = Viewer::of(&request, request.get_ref().customer_id.as_deref());
        let order_id = request.into_inner().request.unwrap_or_default().order_id;
        check(validate::id("order_id", &order_id))?;
        let found = self.queries.get(&order_id).await;
        match found.map_err(|error| status::of_store(&error))? {
            Some(order) if viewer.sees(&order) => {
                Ok(Response::new(OrderQueryServiceGetOrderResponse {
                    response: Some(GetOrderResponse {
                        order: Some(convert::order(&order)),
                    }),
                }))
            }
            // The same answer for both: that an order exists is its customer's business.
            Some(_) | None => Err(unknown_order(&order_id)),
        }
    }

    async fn list_orders(
        &self,
        request: Request<OrderQueryServiceListOrdersRequest>,
    ) -> Result<Response<OrderQueryServiceListOrdersResponse>, Status> {
        let viewer = Viewer::of(&request, None);
        let request = request.into_inner().request.unwrap_or_default();
        let page = page::parse(request).or_else(refuse)?;
        if !viewer.lists(&page.filter) {
            return Err(status::denied(Need::Scope(access::OPERATIONS)));
        }
        // One more than asked for tells whether another page follows.
        let listed = self
            .queries
            .list(&page.filter, page.before, page.size + 1)
            .await
            .map_err(|error| status::of_store(&error))?;
        let found = listed.len();
        let (mut answer, mut bytes) = (ListOrdersResponse::default(), 0);
        for one in listed.into_iter().take(page.size) {
            let order = convert::order(&one.order);
            bytes += order.encoded_len();
            answer.orders.push(order);
            answer.next_page_token = page::token(&page.filter, one.sequence);
            if bytes >= limits::PAGE_BYTES_MAX {
                break;
            }
        }
        if answer.orders.len() == found {
            answer.next_page_token.clear();
        }
        Ok(Response::new(OrderQueryServiceListOrdersResponse {
            response: Some(answer),
        }))
    }

    async fn watch_order(
        &self,
        request: Request<OrderQueryServiceWatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let viewer = Viewer::of(&request, request.get_ref().customer_id.as_deref());
        let WatchOrderRequest {
            order_id,
            after_version,
        } = request.into_inner().request.unwrap_or_default();
        let negative =
            (after_version < 0).then(|| Violation::new("after_version", "must not be negative"));
        check(
            validate::id("order_id", &order_id)
                .into_iter()
                .chain(negative),
        )?;
        let states = watch::watch(
            Arc::clone(&self.queries),
            &self.feed,
            Arc::clone(&self.clock),
            watch::Wanted {
                order_id,
                viewer,
                after: after_version,
            },
        );
        let answers = states.map(|state| match state {
            Ok(order) => Ok(OrderQueryServiceWatchOrderResponse {
                response: Some(WatchOrderResponse {
                    order: Some(convert::order(&order)),
                }),
            }),
            Err(error) => Err(status::of_store(&error)),
        });
        Ok(Response::new(answers.boxed()))
    }
}

fn check(violations: impl IntoIterator<Item = Violation>) -> Result<(), Status> {
    let violations: Vec<_> = violations.into_iter().collect();
    if violations.is_empty() {
        Ok(())
    } else {
        refuse(violations)
    }
}

fn refuse<T>(violations: Vec<Violation>) -> Result<T, Status> {
    let named = |violation: Violation| status::Violation {
        field: violation.field,
        description: violation.description,
    };
    Err(status::invalid(violations.into_iter().map(named)))
}
