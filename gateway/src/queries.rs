//! The services that answer queries, over lazily opened connections.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use contracts::proto::stock_query_service_client::StockQueryServiceClient;
use contracts::proto::{
    GetOrderRequest, GetOrderResponse, GetStockRequest, GetStockResponse, ListOrdersRequest,
    ListOrdersResponse, ListStockRequest, ListStockResponse, OrderQueryServiceGetOrderRequest,
    OrderQueryServiceListOrdersRequest, OrderQueryServiceWatchOrderRequest,
    OrderQueryServiceWatchOrderResponse, StockQueryServiceGetStockRequest,
    StockQueryServiceListStockRequest, WatchOrderRequest, WatchOrderResponse,
};
use futures::{Stream, StreamExt, TryStreamExt};
use messaging::server::Deadline;
use messaging::{status, tls};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::visitor::Visitor;
use crate::{behind, limits};

/// The order service's queries.
#[derive(Clone, Debug)]
pub(crate) struct OrderQueries {
    client: OrderQueryServiceClient<Channel>,
    watches: Arc<[Way]>,
}

/// A connection for watches, and what counts them: each holds a clone.
#[derive(Debug)]
struct Way {
    client: OrderQueryServiceClient<Channel>,
    open: Arc<()>,
}

/// The inventory service's queries.
#[derive(Clone, Debug)]
pub(crate) struct StockQueries {
    client: StockQueryServiceClient<Channel>,
}

impl OrderQueries {
    /// Asks over `channel`, and watches over the others, of which there is one at least.
    pub(crate) fn new(channel: Channel, watches: &[Channel]) -> Self {
        let client = |channel| {
            OrderQueryServiceClient::new(channel)
                .max_decoding_message_size(limits::ANSWER_BYTES_MAX)
        };
        let way = |channel: &Channel| Way {
            client: client(channel.clone()),
            open: Arc::default(),
        };
        Self {
            client: client(channel),
            watches: watches.iter().map(way).collect(),
        }
    }

    /// The connection for the next watch: the first that has room, so that a quiet gateway opens one
    /// only, else that with the fewest.
    fn way(&self) -> Option<(OrderQueryServiceClient<Channel>, Arc<()>)> {
        let room = messaging::limits::STREAMS_PER_CONNECTION_MAX as usize;
        let open = |way: &&Way| Arc::strong_count(&way.open) - 1;
        let mut ways = self.watches.iter();
        let roomy = ways.find(|way| open(way) < room);
        let way = roomy.or_else(|| self.watches.iter().min_by_key(open))?;
        Some((way.client.clone(), Arc::clone(&way.open)))
    }

    pub(crate) async fn get(
        &self,
        request: GetOrderRequest,
        visitor: &Visitor,
        deadline: Deadline,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let mut client = self.client.clone();
        let request = OrderQueryServiceGetOrderRequest {
            request: Some(request),
            customer_id: visitor.sees_only(),
        };
        let (request, time) = limited(request, visitor, deadline);
        let answer = within(time, ORDER, client.get_order(request)).await?;
        Ok(answer.map(|answer| answer.response.unwrap_or_default()))
    }

    pub(crate) async fn list(
        &self,
        request: ListOrdersRequest,
        visitor: &Visitor,
        deadline: Deadline,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let mut client = self.client.clone();
        let request = OrderQueryServiceListOrdersRequest {
            request: Some(request),
        };
        let (request, time) = limited(request, visitor, deadline);
        let answer = within(time, ORDER, client.list_orders(request)).await?;
        Ok(answer.map(|answer| answer.response.unwrap_or_default()))
    }

    /// Opens a watch of an order, only if it is that of `customer_id` if there is one, that lasts as
    /// long as `time`, if there is a limit.
    pub(crate) async fn watch(
        &self,
        request: WatchOrderRequest,
        customer_id: Option<String>,
        visitor: &Visitor,
        time: Option<Duration>,
    ) -> Result<impl Stream<Item = Result<WatchOrderResponse, Status>> + Unpin + use<>, Status>
    {
        let mut request = Request::new(OrderQueryServiceWatchOrderRequest {
            request: Some(request),
            customer_id,
        });
        visitor.sign(request.metadata_mut());
        if let Some(time) = time {
            request.set_timeout(time);
        }
        let (mut client, counted) = self.way().ok_or_else(status::internal)?;
        let opened = within(limits::QUERY_MAX, ORDER, client.watch_order(request)).await?;
        let carried = |answer: OrderQueryServiceWatchOrderResponse| answer.response;
        Ok(opened.into_inner().map_ok(move |answer| {
            // Until the stream is dropped.
            let _counted = &counted;
            carried(answer).unwrap_or_default()
        }))
    }

    /// Whether `customer_id` has an order of this id, or gets one within `time`; `None` when Order
    /// could not be asked.
    pub(crate) async fn has(
        &self,
        customer_id: &str,
        order_id: &str,
        visitor: &Visitor,
        time: Duration,
    ) -> Option<bool> {
        let request = WatchOrderRequest {
            order_id: order_id.to_owned(),
            after_version: 0,
        };
        let watch = self.watch(request, Some(customer_id.to_owned()), visitor, None);
        let mut states = tokio::time::timeout(time, watch).await.ok()?.ok()?;
        match tokio::time::timeout(time, states.next()).await {
            Ok(state) => state?.ok().map(|_| true),
            Err(_) => Some(false),
        }
    }
}

impl StockQueries {
    pub(crate) fn new(channel: Channel) -> Self {
        let client = StockQueryServiceClient::new(channel)
            .max_decoding_message_size(limits::ANSWER_BYTES_MAX);
        Self { client }
    }

    pub(crate) async fn get(
        &self,
        request: GetStockRequest,
        visitor: &Visitor,
        deadline: Deadline,
    ) -> Result<Response<GetStockResponse>, Status> {
        let mut client = self.client.clone();
        let request = StockQueryServiceGetStockRequest {
            request: Some(request),
        };
        let (request, time) = limited(request, visitor, deadline);
        let answer = within(time, INVENTORY, client.get_stock(request)).await?;
        Ok(answer.map(|answer| answer.response.unwrap_or_default()))
    }

    pub(crate) async fn list(
        &self,
        request: ListStockRequest,
        visitor: &Visitor,
        deadline: Deadline,
    ) -> Result<Response<ListStockResponse>, Status> {
        let mut client = self.client.clone();
        let request = StockQueryServiceListStockRequest {
            request: Some(request),
        };
        let (request, time) = limited(request, visitor, deadline);
        let answer = within(time, INVENTORY, client.list_stock(request)).await?;
        Ok(answer.map(|answer| answer.response.unwrap_or_default()))
    }
}

/// The services' names in messages to clients.
const ORDER: &str = "order";
const INVENTORY: &str = "inventory";

/// A request that tells the service who asks and how long its answer is waited for, and that time.
fn limited<T>(request: T, visitor: &Visitor, deadline: Deadline) -> (Request<T>, Duration) {
    let remaining = deadline.remaining();
    let time = match deadline.stream_remaining() {
        Some(_) => limits::budget(remaining),
        None => remaining.min(limits::QUERY_MAX),
    };
    let mut request = Request::new(request);
    // The service sees the later limit, so that this side's answer is the one that counts.
    request.set_timeout(remaining);
    visitor.sign(request.metadata_mut());
    (request, time)
}

/// Waits for a service's answer, at most `time`.
async fn within<T>(
    time: Duration,
    service: &str,
    answer: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<Response<T>, Status> {
    match tokio::time::timeout(time, answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(status)) => Err(passed_on(status, service)),
        Err(_) => Err(status::unavailable(format!(
            "the {service} service did not answer in time"
        ))),
    }
}

/// A failed query's status as the client sees it: what the service answered, or UNAVAILABLE when
/// it could not be asked.
fn passed_on(status: Status, service: &str) -> Status {
    // Only a failure of this side's transport has a source; an answer comes without.
    if std::error::Error::source(&status).is_some() {
        match tls::advice(&status, behind::FLAGS) {
            Some(why) => tracing::warn!(service, why, "a service could not be asked"),
            None => tracing::debug!(service, %status, "a service could not be asked"),
        }
        return status::unavailable(format!("the {service} service cannot be reached"));
    }
    Status::with_details(
        status.code(),
        status.message(),
        bytes::Bytes::copy_from_slice(status.details()),
    )
}

/// What a watch that broke tells its client.
pub(crate) fn watch_failed(status: Status) -> Status {
    passed_on(status, ORDER)
}

#[cfg(test)]
mod tests {
    use tonic::transport::Endpoint;

    use super::*;

    #[tokio::test]
    async fn watches_fill_one_connection_after_the_other() {
        let channel = || Endpoint::from_static("http://order.test").connect_lazy();
        let queries = OrderQueries::new(channel(), &[channel(), channel(), channel()]);
        let room = messaging::limits::STREAMS_PER_CONNECTION_MAX as usize;
        let open = || -> Vec<_> {
            let ways = queries.watches.iter();
            ways.map(|way| Arc::strong_count(&way.open) - 1).collect()
        };
        let mut held: Vec<_> = (0..room + 1).map(|_| queries.way()).collect();
        assert_eq!(open(), [room, 1, 0]);
        held.swap_remove(0);
        held.push(queries.way());
        assert_eq!(open(), [room, 1, 0]);
        // More than there is room for: spread evenly.
        held.extend((0..2 * room + 2).map(|_| queries.way()));
        assert_eq!(open(), [room + 1, room + 1, room + 1]);
        drop(held);
        assert_eq!(open(), [0, 0, 0]);
    }
}
