//! Placing orders: one by one, and in streams.

use std::sync::Arc;

use contracts::proto::{
    PlaceOrderRequest, PlaceOrderResponse, PlaceOrdersRequest, PlaceOrdersResponse, order,
    place_orders_response,
};
use futures::future::{self, Either};
use futures::stream::{self, Stream, StreamExt};
use messaging::clock::Clock;
use messaging::ids::Ids;
use messaging::retry::Backoff;
use messaging::server::Deadline;
use messaging::{limits as shared, status};
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};

use crate::commands::Commands;
use crate::origin::Origin;
use crate::queries::OrderQueries;
use crate::request::Placement;
use crate::visitor::Door;
use crate::{limits, outcome, request};

/// What placing an order needs.
pub(crate) struct Placing {
    pub(crate) door: Door,
    pub(crate) commands: Commands,
    pub(crate) queries: OrderQueries,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ids: Arc<dyn Ids>,
    /// The gateway's: nothing is waited for after it.
    pub(crate) shutdown: CancellationToken,
}

impl Placing {
    /// Places one order: checks it, waits for the log's acknowledgement, then for the status that
    /// the request waits for.
    pub(crate) async fn place(
        &self,
        request: PlaceOrderRequest,
        message_id: &str,
        origin: &Origin,
        deadline: Deadline,
    ) -> Result<PlaceOrderResponse, Status> {
        let request = origin.visitor.ordering(request)?;
        let Placement { command, wait_for } = request::place(request)?;
        let budget = limits::budget(deadline.remaining());
        self.commands
            .submit(&command, message_id, origin, budget)
            .await?;
        let status = match wait_for {
            None => order::Status::Pending,
            Some(wait_for) => {
                let budget = limits::budget(deadline.remaining());
                outcome::wait(self, &command, wait_for, &origin.visitor, budget).await?
            }
        };
        Ok(PlaceOrderResponse {
            order_id: command.order_id,
            request_id: shown(origin, message_id.to_owned()),
            status: status.into(),
        })
    }

    /// Waits before the next try.
    pub(crate) async fn pause(&self, backoff: &mut Backoff) {
        self.clock.sleep(backoff.next(self.ids.random())).await;
    }

    /// Places one order of a stream; a refusal is an answer like any other.
    async fn answer(
        &self,
        request: PlaceOrderRequest,
        mut origin: Origin,
        deadline: Deadline,
    ) -> PlaceOrdersResponse {
        let message_id = self.commands.name(&mut origin);
        let placed = match self.door.count(&origin.visitor) {
            Ok(()) => self.place(request, &message_id, &origin, deadline).await,
            Err(refusal) => Err(refusal),
        };
        let result = match placed {
            Ok(acceptance) => place_orders_response::Result::Acceptance(acceptance),
            Err(status) => place_orders_response::Result::Error(on_the_wire(&status)),
        };
        PlaceOrdersResponse {
            request_id: shown(&origin, message_id),
            result: Some(result),
        }
    }
}

/// Places the orders of a stream, a bounded number at one time; each has the deadline of a unary
/// call, and no longer than the stream has. At shutdown no more are read, those under way are
/// answered, and the stream ends with UNAVAILABLE.
pub(crate) fn stream(
    placing: Arc<Placing>,
    requests: Streaming<PlaceOrdersRequest>,
    origin: Origin,
    deadline: Deadline,
) -> impl Stream<Item = Result<PlaceOrdersResponse, Status>> {
    let (shutdown, stopped) = (placing.shutdown.clone(), placing.shutdown.clone());
    requests
        .take_until(shutdown.cancelled_owned())
        .map(move |request| match request {
            // The stream itself is broken: its error is its end.
            Err(status) => Either::Left(future::ready(Err(status))),
            Ok(request) => {
                let request = request.request.unwrap_or_default();
                let placing = Arc::clone(&placing);
                let origin = origin.of(&request.request_id);
                let deadline =
                    Deadline::after(deadline.stream_remaining(), shared::CALL_DEADLINE_MAX);
                Either::Right(async move { Ok(placing.answer(request, origin, deadline).await) })
            }
        })
        .buffer_unordered(limits::PIPELINE_MAX)
        .chain(
            stream::once(async move { stopped.is_cancelled() }).filter_map(async |stopped| {
                stopped.then(|| {
                    Err(status::unavailable(
                        "the gateway is shutting down; requests without an answer were not read",
                    ))
                })
            }),
        )
}

/// The request id that an answer shows: as given, or as made up.
pub(crate) fn shown(origin: &Origin, message_id: String) -> String {
    if origin.request_id.is_empty() {
        message_id
    } else {
        origin.request_id.clone()
    }
}

/// A status as a message of its own (`google.rpc.Status`), details included.
fn on_the_wire(status: &Status) -> tonic_types::Status {
    // What travels as details is such a message already (gRPC's richer error model).
    match prost::Message::decode(status.details()) {
        Ok(details) if !status.details().is_empty() => details,
        _ => tonic_types::Status {
            code: status.code().into(),
            message: status.message().to_owned(),
            details: Vec::new(),
        },
    }
}
