//! Proto3 JSON with snake_case names, through the descriptors of the contracts.

use std::sync::OnceLock;

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};

use super::Item;

/// Fields that hold their default are shown as well: a program reads the same fields always.
const OPTIONS: SerializeOptions = SerializeOptions::new()
    .use_proto_field_name(true)
    .stringify_64_bit_integers(false)
    .skip_default_fields(false);

/// The descriptors that are built into the program.
#[expect(
    clippy::expect_used,
    reason = "the build wrote them; every test reads them"
)]
fn pool() -> &'static DescriptorPool {
    static POOL: OnceLock<DescriptorPool> = OnceLock::new();
    POOL.get_or_init(|| {
        DescriptorPool::decode(contracts::FILE_DESCRIPTOR_SET).expect("descriptors are readable")
    })
}

#[expect(
    clippy::expect_used,
    reason = "names stand in this crate only; a test looks each up"
)]
fn descriptor(message: &str) -> MessageDescriptor {
    pool()
        .get_message_by_name(message)
        .expect("the message is in the contracts")
}

/// `item` as one line of JSON.
#[must_use]
#[expect(
    clippy::expect_used,
    reason = "a message of the contracts fits its own descriptor, and JSON in memory cannot fail"
)]
pub fn line<T: Item>(item: &T) -> String {
    let mut dynamic = DynamicMessage::new(descriptor(T::MESSAGE));
    dynamic
        .transcode_from(item)
        .expect("the message fits its descriptor");
    let mut bytes = Vec::new();
    let mut writer = serde_json::Serializer::new(&mut bytes);
    dynamic
        .serialize_with_options(&mut writer, &OPTIONS)
        .expect("a message is JSON");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

/// `item` of a service as one line of JSON: the service's name stands in front of its fields.
#[must_use]
pub fn line_of<T: Item>(service: &str, item: &T) -> String {
    let fields = line(item);
    let fields = fields.strip_prefix('{').unwrap_or(&fields);
    let comma = if fields == "}" { "" } else { "," };
    // The name is one of the program's own: it needs no escapes.
    format!("{{\"service\":\"{service}\"{comma}{fields}")
}

/// Reads `text` as the JSON form of `message` (a full name in the proto files).
///
/// # Errors
/// When it is not JSON, has a field that the message lacks, or a value that does not fit; the
/// error names line and column.
pub fn parse<T: Message + Default>(message: &str, text: &str) -> Result<T, serde_json::Error> {
    use serde::de::Error as _;
    let mut reader = serde_json::Deserializer::from_str(text);
    let dynamic = DynamicMessage::deserialize(descriptor(message), &mut reader)?;
    reader.end()?;
    dynamic
        .transcode_to()
        .map_err(|error| serde_json::Error::custom(error.to_string()))
}

#[cfg(test)]
mod tests {
    use contracts::proto::PlaceOrderRequest;

    use super::*;

    const REQUEST: &str = "shop.v1.PlaceOrderRequest";

    #[test]
    fn the_examples_are_place_order_requests() {
        for name in ["order-1", "order-2", "order-backorder"] {
            let path = format!("{}/../examples/{name}.json", env!("CARGO_MANIFEST_DIR"));
            let text = std::fs::read_to_string(path).unwrap();
            let request: PlaceOrderRequest = parse(REQUEST, &text).unwrap();
            let order = request.order.unwrap();
            assert!(!order.lines.is_empty(), "{name}");
            assert!(!request.request_id.is_empty(), "{name}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told_with_its_place() {
        let error = parse::<PlaceOrderRequest>(REQUEST, "{\n  \"ordr\": {}\n}").unwrap_err();
        assert!(error.to_string().contains("ordr"), "{error}");
        assert_eq!(error.line(), 2);
        for text in ["", "[]", "{} {}", r#"{"order": {"lines": 3}}"#] {
            assert!(parse::<PlaceOrderRequest>(REQUEST, text).is_err(), "{text}");
        }
    }
}
