//! Datums with schemas that somebody else has registered.
//!
//! The first byte says how the schema is used; then comes its text, a zero byte, and the datum. As a
//! consumer does, the datum is read by the schema alone, or by it and the schema of a command of the
//! store, or (then without a text) by that alone. Promises: no nesting, count or length of schema or datum takes more memory or stack than it
//! may; a datum that is read is read whole, so that one that is a byte shorter or longer is not read.

use contracts::order::{CancelOrder, PlaceOrder};
use messaging::codec;
use messaging::message::Message;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::halves;

/// Bytes of memory: what a datum may take, several times, because it is decoded, resolved and converted.
pub const MEMORY: usize = 160 << 20;

/// Trial of one schema and datum.
pub fn run(data: &[u8]) {
    let Some((how, rest)) = data.split_first() else {
        return;
    };
    if how % 4 == 3 {
        return whole::<PlaceOrder>(PlaceOrder::SCHEMA, Some(PlaceOrder::SCHEMA), rest);
    }
    let (text, datum) = halves(rest);
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    match how % 4 {
        0 => whole::<Value>(text, None, datum),
        1 => whole::<CancelOrder>(text, Some(CancelOrder::SCHEMA), datum),
        _ => whole::<PlaceOrder>(&with_field(text), Some(PlaceOrder::SCHEMA), datum),
    }
}

/// The schema of a placement that has one more field than ours, first of all.
fn with_field(of: &str) -> String {
    let (head, tail) = PlaceOrder::SCHEMA
        .split_once(r#""fields": ["#)
        .expect("a record");
    format!(r#"{head}"fields": [{{"name": "zz", "type": {of}}}, {tail}"#)
}

fn whole<T: DeserializeOwned>(writer: &str, reader: Option<&'static str>, datum: &[u8]) {
    if codec::decode_once::<T>(writer, reader, datum).is_err() {
        return;
    }
    let longer = [datum, &[0]].concat();
    assert!(
        codec::decode_once::<T>(writer, reader, &longer).is_err(),
        "a byte follows"
    );
    if let Some((_, shorter)) = datum.split_last() {
        assert!(
            codec::decode_once::<T>(writer, reader, shorter).is_err(),
            "a byte is missing"
        );
    }
}
