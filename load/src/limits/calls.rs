//! The same calls through tonic, to a handler that does nothing but answer as the gateway would.

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::order_service_server::{OrderService, OrderServiceServer, SERVICE_NAME};
use contracts::proto::place_orders_response::Result as Answer;
use contracts::proto::{
    CancelOrderRequest, CancelOrderResponse, CompleteOrderRequest, CompleteOrderResponse,
    GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse, PlaceOrderRequest,
    PlaceOrderResponse, PlaceOrdersRequest, PlaceOrdersResponse, WatchOrderRequest,
    WatchOrderResponse, order,
};
use futures::stream::{Stream, StreamExt};
use messaging::health::Health;
use messaging::ids::Ids;
use messaging::limits::REQUEST_BYTES_MAX;
use messaging::server;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status, Streaming};

use super::Error;
use super::meter::{Meter, Period};
use crate::callers::{CALL_MAX, UNSENT_MAX};
use crate::orders::Orders;
use crate::plan::{Plan, Way};
use crate::report::Shares;

/// Calls of a stream without an answer: as many as the gateway has under way.
const UNANSWERED_MAX: usize = 256;

/// Calls to a handler that does nothing.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Calls {
    /// Whether they went over streams (`PlaceOrders`), one per caller.
    pub stream: bool,
    /// How many called at the same time.
    pub callers: usize,
    /// Connections that they shared.
    pub connections: usize,
    /// Answered calls per second.
    pub calls_per_second: f64,
    /// From the call to its answer.
    pub answered_ms: Shares,
}

impl fmt::Display for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares { p50, p99, .. } = self.answered_ms;
        let way = if self.stream { "streams" } else { "callers" };
        write!(
            f,
            "{} {way} over {} connections; {p50:.2} ms, 99th {p99:.2} ms",
            self.callers, self.connections
        )
    }
}

/// Places the orders of `plan` by `callers` over `connections` (both at least 1) with a server of this
/// process that has the gateway's settings.
///
/// # Errors
/// When the server cannot be reached, or a call fails.
pub async fn calls(
    plan: &Plan,
    ids: Arc<dyn Ids>,
    callers: usize,
    connections: usize,
    period: Period,
) -> Result<Calls, Error> {
    let mut tasks = JoinSet::new();
    let address = serve(&mut tasks)?;
    let mut channels = Vec::new();
    for _ in 0..connections {
        let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
        channels.push(endpoint.connect().await?);
    }
    let orders = Arc::new(Mutex::new(Orders::new(plan, ids)));
    let meter = Arc::new(Meter::default());
    for channel in channels.iter().cycle().take(callers) {
        let caller = Caller {
            orders: Arc::clone(&orders),
            meter: Arc::clone(&meter),
            client: OrderServiceClient::new(channel.clone()),
        };
        let way = plan.way;
        tasks.spawn(async move {
            let Err(error) = match way {
                Way::Unary => caller.call().await,
                Way::Stream => caller.stream().await,
            };
            error
        });
    }
    let measured = meter.measure(period, &mut tasks).await?;
    Ok(Calls {
        stream: plan.way == Way::Stream,
        callers,
        connections,
        calls_per_second: measured.per_second(),
        answered_ms: Shares::of(&measured.times),
    })
}

/// Serves the empty handler on a free port, as the gateway serves its own.
fn serve(tasks: &mut JoinSet<Error>) -> Result<SocketAddr, Error> {
    let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = server::bind("the empty handler", free)?;
    let address = listener.local_addr()?;
    let descriptors = &[contracts::FILE_DESCRIPTOR_SET];
    let mut routes = server::routes(&Health::new(), &[SERVICE_NAME], descriptors)?;
    routes.add_service(OrderServiceServer::new(Empty).max_decoding_message_size(REQUEST_BYTES_MAX));
    let served = server::serve_grpc(listener, routes, CancellationToken::new());
    tasks.spawn(async move { served.await.map_or_else(Error::Server, |()| Error::Ended) });
    Ok(address)
}

struct Caller {
    orders: Arc<Mutex<Orders>>,
    meter: Arc<Meter>,
    client: OrderServiceClient<Channel>,
}

impl Caller {
    async fn call(mut self) -> Result<Infallible, Error> {
        loop {
            let since = Instant::now();
            let mut request = Request::new(self.next());
            request.set_timeout(CALL_MAX);
            self.client.place_order(request).await.map_err(failed)?;
            self.meter.done_since(since);
        }
    }

    async fn stream(mut self) -> Result<Infallible, Error> {
        let (requests, queue) = mpsc::channel(UNSENT_MAX);
        // The handler answers in the sequence of the requests, so their times need no names.
        let (begun, mut unanswered) = mpsc::channel(UNANSWERED_MAX);
        let mut client = self.client.clone();
        let meter = Arc::clone(&self.meter);
        let sending = async move {
            loop {
                let since = Instant::now();
                let request = PlaceOrdersRequest {
                    request: Some(self.next()),
                };
                // Nobody takes either any more once the answers have ended.
                let _ = begun.send(since).await;
                if requests.send(request).await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        let receiving = async move {
            let answers = client.place_orders(ReceiverStream::new(queue)).await?;
            let mut answers = answers.into_inner();
            while answers.message().await?.is_some() {
                if let Some(since) = unanswered.recv().await {
                    meter.done_since(since);
                }
            }
            Err(Status::unknown("the stream has ended"))
        };
        tokio::select! {
            never = sending => never,
            ended = receiving => ended.map_err(failed),
        }
    }

    fn next(&mut self) -> PlaceOrderRequest {
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        orders.next().request
    }
}

fn failed(status: Status) -> Error {
    Error::Call(Box::new(status))
}

/// Answers as the gateway would, and does nothing.
struct Empty;

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn accepted(request: PlaceOrderRequest) -> PlaceOrderResponse {
    PlaceOrderResponse {
        order_id: request
            .order
            .map(|order| order.order_id)
            .unwrap_or_default(),
        request_id: request.request_id,
        status: order::Status::Pending.into(),
    }
}

fn not_here<T>() -> Result<Response<T>, Status> {
    Err(Status::unimplemented("only placing is measured"))
}

#[tonic::async_trait]
impl OrderService for Empty {
    type PlaceOrdersStream = Answers<PlaceOrdersResponse>;
    type WatchOrderStream = Answers<WatchOrderResponse>;

    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        Ok(Response::new(accepted(request.into_inner())))
    }

    async fn place_orders(
        &self,
        request: Request<Streaming<PlaceOrdersRequest>>,
    ) -> Result<Response<Self::PlaceOrdersStream>, Status> {
        let answers = request.into_inner().map(|request| {
            let request = request?.request.unwrap_or_default();
            Ok(PlaceOrdersResponse {
                request_id: request.request_id.clone(),
                result: Some(Answer::Acceptance(accepted(request))),
            })
        });
        Ok(Response::new(answers.boxed()))
    }

    async fn cancel_order(
        &self,
        _: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        not_here()
    }

    async fn complete_order(
        &self,
        _: Request<CompleteOrderRequest>,
    ) -> Result<Response<CompleteOrderResponse>, Status> {
        not_here()
    }

    async fn get_order(
        &self,
        _: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        not_here()
    }

    async fn list_orders(
        &self,
        _: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        not_here()
    }

    async fn watch_order(
        &self,
        _: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        not_here()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use messaging::ids::SystemIds;

    use super::*;
    use crate::plan::tests::plan;
    use crate::tally::Times;

    /// Calls of nobody.
    pub(crate) fn calls() -> Calls {
        Calls {
            stream: false,
            callers: 64,
            connections: 2,
            calls_per_second: 0.0,
            answered_ms: Shares::of(&Times::default()),
        }
    }

    #[tokio::test]
    async fn calls_and_streams_are_answered_and_timed() {
        for way in [Way::Unary, Way::Stream] {
            let plan = Plan { way, ..plan() };
            let period = Period::of(Duration::from_millis(50));
            let ids = Arc::new(SystemIds);
            let calls = super::calls(&plan, ids, 3, 2, period).await.unwrap();
            assert_eq!(calls.stream, way == Way::Stream);
            assert!(calls.calls_per_second > 0.0, "{calls:?}");
            let Shares { p50, p99, .. } = calls.answered_ms;
            assert!(p50 > 0.0 && p50 <= p99, "{calls:?}");
        }
    }
}
