//! Who may make which call: one row per call of every service, pure. What a caller may see of what it
//! asks for is decided by the owner of the data.
//!
//! | scope | for |
//! |---|---|
//! | none | a customer: its own orders, and the stock |
//! | `stock` | whoever receives and ships |
//! | `operations` | the people who run the store: parked messages, audit, shards, everybody's orders |

use messaging::auth::Need;

/// The scope of whoever receives and ships.
pub const STOCK: &str = "stock";
/// The scope of the people who run the store.
pub const OPERATIONS: &str = "operations";

/// Calls that any token is enough for: everybody's own orders, and the stock.
const OF_CUSTOMERS: [&str; 13] = [
    "/shop.v1.OrderService/PlaceOrder",
    "/shop.v1.OrderService/PlaceOrders",
    "/shop.v1.OrderService/CancelOrder",
    "/shop.v1.OrderService/GetOrder",
    "/shop.v1.OrderService/ListOrders",
    "/shop.v1.OrderService/WatchOrder",
    "/shop.v1.InventoryService/GetStock",
    "/shop.v1.InventoryService/ListStock",
    "/shop.v1.OrderQueryService/GetOrder",
    "/shop.v1.OrderQueryService/ListOrders",
    "/shop.v1.OrderQueryService/WatchOrder",
    "/shop.v1.StockQueryService/GetStock",
    "/shop.v1.StockQueryService/ListStock",
];

/// Calls that receive and ship.
const OF_STOCK: [&str; 2] = [
    "/shop.v1.OrderService/CompleteOrder",
    "/shop.v1.InventoryService/ReceiveStock",
];

/// What the call at `path` (`/package.Service/Method`) needs of its caller. A call that has no row
/// is for the people who run the store.
#[must_use]
pub fn need(path: &str) -> Need {
    if OF_CUSTOMERS.contains(&path) {
        Need::Token
    } else if OF_STOCK.contains(&path) {
        Need::Scope(STOCK)
    } else {
        Need::Scope(OPERATIONS)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;

    /// Every call of every service, by its path.
    fn calls() -> BTreeSet<String> {
        let set = FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
        let files = set.file.iter();
        let services = files.flat_map(|file| file.service.iter().map(move |one| (file, one)));
        services
            .flat_map(|(file, service)| {
                let name = format!("/{}.{}", file.package(), service.name());
                let methods = service.method.iter();
                methods.map(move |method| format!("{name}/{}", method.name()))
            })
            .collect()
    }

    #[test]
    fn every_call_has_its_row() {
        let operations = [
            "/shop.v1.InventoryAuditService/ExportReservations",
            "/shop.v1.OrderAuditService/ExportOrders",
        ];
        for call in calls() {
            let row = match need(&call) {
                Need::Token => OF_CUSTOMERS.contains(&call.as_str()),
                Need::Scope(STOCK) => OF_STOCK.contains(&call.as_str()),
                Need::Scope(OPERATIONS) => {
                    operations.contains(&call.as_str())
                        || call.starts_with("/shop.v1.OperationsService/")
                        || call.starts_with("/shop.v1.InventoryAuditService/")
                }
                Need::Nothing | Need::Scope(_) => false,
            };
            assert!(row, "{call}: a new call needs a row here");
        }
    }

    #[test]
    fn every_row_is_a_call() {
        let calls = calls();
        for row in OF_CUSTOMERS.iter().chain(&OF_STOCK) {
            assert!(calls.contains(*row), "{row}");
        }
    }

    #[test]
    fn what_is_not_known_is_for_the_people_who_run_the_store() {
        for path in [
            "/shop.v1.OrderService/Unheard",
            "/",
            "",
            "/other.Service/Of",
        ] {
            assert_eq!(need(path), Need::Scope(OPERATIONS), "{path}");
        }
    }
}
