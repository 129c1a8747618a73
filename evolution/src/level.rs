//! Compatibility levels, named as at Confluent.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::resolution::can_read;
use crate::schema::Schema;

/// What a new version of a schema must be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Level {
    /// Anything.
    None,
    /// Read what the latest version wrote.
    Backward,
    /// Read what every version wrote.
    BackwardTransitive,
    /// Write what the latest version reads.
    Forward,
    /// Write what every version reads.
    ForwardTransitive,
    /// Both, for the latest version.
    Full,
    /// Both, for every version.
    FullTransitive,
}

impl Level {
    /// Whether all versions count, not only the latest.
    #[must_use]
    pub fn is_transitive(self) -> bool {
        matches!(
            self,
            Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive
        )
    }
}

impl FromStr for Level {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        serde_json::from_value(name.to_uppercase().into()).map_err(drop)
    }
}

/// What does not fit between a new schema and an old one, by level; nothing if they are
/// compatible.
#[must_use]
pub fn check(level: Level, new: &Schema, old: &Schema) -> Vec<String> {
    let mut findings = Vec::new();
    if matches!(
        level,
        Level::Backward | Level::BackwardTransitive | Level::Full | Level::FullTransitive
    ) {
        let found = can_read(new, old).into_iter();
        findings
            .extend(found.map(|finding| format!("the new schema cannot read the old: {finding}")));
    }
    if matches!(
        level,
        Level::Forward | Level::ForwardTransitive | Level::Full | Level::FullTransitive
    ) {
        let found = can_read(old, new).into_iter();
        findings
            .extend(found.map(|finding| format!("the old schema cannot read the new: {finding}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::parse;

    fn record(fields: &str) -> Schema {
        parse(&format!(
            r#"{{"type":"record","name":"R","namespace":"shop","fields":[{fields}]}}"#
        ))
        .unwrap()
    }

    /// A field without default.
    fn with_field() -> Schema {
        record(r#"{"name":"f","type":"int"}"#)
    }

    #[test]
    fn levels_ask_in_the_right_direction() {
        // given a new version that adds a field without default: the old can read it, not reverse
        let fits = |level| check(level, &with_field(), &record("")).is_empty();
        assert!(fits(Level::None) && fits(Level::Forward) && fits(Level::ForwardTransitive));
        assert!(!fits(Level::Backward) && !fits(Level::Full) && !fits(Level::FullTransitive));
    }

    #[test]
    fn a_finding_says_what_and_where() {
        let expected = "the new schema cannot read the old: \
                        READER_FIELD_MISSING_DEFAULT_VALUE at /fields/0: f";
        let findings = check(Level::Backward, &with_field(), &record(""));
        assert_eq!(findings, [expected]);
    }

    #[test]
    fn levels_are_named_as_at_confluent() {
        assert_eq!("FULL_TRANSITIVE".parse(), Ok(Level::FullTransitive));
        assert_eq!("backward".parse(), Ok(Level::Backward));
        assert_eq!("SIDEWAYS".parse::<Level>(), Err(()));
    }
}
