//! The services' rows as their domains have them.

use contracts::order::{OnShortage, PlaceOrder, PlaceOrderLine};
use contracts::proto::{self, OrderRow, ReservationRow};
use contracts::time;
use inventory::domain::ids::{OrderId, ProductId};
use inventory::domain::reservation::{self, Flow, Reservation};
use order::domain::{Order, Status};

use super::Error;

/// Order's row.
pub(super) fn order(row: OrderRow) -> Result<Order, Error> {
    let failed = |detail: String| Error::Row {
        service: "order",
        detail,
    };
    let reservation_version = row.reservation_version;
    let Some(order) = row.order else {
        return Err(failed("it holds no order".to_owned()));
    };
    let status = Status::from_name(order.status().as_str_name());
    let status = status.ok_or_else(|| failed(format!("order {} has no status", order.order_id)))?;
    let on_shortage = match order.on_shortage() {
        proto::order::OnShortage::Backorder => OnShortage::Backorder,
        proto::order::OnShortage::Reject => OnShortage::Reject,
    };
    let lines = order.lines.into_iter().map(|line| PlaceOrderLine {
        product_id: line.product_id,
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    });
    Ok(Order {
        placed: PlaceOrder {
            order_id: order.order_id,
            customer_id: order.customer_id,
            currency: order.currency,
            lines: lines.collect(),
            on_shortage,
            reserve_by: order.reserve_by.as_ref().map(|by| time::read(by).0),
        },
        status,
        version: order.version,
        reservation_version,
        reason: order.reason,
        placed_at: order.placed_at.as_ref().map(time::read).unwrap_or_default(),
        updated_at: order
            .updated_at
            .as_ref()
            .map(time::read)
            .unwrap_or_default(),
        deadline: order.deadline.as_ref().map(time::read),
    })
}

/// Inventory's row. Its flow is not told.
pub(super) fn reservation(row: ReservationRow) -> Result<Reservation, Error> {
    let Some(status) = reservation::Status::from_name(&row.status) else {
        let detail = format!(
            "the reservation of {} has status {:?}",
            row.order_id, row.status
        );
        return Err(Error::Row {
            service: "inventory",
            detail,
        });
    };
    let lines = row.lines.into_iter();
    Ok(Reservation {
        order_id: OrderId::from(row.order_id),
        order_version: row.order_version,
        version: row.version,
        status,
        position: Some(row.position).filter(|position| *position != 0),
        fulfilment: Some(row.fulfilment).filter(|fulfilment| *fulfilment != 0),
        lines: lines
            .map(|line| (ProductId::from(line.product_id), line.quantity))
            .collect(),
        short: row.short.into_iter().map(ProductId::from).collect(),
        reserve_by: row.reserve_by.as_ref().map(time::read),
        flow: Flow {
            correlation_id: String::new(),
            traceparent: None,
        },
    })
}
