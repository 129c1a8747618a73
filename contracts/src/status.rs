//! Answers that must read the same wherever they come from.

use tonic::Status;

/// NOT_FOUND for an order that is not there, or not there for this caller.
#[must_use]
pub fn unknown_order(order_id: &str) -> Status {
    Status::not_found(format!(
        "order {order_id} is not known; one accepted a moment ago may still be on its way"
    ))
}
