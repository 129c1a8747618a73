//! Golden bytes: every schema version ever released still reads, and the newest one still writes
//! exactly the same bytes.
//!
//! Beside each `schemas/<namespace.Name>/v<N>.avsc` lies `v<N>.bin`: the bare datum (no frame) of
//! the example below, written when the version was new. For a new version, run
//! `WRITE_GOLDEN=1 cargo test -p contracts --test golden`: it writes the files that are missing,
//! never one that exists, and fails so that somebody looks at what it wrote.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::collections::HashSet;
use std::fmt::Debug;
use std::path::PathBuf;

use contracts::inventory::{
    ReceiveStock, StockBackordered, StockReceived, StockRefused, StockReleased, StockReserved,
    StockShipped,
};
use contracts::order::{
    CancelOrder, CompleteOrder, OrderBackordered, OrderCancelled, OrderCompleted, OrderPlaced,
    OrderRejected, OrderReserved, PlaceOrder, PlaceOrderLine,
};
use contracts::schema;
use contracts::shared::{Line, OnShortage, Refusal};
use messaging::codec::{self, Schema};
use messaging::message::Message;
use messaging::registry::SchemaId;

fn id() -> String {
    "ORDER_001".to_owned()
}

fn lines() -> Vec<Line> {
    [("PRODUCT_001", 3), ("PRODUCT_002", 1_000_000)]
        .map(|(product_id, quantity)| Line {
            product_id: product_id.to_owned(),
            quantity,
        })
        .to_vec()
}

fn short() -> Vec<String> {
    vec!["PRODUCT_001".to_owned(), "PRODUCT_002".to_owned()]
}

fn priced_lines() -> Vec<PlaceOrderLine> {
    let priced = |line: Line| PlaceOrderLine {
        product_id: line.product_id,
        quantity: line.quantity,
        unit_price_minor: 1_000_000_000,
    };
    lines().into_iter().map(priced).collect()
}

fn golden_path(name: &str, version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../schemas")
        .join(name)
        .join(format!("v{version}.bin"))
}

/// The golden bytes of one version; writes them first where they are missing and wanted.
fn golden(name: &str, version: u32, example: &[u8], newest: bool) -> Vec<u8> {
    let path = golden_path(name, version);
    if !path.exists() && newest && std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(&path, example).unwrap();
        panic!("wrote {}: look at it, then run again", path.display());
    }
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Checks every version of one message type against the example.
fn check<M: Message + Debug + PartialEq>(example: &M) {
    let versions: Vec<_> = schema::ALL
        .iter()
        .filter(|schema| schema.name == M::TYPE)
        .collect();
    let newest = *versions.last().expect("a schema of this message");
    assert_eq!(
        newest.text,
        M::SCHEMA,
        "{} writes its newest schema",
        M::TYPE
    );
    let parsed = Schema::parse(newest.text).unwrap();
    assert_eq!(parsed.name(), M::TYPE);
    let frame = codec::encode(SchemaId(1), &parsed, example).unwrap();
    let (_, datum) = codec::unframe(&frame).unwrap();
    assert_eq!(
        datum,
        golden(M::TYPE, newest.version, datum, true),
        "{}: the bytes of a released schema never change",
        M::TYPE
    );
    for version in versions {
        let bytes = golden(M::TYPE, version.version, datum, false);
        let decoded: M = codec::decode(&Schema::parse(version.text).unwrap(), &bytes).unwrap();
        assert_eq!(&decoded, example, "{} v{}", M::TYPE, version.version);
    }
}

/// A test per message type, and the set of those that have one.
macro_rules! golden_tests {
    ($($test:ident: $type:ident { $($fields:tt)* })+) => {
        $(
            #[test]
            fn $test() {
                check(&$type { $($fields)* });
            }
        )+

        #[test]
        fn every_schema_has_an_example() {
            let tested: HashSet<_> = [$($type::TYPE),+].into();
            let known: HashSet<_> = schema::ALL.iter().map(|schema| schema.name).collect();
            assert_eq!(tested, known);
        }
    };
}

golden_tests! {
    place_order: PlaceOrder {
        order_id: id(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: priced_lines(),
        on_shortage: OnShortage::Reject,
    }
    cancel_order: CancelOrder { order_id: id(), reason: "müde 🥱".to_owned() }
    complete_order: CompleteOrder { order_id: id() }
    order_placed: OrderPlaced {
        order_id: id(),
        version: 1,
        lines: lines(),
        on_shortage: OnShortage::Backorder,
    }
    order_reserved: OrderReserved { order_id: id(), version: 2 }
    order_backordered: OrderBackordered { order_id: id(), version: 2, short: short() }
    order_rejected: OrderRejected {
        order_id: id(),
        version: 2,
        reason: Refusal::OutOfStock,
        short: short(),
    }
    order_cancelled: OrderCancelled { order_id: id(), version: 3, reason: String::new() }
    order_completed: OrderCompleted { order_id: id(), version: 3 }
    receive_stock: ReceiveStock {
        receipt_id: "RECEIPT_001".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity: 1_000_000,
    }
    stock_reserved: StockReserved { order_id: id(), version: 1, lines: lines() }
    stock_backordered: StockBackordered { order_id: id(), version: 1, short: short() }
    stock_refused: StockRefused {
        order_id: id(),
        version: 1,
        reason: Refusal::UnknownProduct,
        short: short(),
    }
    stock_released: StockReleased { order_id: id(), version: 2, lines: Vec::new() }
    stock_shipped: StockShipped { order_id: id(), version: 2, lines: lines() }
    stock_received: StockReceived {
        product_id: "PRODUCT_001".to_owned(),
        version: i64::MAX,
        receipt_id: "RECEIPT_001".to_owned(),
        quantity: 10,
    }
}

#[test]
fn versions_are_numbered_from_one_without_gaps() {
    let mut last: Option<&schema::Schema> = None;
    for schema in schema::ALL {
        let expected = match last {
            Some(last) if last.name == schema.name => last.version + 1,
            _ => 1,
        };
        assert_eq!(schema.version, expected, "{}", schema.name);
        last = Some(schema);
    }
}
