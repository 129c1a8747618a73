//! The server under attack, with a service that does what the order id says.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use contracts::proto::order_query_service_server::{OrderQueryService, OrderQueryServiceServer};
use contracts::proto::{
    GetOrderRequest, GetOrderResponse, Order, OrderQueryServiceGetOrderRequest,
    OrderQueryServiceGetOrderResponse, OrderQueryServiceListOrdersRequest,
    OrderQueryServiceListOrdersResponse, OrderQueryServiceWatchOrderRequest,
    OrderQueryServiceWatchOrderResponse,
};
use futures::stream::{Stream, StreamExt};
use messaging::health::{Condition, Health};
use messaging::limits::REQUEST_BYTES_MAX;
use messaging::server::{self, Limits, Listener};
use messaging::spawner::{Spawner, Task, TokioSpawner};
use messaging::tls;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

/// The path of the service's unary call.
pub(crate) const GET_ORDER: &str = "/shop.v1.OrderQueryService/GetOrder";
/// The path of the service's streaming call.
pub(crate) const WATCH_ORDER: &str = "/shop.v1.OrderQueryService/WatchOrder";

/// Longer than anything here takes; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Waits for what must come soon.
pub(crate) async fn soon<T>(coming: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, coming)
        .await
        .expect("it did not come in time")
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) shutdown: CancellationToken,
    task: Task,
    pub(crate) events: Arc<Events>,
}

/// What the test sees of the handlers, and how it lets them go on.
pub(crate) struct Events {
    /// Handlers of `hang` and `wait` that run now.
    pub(crate) running: watch::Sender<usize>,
    /// Lets one `wait` call or one watch go on.
    pub(crate) release: Notify,
}

impl Server {
    /// Starts a server within `limits`.
    pub(crate) fn start(limits: Limits) -> Self {
        Self::serve(limits, None)
    }

    /// Starts a server with TLS.
    pub(crate) fn secured(limits: Limits, tls: tls::Server) -> Self {
        Self::serve(limits, Some(tls))
    }

    fn serve(limits: Limits, tls: Option<tls::Server>) -> Self {
        let listener = server::bind("--listen", "127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let listener = Listener::new(listener, tls);
        let events = Arc::new(Events {
            running: watch::Sender::new(0),
            release: Notify::new(),
        });
        let health = Health::new();
        health.set("test", Condition::Running);
        let service = OrderQueryServiceServer::new(Obedient(Arc::clone(&events)))
            .max_decoding_message_size(REQUEST_BYTES_MAX);
        let mut routes = server::routes(
            &health,
            &["shop.v1.OrderQueryService"],
            &[contracts::FILE_DESCRIPTOR_SET],
        )
        .unwrap();
        routes.add_service(service);
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let task = TokioSpawner.spawn(
            "server",
            Box::pin(async move {
                server::serve_grpc_within(limits, listener, routes.routes(), stop)
                    .await
                    .unwrap();
            }),
        );
        Self {
            addr,
            shutdown,
            task,
            events,
        }
    }

    /// Completes when the server has ended by itself.
    pub(crate) async fn ended(self) {
        soon(self.task.join()).await.unwrap();
    }

    /// A client with a connection of its own.
    pub(crate) fn client(&self) -> OrderQueryServiceClient<Channel> {
        OrderQueryServiceClient::new(self.channel())
    }

    /// A lazily opened connection.
    pub(crate) fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.addr))
            .unwrap()
            .timeout(PATIENCE)
            .connect_lazy()
    }

    /// Completes when `count` handlers run.
    pub(crate) async fn running(&self, count: usize) {
        let mut running = self.events.running.subscribe();
        soon(running.wait_for(|now| *now == count)).await.unwrap();
    }
}

/// A request for the order that tells the service what to do.
pub(crate) fn get(order_id: &str) -> OrderQueryServiceGetOrderRequest {
    OrderQueryServiceGetOrderRequest {
        request: Some(GetOrderRequest {
            order_id: order_id.to_owned(),
        }),
        customer_id: None,
    }
}

/// A request to watch.
pub(crate) fn watch_request() -> OrderQueryServiceWatchOrderRequest {
    OrderQueryServiceWatchOrderRequest::default()
}

/// A request that the service does not implement.
pub(crate) fn list() -> OrderQueryServiceListOrdersRequest {
    OrderQueryServiceListOrdersRequest::default()
}

struct Obedient(Arc<Events>);

struct Running<'e>(&'e Events);

impl<'e> Running<'e> {
    fn enter(events: &'e Events) -> Self {
        events.running.send_modify(|running| *running += 1);
        Self(events)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.send_modify(|running| *running -= 1);
    }
}

#[tonic::async_trait]
impl OrderQueryService for Obedient {
    type WatchOrderStream =
        Pin<Box<dyn Stream<Item = Result<OrderQueryServiceWatchOrderResponse, Status>> + Send>>;

    async fn get_order(
        &self,
        request: Request<OrderQueryServiceGetOrderRequest>,
    ) -> Result<Response<OrderQueryServiceGetOrderResponse>, Status> {
        let order_id = request.into_inner().request.unwrap().order_id;
        match order_id.as_str() {
            "hang" => {
                let _running = Running::enter(&self.0);
                std::future::pending::<()>().await;
            }
            "wait" => {
                let _running = Running::enter(&self.0);
                self.0.release.notified().await;
            }
            "panic" => panic!("the secret words"),
            _ => {}
        }
        let order = Some(Order {
            order_id,
            ..Order::default()
        });
        Ok(Response::new(OrderQueryServiceGetOrderResponse {
            response: Some(GetOrderResponse { order }),
        }))
    }

    async fn list_orders(
        &self,
        _: Request<OrderQueryServiceListOrdersRequest>,
    ) -> Result<Response<OrderQueryServiceListOrdersResponse>, Status> {
        Err(Status::unimplemented("not under attack"))
    }

    /// An order whenever it is released, without end.
    async fn watch_order(
        &self,
        _: Request<OrderQueryServiceWatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let events = Arc::clone(&self.0);
        let stream = futures::stream::unfold(events, async |events| {
            events.release.notified().await;
            Some((Ok(OrderQueryServiceWatchOrderResponse::default()), events))
        });
        Ok(Response::new(stream.boxed()))
    }
}
