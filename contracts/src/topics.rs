//! The topics. All have the same number of partitions and keep their records by time
//! (`cleanup.policy=delete`).

/// Commands to Order, by order_id.
pub const ORDER_COMMANDS: &str = "order.commands";
/// What happened to orders, by order_id.
pub const ORDER_EVENTS: &str = "order.events";
/// Commands to Inventory, by product_id.
pub const INVENTORY_COMMANDS: &str = "inventory.commands";
/// What happened to reservations, by order_id.
pub const INVENTORY_EVENTS: &str = "inventory.events";
/// What happened to products' stock, by product_id.
pub const INVENTORY_STOCK: &str = "inventory.stock";

/// All topics.
pub const ALL: [&str; 5] = [
    ORDER_COMMANDS,
    ORDER_EVENTS,
    INVENTORY_COMMANDS,
    INVENTORY_EVENTS,
    INVENTORY_STOCK,
];
