//! What is wrong with a schema: file, place, rule, and what to do about it.

use std::fmt;
use std::path::PathBuf;

/// A breach of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// The file that breaks it.
    pub file: PathBuf,
    /// Where in it, as people write it (`lines[].quantity`); empty for the file as a whole.
    pub field: String,
    /// The rule.
    pub rule: Rule,
    /// What was found.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file, field, rule, ..
        } = self;
        write!(f, "{}: ", file.display())?;
        if !field.is_empty() {
            write!(f, "{field}: ")?;
        }
        write!(f, "{rule}: {}\n    fix: {}", self.what, self.fix)
    }
}

/// The rules that a schema keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It is an Avro schema.
    Avro,
    /// Versions are numbered 1, 2, 3, ...
    Numbering,
    /// The record has the name of its directory.
    Name,
    /// Every version reads and is read by every other one (FULL_TRANSITIVE).
    FullTransitive,
    /// Nothing goes by a second name.
    NoAliases,
    /// A type keeps its logical type.
    LogicalType,
    /// A named type keeps its full name.
    FullName,
    /// `string` stays `string`, and `bytes` `bytes`.
    StringOrBytes,
    /// A named type is used where it is defined and nowhere else.
    UsedOnce,
    /// Every field says what it holds.
    Doc,
    /// A default has the type of its field, and keeps its value.
    Default,
    /// The golden bytes of every version are there, and read as the value they were written from.
    GoldenBytes,
    /// The newest version is what the program writes.
    RustType,
    /// A released version does not change.
    Released,
    /// The registry holds these versions and no others.
    Registry,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Avro => "avro",
            Self::Numbering => "numbering",
            Self::Name => "name",
            Self::FullTransitive => "full-transitive",
            Self::NoAliases => "no-aliases",
            Self::LogicalType => "logical-type",
            Self::FullName => "full-name",
            Self::StringOrBytes => "string-or-bytes",
            Self::UsedOnce => "used-once",
            Self::Doc => "doc",
            Self::Default => "default",
            Self::GoldenBytes => "golden-bytes",
            Self::RustType => "rust-type",
            Self::Released => "released",
            Self::Registry => "registry",
        })
    }
}
