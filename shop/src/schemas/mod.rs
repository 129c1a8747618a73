//! The event schemas as files: checked by themselves, against what was released, against a registry.
//!
//! | room | what happens there |
//! |---|---|
//! | `golden` | the golden bytes and the Rust types against the files |
//! | `released` | the files as a commit has them |
//! | `registry` | what a registry holds, and what it must be given |
//! | `next` | the next version of a schema, and the golden bytes of the newest |

use std::path::{Path, PathBuf};

use contracts::examples::{self, Examples};
use evolution::files::{self, History, Version};
use evolution::{Complaint, history};

use crate::exit::{Exit, Failure};

mod golden;
pub(crate) mod next;
pub(crate) mod registry;
pub(crate) mod released;

/// Every schema in `directory`.
pub(crate) fn read(directory: &Path) -> Result<Vec<History>, Failure> {
    files::read(directory).map_err(|error| Failure::new(Exit::Usage, error.to_string()))
}

/// Every schema that this program was built with: for a machine without the files.
pub(crate) fn built_in() -> Vec<History> {
    let mut histories: Vec<History> = Vec::new();
    for schema in contracts::schema::ALL {
        let file = |extension: &str| {
            PathBuf::from(format!("{}/v{}.{extension}", schema.name, schema.version))
        };
        let version = Version {
            number: schema.version,
            file: file("avsc"),
            text: schema.text.to_owned(),
            golden_file: file("bin"),
            golden: None,
        };
        match histories.last_mut() {
            Some(history) if history.name == schema.name => history.versions.push(version),
            _ => histories.push(History {
                name: schema.name.to_owned(),
                versions: vec![version],
            }),
        }
    }
    histories
}

/// What stands against the schemas, judged by the files and by this program's types alone.
pub(crate) fn check(directory: &Path, histories: &[History]) -> Vec<Complaint> {
    let by_text = histories.iter().flat_map(history::check);
    let by_type = histories.iter().flat_map(golden::check);
    let missing = golden::missing(directory, histories);
    by_text.chain(by_type).chain(missing).collect()
}

/// The examples of the message type that has this schema.
fn examples_of(history: &History) -> Option<&'static Examples> {
    let mut all = examples::ALL.iter();
    all.find(|examples| examples.registration.message_type == history.name)
}
