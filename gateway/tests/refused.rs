//! The gateway beside a registry that does not let it write.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

#[path = "../../tests/common/refused.rs"]
mod refused;

use contracts::order::PlaceOrder;

const PROGRAM: refused::Program<'_> = ("gateway", env!("CARGO_BIN_EXE_gateway"));

#[test]
fn a_command_that_somebody_else_has_claimed_stops_it() {
    refused::where_others_have_claimed::<PlaceOrder>(PROGRAM);
}

#[test]
fn what_is_not_registered_stops_it_when_it_may_not_register() {
    refused::where_nothing_is_registered::<PlaceOrder>(PROGRAM);
}
