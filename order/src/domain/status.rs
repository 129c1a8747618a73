//! Where an order stands.

/// The status of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Placed; Inventory has not answered yet.
    Pending,
    /// All lines are held in stock.
    Reserved,
    /// Shipped.
    Completed,
    /// Waiting for stock.
    Backordered,
    /// Refused.
    Rejected,
    /// Cancelled on request.
    Cancelled,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Reserved,
        Self::Completed,
        Self::Backordered,
        Self::Rejected,
        Self::Cancelled,
    ];

    /// Its name in the database and on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Reserved => "RESERVED",
            Self::Completed => "COMPLETED",
            Self::Backordered => "BACKORDERED",
            Self::Rejected => "REJECTED",
            Self::Cancelled => "CANCELLED",
        }
    }

    /// The status with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.as_str() == name)
    }

    /// Whether nothing changes any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        match self {
            Self::Completed | Self::Rejected | Self::Cancelled => true,
            Self::Pending | Self::Reserved | Self::Backordered => false,
        }
    }
}
