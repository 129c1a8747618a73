//! May this version of an Avro schema follow that one?
//!
//! | room | what is there |
//! |---|---|
//! | [`schema`] | a schema as resolution looks at it: names resolved, logical types and docs left out |
//! | [`resolution`] | can a reader with one schema read what a writer with another one wrote |
//! | [`level`] | what a new version must be able to do, as registries are told |
//!
//! The embedded registry asks it about what it is given. The judge is Avro's Java implementation: `tests/pairs.json` has its verdicts.

pub mod level;
pub mod resolution;
pub mod schema;

pub use level::{Level, check};
pub use resolution::{Finding, can_read};
pub use schema::Schema;
