//! The inventory service beside a registry that does not let it write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "../../tests/common/refused.rs"]
mod refused;

use contracts::inventory::StockReserved;

const PROGRAM: refused::Program<'_> = ("inventory", env!("CARGO_BIN_EXE_inventory"));

#[test]
fn an_event_that_somebody_else_has_claimed_stops_it() {
    refused::where_others_have_claimed::<StockReserved>(PROGRAM);
}

#[test]
fn what_is_not_registered_stops_it_when_it_may_not_register() {
    refused::where_nothing_is_registered::<StockReserved>(PROGRAM);
}
