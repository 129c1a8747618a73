//! What the Confluent adapter does when the registry fails, on script.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri, header};
use axum::response::IntoResponse;
use messaging::limits;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::registry::{ErrorKind, SchemaId, SchemaRegistry};
use messaging::server::bind;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

const SCHEMA: &str = r#"{"type": "record", "name": "Placed", "fields": []}"#;

/// A registry that gives the answers it was told to, and notes what it was asked.
struct Scripted {
    registry: ConfluentRegistry,
    answers: Arc<Mutex<VecDeque<(u16, String)>>>,
    /// Path and body of each request.
    asked: Arc<Mutex<Vec<(String, String)>>>,
    _server: JoinSet<()>,
}

impl Scripted {
    async fn start() -> Self {
        let listener = bind("--registry", "127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let answers = Arc::<Mutex<VecDeque<(u16, String)>>>::default();
        let asked = Arc::<Mutex<Vec<(String, String)>>>::default();
        let (script, notes) = (Arc::clone(&answers), Arc::clone(&asked));
        let router = Router::new().fallback(move |uri: Uri, body: String| async move {
            notes.lock().unwrap().push((uri.to_string(), body));
            let answer = script.lock().unwrap().pop_front();
            let Some((status, body)) = answer else {
                // Out of script: never answer.
                return std::future::pending().await;
            };
            let status = StatusCode::from_u16(status).unwrap();
            (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
        });
        let mut server = JoinSet::new();
        server.spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            registry: ConfluentRegistry::new(&url).unwrap(),
            answers,
            asked,
            _server: server,
        }
    }

    fn answer(&self, status: u16, body: impl Into<String>) {
        self.answers
            .lock()
            .unwrap()
            .push_back((status, body.into()));
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    async fn kind_of_schema(&self, id: u32) -> ErrorKind {
        self.registry.schema(SchemaId(id)).await.unwrap_err().kind
    }
}

fn error(code: u32) -> String {
    serde_json::json!({ "error_code": code, "message": "no" }).to_string()
}

fn level() -> String {
    serde_json::json!({ "compatibilityLevel": "FULL_TRANSITIVE" }).to_string()
}

fn found() -> String {
    serde_json::json!({ "schema": SCHEMA }).to_string()
}

#[tokio::test]
async fn only_the_registrys_own_codes_are_answers() {
    let scripted = Scripted::start().await;
    for (status, body, kind) in [
        (404, error(40403), ErrorKind::NotFound),
        (404, error(404), ErrorKind::Retry),
        (
            404,
            "<html>no such page</html>".to_owned(),
            ErrorKind::Retry,
        ),
        (500, error(50001), ErrorKind::Retry),
        (503, String::new(), ErrorKind::Retry),
        (429, error(42901), ErrorKind::Retry),
        (401, error(40101), ErrorKind::Retry),
        (200, "not json".to_owned(), ErrorKind::Retry),
        (
            200,
            r#"{"schema": "no schema"}"#.to_owned(),
            ErrorKind::Invalid,
        ),
        (
            200,
            r#"{"schema": "x", "schemaType": "JSON"}"#.to_owned(),
            ErrorKind::Invalid,
        ),
    ] {
        scripted.answer(status, body.clone());
        let id = u32::try_from(scripted.asked()).unwrap();
        assert_eq!(scripted.kind_of_schema(id).await, kind, "{status} {body}");
    }
}

#[tokio::test]
async fn a_registration_tells_a_clash_from_an_outage() {
    let scripted = Scripted::start().await;
    for (status, body, kind) in [
        (409, error(409), ErrorKind::Incompatible),
        (422, error(42201), ErrorKind::Invalid),
        (500, error(50002), ErrorKind::Retry),
        (200, "{}".to_owned(), ErrorKind::Retry),
    ] {
        scripted.answer(404, error(40401));
        scripted.answer(200, level());
        scripted.answer(status, body.clone());
        let refused = scripted.registry.register("s", SCHEMA).await.unwrap_err();
        assert_eq!(refused.kind, kind, "{status} {body}");
    }
}

#[tokio::test]
async fn a_failure_is_never_remembered() {
    // schema_registry_converter's own decoder would return the first failure for ever.
    let scripted = Scripted::start().await;
    for status in [500, 504, 429, 408, 401] {
        scripted.answer(status, error(u32::from(status) * 100));
        assert_eq!(scripted.kind_of_schema(1).await, ErrorKind::Retry);
    }
    scripted.answer(200, found());
    assert_eq!(
        scripted.registry.schema(SchemaId(1)).await.unwrap().name(),
        "Placed"
    );
    assert_eq!(scripted.asked(), 6);
}

#[tokio::test]
async fn a_schema_is_asked_for_once() {
    let scripted = Scripted::start().await;
    scripted.answer(200, found());
    for _ in 0..10 {
        scripted.registry.schema(SchemaId(1)).await.unwrap();
    }
    assert_eq!(scripted.asked(), 1);
}

#[tokio::test]
async fn a_flood_of_an_unknown_id_is_one_request() {
    let scripted = Scripted::start().await;
    let start = Instant::now();
    scripted.answer(404, error(40403));
    scripted.answer(404, error(40403));
    for _ in 0..1_000 {
        assert_eq!(scripted.kind_of_schema(7).await, ErrorKind::NotFound);
    }
    // More than one only if this machine took longer than an answer is believed.
    let spans = start.elapsed().as_millis() / limits::REGISTRY_NOT_FOUND_TTL.as_millis();
    assert!(scripted.asked() <= 1 + usize::try_from(spans).unwrap());
}

#[tokio::test]
async fn a_silent_registry_costs_its_timeout_and_no_more() {
    let scripted = Scripted::start().await;
    let call = scripted.registry.lookup("s", SCHEMA);
    let outcome = timeout(limits::REGISTRY_CALL_TIMEOUT + Duration::from_secs(5), call).await;
    assert_eq!(outcome.unwrap().unwrap_err().kind, ErrorKind::Retry);
}

#[tokio::test]
async fn the_literal_text_is_sent_to_the_paths_of_the_api() {
    let scripted = Scripted::start().await;
    // given a subject that is not there and has no level
    for answer in [error(40401), error(40408)] {
        scripted.answer(404, answer);
    }
    for answer in [r#"{"compatibility": "FULL_TRANSITIVE"}"#, r#"{"id": 9}"#] {
        scripted.answer(200, answer);
    }
    scripted.registry.register("a-n.B", SCHEMA).await.unwrap();
    let (paths, bodies): (Vec<_>, Vec<_>) =
        scripted.asked.lock().unwrap().clone().into_iter().unzip();
    let lookup = "/subjects/a-n.B?deleted=false";
    let level = "/config/a-n.B";
    assert_eq!(paths, [lookup, level, level, "/subjects/a-n.B/versions"]);
    let bodies = bodies.iter().map(|body| serde_json::from_str(body).ok());
    let schema = Some(serde_json::json!({ "schema": SCHEMA, "schemaType": "AVRO" }));
    let level = Some(serde_json::json!({ "compatibility": "FULL_TRANSITIVE" }));
    assert_eq!(
        bodies.collect::<Vec<Option<serde_json::Value>>>(),
        [schema.clone(), None, level, schema]
    );
}

#[tokio::test]
async fn what_is_registered_is_not_registered_again() {
    let scripted = Scripted::start().await;
    scripted.answer(200, r#"{"id": 9}"#);
    let id = scripted.registry.register("a-n.B", SCHEMA).await.unwrap();
    assert_eq!((id, scripted.asked()), (SchemaId(9), 1));
}

#[tokio::test]
async fn a_level_that_somebody_chose_stays() {
    let scripted = Scripted::start().await;
    scripted.answer(404, error(40403));
    scripted.answer(200, r#"{"compatibilityLevel": "NONE"}"#);
    scripted.answer(200, r#"{"id": 9}"#);
    scripted.registry.register("a-n.B", SCHEMA).await.unwrap();
    assert_eq!(scripted.asked(), 3);
}

#[test]
fn only_http_urls_are_taken() {
    for url in ["https://127.0.0.1:8081", "127.0.0.1:8081", ""] {
        let error = ConfluentRegistry::new(url).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{url}");
    }
}
