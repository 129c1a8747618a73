//! What was released does not change.

use std::path::{Path, PathBuf};

use crate::complaint::{Complaint, Rule};

/// A file as it was released.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Released {
    /// Where it stands.
    pub file: PathBuf,
    /// What was in it.
    pub content: Vec<u8>,
}

/// What stands against the files of today, beside those `released` (called `by`: a commit, say).
/// `today` gives a file's content, if it is there.
pub fn check(
    released: &[Released],
    by: &str,
    today: impl Fn(&Path) -> Option<Vec<u8>>,
) -> Vec<Complaint> {
    let changed = released.iter().filter_map(|before| {
        let what = match today(&before.file) {
            Some(content) if content == before.content => return None,
            Some(_) => format!("it is not what {by} released"),
            None => format!("{by} released it, and it is gone"),
        };
        Some(Complaint {
            file: before.file.clone(),
            field: String::new(),
            rule: Rule::Released,
            what,
            fix: format!(
                "git checkout {by} -- {}; a change is a new version: shop schemas new NAME",
                before.file.display()
            ),
        })
    });
    changed.collect()
}
