//! What a message costs to encode and to decode, in nanoseconds and as a share of what Avro alone
//! costs, with a writer and a reader that are made once.
//!
//! `cargo test --release -p contracts --test cost -- --ignored --nocapture`

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a failed test is the report; a measurement reads the clock"
)]

use std::hint::black_box;
use std::time::Instant;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::writer::datum::GenericDatumWriter;
use contracts::order::{OnShortage, OrderReserved, PlaceOrder, PlaceOrderLine};
use messaging::codec::{self, Schema};
use messaging::message::{self, Message};
use messaging::registry::SchemaId;

/// Messages per round; a figure is the median of the rounds.
const MESSAGES: u32 = 20_000;
const ROUNDS: usize = 9;
/// More than this times Avro's own cost is too much.
const RATIO_MAX: f64 = 1.5;

fn place_order() -> PlaceOrder {
    let line = |n: i32| PlaceOrderLine {
        product_id: format!("PRODUCT_{n:03}"),
        quantity: n,
        unit_price_minor: 1_000,
    };
    PlaceOrder {
        order_id: "01a203a8-cddd-70bf-a155-0df6973b728f".to_owned(),
        customer_id: "CUSTOMER_001".to_owned(),
        currency: "GBP".to_owned(),
        lines: vec![line(1), line(2), line(3)],
        on_shortage: OnShortage::Backorder,
        reserve_by: None,
    }
}

fn order_reserved() -> OrderReserved {
    OrderReserved {
        order_id: "01a203a8-cddd-70bf-a155-0df6973b728f".to_owned(),
        version: 2,
    }
}

/// Nanoseconds of one call of each way: medians of rounds that take turns.
fn cost<const N: usize>(mut ways: [&mut dyn FnMut(); N]) -> [f64; N] {
    let mut rounds = [const { Vec::new() }; N];
    for _ in 0..ROUNDS {
        for (way, times) in ways.iter_mut().zip(&mut rounds) {
            let start = Instant::now();
            for _ in 0..MESSAGES {
                way();
            }
            times.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(MESSAGES));
        }
    }
    rounds.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    })
}

/// The schema as the next release has it: one more field, with a default.
fn next_release(schema: &str) -> String {
    let mut json: serde_json::Value = serde_json::from_str(schema).unwrap();
    let field = serde_json::json!({"name": "note", "type": "string", "default": ""});
    json["fields"].as_array_mut().unwrap().push(field);
    json.to_string()
}

fn measure<M: Message + PartialEq + std::fmt::Debug>(message: &M) {
    let avro = apache_avro::Schema::parse_str(M::SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&avro).build().unwrap();
    let reader = GenericDatumReader::builder(&avro).build().unwrap();
    let schema = Schema::parse(M::SCHEMA).unwrap();
    let newer = Schema::parse(&next_release(M::SCHEMA)).unwrap();
    let frame = codec::encode(SchemaId(1), &schema, message).unwrap();
    let (_, datum) = codec::unframe(&frame).unwrap();
    let frame = codec::encode(SchemaId(2), &newer, message).unwrap();
    let (_, newer_datum) = codec::unframe(&frame).unwrap();
    assert_eq!(&message::decode::<M>(&newer, newer_datum).unwrap(), message);

    let [plain, built, ours] = cost([
        &mut || {
            let mut bytes = Vec::with_capacity(128);
            writer.write_ser(&mut bytes, black_box(message)).unwrap();
            black_box(bytes);
        },
        &mut || {
            let writer = GenericDatumWriter::builder(&avro).build().unwrap();
            let mut bytes = Vec::with_capacity(128);
            writer.write_ser(&mut bytes, black_box(message)).unwrap();
            black_box(bytes);
        },
        &mut || {
            black_box(codec::encode(SchemaId(1), &schema, black_box(message)).unwrap());
        },
    ]);
    println!(
        "{} encode: Avro alone {plain:.0} ns, writer made per message {built:.0} ns ({:.2}), \
         codec {ours:.0} ns ({:.2})",
        M::TYPE,
        built / plain,
        ours / plain
    );
    assert!(ours / plain < RATIO_MAX, "encoding");

    let [plain, built, ours, resolved] = cost([
        &mut || {
            black_box(reader.read_deser::<M>(&mut black_box(datum)).unwrap());
        },
        &mut || {
            let reader = GenericDatumReader::builder(&avro).build().unwrap();
            black_box(reader.read_deser::<M>(&mut black_box(datum)).unwrap());
        },
        &mut || {
            black_box(message::decode::<M>(&schema, black_box(datum)).unwrap());
        },
        &mut || {
            black_box(message::decode::<M>(&newer, black_box(newer_datum)).unwrap());
        },
    ]);
    println!(
        "{} decode: Avro alone {plain:.0} ns, reader made per message {built:.0} ns ({:.2}), \
         codec {ours:.0} ns ({:.2}), from another version {resolved:.0} ns ({:.2})",
        M::TYPE,
        built / plain,
        ours / plain,
        resolved / plain
    );
    assert!(ours / plain < RATIO_MAX, "decoding");
}

#[test]
#[ignore = "a measurement: for a release build on a quiet machine"]
fn a_message_costs_little_more_than_its_avro() {
    measure(&place_order());
    measure(&order_reserved());
}
