//! `shop.v1.OrderService`: commands into the log, queries to the order service.

use std::pin::Pin;
use std::sync::Arc;

use contracts::order::CancelOrder;
use contracts::proto::order_service_server::OrderService;
use contracts::proto::{
    CancelOrderRequest, CancelOrderResponse, CompleteOrderRequest, CompleteOrderResponse,
    GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse, PlaceOrderRequest,
    PlaceOrderResponse, PlaceOrdersRequest, PlaceOrdersResponse, WatchOrderRequest,
    WatchOrderResponse,
};
use contracts::status::unknown_order;
use futures::stream::{Stream, StreamExt};
use messaging::server::Deadline;
use tonic::{Request, Response, Status, Streaming};

use crate::commands::Commands;
use crate::limits;
use crate::origin::Origin;
use crate::placing::{self, Placing};
use crate::queries::{self, OrderQueries};
use crate::request;
use crate::visitor::{Door, Visitor};

/// The public order service.
pub struct Orders {
    pub(crate) door: Door,
    pub(crate) placing: Arc<Placing>,
    pub(crate) commands: Commands,
    pub(crate) queries: OrderQueries,
}

impl Orders {
    /// A customer cancels what it sees. While Order cannot be asked the command is accepted: it names
    /// its customer, so that it does nothing to the order of another.
    ///
    /// # Errors
    /// NOT_FOUND when the customer has no such order, whoever else has.
    async fn check_owner(
        &self,
        command: &CancelOrder,
        visitor: &Visitor,
        deadline: Deadline,
    ) -> Result<(), Status> {
        let Some(customer_id) = &command.customer_id else {
            return Ok(());
        };
        // Half of what is left is for the log.
        let time = (deadline.remaining() / 4).min(limits::CANCEL_WAIT);
        let order_id = &command.order_id;
        let has = self.queries.has(customer_id, order_id, visitor, time);
        match has.await {
            Some(false) => Err(unknown_order(order_id)),
            Some(true) | None => Ok(()),
        }
    }
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
        let visitor = self.door.enter(&request)?;
        let mut origin = Origin::new(&request.get_ref().request_id, visitor);
        let message_id = self.commands.name(&mut origin);
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
        // Each order of the stream is counted, not the stream.
        let origin = Origin::new("", Visitor::of(&request));
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
        let visitor = self.door.enter(&request)?;
        let mut origin = Origin::new(&request.get_ref().request_id, visitor);
        let customer_id = origin.visitor.customer()?.map(str::to_owned);
        let command = request::cancel(request.into_inner(), customer_id.as_deref())?;
        self.check_owner(&command, &origin.visitor, deadline)
            .await?;
        let message_id = self.commands.name(&mut origin);
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
        let visitor = self.door.enter(&request)?;
        let mut origin = Origin::new(&request.get_ref().request_id, visitor);
        let command = request::complete(request.into_inner())?;
        let message_id = self.commands.name(&mut origin);
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
        let visitor = self.door.enter(&request)?;
        request::id("order_id", &request.get_ref().order_id)?;
        self.queries
            .get(request.into_inner(), &visitor, deadline)
            .await
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let deadline = Deadline::of(&request);
        let visitor = self.door.enter(&request)?;
        let request = visitor.listing(request.into_inner())?;
        self.queries.list(request, &visitor, deadline).await
    }

    async fn watch_order(
        &self,
        request: Request<WatchOrderRequest>,
    ) -> Result<Response<Self::WatchOrderStream>, Status> {
        let deadline = Deadline::of(&request);
        let visitor = self.door.enter(&request)?;
        request::id("order_id", &request.get_ref().order_id)?;
        let (request, time) = (request.into_inner(), deadline.stream_remaining());
        let states = self
            .queries
            .watch(request, visitor.sees_only(), &visitor, time)
            .await?;
        let states = states.map(|state| state.map_err(queries::watch_failed));
        Ok(Response::new(states.boxed()))
    }
}
