//! Services of different ages, in any order of upgrade: every allowed change of a schema, with
//! producers and consumers on either side of it, on the shipped runtime.
//!
//! | room | what is there |
//! |---|---|
//! | `changes` | the allowed changes; those that are forbidden stand in `evolution/tests/changes.rs` |
//! | `run` | one change of one message, old producer and new consumer, new producer and old consumer |
//! | `story` | a store that is upgraded part by part while orders flow, and taken back |
//! | `edition` | a version of a message, as a service of some age knows it |
//! | `aged` | a context with messages of another age |
//! | `schema`, `service`, `bus`, `shop` | what these are made from |
//!
//! `cargo test --test ages -- --nocapture` prints a line per run: change, producer, consumer, outcome.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod aged;
mod bus;
mod changes;
mod edition;
mod run;
mod schema;
mod service;
mod shop;
mod story;
#[path = "../common/wait.rs"]
mod wait;

use edition::Kind;
use order::domain::Status;
use run::Age;
use shop::Part;

/// Runs each change for these messages, both ways.
macro_rules! both_ways {
    ($kinds:expr => $($change:ident,)*) => {
        $(#[tokio::test]
        async fn $change() {
            run::both_ways(stringify!($change), changes::$change, &$kinds).await;
        })*
    };
}

both_ways! { Kind::ALL =>
    a_doc_changes,
    the_namespace_moves_into_the_name,
    fields_change_places,
    a_number_with_a_default_comes,
    a_number_with_a_default_goes,
    an_optional_text_comes,
    an_optional_text_goes,
    an_optional_time_comes,
    a_map_comes,
    an_array_of_records_comes,
    an_array_of_records_goes,
    a_nested_record_comes,
    a_nested_record_goes,
    a_field_of_the_lines_comes,
    a_field_of_the_lines_goes,
    an_enum_with_a_default_gets_a_symbol,
    an_enum_with_a_default_loses_a_symbol,
    symbols_change_places,
    everything_at_once,
}

both_ways! { [Kind::PlaceOrder, Kind::OrderPlaced] =>
    on_shortage_gets_a_symbol,
    on_shortage_loses_a_symbol,
}

/// Not a change: such a version would say nothing new, and is refused as one. A service that is built
/// from a file that somebody formatted goes on all the same.
#[tokio::test]
async fn the_text_is_laid_out_otherwise() {
    let expected = "v2.avsc: numbering: it says what version 1 says";
    for kind in Kind::ALL {
        let change = changes::the_text_is_laid_out_otherwise(kind.today().schema);
        let complaints = change.complaints(kind);
        assert_eq!(complaints.len(), 1, "{complaints:?}");
        assert!(complaints[0].starts_with(expected), "{complaints:?}");
        run::between("the text is laid out otherwise", &change, kind).await;
    }
}

#[tokio::test]
async fn a_field_that_todays_type_needs_is_filled_from_todays_schema() {
    story::without_currency().await;
}

#[tokio::test]
async fn a_refusal_that_inventory_does_not_know_is_a_wait() {
    let shop = story::shortage(Age::Old).await;
    shop.reaches("SHORT-FULL", Status::Rejected).await;
    shop.stop_all().await;
    let shop = story::shortage(Age::New).await;
    shop.reaches("SHORT-FULL", Status::Backordered).await;
    shop.receive("RECEIPT-2", "P1", 1).await;
    shop.reaches("SHORT-FULL", Status::Reserved).await;
    shop.stop_all().await;
}

/// Upgrades a store in this order of its parts, and takes it back.
macro_rules! upgrades {
    ($($name:ident: $parts:expr,)*) => {
        $(#[tokio::test]
        async fn $name() {
            story::upgrade_and_take_back($parts).await;
        })*
    };
}

upgrades! {
    upgrade_client_order_inventory: [Part::Client, Part::Order, Part::Inventory],
    upgrade_client_inventory_order: [Part::Client, Part::Inventory, Part::Order],
    upgrade_order_client_inventory: [Part::Order, Part::Client, Part::Inventory],
    upgrade_order_inventory_client: [Part::Order, Part::Inventory, Part::Client],
    upgrade_inventory_client_order: [Part::Inventory, Part::Client, Part::Order],
    upgrade_inventory_order_client: [Part::Inventory, Part::Order, Part::Client],
}
