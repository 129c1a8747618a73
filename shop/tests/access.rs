//! Who may do what, over real TLS: a real store with the certificates of `shop certs`, tokens demanded,
//! and every access that must not be is tried.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contracts::client::{Bearer, Channel};
use contracts::proto;
use contracts::proto::inventory_service_client::InventoryServiceClient;
use contracts::proto::operations_service_client::OperationsServiceClient;
use contracts::proto::order::Status as OrderStatus;
use contracts::proto::order_audit_service_client::OrderAuditServiceClient;
use contracts::proto::order_query_service_client::OrderQueryServiceClient;
use contracts::proto::order_service_client::OrderServiceClient;
use messaging::auth::{Expected, Issuer};
use messaging::clock::{Clock, SystemClock};
use messaging::tls::{Client, ClientFiles, advice};
use ring::hmac;
use serde_json::{Value, json};
use shop::certs::{self, CA, CLIENT, Existing, key, pem};
use shop::tls::FLAGS;
use support::Up;
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status};

/// A store with TLS that demands tokens, and who makes both.
struct World {
    store: Up,
    issuer: Issuer,
    jwks: Value,
    folder: tempfile::TempDir,
}

fn expected() -> Expected {
    Expected {
        issuer: "https://issuer.test".to_owned(),
        audience: "shop".to_owned(),
    }
}

fn seconds() -> i64 {
    SystemClock.now().0 / 1_000
}

/// Certificates of an authority of their own.
fn certificates(dir: PathBuf) -> PathBuf {
    certs::make(&dir, &[], Existing::Refuse, SystemClock.now()).unwrap();
    dir
}

/// A client that believes the authority in `dir`, and shows the certificate `own` has, if any.
fn client(dir: &Path, own: Option<&Path>) -> Client {
    let files = ClientFiles {
        flags: FLAGS,
        ca: Some(pem(dir, CA)),
        cert: own.map(|own| pem(own, CLIENT)),
        key: own.map(|own| key(own, CLIENT)),
    };
    Client::new(&files).unwrap()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let issuer = Issuer::new(&Issuer::generate().unwrap()).unwrap();
        let jwks = folder.path().join("jwks.json");
        std::fs::write(&jwks, issuer.jwks()).unwrap();
        let certs = certificates(folder.path().join("certs"));
        let expected = expected();
        let store = Up::start(&[
            "--fresh",
            "--tls-dir",
            certs.to_str().unwrap(),
            "--auth-jwks",
            jwks.to_str().unwrap(),
            "--auth-issuer",
            &expected.issuer,
            "--auth-audience",
            &expected.audience,
        ]);
        Self {
            store,
            jwks: serde_json::from_str(&issuer.jwks()).unwrap(),
            issuer,
            folder,
        }
    }

    fn certs(&self) -> PathBuf {
        self.folder.path().join("certs")
    }

    /// The name and the public half of the issuer's key.
    fn key(&self, name: &str) -> &str {
        self.jwks["keys"][0][name].as_str().unwrap()
    }

    fn header(&self) -> Value {
        json!({ "alg": "EdDSA", "kid": self.key("kid") })
    }

    /// A good token.
    fn token(&self, subject: &str, scope: &str) -> Bearer {
        let token = self.issuer.sign(&self.header(), &claims(subject, scope));
        Bearer::new(&token).unwrap()
    }

    /// The way to a part over TLS, with a certificate of the own authority if the part wants one.
    fn to(&self, part: &str, bearer: Bearer) -> Channel {
        let own = (part != "gateway").then(|| self.certs());
        self.to_with(part, own.as_deref(), bearer)
    }

    fn to_with(&self, part: &str, own: Option<&Path>, bearer: Bearer) -> Channel {
        let url = self.store.address(part).to_owned();
        assert!(url.starts_with("https://"), "{url}");
        let endpoint = Endpoint::from_shared(url).unwrap();
        let tls = client(&self.certs(), own);
        bearer.over(endpoint.connect_with_connector_lazy(tls.connector()))
    }

    fn orders(&self, bearer: Bearer) -> OrderServiceClient<Channel> {
        OrderServiceClient::new(self.to("gateway", bearer))
    }
}

fn claims(subject: &str, scope: &str) -> Value {
    let expected = expected();
    json!({
        "iss": expected.issuer, "aud": expected.audience, "sub": subject, "scope": scope,
        "exp": seconds() + 300,
    })
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

fn complete(id: &str) -> proto::CompleteOrderRequest {
    proto::CompleteOrderRequest {
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

fn receipt() -> proto::ReceiveStockRequest {
    proto::ReceiveStockRequest {
        receipt_id: "R1".to_owned(),
        product_id: "PRODUCT_001".to_owned(),
        quantity: 10,
    }
}

fn order(id: &str) -> proto::PlaceOrderRequest {
    let line = proto::OrderLine {
        product_id: "PRODUCT_001".to_owned(),
        quantity: 1,
        unit_price_minor: 100,
    };
    proto::PlaceOrderRequest {
        order: Some(proto::Order {
            order_id: id.to_owned(),
            currency: "GBP".to_owned(),
            lines: vec![line],
            ..Default::default()
        }),
        wait_for: Some(OrderStatus::Reserved.into()),
        ..Default::default()
    }
}

/// Which call, and how it was refused; `None` if it was not.
type Answer = (&'static str, Option<Status>);

/// What the public side answers.
async fn at_the_gateway(world: &World, bearer: &Bearer) -> Vec<Answer> {
    let mut orders = world.orders(bearer.clone());
    let gateway = || world.to("gateway", bearer.clone());
    let mut inventory = InventoryServiceClient::new(gateway());
    let mut operations = OperationsServiceClient::new(gateway());
    vec![
        ("read", orders.get_order(get("O1")).await.err()),
        ("watch", orders.watch_order(watch("O1")).await.err()),
        ("cancel", orders.cancel_order(cancel("O2")).await.err()),
        (
            "complete",
            orders.complete_order(complete("O2")).await.err(),
        ),
        ("receive", inventory.receive_stock(receipt()).await.err()),
        (
            "shards",
            operations
                .list_shards(proto::ListShardsRequest {})
                .await
                .err(),
        ),
    ]
}

/// What Order answers to those who have come as far as its port.
async fn at_order(world: &World, bearer: &Bearer) -> Vec<Answer> {
    let order = || world.to("order", bearer.clone());
    let mut operations = OperationsServiceClient::new(order());
    let mut audit = OrderAuditServiceClient::new(order());
    let mut queries = OrderQueryServiceClient::new(order());
    let foreign = proto::OrderQueryServiceGetOrderRequest {
        request: Some(get("O1")),
        customer_id: Some("C1".to_owned()),
    };
    vec![
        ("inner read", queries.get_order(foreign).await.err()),
        (
            "inner shards",
            operations
                .list_shards(proto::ListShardsRequest {})
                .await
                .err(),
        ),
        (
            "parked",
            operations
                .list_parked(proto::ListParkedRequest::default())
                .await
                .err(),
        ),
        (
            "audit",
            audit
                .export_orders(proto::ExportOrdersRequest::default())
                .await
                .err(),
        ),
    ]
}

fn codes(answers: Vec<Answer>) -> Vec<(&'static str, Code)> {
    let code = |status: Option<Status>| status.map_or(Code::Ok, |status| status.code());
    answers
        .into_iter()
        .map(|(call, status)| (call, code(status)))
        .collect()
}

/// `header.claims.signature`, signed by whatever `sign` does.
fn signed(header: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let header = encode(header.to_string().as_bytes());
    let claims = encode(claims("C1", "stock operations").to_string().as_bytes());
    let signed = format!("{header}.{claims}");
    let signature = encode(&sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Tokens that must open nothing, each with a name.
fn bad_tokens(world: &World) -> Vec<(&'static str, String)> {
    let kid = world.key("kid");
    let with = |name: &str, value: Value| {
        let mut claims = claims("C1", "stock operations");
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value,
        }
        world.issuer.sign(&world.header(), &claims)
    };
    let good = claims("C1", "stock operations");
    let hs256 = json!({ "alg": "HS256", "kid": kid });
    let hmac = |secret: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        signed(&hs256, |text| hmac::sign(&key, text).as_ref().to_vec())
    };
    let public = world.key("x");
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(public).unwrap();
    // As SubjectPublicKeyInfo (RFC 8410), which is what PEM holds.
    let spki = [
        &[0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0][..],
        &bytes,
    ]
    .concat();
    let unknown = json!({ "alg": "EdDSA", "kid": "another" });
    let another = Issuer::new(&Issuer::generate().unwrap()).unwrap();
    let late = seconds() - 31;
    vec![
        ("alg none", signed(&json!({ "alg": "none" }), |_| vec![])),
        (
            "alg none, kid",
            signed(&json!({ "alg": "none", "kid": kid }), |_| vec![]),
        ),
        ("HS256 by the public key", hmac(&bytes)),
        ("HS256 by the key's text", hmac(public.as_bytes())),
        ("HS256 by the key in DER", hmac(&spki)),
        ("EdDSA by HMAC", {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes);
            signed(&world.header(), |text| {
                hmac::sign(&key, text).as_ref().to_vec()
            })
        }),
        (
            "exp as text",
            with("exp", json!((seconds() + 300).to_string())),
        ),
        ("no exp", with("exp", json!(null))),
        ("expired", with("exp", json!(late))),
        ("not yet valid", with("nbf", json!(seconds() + 300))),
        ("no aud", with("aud", json!(null))),
        ("another aud", with("aud", json!("another"))),
        ("no iss", with("iss", json!(null))),
        ("another issuer", with("iss", json!("https://issuer.test/"))),
        ("no subject", with("sub", json!(null))),
        ("unknown kid", world.issuer.sign(&unknown, &good)),
        ("another key", another.sign(&world.header(), &good)),
        ("nonsense", "a.b.c".to_owned()),
    ]
}

#[tokio::test]
async fn no_door_opens_without_a_good_token() {
    let world = World::new();
    let refused = async |what: &str, bearer: &Bearer| {
        for answers in [
            at_the_gateway(&world, bearer).await,
            at_order(&world, bearer).await,
        ] {
            for (call, code) in codes(answers) {
                assert_eq!(code, Code::Unauthenticated, "{what}: {call}");
            }
        }
    };
    refused("no token", &Bearer::default()).await;
    for (what, token) in bad_tokens(&world) {
        refused(what, &Bearer::new(&token).unwrap()).await;
        let log = world.store.log();
        assert!(!log.contains(&token), "{what}: the log shows the token");
    }
    let operator = world.token("ada", "stock operations");
    for (call, code) in codes(at_order(&world, &operator).await) {
        let expected = if call == "inner read" {
            Code::NotFound
        } else {
            Code::Ok
        };
        assert_eq!(code, expected, "{call}");
    }
}

#[tokio::test]
async fn each_token_opens_its_own_doors_only() {
    let world = World::new();
    let warehouse = world.token("warehouse", "stock");
    let mut inventory = InventoryServiceClient::new(world.to("gateway", warehouse));
    inventory.receive_stock(receipt()).await.unwrap();
    let mut owner = world.orders(world.token("C1", ""));
    let placed = owner.place_order(order("O1")).await.unwrap().into_inner();
    assert_eq!(placed.status(), OrderStatus::Reserved);

    // Another customer: the order is one that is not there, and nothing else is for it.
    let other = world.token("C2", "");
    let answers = codes(at_the_gateway(&world, &other).await);
    assert_eq!(
        answers,
        [
            ("read", Code::NotFound),
            ("watch", Code::Ok),
            ("cancel", Code::NotFound),
            ("complete", Code::PermissionDenied),
            ("receive", Code::PermissionDenied),
            ("shards", Code::PermissionDenied),
        ]
    );
    let mut orders = world.orders(other.clone());
    let cancelled = orders.cancel_order(cancel("O1")).await.unwrap_err();
    assert_eq!(cancelled.code(), Code::NotFound);
    // What it watches is not shown, as what nobody has placed.
    let mut limited = Request::new(watch("O1"));
    limited.set_timeout(Duration::from_millis(500));
    let mut states = orders.watch_order(limited).await.unwrap().into_inner();
    let ended = states.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::DeadlineExceeded);
    let answers = codes(at_order(&world, &other).await);
    assert_eq!(
        answers,
        [
            ("inner read", Code::NotFound),
            ("inner shards", Code::PermissionDenied),
            ("parked", Code::PermissionDenied),
            ("audit", Code::PermissionDenied),
        ]
    );
    // Whoever runs the store has no such doors on the public side either.
    let operator = world.token("ada", "operations");
    let mut operations = OperationsServiceClient::new(world.to("gateway", operator));
    let inside = operations.list_shards(proto::ListShardsRequest {}).await;
    assert_eq!(inside.unwrap_err().code(), Code::Unimplemented);
    let kept = owner.get_order(get("O1")).await.unwrap().into_inner();
    assert_eq!(kept.order.unwrap().status(), OrderStatus::Reserved);
}

#[tokio::test]
async fn a_good_token_does_not_replace_a_certificate() {
    let world = World::new();
    let operator = world.token("ada", "operations");
    let stranger = certificates(world.folder.path().join("stranger"));
    for part in ["order", "inventory"] {
        let shards = async |own: Option<&Path>| {
            let channel = world.to_with(part, own, operator.clone());
            let mut operations = OperationsServiceClient::new(channel);
            operations.list_shards(proto::ListShardsRequest {}).await
        };
        let certs = world.certs();
        shards(Some(&certs)).await.unwrap();
        for (own, told) in [
            (None, "it lets in only clients with a certificate"),
            (
                Some(stranger.as_path()),
                "it does not accept the certificate",
            ),
        ] {
            let refused = shards(own).await.unwrap_err();
            let why = advice(&refused, FLAGS).unwrap_or_else(|| format!("{refused:?}"));
            assert!(why.contains(told), "{part}: {why}");
        }
    }
}
