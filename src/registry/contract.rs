//! The contract suite of the `SchemaRegistry` port: one function per rule, run against every
//! adapter.
//!
//! [`registry_contract!`](crate::registry_contract) turns the whole list into tests for one
//! adapter, so that no adapter can leave a rule out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "a broken rule panics: that is the report"
)]

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep};

use super::{ErrorKind, SchemaId, SchemaRegistry};

/// An empty registry under test.
#[async_trait]
pub trait Fixture: Send + Sync {
    /// The adapter.
    fn registry(&self) -> &dyn SchemaRegistry;

    /// Takes the registry away until the end of the test.
    async fn stop(&self);
}

/// Tests of every rule, in a module `$name`; `$fixture` is an async function that makes a
/// [`Fixture`](crate::registry::contract::Fixture).
#[macro_export]
macro_rules! registry_contract {
    ($name:ident, $fixture:path) => {
        mod $name {
            $crate::registry_contract!(@rules $fixture:
                a_registered_schema_is_found_by_id_and_by_text,
                registering_again_changes_nothing,
                a_schema_keeps_its_id_under_other_subjects,
                what_was_never_registered_is_not_found,
                not_found_is_not_remembered_for_long,
                an_incompatible_version_is_refused,
                a_version_that_old_readers_cannot_read_is_refused,
                a_compatible_version_gets_its_own_id,
                garbage_is_no_schema,
                a_schema_once_seen_outlives_the_registry,
            );
        }
    };
    (@rules $fixture:path: $($rule:ident,)+) => {
        $(
            #[tokio::test]
            async fn $rule() {
                let fixture = $fixture().await;
                $crate::registry::contract::$rule(&fixture).await;
            }
        )+
    };
}

const SUBJECT: &str = "orders-shop.Placed";
const PLACED: &str = r#"{"type": "record", "namespace": "shop", "name": "Placed",
    "fields": [{"name": "id", "type": "string"}]}"#;
const PLACED_WITH_NOTE: &str = r#"{"type": "record", "namespace": "shop", "name": "Placed",
    "fields": [{"name": "id", "type": "string"},
               {"name": "note", "type": "string", "default": ""}]}"#;
const PLACED_BY_NUMBER: &str = r#"{"type": "record", "namespace": "shop", "name": "Placed",
    "fields": [{"name": "id", "type": "int"}]}"#;
const PLACED_WITHOUT_ID: &str = r#"{"type": "record", "namespace": "shop", "name": "Placed",
    "fields": []}"#;
const SHIPPED: &str = r#"{"type": "record", "namespace": "shop", "name": "Shipped",
    "fields": [{"name": "id", "type": "string"}]}"#;

/// The id leads to the schema, and the literal text to the id.
pub async fn a_registered_schema_is_found_by_id_and_by_text(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    let id = registry.register(SUBJECT, PLACED).await.unwrap();
    assert_eq!(registry.lookup(SUBJECT, PLACED).await.unwrap(), id);
    assert_eq!(registry.schema(id).await.unwrap().name(), "shop.Placed");
}

/// The same schema under the same subject is the same id.
pub async fn registering_again_changes_nothing(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    let id = registry.register(SUBJECT, PLACED).await.unwrap();
    assert_eq!(registry.register(SUBJECT, PLACED).await.unwrap(), id);
}

/// An id names a schema, not a subject.
pub async fn a_schema_keeps_its_id_under_other_subjects(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    let id = registry.register(SUBJECT, PLACED).await.unwrap();
    assert_eq!(
        registry
            .register("archive-shop.Placed", PLACED)
            .await
            .unwrap(),
        id
    );
    assert_ne!(
        registry
            .register("orders-shop.Shipped", SHIPPED)
            .await
            .unwrap(),
        id
    );
}

/// Neither an unknown subject, nor another schema of a known one, nor an unknown id.
pub async fn what_was_never_registered_is_not_found(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    let subject = registry.lookup(SUBJECT, PLACED).await.unwrap_err();
    assert_eq!(subject.kind, ErrorKind::NotFound);
    assert_eq!(subject.subject, SUBJECT);
    registry.register(SUBJECT, PLACED).await.unwrap();
    let schema = registry.lookup(SUBJECT, PLACED_WITH_NOTE).await;
    assert_eq!(schema.unwrap_err().kind, ErrorKind::NotFound);
    let id = registry.schema(SchemaId(1_000_000)).await;
    assert_eq!(id.unwrap_err().kind, ErrorKind::NotFound);
}

/// A schema that is registered after it was asked for is found soon.
pub async fn not_found_is_not_remembered_for_long(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    // Given an id that is unknown until the schema after this one is registered.
    let SchemaId(first) = registry.register(SUBJECT, PLACED).await.unwrap();
    let id = SchemaId(first + 1);
    let early = registry.schema(id).await;
    assert_eq!(early.unwrap_err().kind, ErrorKind::NotFound);

    let registered = registry.register("orders-shop.Shipped", SHIPPED).await;
    assert_eq!(
        registered.unwrap(),
        id,
        "the registry under test counts its ids"
    );

    let deadline = Instant::now() + Duration::from_secs(10);
    let schema = loop {
        match registry.schema(id).await {
            Ok(schema) => break schema,
            Err(error) => assert_eq!(error.kind, ErrorKind::NotFound),
        }
        assert!(Instant::now() < deadline, "still not found");
        sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(schema.name(), "shop.Shipped");
}

/// A changed type is refused, and the subject stays as it was.
pub async fn an_incompatible_version_is_refused(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    registry.register(SUBJECT, PLACED).await.unwrap();
    let refused = registry
        .register(SUBJECT, PLACED_BY_NUMBER)
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Incompatible);
    assert_eq!(refused.subject, SUBJECT);
    let lookup = registry.lookup(SUBJECT, PLACED_BY_NUMBER).await;
    assert_eq!(lookup.unwrap_err().kind, ErrorKind::NotFound);
}

/// Programs of any age run beside each other: what only new readers could read is refused too.
pub async fn a_version_that_old_readers_cannot_read_is_refused(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    registry.register(SUBJECT, PLACED).await.unwrap();
    let refused = registry.register(SUBJECT, PLACED_WITHOUT_ID).await;
    assert_eq!(refused.unwrap_err().kind, ErrorKind::Incompatible);
}

/// Both versions stay: old records need the old one.
pub async fn a_compatible_version_gets_its_own_id(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    let first = registry.register(SUBJECT, PLACED).await.unwrap();
    let second = registry.register(SUBJECT, PLACED_WITH_NOTE).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(registry.lookup(SUBJECT, PLACED).await.unwrap(), first);
    assert_eq!(
        registry.lookup(SUBJECT, PLACED_WITH_NOTE).await.unwrap(),
        second
    );
}

/// Text that is no schema is told apart from a schema that does not fit.
pub async fn garbage_is_no_schema(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    for garbage in ["", "{}", r#"{"type": "record", "name": "Half""#] {
        let refused = registry.register(SUBJECT, garbage).await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::Invalid, "{garbage}");
    }
}

/// What was answered once is answered without the registry; the rest waits for it.
pub async fn a_schema_once_seen_outlives_the_registry(fixture: &dyn Fixture) {
    let registry = fixture.registry();
    let seen = registry.register(SUBJECT, PLACED).await.unwrap();
    let unseen = registry
        .register("orders-shop.Shipped", SHIPPED)
        .await
        .unwrap();
    let schema = registry.schema(seen).await.unwrap();

    fixture.stop().await;

    let again = registry.schema(seen).await.unwrap();
    assert_eq!(again.name(), schema.name());
    assert_eq!(
        registry.schema(unseen).await.unwrap_err().kind,
        ErrorKind::Retry
    );
    let lookup = registry.lookup(SUBJECT, PLACED).await;
    assert_eq!(lookup.unwrap_err().kind, ErrorKind::Retry);
}
