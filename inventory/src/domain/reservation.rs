//! What the book promised to one order.

use std::collections::{BTreeMap, BTreeSet};

use messaging::clock::Timestamp;

use super::ids::{OrderId, ProductId};

/// Pieces per product of one order; sorted, no product twice.
pub type Lines = BTreeMap<ProductId, i32>;

/// How a reservation stands. `Waiting` becomes `Held`, `Released` or `Refused`; `Held` becomes `Released` or
/// `Shipped`; the others stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Every line is promised.
    Held,
    /// Nothing is promised; it stands in the queues of what it is short of.
    Waiting,
    /// It was not accepted, or its deadline has passed.
    Refused,
    /// It was given back, or left its queues.
    Released,
    /// Its pieces have left the house.
    Shipped,
}

impl Status {
    /// Every status.
    pub const ALL: [Self; 5] = [
        Self::Held,
        Self::Waiting,
        Self::Refused,
        Self::Released,
        Self::Shipped,
    ];

    /// Its name in the database.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "HELD",
            Self::Waiting => "WAITING",
            Self::Refused => "REFUSED",
            Self::Released => "RELEASED",
            Self::Shipped => "SHIPPED",
        }
    }

    /// The status with this name in the database.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }
}

/// The flow that an order's later events belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Id of the first command of the flow.
    pub correlation_id: String,
    /// W3C trace context of the flow, if it had one.
    pub traceparent: Option<String>,
}

/// The reservation of one order: all of its lines, or none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// The order.
    pub order_id: OrderId,
    /// The last version of the order that was applied here; older ones change nothing.
    pub order_version: i64,
    /// Its own version: rises by one per event.
    pub version: i64,
    /// How it stands.
    pub status: Status,
    /// Its place in every queue it ever stood in; `None` if it never waited.
    pub position: Option<i64>,
    /// Its number among the waiters that were served; `None` if it never was.
    pub fulfilment: Option<i64>,
    /// What the order asked for.
    pub lines: Lines,
    /// The products in whose queues it stands; empty unless it waits.
    pub short: BTreeSet<ProductId>,
    /// It is held before this instant, or refused.
    pub reserve_by: Option<Timestamp>,
    /// The order's flow.
    pub flow: Flow,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_survives_its_name() {
        for status in Status::ALL {
            assert_eq!(Status::from_name(status.as_str()), Some(status));
        }
        assert_eq!(Status::from_name("held"), None);
    }
}
