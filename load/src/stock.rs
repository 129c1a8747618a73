//! The stock that the orders need, booked in before the first of them is placed: an order that waits
//! for its stock would tell nothing of the store's speed.

use std::collections::HashMap;
use std::time::Duration;

use contracts::client::Channel;
use contracts::limits::PAGE_SIZE_MAX;
use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::{ListStockRequest, ReceiveStockRequest};
use futures::{TryStreamExt, stream};
use tokio::time::{Instant, sleep};
use tonic::Status;

/// Receipts that are under way at one time.
const RECEIVING_MAX: usize = 64;
/// How often the stock is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long it may take to be booked in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Receives, and waits until all of it is on hand.
///
/// # Errors
/// The gateway's answer, or UNAVAILABLE when the stock is not booked in for long.
pub(crate) async fn receive(
    channel: &Channel,
    receipts: Vec<ReceiveStockRequest>,
) -> Result<(), Status> {
    let client = InventoryServiceClient::new(channel.clone());
    let before = on_hand(client.clone()).await?;
    let mut wanted = HashMap::new();
    for receipt in &receipts {
        let name = &receipt.product_id;
        let product = wanted
            .entry(name.clone())
            .or_insert_with(|| before.get(name).copied().unwrap_or_default());
        *product += i64::from(receipt.quantity);
    }
    stream::iter(receipts.into_iter().map(Ok))
        .try_for_each_concurrent(RECEIVING_MAX, |receipt| {
            let mut client = client.clone();
            async move { client.receive_stock(receipt).await.map(drop) }
        })
        .await?;
    let start = Instant::now();
    while !covers(&on_hand(client.clone()).await?, &wanted) {
        if start.elapsed() > PATIENCE {
            return Err(Status::unavailable(
                "the stock is not booked in; is inventory running",
            ));
        }
        sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Whether there is as much of every product as is wanted.
fn covers(found: &HashMap<String, i64>, wanted: &HashMap<String, i64>) -> bool {
    wanted
        .iter()
        .all(|(product, wanted)| found.get(product).is_some_and(|found| found >= wanted))
}

/// Of every product, how many are there.
async fn on_hand(
    mut client: InventoryServiceClient<Channel>,
) -> Result<HashMap<String, i64>, Status> {
    let (mut found, mut page_token) = (HashMap::new(), String::new());
    loop {
        let request = ListStockRequest {
            page_size: PAGE_SIZE_MAX,
            page_token,
        };
        let page = client.list_stock(request).await?.into_inner();
        let levels = page.stock.into_iter();
        found.extend(levels.map(|level| (level.product_id, level.on_hand)));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return Ok(found);
        }
    }
}
