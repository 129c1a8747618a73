//! The store's contracts: the gRPC API, the Avro messages between the services, the topics.
//!
//! `proto/` and `schemas/` at the root are the truth; this crate gives them to Rust, with what
//! both sides of a contract must agree on: limits, validation, canonical content.

pub mod access;
pub mod canonical;
pub mod client;
pub mod examples;
pub mod inventory;
pub mod limits;
mod macros;
pub mod order;
pub mod schema;
pub mod shared;
pub mod source;
pub mod status;
pub mod time;
pub mod topics;
pub mod validate;

/// The gRPC API, package `shop.v1`.
#[allow(
    missing_docs,
    clippy::all,
    clippy::allow_attributes_without_reason,
    reason = "generated; the documentation stands in proto/"
)]
pub mod proto {
    tonic::include_proto!("shop.v1");
}

/// The encoded `google.protobuf.FileDescriptorSet` of the gRPC API, imports and comments included.
pub const FILE_DESCRIPTOR_SET: &[u8] = tonic::include_file_descriptor_set!("shop");

#[cfg(test)]
mod tests {
    #[test]
    fn the_descriptors_hold_what_errors_carry() {
        let names = String::from_utf8_lossy(super::FILE_DESCRIPTOR_SET);
        for name in ["BadRequest", "FieldViolation", "RetryInfo"] {
            assert!(names.contains(name), "{name}");
        }
    }
}
