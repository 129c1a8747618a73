//! The services behind the gateway, made up.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use contracts::proto::order_query_service_server::{OrderQueryService, OrderQueryServiceServer};
use contracts::proto::stock_query_service_server::{StockQueryService, StockQueryServiceServer};
use contracts::proto::{
    GetOrderResponse, GetStockResponse, ListOrdersResponse, Order,
    OrderQueryServiceGetOrderRequest, OrderQueryServiceGetOrderResponse,
    OrderQueryServiceListOrdersRequest, OrderQueryServiceListOrdersResponse,
    OrderQueryServiceWatchOrderRequest, OrderQueryServiceWatchOrderResponse, StockLevel,
    StockQueryServiceGetStockRequest, StockQueryServiceGetStockResponse,
    StockQueryServiceListStockRequest, StockQueryServiceListStockResponse, WatchOrderResponse,
    order,
};
use futures::stream::{Stream, StreamExt};
use messaging::health::Health;
use messaging::server;
use messaging::spawner::{Spawner, Task, TokioSpawner};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};

use crate::store::soon;

/// An order id that the service never answers about.
pub(crate) const HANGING: &str = "HANGING";

/// Stand-ins for the order and the inventory service, on one address. Dropping them cuts their
/// connections.
pub(crate) struct Services {
    pub(crate) orders: Arc<Orders>,
    _task: Task,
}

/// The orders as the test wants them to be.
pub(crate) struct Orders {
    known: watch::Sender<BTreeMap<String, Order>>,
    /// Watches that are open now.
    pub(crate) watching: watch::Sender<usize>,
}

impl Services {
    /// Starts them on `listener`.
    pub(crate) fn start(listener: std::net::TcpListener) -> Self {
        let orders = Arc::new(Orders {
            known: watch::Sender::default(),
            watching: watch::Sender::default(),
        });
        let mut routes = server::routes(&Health::new(), &[], &[]).unwrap();
        routes
            .add_service(OrderQueryServiceServer::new(OrderService(Arc::clone(
                &orders,
            ))))
            .add_service(StockQueryServiceServer::new(Stock));
        let serving = server::serve_grpc(listener, routes, CancellationToken::new());
        let task = TokioSpawner.spawn("services", Box::pin(async { serving.await.unwrap() }));
        Self {
            orders,
            _task: task,
        }
    }
}

impl Orders {
    /// Stores a next state of an order.
    pub(crate) fn set(&self, order: &Order, status: order::Status) {
        self.known.send_modify(|known| {
            let version = known.get(&order.order_id).map_or(0, |order| order.version);
            let mut order = order.clone();
            order.set_status(status);
            order.version = version + 1;
            known.insert(order.order_id.clone(), order);
        });
    }

    /// Completes when `count` watches are open.
    pub(crate) async fn watched(&self, count: usize) {
        let mut watching = self.watching.subscribe();
        soon(watching.wait_for(|now| *now == count)).await.unwrap();
    }
}

/// Counts a watch while it is open.
struct Open(Arc<Orders>);

impl Open {
    fn new(orders: &Arc<Orders>) -> Self {
        orders.watching.send_modify(|count| *count += 1);
        Self(Arc::clone(orders))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.watching.send_modify(|count| *count -= 1);
    }
}

/// The order service over [`Orders`].
struct OrderService(Arc<Orders>);

#[tonic::async_trait]
impl OrderQueryService for OrderService {
    type WatchOrderStream =
        Pin<Box<dyn Stream<Item = Result<OrderQueryServiceWatchOrderResponse, Status>> + Send>>;

    async fn get_order(
        &self,
        request: Request<OrderQueryServiceGetOrderRequest>,
    ) -> Result<Response<OrderQueryServiceGetOrderResponse>, Status> {
        let order_id = request.into_inner().request.unwrap().order_id;
        if order_id == HANGING {
            std::future::pending::<()>().await;
        }
        let order = self.0.known.borrow().get(&order_id).cloned();
        let order = order.ok_or_else(|| Status::not_found("no such order"))?;
        Ok(Response::new(OrderQueryServiceGetOrderResponse {
            response: Some(GetOrderResponse { order: Some(order) }),
        }))
    }

    async fn list_orders(
        &self,
        _: Request<OrderQueryServiceListOrdersRequest>,
    ) -> Result<Response<OrderQueryServiceListOrdersResponse>, Status> {
        Ok(Response::new(OrderQueryServiceListOrdersResponse {
            response: Some(ListOrdersResponse {
                orders: self.0.known.borrow().values().cloned().collect(),
                next_page_token: "next".to_owned(),
            }),
        }))
    }

    async fn watch_order(
        &self,
        request: Request<OrderQueryServiceWatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let request = request.into_inner().request.unwrap();
        let open = Open::new(&self.0);
        let mut last = request.after_version;
        let states = WatchStream::new(self.0.known.subscribe()).filter_map(move |known| {
            let _ = &open;
            let order = known.get(&request.order_id);
            let newer = order.filter(|order| order.version > last).cloned();
            last = newer.as_ref().map_or(last, |order| order.version);
            let answer = newer.map(|order| WatchOrderResponse { order: Some(order) });
            std::future::ready(answer.map(|response| {
                let response = Some(response);
                Ok(OrderQueryServiceWatchOrderResponse { response })
            }))
        });
        Ok(Response::new(states.boxed()))
    }
}

/// An inventory service that has 10 of everything.
struct Stock;

#[tonic::async_trait]
impl StockQueryService for Stock {
    async fn get_stock(
        &self,
        request: Request<StockQueryServiceGetStockRequest>,
    ) -> Result<Response<StockQueryServiceGetStockResponse>, Status> {
        let stock = StockLevel {
            product_id: request.into_inner().request.unwrap().product_id,
            on_hand: 10,
            ..StockLevel::default()
        };
        Ok(Response::new(StockQueryServiceGetStockResponse {
            response: Some(GetStockResponse { stock: Some(stock) }),
        }))
    }

    async fn list_stock(
        &self,
        _: Request<StockQueryServiceListStockRequest>,
    ) -> Result<Response<StockQueryServiceListStockResponse>, Status> {
        Ok(Response::new(StockQueryServiceListStockResponse::default()))
    }
}
