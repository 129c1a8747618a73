//! Orders between the domain and the wire.

use contracts::order::OnShortage;
use contracts::proto;
use contracts::time::shown;
use messaging::clock::Timestamp;

use crate::domain::{Order, Status};

/// An order as clients see it.
pub(super) fn order(order: &Order) -> proto::Order {
    let placed = &order.placed;
    let line = |line: &contracts::order::PlaceOrderLine| proto::OrderLine {
        product_id: line.product_id.clone(),
        quantity: line.quantity,
        unit_price_minor: line.unit_price_minor,
    };
    let on_shortage = match placed.on_shortage {
        OnShortage::Backorder => proto::order::OnShortage::Backorder,
        OnShortage::Reject => proto::order::OnShortage::Reject,
    };
    proto::Order {
        order_id: placed.order_id.clone(),
        customer_id: placed.customer_id.clone(),
        currency: placed.currency.clone(),
        lines: placed.lines.iter().map(line).collect(),
        total_price_minor: Some(placed.total_price_minor()),
        total_quantity: Some(placed.total_quantity()),
        on_shortage: on_shortage.into(),
        status: status(order.status).into(),
        version: order.version,
        reason: order.reason.clone(),
        placed_at: Some(shown(order.placed_at)),
        updated_at: Some(shown(order.updated_at)),
        reserve_by: placed.reserve_by.map(|by| shown(Timestamp(by))),
        deadline: order.deadline.map(shown),
    }
}

fn status(status: Status) -> proto::order::Status {
    use proto::order::Status as Wire;
    match status {
        Status::Pending => Wire::Pending,
        Status::Reserved => Wire::Reserved,
        Status::Completed => Wire::Completed,
        Status::Backordered => Wire::Backordered,
        Status::Rejected => Wire::Rejected,
        Status::Cancelled => Wire::Cancelled,
    }
}

/// The status with this number on the wire; `Ok(None)` for the unspecified one.
pub(super) fn status_filter(number: i32) -> Result<Option<Status>, prost::UnknownEnumValue> {
    let wire = proto::order::Status::try_from(number)?;
    Ok(Status::ALL.into_iter().find(|known| status(*known) == wire))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_found_by_its_number() {
        for known in Status::ALL {
            assert_eq!(status_filter(status(known).into()), Ok(Some(known)));
            assert_eq!(status(known).as_str_name(), known.as_str());
        }
        assert_eq!(status_filter(0), Ok(None));
        assert!(status_filter(7).is_err());
    }
}
