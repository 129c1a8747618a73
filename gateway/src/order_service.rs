//! `shop.v1.OrderService`: commands into the log, queries to the order service.

use std::pin::Pin;
use std::sync::Arc;

use contracts::proto::order_service_server::OrderService;
use contracts::proto::{
    CancelOrderRequest, CancelOrderResponse, CompleteOrderRequest, CompleteOrderResponse,
    GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse, PlaceOrderRequest,
    PlaceOrderResponse, PlaceOrdersRequest, PlaceOrdersResponse, WatchOrderRequest,
    WatchOrderResponse,
};
use futures::stream::{Stream, StreamExt};
use messaging::server::Deadline;
use tonic::{Request, Response, Status, Streaming};

use crate::commands::{Commands, Origin};
use crate::limits;
use crate::placing::{self, Placing};
use crate::queries::{self, OrderQueries};
use crate::request;

/// The public order service.
pub struct Orders {
    pub(crate) placing: Arc<Placing>,
    pub(crate) commands: Commands,
    pub(crate) queries: OrderQueries,
}

/// A stream of answers.
type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl OrderService for Orders {
    type PlaceOrdersStream = Answers<PlaceOrdersResponse>;
    type WatchOrderStream = Answers<WatchOrderResponse>;

    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let deadline = Deadline::of(&request);
        let origin = Origin::new(&request.get_ref().request_id, request.metadata());
        let message_id = self.commands.message_id(&origin.request_id);
        let placed = self
            .placing
            .place(request.into_inner(), &message_id, &origin, deadline)
            .await?;
        Ok(Response::new(placed))
    }

    async fn place_orders(
        &self,
        request: Request<Streaming<PlaceOrdersRequest>>,
    ) -> Result<Response<Self::PlaceOrdersStream>, Status> {
        let origin = Origin::new("", request.metadata());
        let deadline = Deadline::of(&request);
        let answers = placing::stream(
            Arc::clone(&self.placing),
            request.into_inner(),
            origin,
            deadline,
        );
        Ok(Response::new(answers.boxed()))
    }

    async fn cancel_order(
        &self,
        request: Request<CancelOrderRequest>,
    ) -> Result<Response<CancelOrderResponse>, Status> {
        let deadline = Deadline::of(&request);
        let origin = Origin::new(&request.get_ref().request_id, request.metadata());
        let command = request::cancel(request.into_inner())?;
        let message_id = self.commands.message_id(&origin.request_id);
        let budget = limits::budget(deadline.remaining());
        self.commands
            .submit(&command, &message_id, &origin, budget)
            .await?;
        Ok(Response::new(CancelOrderResponse {
            order_id: command.order_id,
            request_id: placing::shown(&origin, message_id),
        }))
    }

    async fn complete_order(
        &self,
        request: Request<CompleteOrderRequest>,
    ) -> Result<Response<CompleteOrderResponse>, Status> {
        let deadline = Deadline::of(&request);
        let origin = Origin::new(&request.get_ref().request_id, request.metadata());
        let command = request::complete(request.into_inner())?;
        let message_id = self.commands.message_id(&origin.request_id);
        let budget = limits::budget(deadline.remaining());
        self.commands
            .submit(&command, &message_id, &origin, budget)
            .await?;
        Ok(Response::new(CompleteOrderResponse {
            order_id: command.order_id,
            request_id: placing::shown(&origin, message_id),
        }))
    }

    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<GetOrderResponse>, Status> {
        let deadline = Deadline::of(&request);
        request::id("order_id", &request.get_ref().order_id)?;
        self.queries.get(request.into_inner(), deadline).await
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let deadline = Deadline::of(&request);
        self.queries.list(request.into_inner(), deadline).await
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let deadline = Deadline::of(&request);
        request::id("order_id", &request.get_ref().order_id)?;
        let states = self
            .queries
            .watch(request.into_inner(), deadline.stream_remaining())
            .await?;
        let states = states.map(|state| state.map_err(queries::watch_failed));
        Ok(Response::new(states.boxed()))
    }
}
