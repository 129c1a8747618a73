//! May this version of an Avro schema follow that one?
//!
//! | room | what is there |
//! |---|---|
//! | [`schema`] | a schema as resolution looks at it: names resolved, logical types and docs left out |
//! | [`resolution`] | can a reader with one schema read what a writer with another one wrote |
//! | [`level`] | what a new version must be able to do, as registries are told |
//! | [`files`] | the directory of schemas: every version ever released |
//! | [`history`] | every version against every earlier one, and against the rules of the house |
//! | [`released`] | what was released does not change |
//! | [`changes`] | what changed between two versions, for people |
//!
//! The embedded registry asks it about what it is given, `shop schemas` about files. The judge of
//! resolution is Avro's Java implementation: `tests/pairs.json` has its verdicts. The rules of the
//! house are stricter ([`Rule`]).

pub mod changes;
pub mod complaint;
mod default;
pub mod files;
pub mod history;
mod house;
pub mod level;
mod outline;
mod place;
pub mod released;
pub mod resolution;
pub mod schema;

pub use complaint::{Complaint, Rule};
pub use level::{Level, check};
pub use resolution::{Finding, can_read};
pub use schema::Schema;
