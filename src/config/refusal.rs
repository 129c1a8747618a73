//! Why a program must not write: the registry's answer at start, and what a person does about it.

use super::RegistryArgs;
use crate::registry::{self, ErrorKind};

/// The registry does not let this program write; one line that says what to do.
#[derive(Debug, thiserror::Error)]
#[error("--registry {registry}: {}: {}; {}", source.subject, source.detail, remedy(source.kind, registry))]
pub struct Refusal {
    /// The registry, as given.
    pub registry: String,
    /// What it says, about which subject.
    pub source: registry::Error,
}

impl RegistryArgs {
    /// A failure to bind the schemas of a program that was started with these flags.
    #[must_use]
    pub fn refusal(&self, source: registry::Error) -> Refusal {
        Refusal {
            registry: self.registry.clone(),
            source,
        }
    }
}

fn remedy(kind: ErrorKind, registry: &str) -> String {
    match kind {
        ErrorKind::NotFound => format!(
            "register it (shop schemas register --registry {registry}), or start with \
             --register-schemas true"
        ),
        ErrorKind::Incompatible => format!(
            "somebody has registered another version, which shop schemas check --registry \
             {registry} shows: start a release that is compatible with it, or have it deleted there"
        ),
        ErrorKind::Invalid => "start a release whose schemas this registry takes".to_owned(),
        ErrorKind::Retry => "start again when the registry answers".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry::RegistryAccessArgs;

    #[test]
    fn a_refusal_is_one_line_with_the_registry_the_subject_the_answer_and_what_to_do() {
        let args = RegistryArgs {
            registry: "http://registry:8081".to_owned(),
            register_schemas: false,
            access: RegistryAccessArgs::default(),
        };
        let refusal = args.refusal(registry::Error {
            kind: ErrorKind::NotFound,
            subject: "orders-Placed".to_owned(),
            detail: "Schema not found (error 40403)".to_owned(),
        });
        assert_eq!(
            refusal.to_string(),
            "--registry http://registry:8081: orders-Placed: Schema not found (error 40403); \
             register it (shop schemas register --registry http://registry:8081), or start with \
             --register-schemas true"
        );
    }
}
