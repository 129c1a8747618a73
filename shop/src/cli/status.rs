//! Order statuses on the command line, and when one has been reached.

use clap::ValueEnum;
use contracts::proto::order::Status;

/// An order's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum StatusArg {
    /// Placed; Inventory has not answered yet.
    Pending,
    /// All lines are held in stock.
    Reserved,
    /// Shipped.
    Completed,
    /// Waiting for stock.
    Backordered,
    /// Refused for lack of stock or for an unknown product.
    Rejected,
    /// Cancelled on request.
    Cancelled,
}

impl From<StatusArg> for Status {
    fn from(status: StatusArg) -> Self {
        match status {
            StatusArg::Pending => Self::Pending,
            StatusArg::Reserved => Self::Reserved,
            StatusArg::Completed => Self::Completed,
            StatusArg::Backordered => Self::Backordered,
            StatusArg::Rejected => Self::Rejected,
            StatusArg::Cancelled => Self::Cancelled,
        }
    }
}

/// Whether nothing follows `status`.
pub(crate) fn is_terminal(status: Status) -> bool {
    matches!(
        status,
        Status::Rejected | Status::Cancelled | Status::Completed
    )
}

/// Whether an order that stands at `status` has reached `wanted` or passed it.
pub(crate) fn reached(wanted: Status, status: Status) -> bool {
    match wanted {
        Status::Unspecified => true,
        Status::Pending => status != Status::Unspecified,
        Status::Backordered => matches!(
            status,
            Status::Backordered | Status::Reserved | Status::Completed
        ),
        Status::Reserved => matches!(status, Status::Reserved | Status::Completed),
        Status::Completed | Status::Rejected | Status::Cancelled => status == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_status_counts_and_another_end_does_not() {
        assert!(reached(Status::Pending, Status::Rejected));
        assert!(reached(Status::Reserved, Status::Completed));
        assert!(reached(Status::Backordered, Status::Reserved));
        assert!(!reached(Status::Reserved, Status::Backordered));
        assert!(!reached(Status::Reserved, Status::Cancelled));
        assert!(!reached(Status::Cancelled, Status::Completed));
        assert!(!reached(Status::Pending, Status::Unspecified));
    }
}
