//! How each message of the API looks in a table.

use std::io::{self, Write};

use contracts::proto::order::Status;
use contracts::proto::{
    CancelOrderResponse, CompleteOrderResponse, Order, PlaceOrderResponse, ReceiveStockResponse,
    StockLevel,
};

use super::Item;
use super::money::amount;
use super::table::Table;

impl Item for Order {
    const MESSAGE: &'static str = "shop.v1.Order";
    const COLUMNS: &'static [&'static str] = &[
        "ORDER", "CUSTOMER", "STATUS", "VERSION", "QUANTITY", "TOTAL", "UPDATED", "REASON",
    ];

    fn cells(&self) -> Vec<String> {
        vec![
            self.order_id.clone(),
            self.customer_id.clone(),
            self.status().as_str_name().to_owned(),
            self.version.to_string(),
            self.total_quantity().to_string(),
            amount(self.total_price_minor(), &self.currency),
            self.updated_at
                .map(|time| time.to_string())
                .unwrap_or_default(),
            self.reason.clone(),
        ]
    }
}

impl Item for StockLevel {
    const MESSAGE: &'static str = "shop.v1.StockLevel";
    const COLUMNS: &'static [&'static str] = &["PRODUCT", "ON HAND", "RESERVED", "AVAILABLE"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.product_id.clone(),
            self.on_hand.to_string(),
            self.reserved.to_string(),
            self.available.to_string(),
        ]
    }
}

impl Item for PlaceOrderResponse {
    const MESSAGE: &'static str = "shop.v1.PlaceOrderResponse";
    const COLUMNS: &'static [&'static str] = &["ORDER", "STATUS", "REQUEST"];

    fn cells(&self) -> Vec<String> {
        vec![
            self.order_id.clone(),
            self.status().as_str_name().to_owned(),
            self.request_id.clone(),
        ]
    }
}

impl Item for CancelOrderResponse {
    const MESSAGE: &'static str = "shop.v1.CancelOrderResponse";
    const COLUMNS: &'static [&'static str] = &["ORDER", "CANCEL", "REQUEST"];

    fn cells(&self) -> Vec<String> {
        accepted(&self.order_id, &self.request_id)
    }
}

impl Item for CompleteOrderResponse {
    const MESSAGE: &'static str = "shop.v1.CompleteOrderResponse";
    const COLUMNS: &'static [&'static str] = &["ORDER", "COMPLETE", "REQUEST"];

    fn cells(&self) -> Vec<String> {
        accepted(&self.order_id, &self.request_id)
    }
}

impl Item for ReceiveStockResponse {
    const MESSAGE: &'static str = "shop.v1.ReceiveStockResponse";
    const COLUMNS: &'static [&'static str] = &["PRODUCT", "RECEIVE", "RECEIPT"];

    fn cells(&self) -> Vec<String> {
        accepted(&self.product_id, &self.receipt_id)
    }
}

/// A command that is in the log; its effect follows.
fn accepted(subject: &str, id: &str) -> Vec<String> {
    vec![subject.to_owned(), "accepted".to_owned(), id.to_owned()]
}

/// The status's name in the proto files.
#[must_use]
pub fn status_name(status: Status) -> &'static str {
    status.as_str_name()
}

/// One order with all that is known about it.
///
/// # Errors
/// When `out` cannot be written.
pub fn order_sheet(out: &mut dyn Write, order: &Order) -> io::Result<()> {
    let placed = order.placed_at.map(|time| time.to_string());
    let updated = order.updated_at.map(|time| time.to_string());
    let mut facts = vec![
        ("order", order.order_id.clone()),
        ("customer", order.customer_id.clone()),
        ("status", order.status().as_str_name().to_owned()),
        ("version", order.version.to_string()),
        ("on shortage", order.on_shortage().as_str_name().to_owned()),
        ("total", amount(order.total_price_minor(), &order.currency)),
        ("placed", placed.unwrap_or_default()),
        ("updated", updated.unwrap_or_default()),
    ];
    if let Some(deadline) = order.deadline {
        facts.push(("deadline", deadline.to_string()));
    }
    if !order.reason.is_empty() {
        facts.insert(3, ("reason", order.reason.clone()));
    }
    for (name, value) in facts {
        writeln!(out, "{name:<12} {value}")?;
    }
    writeln!(out)?;
    let rows: Vec<_> = order
        .lines
        .iter()
        .map(|line| {
            vec![
                line.product_id.clone(),
                line.quantity.to_string(),
                amount(line.unit_price_minor, &order.currency),
            ]
        })
        .collect();
    Table::default().page(out, &["PRODUCT", "QUANTITY", "PRICE OF ONE"], &rows)
}

/// One state of a watched order, on one line.
#[must_use]
pub fn order_state(order: &Order) -> String {
    let line = format!(
        "{}  version {}  {:<11}  {}",
        order.order_id,
        order.version,
        order.status().as_str_name(),
        order.reason
    );
    line.trim_end().to_owned()
}
