//! The Avro schemas of `schemas/`: every version ever released.
//!
//! Compatibility is FULL_TRANSITIVE, with the rules of the house (`evolution`) beyond it. A version
//! that was released never changes: its golden bytes beside it (`v<N>.bin`, the bare datum of its
//! [example](crate::examples)) prove that it still reads. `shop schemas check` holds all of it.

/// One version of a message's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// The record's full name, `namespace.Name`.
    pub name: &'static str,
    /// 1, 2, 3, ...
    pub version: u32,
    /// The literal text: what the registry is given.
    pub text: &'static str,
}

include!(concat!(env!("OUT_DIR"), "/schemas.rs"));
