//! What the services say.

use std::time::Duration;

use contracts::client::Channel;
use contracts::limits::PAGE_SIZE_MAX;
use contracts::proto::inventory_audit_service_client::InventoryAuditServiceClient;
use contracts::proto::operations_service_client::OperationsServiceClient;
use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use contracts::proto::stock_query_service_client::StockQueryServiceClient;
use contracts::proto::{
    Action, ConflictingMessage, ExportReservationsRequest, GetCheckpointRequest, GetOrderRequest,
    GetStockRequest, ListActionsRequest, ListConflictsRequest, ListParkedRequest, Order,
    OrderQueryServiceGetOrderRequest, ParkedMessage, Place, ReservationRow, ShardCheckpoint,
    StockLevel, StockQueryServiceGetStockRequest,
};
use tonic::{Code, Request, Status};

use super::facts::{Handled, Shard, TOPICS, Told};
use crate::client::{ClientArgs, describe};
use crate::exit::{Exit, Failure};
use crate::services::{Service, ServicesArgs};

/// Pages of parked messages, conflicts and actions that are asked for, each of [`PAGE_SIZE_MAX`].
const PAGES_MAX: usize = 10;

/// A service, or why it does not answer.
pub(super) struct Asked {
    service: Service,
    url: String,
    channel: Result<Channel, String>,
    timeout: Duration,
}

impl Asked {
    /// Connects to `service`.
    ///
    /// # Errors
    /// [`Exit::Usage`] when its flag holds no URL.
    pub(super) async fn connect(
        services: &ServicesArgs,
        service: Service,
        client: &ClientArgs,
    ) -> Result<Self, Failure> {
        let bearer = client.token.bearer()?;
        let channel = match services.connect(service, &client.tls, bearer).await {
            Ok(channel) => Ok(channel),
            Err(failure) if failure.exit == Exit::Usage => return Err(failure),
            Err(failure) => Err(failure.message),
        };
        Ok(Self {
            service,
            url: services.url(service).to_owned(),
            channel,
            timeout: client.call_timeout(),
        })
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.timeout);
        request
    }

    async fn ask<T>(
        &self,
        call: impl AsyncFnOnce(Channel) -> Result<Option<T>, Status>,
    ) -> Told<T> {
        let channel = match &self.channel {
            Ok(channel) => channel.clone(),
            Err(why) => return Told::Unknown(why.clone()),
        };
        match call(channel).await {
            Ok(Some(answer)) => Told::Is(answer),
            Ok(None) => Told::Nothing,
            Err(status) if status.code() == Code::NotFound => Told::Nothing,
            Err(status) if status.code() == Code::Unimplemented => {
                Told::Unknown("its version has no such call".to_owned())
            }
            Err(status) => Told::Unknown(describe(&status)),
        }
    }

    /// What it says of the order's shard.
    pub(super) async fn shard(&self, order_id: &str, partition: Option<i32>) -> Shard {
        let (parked, conflicts, handled, checkpoint) = tokio::join!(
            self.ask(async |channel| self.parked(channel, order_id).await.map(Some)),
            self.ask(async |channel| self.conflicts(channel, order_id).await.map(Some)),
            self.ask(async |channel| self.handled(channel, partition).await.map(Some)),
            self.ask(async |channel| self.checkpoint(channel, partition).await),
        );
        Shard {
            service: self.service,
            url: self.url.clone(),
            answers: self.channel.is_ok(),
            parked,
            conflicts,
            handled,
            checkpoint,
        }
    }

    async fn parked(&self, channel: Channel, order_id: &str) -> Result<Vec<ParkedMessage>, Status> {
        let mut client = OperationsServiceClient::new(channel);
        let mut parked = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = self.request(ListParkedRequest {
                key: order_id.to_owned(),
                page_size: PAGE_SIZE_MAX,
                page_token,
                ..ListParkedRequest::default()
            });
            let page = client.list_parked(request).await?.into_inner();
            parked.extend(page.messages);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        parked.retain(|message| is_of_orders(message.place.as_ref()));
        Ok(parked)
    }

    async fn conflicts(
        &self,
        channel: Channel,
        order_id: &str,
    ) -> Result<Vec<ConflictingMessage>, Status> {
        let mut client = OperationsServiceClient::new(channel);
        let mut conflicts = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = self.request(ListConflictsRequest {
                key: order_id.to_owned(),
                page_size: PAGE_SIZE_MAX,
                page_token,
            });
            let page = client.list_conflicts(request).await?.into_inner();
            conflicts.extend(page.conflicts);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        conflicts.retain(|conflict| is_of_orders(conflict.place.as_ref()));
        Ok(conflicts)
    }

    async fn handled(
        &self,
        channel: Channel,
        partition: Option<i32>,
    ) -> Result<Vec<Handled>, Status> {
        let mut client = OperationsServiceClient::new(channel);
        let mut handled = Vec::new();
        let mut page_token = String::new();
        for _ in 0..PAGES_MAX {
            let request = self.request(ListActionsRequest {
                page_size: PAGE_SIZE_MAX,
                page_token,
            });
            let page = client.list_actions(request).await?.into_inner();
            for action in page.actions {
                handled.extend(handled_by(action, partition));
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                break;
            }
        }
        Ok(handled)
    }

    /// A shard that never committed anything has no checkpoint yet: it stands at the start. Nothing
    /// when the order's partition is not known.
    async fn checkpoint(
        &self,
        channel: Channel,
        partition: Option<i32>,
    ) -> Result<Option<ShardCheckpoint>, Status> {
        let Some(partition) = partition else {
            return Ok(None);
        };
        let mut client = OperationsServiceClient::new(channel);
        let request = self.request(GetCheckpointRequest {});
        let shards = client.get_checkpoint(request).await?.into_inner().shards;
        let own = shards.into_iter().find(|shard| shard.shard == partition);
        Ok(Some(own.unwrap_or_default()))
    }

    /// Order's row.
    pub(super) async fn order(&self, order_id: &str) -> Told<Order> {
        self.ask(async |channel| {
            let request = self.request(OrderQueryServiceGetOrderRequest {
                request: Some(GetOrderRequest {
                    order_id: order_id.to_owned(),
                }),
                customer_id: None,
            });
            let mut client = OrderQueryServiceClient::new(channel);
            let answer = client.get_order(request).await?.into_inner().response;
            Ok(answer.and_then(|answer| answer.order))
        })
        .await
    }

    /// Inventory's row.
    pub(super) async fn reservation(&self, order_id: &str) -> Told<ReservationRow> {
        self.ask(async |channel| {
            let request = self.request(ExportReservationsRequest {
                order_ids: vec![order_id.to_owned()],
            });
            let mut client = InventoryAuditServiceClient::new(channel);
            let mut pages = client.export_reservations(request).await?.into_inner();
            while let Some(page) = pages.message().await? {
                if let Some(row) = page.rows.into_iter().next() {
                    return Ok(Some(row));
                }
            }
            Ok(None)
        })
        .await
    }

    /// The stock of a product.
    pub(super) async fn stock(&self, product_id: &str) -> Told<StockLevel> {
        self.ask(async |channel| {
            let request = self.request(StockQueryServiceGetStockRequest {
                request: Some(GetStockRequest {
                    product_id: product_id.to_owned(),
                }),
            });
            let mut client = StockQueryServiceClient::new(channel);
            let answer = client.get_stock(request).await?.into_inner().response;
            Ok(answer.and_then(|answer| answer.stock))
        })
        .await
    }
}

/// What an action did with messages of orders in `partition`; a dry run did nothing.
fn handled_by(action: Action, partition: Option<i32>) -> impl Iterator<Item = Handled> {
    let was_done = matches!(action.kind.as_str(), "replay" | "discard");
    let (operator, reason) = (action.operator, action.reason);
    action.outcomes.into_iter().filter_map(move |outcome| {
        let place = outcome.place?;
        let is_here = is_of_orders(Some(&place)) && Some(place.partition) == partition;
        (was_done && is_here).then(|| Handled {
            place: place.into(),
            operator: operator.clone(),
            reason: reason.clone(),
            outcome: outcome.outcome,
        })
    })
}

/// A product may have the id of an order.
fn is_of_orders(place: Option<&Place>) -> bool {
    place.is_some_and(|place| TOPICS.contains(&place.topic.as_str()))
}

#[cfg(test)]
mod tests {
    use contracts::proto::ParkedOutcome;

    use super::*;

    fn action(kind: &str) -> Action {
        let outcome = |topic: &str, partition| ParkedOutcome {
            place: Some(Place {
                topic: topic.to_owned(),
                partition,
                offset: 7,
            }),
            outcome: "applied".to_owned(),
            ..ParkedOutcome::default()
        };
        Action {
            kind: kind.to_owned(),
            outcomes: vec![
                outcome("order.commands", 3),
                outcome("order.commands", 2),
                outcome("inventory.commands", 3),
            ],
            ..Action::default()
        }
    }

    #[test]
    fn actions_are_those_on_the_orders_partition_that_were_carried_out() {
        let handled: Vec<_> = handled_by(action("replay"), Some(3)).collect();
        assert_eq!(handled.len(), 1);
        assert_eq!(handled[0].place.to_string(), "order.commands/3@7");
        assert_eq!(handled_by(action("dry-run"), Some(3)).count(), 0);
    }
}
