//! The methods that this process serves, by their paths.
//!
//! Metrics carry a method's name as a label. A client can call any path, and a layer may refuse the
//! call before anybody knows that there is no such method: so only names from here become labels.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use prost::Message;
use prost_types::FileDescriptorSet;

/// What every other path is called.
pub(in crate::server) const UNKNOWN: &str = "unknown";

/// Each with whether it answers with a stream.
static SERVED: RwLock<Option<HashMap<&'static str, bool>>> = RwLock::new(None);

/// Adds the methods of those services in an encoded `FileDescriptorSet` that are served. A set that
/// cannot be read adds none: reflection refuses it.
pub(in crate::server) fn serve(descriptors: &[u8], is_served: impl Fn(&str) -> bool) {
    let files = FileDescriptorSet::decode(descriptors).unwrap_or_default();
    let mut served = SERVED.write().unwrap_or_else(PoisonError::into_inner);
    let served = served.get_or_insert_default();
    for file in files.file {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            if !is_served(&name) {
                continue;
            }
            for method in &service.method {
                let path = format!("/{name}/{}", method.name());
                if !served.contains_key(path.as_str()) {
                    // As many as the program has methods, once each.
                    served.insert(path.leak(), method.server_streaming());
                }
            }
        }
    }
}

/// The name under which calls of `path` are counted.
pub(in crate::server) fn name(path: &str) -> &'static str {
    let served = SERVED.read().unwrap_or_else(PoisonError::into_inner);
    let known = served
        .as_ref()
        .and_then(|served| served.get_key_value(path));
    known.map_or(UNKNOWN, |(name, _)| *name)
}

/// Whether calls of `path` are answered with a stream.
pub(in crate::server) fn streams(path: &str) -> bool {
    let served = SERVED.read().unwrap_or_else(PoisonError::into_inner);
    served
        .as_ref()
        .and_then(|served| served.get(path).copied())
        .unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_methods_of_services_that_are_served_have_a_name() {
        let set = tonic_health::pb::FILE_DESCRIPTOR_SET;
        serve(set, |_| false);
        serve(set, |service| service == "grpc.health.v1.Health");
        let check = "/grpc.health.v1.Health/Check";
        assert_eq!(name(check), check);
        assert!(!streams(check) && streams("/grpc.health.v1.Health/Watch"));
        for made_up in ["/grpc.health.v1.Health/Chick", "/a/b", ""] {
            assert_eq!(name(made_up), UNKNOWN);
            assert!(!streams(made_up));
        }
    }
}
