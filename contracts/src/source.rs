//! CloudEvents `source` of each writer.

/// The gateway: commands.
pub const GATEWAY: &str = "/gateway";
/// Order: its events.
pub const ORDER: &str = "/order";
/// Inventory: its events.
pub const INVENTORY: &str = "/inventory";
