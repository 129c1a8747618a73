//! What the fuzzers begin with: one good input for each thing that a target reads, and a few attacks
//! that are known. `FUZZ_SEEDS_WRITE=1 cargo test --test fuzz` writes them to `corpus/`.

use contracts::examples;
use contracts::order::PlaceOrder;
use contracts::proto::{
    CancelOrderRequest, CompleteOrderRequest, ListOrdersRequest, Order, OrderLine,
    PlaceOrderRequest, ReceiveStockRequest,
};
use messaging::clock::Timestamp;
use messaging::codec::Schema;
use messaging::envelope::Envelope;
use messaging::message::Message;
use prost::Message as _;
use serde_json::Value;

use super::{headers, jwt};

mod log;

/// A seed: its target, its name, its bytes.
pub type Seed = (&'static str, String, Vec<u8>);

/// All of them.
#[must_use]
pub fn all() -> Vec<Seed> {
    let rooms = [
        avro_datum(),
        evolution(),
        grpc_request(),
        headers(),
        jwt(),
        log::batches(),
        log::frames(),
        registry_answers(),
        registry_json(),
    ];
    rooms.concat()
}

/// `what` before `first`, a zero byte and `second`.
fn pair(what: &[u8], first: &str, second: &[u8]) -> Vec<u8> {
    [what, first.as_bytes(), &[0], second].concat()
}

fn avro_datum() -> Vec<Seed> {
    let seed = |name: &str, bytes| ("avro_datum", name.to_owned(), bytes);
    let mut seeds: Vec<_> = examples::ALL
        .iter()
        .map(|known| {
            let schema = Schema::parse(known.registration.schema).expect("a schema");
            let newest = (known.versions)();
            let datum = (known.datum)(newest, &schema)
                .expect("an example")
                .expect("a datum");
            seed(
                known.registration.message_type,
                pair(&[0], known.registration.schema, &datum),
            )
        })
        .collect();
    let older = include_str!("../../schemas/shop.order.CancelOrder/v1.avsc");
    let datum = include_bytes!("../../schemas/shop.order.CancelOrder/v1.bin");
    seeds.push(seed("older-writer", pair(&[1], older, datum)));

    let placement = examples::ALL
        .iter()
        .find(|known| known.registration.message_type == PlaceOrder::TYPE);
    let placement = placement.expect("an example");
    let schema = Schema::parse(PlaceOrder::SCHEMA).expect("a schema");
    let placed = (placement.datum)(2, &schema)
        .expect("an example")
        .expect("a datum");
    seeds.push(seed("own", [&[3], &placed[..]].concat()));
    let list = r#"{"type":"record","name":"L","fields":[{"name":"n","type":["null","L"]}]}"#;
    let twice = r#"{"type":"record","name":"T","fields":[{"name":"a","type":{"type":"record","name":"U","fields":[{"name":"x","type":"null"},{"name":"y","type":"null"}]}},{"name":"b","type":"U"}]}"#;
    for (name, of, datum) in [
        ("field-null", r#""null""#, &[][..]),
        ("field-optional", r#"["null","long"]"#, &[2, 8]),
        ("field-list", list, &[2, 2, 2, 0]),
        (
            "field-endless",
            r#"{"type":"record","name":"E","fields":[{"name":"e","type":"E"}]}"#,
            &[],
        ),
        ("field-unfolding", twice, &[]),
        (
            "field-nulls",
            r#"{"type":"array","items":"null"}"#,
            &[0x7e, 0],
        ),
        (
            "field-arrays",
            r#"{"type":"array","items":{"type":"array","items":"null"}}"#,
            &[4, 2, 0, 2, 0, 0],
        ),
        (
            "field-sized",
            r#"{"type":"array","items":"int"}"#,
            &[3, 4, 2, 4, 0],
        ),
        (
            "field-map",
            r#"{"type":"map","values":"bytes"}"#,
            &[2, 2, b'k', 2, b'v', 0],
        ),
        (
            "field-fixed",
            r#"{"type":"fixed","name":"F","size":3}"#,
            b"abc",
        ),
        (
            "field-decimal",
            r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
            &[4, 1, 2],
        ),
        (
            "field-big-decimal",
            r#"{"type":"bytes","logicalType":"big-decimal"}"#,
            &[6, 2, 7, 4],
        ),
        (
            "field-uuid",
            r#"{"type":"string","logicalType":"uuid"}"#,
            b"\x4872029ae3-9876-4d2f-a0ae-aaee86b8ec34",
        ),
        (
            "field-duration",
            r#"{"type":"fixed","name":"D","size":12,"logicalType":"duration"}"#,
            &[1; 12],
        ),
    ] {
        seeds.push(seed(name, pair(&[2], of, &[datum, &placed].concat())));
    }
    seeds
}

fn evolution() -> Vec<Seed> {
    let pairs = include_str!("../../evolution/tests/pairs.json");
    let pairs: Vec<Value> = serde_json::from_str(pairs).expect("pairs");
    let pairs = pairs.iter().map(|pair| {
        let name = pair["what"]
            .as_str()
            .expect("a name")
            .replace(|c: char| !c.is_alphanumeric(), "-");
        let (old, new) = (pair["old"].to_string(), pair["new"].to_string());
        ("evolution", name, self::pair(&[], &old, new.as_bytes()))
    });
    pairs.collect()
}

fn grpc_request() -> Vec<Seed> {
    let request_id = "72029ae3-9876-4d2f-a0ae-aaee86b8ec34".to_owned();
    let order_id = "ORDER_001".to_owned();
    let line = |product_id: &str, quantity, unit_price_minor| OrderLine {
        product_id: product_id.to_owned(),
        quantity,
        unit_price_minor,
    };
    let place = PlaceOrderRequest {
        request_id: request_id.clone(),
        order: Some(Order {
            order_id: order_id.clone(),
            customer_id: "CUSTOMER_001".to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![line("PRODUCT_002", 2, 500), line("PRODUCT_001", 3, 1_000)],
            total_price_minor: Some(4_000),
            total_quantity: Some(5),
            reserve_by: Some("2027-01-01T00:00:00Z".parse().expect("a time")),
            ..Order::default()
        }),
        wait_for: Some(2),
    };
    let cancel = CancelOrderRequest {
        request_id: request_id.clone(),
        order_id: order_id.clone(),
        reason: "müde".to_owned(),
    };
    let complete = CompleteOrderRequest {
        request_id,
        order_id,
    };
    let receive = ReceiveStockRequest {
        receipt_id: "RECEIPT_001".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity: 7,
    };
    let seed = |name: &str, which: u8, request: Vec<u8>| {
        (
            "grpc_request",
            name.to_owned(),
            [vec![which], request].concat(),
        )
    };
    vec![
        seed("place", 0, place.encode_to_vec()),
        seed("cancel", 1, cancel.encode_to_vec()),
        seed("cancel-own", 0x81, cancel.encode_to_vec()),
        seed("complete", 2, complete.encode_to_vec()),
        seed("receive", 3, receive.encode_to_vec()),
        seed("list", 6, ListOrdersRequest::default().encode_to_vec()),
    ]
}

fn headers() -> Vec<Seed> {
    let id = "72029ae3-9876-4d2f-a0ae-aaee86b8ec34".to_owned();
    let mut envelope = Envelope::command(
        id.clone(),
        "shop.order.PlaceOrder",
        "/gateway",
        "ORDER_001",
        Timestamp(1_795_000_000_123),
    );
    let command = envelope.clone();
    envelope.causation_id = Some(id.clone());
    envelope.correlation_id = Some(id);
    envelope.traceparent =
        Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
    envelope.tracestate = Some("vendor=1".to_owned());
    let written = |envelope: &Envelope| {
        let mut bytes = Vec::new();
        for (name, value) in envelope.to_headers() {
            let index = headers::NAMES
                .iter()
                .position(|known| *known == name)
                .expect("a known name");
            bytes.extend([
                u8::try_from(index).expect("few"),
                u8::try_from(value.len()).expect("short"),
            ]);
            bytes.extend(value);
        }
        bytes
    };
    vec![
        ("headers", "command".to_owned(), written(&command)),
        ("headers", "event".to_owned(), written(&envelope)),
    ]
}

fn jwt() -> Vec<Seed> {
    let (good, keys) = jwt::known();
    let seed =
        |name: &str, what: u8, rest: &[u8]| ("jwt", name.to_owned(), [&[what], rest].concat());
    let claims = r#"{"iss":"https://issuer.example","aud":["shop"],"sub":"C","scope":"a b","exp":1795000600,"nbf":1795000000.5}"#;
    let unsigned = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJDVVNUT01FUl8wMDEifQ.";
    vec![
        seed("good", 0, good.as_bytes()),
        seed("unsigned", 0, unsigned.as_bytes()),
        seed("changed", 1, &[2, 0, 9, b'x', 0, 1, 0, b'.']),
        seed("claims", 2, claims.as_bytes()),
        seed("own-keys", 3, keys.as_bytes()),
        seed("other-keys", 3, include_bytes!("others.jwks.json")),
    ]
}

fn registry_answers() -> Vec<Seed> {
    let seed = |name: &str, answers: &[(u8, &str)]| {
        let answers = answers
            .iter()
            .map(|(status, body)| [&[*status], body.as_bytes()].concat());
        (
            "registry_answers",
            name.to_owned(),
            answers.collect::<Vec<_>>().join(&0),
        )
    };
    let schema = r#"{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"}"#;
    let unknown = r#"{"error_code":40403,"message":"Schema not found"}"#;
    let other = r#"{"schema":"syntax = \"proto3\";","schemaType":"PROTOBUF"}"#;
    // The statuses by their places, each 8 higher: a zero would end the answer before.
    vec![
        seed(
            "known",
            &[
                (8, schema),
                (8, r#"{"id":1}"#),
                (8, r#"{"compatibilityLevel":"FULL"}"#),
                (8, "[1]"),
                (8, r#"{"schema":"x"}"#),
            ],
        ),
        seed(
            "unknown",
            &[
                (9, unknown),
                (9, unknown),
                (9, unknown),
                (8, "{}"),
                (8, r#"{"id":2}"#),
            ],
        ),
        seed(
            "not-avro",
            &[
                (8, other),
                (10, r#"{"error_code":409,"message":"no\nway"}"#),
            ],
        ),
        seed(
            "proxy",
            &[
                (12, "<html>\n<body>bad gateway</body>"),
                (9, "not here"),
                (14, ""),
                (15, ""),
            ],
        ),
    ]
}

fn registry_json() -> Vec<Seed> {
    let seed = |name: &str, requests: &[&str]| {
        (
            "registry_json",
            name.to_owned(),
            requests.join("\0").into_bytes(),
        )
    };
    let one = r#"{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[]}"}"#;
    let two = r#"{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"int\",\"default\":1}]}","schemaType":"AVRO"}"#;
    let register = |body: &str| format!("POST /subjects/s/versions\n{body}");
    vec![
        seed(
            "register",
            &[
                &register(one),
                &register(two),
                "GET /subjects/s/versions",
                "GET /schemas/ids/1",
                "GET /subjects/s/versions/latest",
            ],
        ),
        seed(
            "check",
            &[
                &register(one),
                &format!("POST /compatibility/subjects/s/versions/latest?verbose=true\n{two}"),
                &format!("POST /compatibility/subjects/s/versions\n{two}"),
                &format!("POST /subjects/s\n{one}"),
            ],
        ),
        seed(
            "settings",
            &[
                "PUT /config/s\n{\"compatibility\":\"FULL\"}",
                "GET /config/s?defaultToGlobal=true",
                "DELETE /config/s",
                "PUT /mode\n{\"mode\":\"READONLY\"}",
                &register(one),
                "GET /mode/s",
            ],
        ),
        seed(
            "lists",
            &[
                &register(one),
                "GET /subjects?subjectPrefix=s&limit=1&offset=0",
                "GET /schemas?latestOnly=true",
                "GET /schemas/ids/1/subjects",
                "GET /schemas/ids/1/versions",
                "GET /schemas/types",
            ],
        ),
        seed(
            "wrong",
            &[
                "GET /nothing",
                "PATCH /subjects",
                "POST /subjects/s/versions\n{",
                "GET /subjects/s/versions/0",
                "GET /schemas/ids/-1",
            ],
        ),
    ]
}
