//! The Inventory bounded context.

pub mod domain;
