//! Compatibility levels, named as at Confluent.

use std::fmt;
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

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = serde_json::to_value(self).unwrap_or_default();
        f.write_str(name.as_str().unwrap_or_default())
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
    let backward = "the new schema cannot read the old";
    let forward = "the old schema cannot read the new";
    let ways = match level {
        Level::None => vec![],
        Level::Backward | Level::BackwardTransitive => vec![(backward, new, old)],
        Level::Forward | Level::ForwardTransitive => vec![(forward, old, new)],
        Level::Full | Level::FullTransitive => vec![(backward, new, old), (forward, old, new)],
    };
    let findings = ways.into_iter().flat_map(|(way, reader, writer)| {
        let found = can_read(reader, writer).into_iter();
        found.map(move |finding| format!("{way}: {finding}"))
    });
    findings.collect()
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
        assert_eq!(Level::ForwardTransitive.to_string(), "FORWARD_TRANSITIVE");
        assert_eq!("backward".parse(), Ok(Level::Backward));
        assert_eq!("SIDEWAYS".parse::<Level>(), Err(()));
    }
}
