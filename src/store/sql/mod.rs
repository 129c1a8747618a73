//! What the adapters over SQL databases share: everything that is no dialect.

pub(super) mod library;
pub(super) mod migrations;
pub(super) mod numbering;
pub(super) mod outcome;
mod row;

pub use row::{Exact, Get, SqlRow};
