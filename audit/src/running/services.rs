//! The services: checkpoints, rows, and what they say of single messages.

use std::collections::BTreeMap;

use contracts::client::Channel;
use contracts::proto::inventory_audit_service_client::InventoryAuditServiceClient;
use contracts::proto::operations_service_client::OperationsServiceClient;
use contracts::proto::order_audit_service_client::OrderAuditServiceClient;
use contracts::proto::stock_query_service_client::StockQueryServiceClient;
use contracts::proto::{
    ExportOrdersRequest, ExportReservationsRequest, GetCheckpointRequest, GetCheckpointResponse,
    ListActionsRequest, ListConflictsRequest, ListParkedRequest, ListStockRequest,
    Place as WirePlace, ShardCheckpoint, StockQueryServiceListStockRequest,
};
use inventory::domain::reservation::Reservation;
use inventory::domain::stock::Stock;
use order::domain::Order;
use tonic::Status;

use super::{Error, rows};
use crate::checkpoint::{Checkpoint, Checkpoints, Shard};
use crate::fold::Known;
use crate::record::{Place, Topic};

/// Items of one page: far below the 4 MiB that a client decodes, whatever they hold.
const PAGE_SIZE: i32 = 200;
/// Products of one page.
const STOCK_PAGE_SIZE: i32 = 1_000;

const ORDER: &str = "order";
const INVENTORY: &str = "inventory";

/// The services of a store.
pub(super) struct Services {
    order: Channel,
    inventory: Channel,
}

fn of(service: &'static str) -> impl Fn(Status) -> Error {
    move |status| Error::Service {
        service,
        status: Box::new(status),
    }
}

impl Services {
    pub(super) fn new(order: Channel, inventory: Channel) -> Self {
        Self { order, inventory }
    }

    fn both(&self) -> [(&'static str, Channel); 2] {
        [
            (ORDER, self.order.clone()),
            (INVENTORY, self.inventory.clone()),
        ]
    }

    /// How far both have come.
    pub(super) async fn checkpoints(&self) -> Result<Checkpoints, Error> {
        let mut found = Checkpoints::default();
        for (service, channel) in self.both() {
            let mut client = OperationsServiceClient::new(channel);
            let asked = client.get_checkpoint(GetCheckpointRequest {}).await;
            let checkpoint = checkpoint(asked.map_err(of(service))?.into_inner());
            match service {
                ORDER => found.order = checkpoint,
                _ => found.inventory = checkpoint,
            }
        }
        Ok(found)
    }

    /// What both say of single messages.
    pub(super) async fn known(&self) -> Result<Known, Error> {
        let mut known = Known::default();
        for (service, channel) in self.both() {
            let mut client = OperationsServiceClient::new(channel);
            parked(&mut client, &mut known).await.map_err(of(service))?;
            acted(&mut client, &mut known).await.map_err(of(service))?;
            conflicts(&mut client, &mut known)
                .await
                .map_err(of(service))?;
        }
        Ok(known)
    }

    /// Every order, or those named, until `take` says that it is enough.
    pub(super) async fn orders(
        &self,
        order_ids: Vec<String>,
        mut take: impl FnMut(&Order) -> bool,
    ) -> Result<(), Error> {
        let mut client = OrderAuditServiceClient::new(self.order.clone());
        let pages = client
            .export_orders(ExportOrdersRequest { order_ids })
            .await;
        let mut pages = pages.map_err(of(ORDER))?.into_inner();
        while let Some(page) = pages.message().await.map_err(of(ORDER))? {
            for row in page.rows {
                if !take(&rows::order(row)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Every reservation, or those named, until `take` says that it is enough.
    pub(super) async fn reservations(
        &self,
        order_ids: Vec<String>,
        mut take: impl FnMut(&Reservation) -> bool,
    ) -> Result<(), Error> {
        let mut client = InventoryAuditServiceClient::new(self.inventory.clone());
        let request = ExportReservationsRequest { order_ids };
        let pages = client.export_reservations(request).await;
        let mut pages = pages.map_err(of(INVENTORY))?.into_inner();
        while let Some(page) = pages.message().await.map_err(of(INVENTORY))? {
            for row in page.rows {
                if !take(&rows::reservation(row)?) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// All stock.
    pub(super) async fn stock(&self, mut take: impl FnMut(&str, Stock)) -> Result<(), Error> {
        let mut client = StockQueryServiceClient::new(self.inventory.clone());
        let mut page_token = String::new();
        loop {
            let request = StockQueryServiceListStockRequest {
                request: Some(ListStockRequest {
                    page_size: STOCK_PAGE_SIZE,
                    page_token,
                }),
            };
            let page = client.list_stock(request).await.map_err(of(INVENTORY))?;
            let page = page.into_inner().response.unwrap_or_default();
            for level in page.stock {
                let row = Stock {
                    on_hand: level.on_hand,
                    reserved: level.reserved,
                    version: level.version,
                };
                take(&level.product_id, row);
            }
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return Ok(());
            }
        }
    }
}

fn checkpoint(from: GetCheckpointResponse) -> Checkpoint {
    let shard = |shard: ShardCheckpoint| {
        let cursors = shard.cursors.into_iter();
        let cursors = cursors
            .filter_map(|cursor| Some((Topic::from_name(&cursor.topic)?, cursor.next_offset)));
        let of = Shard {
            cursors: cursors.collect(),
            outbox_rows: shard.outbox_rows,
            outbox_oldest: shard.outbox_oldest.map(|time| contracts::time::read(&time)),
        };
        (shard.shard, of)
    };
    Checkpoint {
        shards: from
            .shards
            .into_iter()
            .map(shard)
            .collect::<BTreeMap<_, _>>(),
    }
}

fn place(from: Option<WirePlace>) -> Option<Place> {
    let from = from?;
    Some(Place {
        topic: Topic::from_name(&from.topic)?,
        partition: from.partition,
        offset: from.offset,
    })
}

/// Messages that are parked.
async fn parked(
    client: &mut OperationsServiceClient<Channel>,
    known: &mut Known,
) -> Result<(), Status> {
    let mut page_token = String::new();
    loop {
        let request = ListParkedRequest {
            page_size: PAGE_SIZE,
            page_token,
            ..ListParkedRequest::default()
        };
        let page = client.list_parked(request).await?.into_inner();
        for message in page.messages {
            let Some(place) = place(message.place) else {
                continue;
            };
            known.set_aside.insert(place);
            if place.topic != Topic::InventoryCommands && !message.aggregate_id.is_empty() {
                known.parked_orders.insert(message.aggregate_id);
            }
        }
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

/// Messages that were replayed or discarded.
async fn acted(
    client: &mut OperationsServiceClient<Channel>,
    known: &mut Known,
) -> Result<(), Status> {
    let mut page_token = String::new();
    loop {
        let request = ListActionsRequest {
            page_size: PAGE_SIZE,
            page_token,
        };
        let page = client.list_actions(request).await?.into_inner();
        let outcomes = page.actions.into_iter().flat_map(|action| action.outcomes);
        known
            .set_aside
            .extend(outcomes.filter_map(|outcome| place(outcome.place)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}

async fn conflicts(
    client: &mut OperationsServiceClient<Channel>,
    known: &mut Known,
) -> Result<(), Status> {
    let mut page_token = String::new();
    loop {
        let request = ListConflictsRequest {
            page_size: PAGE_SIZE,
            page_token,
            ..ListConflictsRequest::default()
        };
        let page = client.list_conflicts(request).await?.into_inner();
        let conflicts = page.conflicts.into_iter();
        let places = conflicts.filter_map(|conflict| Some((place(conflict.place)?, conflict.key)));
        known.conflicts.extend(places);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(());
        }
    }
}
