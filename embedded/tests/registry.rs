//! The registry as an HTTP client sees it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed test is the report"
)]

mod support;

use embedded::{Error, registry};
use serde_json::{Value, json};
use support::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const V1: &str =
    r#"{"type":"record","name":"OrderPlaced","fields":[{"name":"id","type":"string"}]}"#;
const V2: &str = r#"{"type":"record","name":"OrderPlaced","fields":[{"name":"id","type":"string"},{"name":"note","type":"string","default":""}]}"#;
const BREAKING: &str = r#"{"type":"record","name":"OrderPlaced","fields":[{"name":"id","type":"string"},{"name":"total","type":"long"}]}"#;
const SUBJECT: &str = "order.events-shop.order.OrderPlaced";

/// Sends one request; returns the status and the body.
async fn call(server: &Server, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: registry\r\nconnection: close\r\n\
         content-type: application/vnd.schemaregistry.v1+json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = support::connect(server.addr).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let (head, body) = response.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("content-type: application/vnd.schemaregistry.v1+json"),
        "{head}"
    );
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap())
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
    call(server, "GET", path, None).await
}

async fn register(server: &Server, subject: &str, schema: &str) -> (u16, Value) {
    let path = format!("/subjects/{subject}/versions");
    call(server, "POST", &path, Some(json!({"schema": schema}))).await
}

fn serve(dir: &std::path::Path) -> Server {
    let registry = registry::Registry::open(registry::Config::new(dir)).unwrap();
    Server::start(|listener, shutdown| registry.serve(listener, shutdown))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_registered_once_and_found_every_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    assert_eq!(
        register(&server, SUBJECT, V1).await,
        (200, json!({"id": 1}))
    );
    assert_eq!(
        register(&server, SUBJECT, V2).await,
        (200, json!({"id": 2}))
    );
    // again, and with other white space: nothing new
    assert_eq!(
        register(&server, SUBJECT, V1).await,
        (200, json!({"id": 1}))
    );
    assert_eq!(
        register(&server, SUBJECT, &V1.replace(',', " , ")).await,
        (200, json!({"id": 1}))
    );
    // the same schema elsewhere keeps its id
    assert_eq!(
        register(&server, "a%2Fb", V1).await,
        (200, json!({"id": 1}))
    );

    let second = json!({"subject": SUBJECT, "version": 2, "id": 2, "schema": V2});
    let versions = format!("/subjects/{SUBJECT}/versions");
    assert_eq!(
        get(&server, "/subjects").await,
        (200, json!(["a/b", SUBJECT]))
    );
    assert_eq!(get(&server, &versions).await, (200, json!([1, 2])));
    assert_eq!(
        get(&server, &format!("{versions}/latest")).await,
        (200, second.clone())
    );
    assert_eq!(
        get(&server, &format!("{versions}/2")).await,
        (200, second.clone())
    );
    assert_eq!(
        get(&server, &format!("{versions}/2/schema")).await.1,
        parsed(V2)
    );
    assert_eq!(
        get(&server, "/schemas/ids/1").await,
        (200, json!({"schema": V1}))
    );
    assert_eq!(get(&server, "/schemas/ids/1/schema").await.1, parsed(V1));
    assert_eq!(
        get(&server, "/schemas/ids/1/subjects").await,
        (200, json!(["a/b", SUBJECT]))
    );
    assert_eq!(
        get(&server, "/schemas/ids/2/versions").await,
        (200, json!([{"subject": SUBJECT, "version": 2}]))
    );
    assert_eq!(get(&server, "/schemas/types").await, (200, json!(["AVRO"])));
    let lookup = format!("/subjects/{SUBJECT}?deleted=false");
    let found = call(&server, "POST", &lookup, Some(json!({"schema": V2}))).await;
    assert_eq!(found, (200, second));
    server.stop().await;
}

fn parsed(schema: &str) -> Value {
    serde_json::from_str(schema).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_has_confluents_error_codes() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    register(&server, SUBJECT, V1).await;
    let versions = format!("/subjects/{SUBJECT}/versions");
    let subject = format!("/subjects/{SUBJECT}");
    let schema = |text: &str| Some(json!({"schema": text}));
    let protobuf = Some(json!({"schema": "x", "schemaType": "PROTOBUF"}));
    let referring = Some(json!({"schema": V1, "references": [{"name": "a"}]}));
    let cases = [
        (
            "GET",
            "/subjects/none/versions".to_owned(),
            None,
            404,
            40401,
        ),
        (
            "GET",
            "/subjects/none/versions/latest".to_owned(),
            None,
            404,
            40401,
        ),
        ("GET", format!("{versions}/7"), None, 404, 40402),
        ("GET", format!("{versions}/0"), None, 422, 42202),
        ("GET", format!("{versions}/newest"), None, 422, 42202),
        ("GET", "/schemas/ids/77".to_owned(), None, 404, 40403),
        ("POST", "/subjects/none".to_owned(), schema(V1), 404, 40401),
        ("POST", subject.clone(), schema(V2), 404, 40403),
        (
            "POST",
            versions.clone(),
            schema("{\"type\":\"record\"}"),
            422,
            42201,
        ),
        ("POST", versions.clone(), schema("nonsense"), 422, 42201),
        ("POST", versions.clone(), protobuf, 422, 42201),
        ("POST", versions.clone(), referring, 422, 42201),
        ("POST", versions.clone(), Some(json!({})), 422, 42201),
        ("POST", versions.clone(), schema(BREAKING), 409, 409),
        ("GET", format!("/config/{SUBJECT}"), None, 404, 40408),
        (
            "PUT",
            "/config".to_owned(),
            Some(json!({"compatibility": "SIDEWAYS"})),
            422,
            42203,
        ),
        (
            "PUT",
            "/mode".to_owned(),
            Some(json!({"mode": "IMPORT"})),
            422,
            42204,
        ),
        ("GET", format!("/mode/{SUBJECT}"), None, 404, 40409),
        ("GET", "/nowhere".to_owned(), None, 404, 404),
        ("PATCH", "/config".to_owned(), None, 405, 405),
    ];
    for (method, path, body, status, code) in cases {
        let (answered, error) = call(&server, method, &path, body).await;
        assert_eq!(
            (answered, &error["error_code"]),
            (status, &json!(code)),
            "{method} {path}: {error}"
        );
        assert!(!error["message"].as_str().unwrap().is_empty());
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compatibility_is_checked_by_the_level_that_holds() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    register(&server, SUBJECT, V1).await;
    let check = format!("/compatibility/subjects/{SUBJECT}/versions");
    let breaking = || Some(json!({"schema": BREAKING}));
    assert_eq!(
        get(&server, "/config").await,
        (200, json!({"compatibilityLevel": "BACKWARD"}))
    );
    let latest = format!("{check}/latest?verbose=true");
    let (_, verdict) = call(&server, "POST", &latest, breaking()).await;
    assert_eq!(verdict["is_compatible"], json!(false));
    assert!(
        verdict["messages"][0]
            .as_str()
            .unwrap()
            .contains("READER_FIELD_MISSING_DEFAULT_VALUE")
    );
    let fine = call(&server, "POST", &check, Some(json!({"schema": V2}))).await;
    assert_eq!(fine, (200, json!({"is_compatible": true})));

    let config = format!("/config/{SUBJECT}");
    let forward = json!({"compatibility": "FORWARD"});
    assert_eq!(
        call(&server, "PUT", &config, Some(forward.clone())).await,
        (200, forward)
    );
    assert_eq!(register(&server, SUBJECT, BREAKING).await.0, 200);
    assert_eq!(
        get(&server, &config).await.1,
        json!({"compatibilityLevel": "FORWARD"})
    );
    assert_eq!(call(&server, "DELETE", &config, None).await.0, 200);
    assert_eq!(get(&server, &config).await.0, 404);
    let inherited = get(&server, &format!("{config}?defaultToGlobal=true"))
        .await
        .1;
    assert_eq!(inherited, json!({"compatibilityLevel": "BACKWARD"}));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transitive_levels_look_at_every_version() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    let with = |of: &str| {
        format!(r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":{of}}}]}}"#)
    };
    // given that version 1 holds strings and version 2 does not
    call(
        &server,
        "PUT",
        "/config",
        Some(json!({"compatibility": "NONE"})),
    )
    .await;
    register(&server, "s", &with(r#""string""#)).await;
    register(&server, "s", &with(r#""int""#)).await;
    for (level, fits) in [("BACKWARD", true), ("BACKWARD_TRANSITIVE", false)] {
        call(
            &server,
            "PUT",
            "/config",
            Some(json!({"compatibility": level})),
        )
        .await;
        let body = Some(json!({"schema": with(r#""long""#)}));
        let verdict = call(&server, "POST", "/compatibility/subjects/s/versions", body)
            .await
            .1;
        assert_eq!(verdict["is_compatible"], json!(fits), "{level}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    register(&server, SUBJECT, V1).await;
    call(
        &server,
        "PUT",
        "/config",
        Some(json!({"compatibility": "FULL_TRANSITIVE"})),
    )
    .await;
    call(
        &server,
        "PUT",
        &format!("/mode/{SUBJECT}"),
        Some(json!({"mode": "READONLY"})),
    )
    .await;
    server.stop().await;

    let server = serve(dir.path());
    assert_eq!(
        get(&server, "/schemas/ids/1").await,
        (200, json!({"schema": V1}))
    );
    let level = get(&server, "/config").await.1;
    assert_eq!(level, json!({"compatibilityLevel": "FULL_TRANSITIVE"}));
    let (status, refused) = register(&server, SUBJECT, V2).await;
    assert_eq!((status, &refused["error_code"]), (422, &json!(42205)));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_belongs_to_one_registry() {
    let dir = tempfile::tempdir().unwrap();
    let first = registry::Registry::open(registry::Config::new(dir.path())).unwrap();
    let second = registry::Registry::open(registry::Config::new(dir.path())).unwrap_err();
    assert!(matches!(second, Error::InUse { .. }), "{second}");
    drop(first);
    registry::Registry::open(registry::Config::new(dir.path())).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_journal_is_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    register(&server, SUBJECT, V1).await;
    server.stop().await;

    let path = dir.path().join("registry.journal");
    let mut damaged = std::fs::read(&path).unwrap();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    std::fs::write(&path, &damaged).unwrap();
    let refused = registry::Registry::open(registry::Config::new(dir.path())).unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
    assert_eq!(std::fs::read(&path).unwrap(), damaged);
}
