//! A deadline that was not kept is named, from the events alone.

use contracts::order::OnShortage;

use crate::testing::{World, assert_names};

/// Given a store whose Inventory pays no attention to deadlines, with stock of A.
fn given(reserve_by: i64) -> World {
    let mut world = World::new(7);
    world.receive("R1", "A", 10);
    world.rest();
    world.place_by("O1", &[("A", 3)], OnShortage::Backorder, Some(reserve_by));
    world.rest();
    world
}

#[test]
fn an_order_that_was_reserved_before_its_deadline_is_a_proof() {
    let report = given(1_000_000).snapshot().judge();
    assert!(report.is_proof(), "{report:#?}");
}

#[test]
fn f4_an_order_that_was_reserved_after_its_deadline_is_named() {
    let report = given(1).snapshot().judge();
    assert_names(&report, &["F4 order O1"]);
}

#[test]
fn f4_rows_that_hold_another_deadline_are_named() {
    let mut snapshot = given(1_000_000).snapshot();
    snapshot.orders[0].deadline = None;
    assert_names(&snapshot.judge(), &["F4 order O1"]);
    let mut snapshot = given(1_000_000).snapshot();
    snapshot.reservations[0].reserve_by = None;
    assert_names(&snapshot.judge(), &["F4 order O1"]);
}
