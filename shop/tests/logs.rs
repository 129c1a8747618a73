//! The log lines of a running store to which everything goes wrong: structured, told with order and
//! trace, and with nothing in them that is secret or belongs to somebody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::path::Path;

use bytes::Bytes;
use contracts::proto::order_service_client::OrderServiceClient;
use contracts::proto::{GetOrderRequest, Order, OrderLine, PlaceOrderRequest, order};
use messaging::clock::Timestamp;
use messaging::log::kafka::{self, KafkaLog};
use messaging::log::{Log, Record};
use messaging::partitioner::partition_of;
use messaging::telemetry::fields;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};
use support::{Elsewhere, Outcome, Up, command, free_address, wait_for};
use tokio::runtime::Runtime;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

/// The customer, who is nobody's business; the token names it too.
const CUSTOMER: &str = "CUSTOMER_MARK";
/// What stands in a message that nobody can read.
const PAYLOAD: &str = "PAYLOAD_MARK";
/// A token that is none.
const BAD_TOKEN: &str = "eyJhbGciOiJub25lIn0.VE9LRU5fTUFSSw.BAD_TOKEN_MARK";
/// What no line has in it, beside the good token and the files of keys.
const MARKS: [&str; 8] = [
    CUSTOMER,
    PAYLOAD,
    "BAD_TOKEN_MARK",
    "SELECT ",
    "INSERT INTO",
    "UPDATE ",
    "DELETE FROM",
    "Bearer ",
];

/// The sentences that an operator looks for.
const PARKED: &str = "message parked until an operator acts";
const BEHIND: &str = "message parked behind another one";
const CONFLICT: &str = "conflict recorded: a known id with other content";
const STOPPED: &str = "shard stopped until an operator acts";
const REFUSED: &str = "the database refuses a call";

/// A trace of a client; `digit` makes it its own.
fn traceparent(digit: u32) -> String {
    format!("00-4bf92f3577b34da6a3ce929d0e0e473{digit}-00f067aa0ba902b7-01")
}

fn trace_id(digit: u32) -> String {
    traceparent(digit)[3..35].to_owned()
}

/// A token of the customer, by a key in `keys`.
fn token(keys: &Path) -> String {
    let keys = keys.to_str().unwrap();
    let arguments = ["token", "--key-dir", keys, "--subject", CUSTOMER];
    let scopes = ["--scope", "stock,operations"];
    let made = Outcome::of(
        command(&[&arguments[..], &scopes].concat())
            .output()
            .unwrap(),
    );
    assert_eq!(made.status, 0, "{}", made.err);
    made.out.trim().to_owned()
}

/// A client of the gateway with a token and traces.
struct Client {
    runtime: Runtime,
    orders: OrderServiceClient<Channel>,
    token: String,
}

impl Client {
    fn of(store: &Up, token: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let orders = runtime
            .block_on(OrderServiceClient::connect(store.gateway()))
            .unwrap();
        Self {
            runtime,
            orders,
            token: token.to_owned(),
        }
    }

    fn request<T>(&self, request: T, digit: u32) -> Request<T> {
        let mut request = Request::new(request);
        let metadata = request.metadata_mut();
        metadata.insert("traceparent", traceparent(digit).parse().unwrap());
        metadata.insert(
            "authorization",
            format!("Bearer {}", self.token).parse().unwrap(),
        );
        request
    }

    fn place(
        &mut self,
        order_id: &str,
        quantity: i32,
        wait: bool,
        digit: u32,
    ) -> Result<(), Status> {
        let line = OrderLine {
            product_id: "PRODUCT_001".to_owned(),
            quantity,
            unit_price_minor: 100,
        };
        let order = Order {
            order_id: order_id.to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![line],
            ..Order::default()
        };
        let request = PlaceOrderRequest {
            order: Some(order),
            wait_for: wait.then(|| order::Status::Reserved.into()),
            ..PlaceOrderRequest::default()
        };
        let request = self.request(request, digit);
        self.runtime
            .block_on(self.orders.place_order(request))
            .map(drop)
    }

    fn get(&mut self, order_id: &str, digit: u32) -> Result<(), Status> {
        let order_id = order_id.to_owned();
        let request = self.request(GetOrderRequest { order_id }, digit);
        self.runtime
            .block_on(self.orders.get_order(request))
            .map(drop)
    }

    /// Puts a message into the log that nobody can read, and that says whose trace it is in.
    fn poison(&self, store: &Up, order_id: &str, digit: u32) {
        let log = KafkaLog::new(kafka::Config {
            bootstrap: vec![store.address("log").to_owned()],
            client_id: "test".to_owned(),
        });
        let record = Record {
            key: Some(Bytes::copy_from_slice(order_id.as_bytes())),
            value: Some(Bytes::from_static(PAYLOAD.as_bytes())),
            headers: vec![
                ("ce_type".into(), Bytes::from_static(b"some.Thing")),
                ("traceparent".into(), traceparent(digit).into()),
            ],
            timestamp: Timestamp(1_795_000_000_000),
        };
        let partition = partition_of(order_id.as_bytes(), 4);
        let appended = log.append("order.commands", partition, vec![record]);
        self.runtime.block_on(appended).unwrap();
    }
}

/// Takes the table of orders away, as a person with other plans would.
fn mislay_orders(client: &Client, folder: &Path) {
    client.runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(folder.join("order.db"));
        let mut database = options.connect().await.unwrap();
        let renamed = sqlx::query("ALTER TABLE orders RENAME TO mislaid");
        renamed.execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    });
}

fn wait_for_line(store: &Up, sentence: &str) {
    wait_for(sentence, || store.log().contains(sentence).then_some(()));
}

/// Everything that a store logs, to the last detail, while all kinds of things go wrong; nothing of
/// what must not be told is in it.
fn troubled(format: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (keys, data) = (folder.path().join("keys"), folder.path().join("data"));
    let token = token(&keys);
    let jwks = keys.join("jwks.json").display().to_string();
    let auth = [
        "--auth-jwks",
        &jwks,
        "--auth-issuer",
        "shop-token",
        "--auth-audience",
        "shop",
    ];
    let up = [
        "--seed",
        "--log-format",
        format,
        "--data-dir",
        data.to_str().unwrap(),
    ];
    let everything = Elsewhere(vec![
        ("SHOP_TOKEN", token.clone()),
        ("RUST_LOG", "debug".to_owned()),
    ]);
    let store = Up::spawn_beside(&everything, &[&up[..], &auth].concat()).ready();
    let mut client = Client::of(&store, &token);

    client.place("ORDER_1", 1, true, 1).unwrap();
    let mut stranger = Client::of(&store, BAD_TOKEN);
    assert_eq!(
        stranger.get("ORDER_1", 9).unwrap_err().code(),
        Code::Unauthenticated
    );
    client.poison(&store, "ORDER_2", 2);
    wait_for_line(&store, PARKED);
    client.place("ORDER_2", 1, false, 3).unwrap();
    wait_for_line(&store, BEHIND);
    client.place("ORDER_1", 2, false, 4).unwrap();
    wait_for_line(&store, CONFLICT);
    mislay_orders(&client, &data);
    client.place("ORDER_3", 1, false, 5).unwrap();
    wait_for_line(&store, STOPPED);
    assert_eq!(client.get("ORDER_1", 6).unwrap_err().code(), Code::Internal);
    wait_for_line(&store, REFUSED);

    let log = store.log();
    assert_eq!(store.stop(), 0);
    let secret = std::fs::read_dir(&keys)
        .unwrap()
        .map(|file| file.unwrap().path());
    let secret: Vec<String> = secret
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .collect();
    let secret = secret
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.len() > 40);
    for mark in MARKS.into_iter().chain([&*token]).chain(secret) {
        let told = log.lines().find(|line| line.contains(mark));
        assert!(told.is_none(), "{mark} is told: {told:?}");
    }
    log
}

#[test]
fn every_line_is_an_object_with_the_same_fields_and_an_order_is_followed_by_them() {
    let log = troubled("json");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    for line in &lines {
        let line = line.as_object().unwrap();
        for name in fields::ALWAYS {
            assert!(line[name].is_string(), "{line:?}");
        }
        line["timestamp"]
            .as_str()
            .unwrap()
            .parse::<Timestamp>()
            .unwrap();
        let foreign = line
            .keys()
            .find(|name| !fields::known(name) && !fields::ALWAYS.contains(&name.as_str()));
        assert_eq!(foreign, None, "{line:?}");
        if line.contains_key("order_id") {
            assert_eq!(line["trace_id"].as_str().unwrap().len(), 32, "{line:?}");
        }
    }
    let find = |message: &str, order_id: &str, digit: u32| {
        let found = lines.iter().find(|line| {
            line["message"] == message
                && line["order_id"] == order_id
                && line["trace_id"] == trace_id(digit)
        });
        found.unwrap_or_else(|| panic!("no line: {message} {order_id} {digit}"))
    };
    let parked = find(PARKED, "ORDER_2", 2);
    assert_eq!(
        (&parked["level"], &parked["reason"]),
        (&"ERROR".into(), &"undecodable".into())
    );
    assert_eq!(
        (&parked["source"], &parked["topic"]),
        (&"/order".into(), &"order.commands".into())
    );
    assert!(
        parked["shard"].is_i64() && parked["offset"].is_i64(),
        "{parked}"
    );
    find(BEHIND, "ORDER_2", 3);
    find(CONFLICT, "ORDER_1", 4);
    // The service that the gateway asked knows the client's trace.
    let refused = lines.iter().find(|line| line["message"] == REFUSED);
    assert_eq!(refused.unwrap()["trace_id"], trace_id(6), "{refused:?}");
    // The way of a good order, in its client's trace: the gateway, Order, Inventory, and Order again.
    find("command accepted", "ORDER_1", 1);
    let way = lines.iter().filter(|line| {
        let step = line["message"] == "message committed" || line["message"] == "message published";
        step && line["order_id"] == "ORDER_1" && line["trace_id"] == trace_id(1)
    });
    let way: Vec<_> = way
        .map(|line| (&line["source"], &line["message_type"]))
        .collect();
    for step in [
        ("/order", "shop.order.PlaceOrder"),
        ("/order", "shop.order.OrderPlaced"),
        ("/inventory", "shop.order.OrderPlaced"),
        ("/inventory", "shop.inventory.StockReserved"),
        ("/order", "shop.inventory.StockReserved"),
        ("/order", "shop.order.OrderReserved"),
    ] {
        assert!(
            way.contains(&(&step.0.into(), &step.1.into())),
            "{step:?} is not in {way:?}"
        );
    }
    // Nothing for each message unless it is asked for.
    let quiet = |line: &&Value| line["level"] != "DEBUG" && line.get("order_id").is_some();
    let expected = [PARKED, BEHIND, CONFLICT];
    for line in lines.iter().filter(quiet) {
        assert!(
            expected.iter().any(|sentence| line["message"] == *sentence),
            "{line}"
        );
    }
}

#[test]
fn every_line_for_people_is_one_line() {
    let log = troubled("text");
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let time = words.next().and_then(|word| word.parse::<Timestamp>().ok());
        assert!(time.is_some(), "{line}");
        let levels = ["ERROR", "WARN", "INFO", "DEBUG"];
        assert!(levels.contains(&words.next().unwrap()), "{line}");
    }
    let told = |sentence: &str, order_id: &str, digit: u32| {
        let trace = format!("trace_id={}", trace_id(digit));
        let order = format!("order_id={order_id} ");
        let mut lines = log.lines();
        lines.any(|line| line.contains(sentence) && line.contains(&order) && line.contains(&trace))
    };
    assert!(told(PARKED, "ORDER_2", 2));
    assert!(told(CONFLICT, "ORDER_1", 4));
}

#[test]
fn a_database_that_cannot_be_reached_is_told_without_its_password() {
    for format in ["json", "text"] {
        let address = free_address();
        let url = format!("postgres://ada:PASSWORD_MARK@{address}/order");
        let elsewhere = Elsewhere(vec![
            ("SHOP_STORE_ORDER", url.clone()),
            ("RUST_LOG", "debug".to_owned()),
        ]);
        let flags = ["--fresh", "--log-format", format];
        let starting =
            Up::spawn_beside(&elsewhere, &[&flags[..], &["--store-order", &url]].concat());
        let log = wait_for("the outage is told", || {
            let log = starting.log();
            log.contains("stalled, retrying").then_some(log)
        });
        assert!(!log.contains("PASSWORD_MARK"), "{log}");
        starting.kill();
    }
}

#[test]
fn a_store_that_cannot_start_says_so_in_the_shape_of_its_lines() {
    let taken = messaging::server::bind("--test", "127.0.0.1:0".parse().unwrap()).unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let flags = [
        "--fresh",
        "--log-format",
        "json",
        "--listen-gateway",
        &taken,
    ];
    let (status, err) = Up::spawn(&flags).fails();
    assert_eq!(status, 5, "{err}");
    let last: Value = serde_json::from_str(err.lines().last().unwrap()).unwrap();
    assert_eq!(last["level"], "ERROR");
    assert_eq!(last["message"], "cannot start, or cannot go on");
    assert!(
        last["error"].as_str().unwrap().contains("--listen-gateway"),
        "{last}"
    );
}
