//! Everything that is asked about an order, and in which sequence.
//!
//! First the log, which may take long; then the services; then what the log got in the meantime.
//! So nothing that a service has published looks unpublished, and what looks unread was unread
//! when the service was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use contracts::inventory::ReservationEvent;
use contracts::order::OrderCommand;
use messaging::log::Log;
use messaging::registry::confluent::ConfluentRegistry;

use super::ask::Asked;
use super::facts::{Extent, Facts, Message, Said, TOPICS};
use super::scan::{Found, Progress, Scan};
use super::verdict::last_short;
use crate::client::ClientArgs;
use crate::exit::Failure;
use crate::services::{Service, ServicesArgs};

/// Whom to ask.
pub struct Sources<'s> {
    /// The log.
    pub log: Arc<dyn Log>,
    /// The registry of its schemas.
    pub registry: ConfluentRegistry,
    /// The services.
    pub services: &'s ServicesArgs,
    /// As whom, and how long a call may take.
    pub client: &'s ClientArgs,
}

impl Sources<'_> {
    /// Finds out what there is to know about an order. Whoever does not answer leaves a gap that
    /// the facts name.
    ///
    /// # Errors
    /// [`crate::exit::Exit::Usage`] when a flag holds no URL.
    pub async fn gather(&self, order_id: &str) -> Result<Facts, Failure> {
        let order = Asked::connect(self.services, Service::Order, self.client).await?;
        let inventory = Asked::connect(self.services, Service::Inventory, self.client).await?;
        let scan = Scan {
            log: &*self.log,
            registry: &self.registry,
            progress: Progress::new(),
        };
        let (partition, mut found) = read(&scan, order_id).await;
        let (order_shard, inventory_shard, order, reservation) = tokio::join!(
            order.shard(order_id, partition),
            inventory.shard(order_id, partition),
            order.order(order_id),
            inventory.reservation(order_id),
        );
        let mut facts = Facts {
            order_id: order_id.to_owned(),
            partition,
            extents: BTreeMap::new(),
            messages: Vec::new(),
            left_out: 0,
            order,
            reservation,
            stock: BTreeMap::new(),
            order_shard,
            inventory_shard,
        };
        for found in &mut found {
            if let Some(partition) = partition {
                scan.go_on(found, order_id, partition).await;
            }
        }
        for found in found {
            facts.extents.insert(found.topic, found.extent);
            facts.messages.extend(found.messages);
            facts.left_out += found.left_out;
        }
        let receipts = receipts(&scan, &facts.messages).await;
        facts.messages.extend(receipts);
        scan.progress.end();
        for product in last_short(&facts) {
            let level = inventory.stock(&product).await;
            facts.stock.insert(product, level);
        }
        Ok(facts)
    }
}

/// Reads the order's partition of each topic; without a log there is none.
async fn read(scan: &Scan<'_>, order_id: &str) -> (Option<i32>, Vec<Found>) {
    let nothing = |extent: &Extent| {
        let found = |topic| Found {
            topic,
            extent: extent.clone(),
            messages: Vec::new(),
            left_out: 0,
        };
        TOPICS.map(found).into()
    };
    match scan.partition(order_id).await {
        Ok(Some(partition)) => {
            let found = scan.order(order_id, partition).await;
            (Some(partition), found)
        }
        Ok(None) => (None, nothing(&Extent::NoTopic)),
        Err(error) => (None, nothing(&Extent::Unread(error.to_string()))),
    }
}

/// The deliveries that caused Inventory to serve the order.
async fn receipts(scan: &Scan<'_>, messages: &[Message]) -> Vec<Message> {
    let known: BTreeSet<_> = messages
        .iter()
        .filter_map(|message| message.id.as_ref())
        .collect();
    let missing = messages.iter().filter_map(|message| match message.said {
        Said::Reservation(ReservationEvent::Reserved(_) | ReservationEvent::Backordered(_)) => {
            message.cause.clone()
        }
        _ => None,
    });
    let missing: BTreeSet<_> = missing.filter(|id| !known.contains(id)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let products = messages.iter().flat_map(products).collect();
    // Without them a cause is not shown: nothing else is wrong.
    scan.receipts(&products, &missing).await.unwrap_or_default()
}

fn products(message: &Message) -> Vec<String> {
    match &message.said {
        Said::Command(OrderCommand::Place(place)) => {
            let lines = place.lines.iter();
            lines.map(|line| line.product_id.clone()).collect()
        }
        Said::Reservation(ReservationEvent::Reserved(event)) => {
            let lines = event.lines.iter();
            lines.map(|line| line.product_id.clone()).collect()
        }
        Said::Reservation(ReservationEvent::Backordered(event)) => event.short.clone(),
        _ => Vec::new(),
    }
}
