//! A subject in which somebody else has registered what does not fit, and what a program says of it.

use evolution::Level;
use messaging::message::{Message, Registration};
use messaging::registry::SchemaRegistry;
use messaging::registry::access::Access;
use messaging::registry::confluent::ConfluentRegistry;
use messaging::registry::subjects::Subjects;

/// Registers, under the subject of `M`, a version that `M`'s schema cannot follow; the subject.
pub(crate) async fn claim<M: Message>(registry: &str, level: Level) -> String {
    let subject = Registration::of::<M>().subject();
    let mut theirs: serde_json::Value = serde_json::from_str(M::SCHEMA).unwrap();
    theirs["fields"][0]["type"] = "long".into();
    let subjects = Subjects::secured(registry, &Access::default()).unwrap();
    subjects.set_level(&subject, level).await.unwrap();
    let client = ConfluentRegistry::new(registry).unwrap();
    let registered = client.register(&subject, &theirs.to_string()).await;
    registered.unwrap();
    subject
}

/// Checks the line that a program ends with then: the subject, the registry's reason, what to do.
pub(crate) fn assert_told(line: &str, program: &str, registry: &str, subject: &str) {
    let begins = format!(
        "{program}: --registry {registry}: {subject}: Schema being registered is incompatible with \
         an earlier schema for subject \"{subject}\", details: "
    );
    let ends = format!(
        " (error 409); somebody has registered another version, which shop schemas check --registry \
         {registry} shows: start a release that is compatible with it, or have it deleted there"
    );
    assert!(line.starts_with(&begins) && line.ends_with(&ends), "{line}");
    assert!(line.contains("TYPE_MISMATCH"), "{line}");
}
