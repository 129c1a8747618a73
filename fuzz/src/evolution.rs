//! Two schemas, and whether one may follow the other.
//!
//! Two texts with a zero byte between them. Promises: every schema follows itself; both ways together
//! are compatible exactly if each is; the canonical text is the same schema; and no pair takes more
//! memory or time than it may.

use evolution::schema::{self, Schema};
use evolution::{Level, can_read, check};

use super::halves;

/// Bytes of memory.
pub const MEMORY: usize = 64 << 20;

/// Trial of a pair.
pub fn run(data: &[u8]) {
    let (one, other) = halves(data);
    let read = |text| {
        let text = std::str::from_utf8(text).ok()?;
        let schema = schema::parse(text).ok()?;
        let canonical = schema::canonical(text).expect("a schema is JSON");
        assert_eq!(
            schema::parse(&canonical).as_ref(),
            Ok(&schema),
            "{canonical}"
        );
        Some(schema)
    };
    let (one, other) = (read(one), read(other));
    for schema in one.iter().chain(&other) {
        follows_itself(schema);
    }
    if let (Some(one), Some(other)) = (one, other) {
        let is_compatible = |level| check(level, &one, &other).is_empty();
        assert!(is_compatible(Level::None));
        let each = is_compatible(Level::Backward) && is_compatible(Level::Forward);
        assert_eq!(is_compatible(Level::FullTransitive), each);
        assert_eq!(
            is_compatible(Level::Backward),
            can_read(&one, &other).is_empty()
        );
    }
}

fn follows_itself(schema: &Schema) {
    let findings = can_read(schema, schema);
    let too_large = |what: &str| what.contains("to be compared");
    assert!(
        findings.is_empty() || findings.iter().any(|finding| too_large(&finding.what)),
        "{findings:?}"
    );
}
