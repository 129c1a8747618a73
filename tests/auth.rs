//! Who may do what, through the real servers of a whole store: every call that must not be is tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod common;

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use common::{Part, Place, Store, eventually, order, request, streamed, within};
use contracts::client::{Bearer, Channel};
use contracts::proto;
use contracts::proto::inventory_audit_service_client::InventoryAuditServiceClient;
use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::operations_service_client::OperationsServiceClient;
use contracts::proto::order::Status;
use contracts::proto::order_audit_service_client::OrderAuditServiceClient;
use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use messaging::auth::Expected;
use messaging::auth::issuer::{Grant, Issuer};
use messaging::clock::{Clock, SystemClock};
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_types::StatusExt;

/// A store that demands tokens, and who makes them.
struct World {
    store: Store,
    issuer: Issuer,
    _keys: TempDir,
}

fn expected() -> Expected {
    Expected {
        issuer: "https://issuer.test".to_owned(),
        audience: "shop".to_owned(),
    }
}

impl World {
    async fn new(gateway_flags: &[(&'static str, &str)]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        let issuer = Issuer::new(&Issuer::generate().unwrap()).unwrap();
        let jwks = keys.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks()).unwrap();
        let flags = vec![
            ("--auth-jwks", jwks.display().to_string()),
            ("--auth-issuer", expected().issuer),
            ("--auth-audience", expected().audience),
        ];
        let owned = |(flag, value): &(&'static str, &str)| (*flag, (*value).to_owned());
        let store = Store::start_at(Place {
            flags,
            gateway_flags: gateway_flags.iter().map(owned).collect(),
            ..Place::default()
        })
        .await;
        Self {
            store,
            issuer,
            _keys: keys,
        }
    }

    fn token(&self, subject: &str, scope: &str) -> String {
        let granted = Grant {
            subject,
            scope,
            lasts: Duration::from_secs(300),
        };
        self.issuer.token(granted, &expected(), SystemClock.now())
    }

    /// A connection to `part` whose calls carry a token.
    fn to(&self, part: Part, bearer: Bearer) -> Channel {
        let endpoint = Endpoint::from_shared(self.store.url(part)).unwrap();
        bearer.over(endpoint.connect_lazy())
    }

    fn orders(&self, subject: &str, scope: &str) -> OrderServiceClient<Channel> {
        let bearer = Bearer::new(&self.token(subject, scope)).unwrap();
        OrderServiceClient::new(self.to(Part::Gateway, bearer))
    }

    async fn receive(&self, quantity: i32) {
        let bearer = Bearer::new(&self.token("warehouse", "stock")).unwrap();
        let mut inventory = InventoryServiceClient::new(self.to(Part::Gateway, bearer));
        inventory.receive_stock(receipt(quantity)).await.unwrap();
    }

    /// Places an order of one piece and waits until it is reserved.
    async fn reserved(&self, subject: &str, id: &str) {
        let request = proto::PlaceOrderRequest {
            wait_for: Some(Status::Reserved.into()),
            ..request(of("", id))
        };
        let placed = self.orders(subject, "").place_order(request).await;
        assert_eq!(placed.unwrap().into_inner().status(), Status::Reserved);
    }

    async fn complete(&self, id: &str) {
        let request = proto::CompleteOrderRequest {
            order_id: id.to_owned(),
            ..Default::default()
        };
        let mut warehouse = self.orders("warehouse", "stock");
        warehouse.complete_order(request).await.unwrap();
    }

    /// Waits until the owner sees the order there.
    async fn reaches(&self, subject: &str, id: &str, status: Status) {
        eventually(&format!("{id} is {status:?}"), async || {
            let found = self.orders(subject, "").get_order(get(id)).await.ok()?;
            let order = found.into_inner().order?;
            (order.status() == status).then_some(())
        })
        .await;
    }
}

fn of(customer_id: &str, id: &str) -> proto::Order {
    proto::Order {
        customer_id: customer_id.to_owned(),
        ..order(id, &[("PRODUCT_001", 1)])
    }
}

fn receipt(quantity: i32) -> proto::ReceiveStockRequest {
    proto::ReceiveStockRequest {
        receipt_id: "R1".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity,
    }
}

fn get(id: &str) -> proto::GetOrderRequest {
    proto::GetOrderRequest {
        order_id: id.to_owned(),
    }
}

fn cancel(id: &str) -> proto::CancelOrderRequest {
    proto::CancelOrderRequest {
        order_id: id.to_owned(),
        ..Default::default()
    }
}

fn watch(id: &str) -> proto::WatchOrderRequest {
    proto::WatchOrderRequest {
        order_id: id.to_owned(),
        after_version: 0,
    }
}

/// A call that ends within `millis`.
fn limited<T>(message: T, millis: u64) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_millis(millis));
    request
}

/// What each door answers to `bearer`: the gateway's, Order's and Inventory's, inside ones included.
async fn doors(world: &World, bearer: &Bearer) -> Vec<(&'static str, Code, String)> {
    let to = |part| world.to(part, bearer.clone());
    let shards = proto::ListShardsRequest {};
    let answers = [
        (
            "gateway",
            OrderServiceClient::new(to(Part::Gateway))
                .get_order(get("O1"))
                .await
                .err(),
        ),
        (
            "gateway stream",
            OrderServiceClient::new(to(Part::Gateway))
                .watch_order(watch("O1"))
                .await
                .err(),
        ),
        (
            "stock",
            InventoryServiceClient::new(to(Part::Gateway))
                .receive_stock(receipt(1))
                .await
                .err(),
        ),
        (
            "order queries",
            OrderQueryServiceClient::new(to(Part::Order))
                .list_orders(proto::OrderQueryServiceListOrdersRequest::default())
                .await
                .err(),
        ),
        (
            "order operations",
            OperationsServiceClient::new(to(Part::Order))
                .list_shards(shards)
                .await
                .err(),
        ),
        (
            "order audit",
            OrderAuditServiceClient::new(to(Part::Order))
                .export_orders(proto::ExportOrdersRequest::default())
                .await
                .err(),
        ),
        (
            "inventory operations",
            OperationsServiceClient::new(to(Part::Inventory))
                .list_shards(shards)
                .await
                .err(),
        ),
        (
            "inventory audit",
            InventoryAuditServiceClient::new(to(Part::Inventory))
                .export_reservations(proto::ExportReservationsRequest::default())
                .await
                .err(),
        ),
    ];
    let told = |(door, status): (_, Option<tonic::Status>)| match status {
        None => (door, Code::Ok, String::new()),
        Some(status) => (door, status.code(), format!("{status:?}")),
    };
    answers.into_iter().map(told).collect()
}

#[tokio::test]
async fn no_door_opens_without_a_good_token() {
    let world = World::new(&[]).await;
    let now = SystemClock.now().0 / 1_000;
    let good = json!({
        "iss": expected().issuer, "aud": "shop", "sub": "ada", "exp": now + 300,
        "scope": "stock operations",
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        world.issuer.sign(&json!({ "alg": "EdDSA" }), &claims)
    };
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let unsigned = format!("{}.{}.", part(&json!({ "alg": "none" })), part(&good));
    let another = Issuer::new(&Issuer::generate().unwrap()).unwrap();
    let bad = [
        ("alg none", unsigned),
        (
            "HS256",
            world.issuer.sign(&json!({ "alg": "HS256" }), &good),
        ),
        (
            "another key",
            another.sign(&json!({ "alg": "EdDSA" }), &good),
        ),
        ("exp as text", with("exp", json!((now + 300).to_string()))),
        ("no exp", with("exp", json!(null))),
        ("expired", with("exp", json!(now - 31))),
        ("no aud", with("aud", json!(null))),
        ("another aud", with("aud", json!("shop2"))),
        (
            "another issuer",
            with("iss", json!("https://issuer.test.evil")),
        ),
        ("no subject", with("sub", json!(null))),
        ("not yet", with("nbf", json!(now + 300))),
        ("nonsense", "a.b.c".to_owned()),
    ];
    for (what, token) in &bad {
        for (door, code, said) in doors(&world, &Bearer::new(token).unwrap()).await {
            assert_eq!(code, Code::Unauthenticated, "{what} at {door}");
            assert!(
                !said.contains(token.as_str()),
                "{what} at {door} shows the token"
            );
        }
    }
    for (door, code, _) in doors(&world, &Bearer::default()).await {
        assert_eq!(code, Code::Unauthenticated, "no token at {door}");
    }
    let good = world.issuer.sign(&json!({ "alg": "EdDSA" }), &good);
    for (door, code, said) in doors(&world, &Bearer::new(&good).unwrap()).await {
        let known = matches!(code, Code::Ok) || (door, code) == ("gateway", Code::NotFound);
        assert!(known, "{door}: {said}");
    }
}

#[tokio::test]
async fn a_customers_token_opens_no_other_door() {
    let world = World::new(&[]).await;
    for (scope, open) in [
        ("", &[][..]),
        ("stock", &["stock"]),
        (
            "operations",
            &[
                "order queries",
                "order operations",
                "order audit",
                "inventory operations",
                "inventory audit",
            ],
        ),
    ] {
        let bearer = Bearer::new(&world.token("C1", scope)).unwrap();
        for (door, code, said) in doors(&world, &bearer).await {
            let expected = match door {
                "gateway" => Code::NotFound,
                "gateway stream" => Code::Ok,
                door if open.contains(&door) => Code::Ok,
                _ => Code::PermissionDenied,
            };
            assert_eq!(code, expected, "{scope:?} at {door}: {said}");
        }
    }
    let ship = proto::CompleteOrderRequest {
        order_id: "O1".to_owned(),
        ..Default::default()
    };
    let shipped = world.orders("C1", "operations").complete_order(ship).await;
    assert_eq!(shipped.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_foreign_order_is_one_that_is_not_there() {
    let world = World::new(&[]).await;
    world.receive(10).await;
    world.reserved("C1", "O1").await;
    let mut other = world.orders("C2", "");

    // Read, and cancelled: the same words as for an order that nobody has.
    let same = |told: tonic::Status, unknown: tonic::Status| {
        assert_eq!(told.code(), Code::NotFound);
        assert_eq!(told.message().replace("O1", "O2"), unknown.message());
        assert_eq!(told.details(), unknown.details());
    };
    let foreign = other.get_order(get("O1")).await.unwrap_err();
    same(foreign, other.get_order(get("O2")).await.unwrap_err());
    let foreign = other.cancel_order(cancel("O1")).await.unwrap_err();
    same(foreign, other.cancel_order(cancel("O2")).await.unwrap_err());

    // Watched: it waits.
    let watched = other.watch_order(limited(watch("O1"), 500)).await;
    let ended = within(watched.unwrap().into_inner().message(), "the end").await;
    assert_eq!(ended.unwrap_err().code(), Code::DeadlineExceeded);

    // Placed: accepted, and nothing is known of it.
    let claim = proto::PlaceOrderRequest {
        wait_for: Some(Status::Reserved.into()),
        ..request(of("C2", "O1"))
    };
    let claimed = other.place_order(limited(claim, 1_000)).await.unwrap();
    assert_eq!(claimed.into_inner().status(), Status::Pending);

    // Asked past the gateway: Order looks at the token itself.
    let bearer = Bearer::new(&world.token("C2", "")).unwrap();
    let mut queries = OrderQueryServiceClient::new(world.to(Part::Order, bearer));
    let inside = proto::OrderQueryServiceGetOrderRequest {
        request: Some(get("O1")),
        customer_id: Some("C1".to_owned()),
    };
    let found = queries.get_order(inside).await;
    assert_eq!(found.unwrap_err().code(), Code::NotFound);

    // It is its owner's, as it was, and the owner's alone to cancel.
    world.reaches("C1", "O1", Status::Reserved).await;
    let mut owner = world.orders("C1", "");
    owner.cancel_order(cancel("O1")).await.unwrap();
    world.reaches("C1", "O1", Status::Cancelled).await;
}

#[tokio::test]
async fn a_customer_places_and_lists_in_the_own_name_only() {
    let world = World::new(&[]).await;
    world.receive(10).await;
    for (customer, id) in [("C1", "O1"), ("C2", "O2")] {
        world.reserved(customer, id).await;
    }
    let placed = world
        .orders("C1", "")
        .place_order(request(of("C2", "O3")))
        .await;
    assert_eq!(placed.unwrap_err().code(), Code::PermissionDenied);
    let subject = world
        .orders("no customer!", "")
        .place_order(request(of("", "O3")))
        .await;
    assert_eq!(subject.unwrap_err().code(), Code::PermissionDenied);

    let list = async |subject: &str, scope: &str, customer_id: &str| {
        let request = proto::ListOrdersRequest {
            customer_id: customer_id.to_owned(),
            ..Default::default()
        };
        let listed = world.orders(subject, scope).list_orders(request).await;
        let orders = listed.map(|listed| listed.into_inner().orders);
        let ids = orders.map(|orders| orders.into_iter().map(|order| order.order_id));
        ids.map(Iterator::collect::<Vec<_>>)
            .map_err(|status| status.code())
    };
    assert_eq!(list("C1", "", "").await.unwrap(), ["O1"]);
    assert_eq!(list("C1", "", "C1").await.unwrap(), ["O1"]);
    assert_eq!(list("C1", "", "C2").await, Err(Code::PermissionDenied));
    assert_eq!(list("C1", "stock", "C2").await, Err(Code::PermissionDenied));
    let mut all = list("ada", "operations", "").await.unwrap();
    all.sort();
    assert_eq!(all, ["O1", "O2"]);
    assert_eq!(list("ada", "operations", "C2").await.unwrap(), ["O2"]);
    let found = world.orders("ada", "operations").get_order(get("O2")).await;
    let found = found.unwrap().into_inner().order.unwrap();
    assert_eq!(found.customer_id, "C2", "the token's subject");
}

#[tokio::test]
async fn a_cancellation_that_order_could_not_judge_harms_nobody() {
    let mut world = World::new(&[]).await;
    world.receive(10).await;
    world.reserved("C1", "O1").await;
    world.store.stop_part(Part::Order).await;
    // Of an order that is there, and of one that is not there yet.
    for id in ["O1", "O2"] {
        world
            .orders("C2", "")
            .cancel_order(cancel(id))
            .await
            .unwrap();
    }
    world
        .orders("C1", "")
        .cancel_order(cancel("O3"))
        .await
        .unwrap();
    world.store.start_part(Part::Order).await;
    // Each comes after the cancellation: everything about one order is in one sequence.
    world.complete("O1").await;
    world.reaches("C1", "O1", Status::Completed).await;
    world.reserved("C1", "O2").await;
    world
        .orders("C1", "")
        .place_order(request(of("", "O3")))
        .await
        .unwrap();
    world.reaches("C1", "O3", Status::Cancelled).await;
}

#[tokio::test]
async fn each_customer_has_a_rate_of_its_own() {
    let world = World::new(&[("--customer-rate", "1"), ("--customer-burst", "3")]).await;
    let mut hasty = world.orders("C1", "");
    let mut refused = None;
    for _ in 0..4 {
        refused = hasty.get_order(get("O1")).await.err();
    }
    let refused = refused.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let details = refused.get_error_details();
    let wait = details.retry_info().unwrap().retry_delay.unwrap();
    assert!(
        wait <= Duration::from_secs(1) && !wait.is_zero(),
        "{wait:?}"
    );

    // Each order of a stream counts, and the one too many is an answer of the stream.
    let orders = (0..4).map(|number| streamed(of("", &format!("S{number}"))));
    let orders = futures::stream::iter(orders.collect::<Vec<_>>());
    let answers = world.orders("C2", "").place_orders(orders).await;
    let mut answers = answers.unwrap().into_inner();
    let (mut accepted, mut limited) = (0, 0);
    while let Some(answer) = within(answers.message(), "an answer").await.unwrap() {
        match answer.result.unwrap() {
            proto::place_orders_response::Result::Acceptance(_) => accepted += 1,
            proto::place_orders_response::Result::Error(status) => {
                assert_eq!(status.code, Code::ResourceExhausted as i32);
                limited += 1;
            }
        }
    }
    assert_eq!((accepted, limited), (3, 1));
}
