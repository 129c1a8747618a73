//! Secrets that are no flags: other users see those.

use std::io;
use std::path::{Path, PathBuf};

/// There is no password to log in with; one line that names the flag.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The password's file cannot be read.
    #[error("{flag} {}: {source}", path.display())]
    File {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a user and no password.
    #[error("{for_whom} needs a password: set {variable}, or name a {flag}")]
    Missing {
        /// The flag that asks for a login.
        for_whom: &'static str,
        /// The variable that may hold the password.
        variable: &'static str,
        /// The flag of its file.
        flag: &'static str,
    },
}

/// Where a password may be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    /// The flag that asks for a login.
    pub(super) for_whom: &'static str,
    /// The flag that names a file, which comes first.
    pub(super) flag: &'static str,
    /// The environment variable.
    pub(super) variable: &'static str,
}

impl Places {
    /// The password in `file`, or else the variable's.
    pub(super) fn password(self, file: Option<&Path>) -> Result<String, Error> {
        self.pick(file, std::env::var(self.variable).ok())
    }

    /// An editor's last line end is no part of a password.
    fn pick(self, file: Option<&Path>, variable: Option<String>) -> Result<String, Error> {
        let Some(path) = file else {
            return variable.ok_or(Error::Missing {
                for_whom: self.for_whom,
                variable: self.variable,
                flag: self.flag,
            });
        };
        let text = std::fs::read_to_string(path).map_err(|source| Error::File {
            flag: self.flag,
            path: path.to_owned(),
            source,
        })?;
        Ok(text.trim_end_matches(['\r', '\n']).to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_in_the_file_or_else_in_the_variable() {
        let places = Places {
            for_whom: "--user",
            flag: "--password-file",
            variable: "PASSWORD",
        };
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, " with blanks \n").unwrap();
        let variable = || Some("variable".to_owned());
        let picked = places.pick(Some(&path), variable()).unwrap();
        assert_eq!(picked, " with blanks ");
        assert_eq!(places.pick(None, variable()).unwrap(), "variable");

        let missing = places.pick(None, None).unwrap_err().to_string();
        assert!(missing.contains("set PASSWORD"), "{missing}");
        let path = dir.path().join("other");
        let unreadable = places.pick(Some(&path), variable()).unwrap_err();
        assert!(unreadable.to_string().contains("other"), "{unreadable}");
    }
}
