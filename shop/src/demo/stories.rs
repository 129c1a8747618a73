//! The four stories.

use contracts::proto::PlaceOrderRequest;
use contracts::proto::order::Status;
use tonic::Code;

use super::stage::{Stage, expect};
use super::told;
use crate::exit::{Exit, Failure};
use crate::output::json;

const ORDER_1: &str = include_str!("../../../examples/order-1.json");
const ORDER_2: &str = include_str!("../../../examples/order-2.json");
const ORDER_BACKORDER: &str = include_str!("../../../examples/order-backorder.json");

/// The request of an example file.
fn request(text: &str, wait_for: Option<Status>) -> Result<PlaceOrderRequest, Failure> {
    let mut request: PlaceOrderRequest = json::parse("shop.v1.PlaceOrderRequest", text)
        .map_err(|error| Failure::new(Exit::Usage, error.to_string()))?;
    request.wait_for = wait_for.map(Into::into);
    Ok(request)
}

/// An order is placed and reserved.
pub(super) async fn placed(stage: &mut Stage) -> Result<(), Failure> {
    told::story(
        1,
        "An order is placed",
        "   The gateway answers once the log has the order. Order books it in and tells Inventory,\n   \
         which holds its stock and tells Order.",
    );
    stage.seed().await?;
    told::command("place examples/order-1.json --wait RESERVED");
    let wait = Some(Status::Reserved);
    stage
        .place(request(ORDER_1, wait)?, Status::Reserved)
        .await?;
    stage
        .stock(&[("PRODUCT_001", 10, 3), ("PRODUCT_002", 15, 2)])
        .await
}

/// The same order arrives again, and once more with other content.
pub(super) async fn duplicated(stage: &mut Stage) -> Result<(), Failure> {
    told::story(
        2,
        "The same order arrives again",
        "   Every command goes into the log, and its effect happens once. The same order changes\n   \
         nothing; the same id with other content is refused, and the first order stays as it is.",
    );
    let wait = Some(Status::Reserved);
    for _ in 0..2 {
        told::command("place examples/order-1.json --wait RESERVED");
        stage
            .place(request(ORDER_1, wait)?, Status::Reserved)
            .await?;
    }
    told::command("place - --wait RESERVED   (ORDER_001, but with 9 of PRODUCT_001)");
    let mut other = request(ORDER_1, wait)?;
    other.request_id = String::new();
    if let Some(order) = &mut other.order {
        order.total_price_minor = None;
        order.total_quantity = None;
        order.lines[0].quantity = 9;
    }
    stage.place_in_vain(other, Code::AlreadyExists).await?;
    let order = stage.watch("ORDER_001", Status::Reserved).await?;
    expect("the version", &order.version.to_string(), "2")?;
    stage
        .stock(&[("PRODUCT_001", 10, 3), ("PRODUCT_002", 15, 2)])
        .await
}

/// Inventory is away while an order is placed.
pub(super) async fn inventory_offline(stage: &mut Stage) -> Result<(), Failure> {
    told::story(
        3,
        "Inventory is offline",
        "   Orders are still accepted: they wait in the log. Inventory catches up by itself when it\n   \
         is back.",
    );
    stage.inventory_leaves().await;
    told::say("\n   (Inventory is stopped.)");
    stage.stock_in_vain().await?;
    told::command("place examples/order-2.json");
    stage
        .place(request(ORDER_2, None)?, Status::Pending)
        .await?;
    stage.watch("ORDER_002", Status::Pending).await?;
    stage.inventory_returns().await?;
    told::say("\n   (Inventory is back.)");
    stage.watch("ORDER_002", Status::Reserved).await?;
    stage
        .stock(&[("PRODUCT_001", 10, 5), ("PRODUCT_002", 15, 2)])
        .await
}

/// There is not enough stock; then there is.
pub(super) async fn out_of_stock(stage: &mut Stage) -> Result<(), Failure> {
    told::story(
        4,
        "Out of stock, then restocked",
        "   5 of PRODUCT_001 are left, and an order wants 20. It waits for its turn; when stock comes\n   \
         it is reserved by itself.",
    );
    told::command("place examples/order-backorder.json --wait BACKORDERED");
    let wait = Some(Status::Backordered);
    stage
        .place(request(ORDER_BACKORDER, wait)?, Status::Backordered)
        .await?;
    stage.receive("PRODUCT_001", 20, "RESTOCK_001").await?;
    stage.watch("ORDER_003", Status::Reserved).await?;
    stage
        .stock(&[("PRODUCT_001", 30, 25), ("PRODUCT_002", 15, 2)])
        .await
}
