//! How to get at a log that does not let everybody in.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;

use crate::log::kafka::security::{self, Mechanism, Security};

/// Where the password is, unless it is in a file. It is no flag: other users see those.
const PASSWORD: &str = "SHOP_LOG_PASSWORD";

/// TLS and login. By default there is neither.
#[derive(Args, Clone, Debug, Default)]
pub struct AccessArgs {
    /// Talk to the log's brokers over TLS.
    #[arg(long, env = "SHOP_LOG_TLS")]
    pub log_tls: bool,

    /// Authorities that the brokers' certificates may come from (PEM) [default: those that this
    /// system trusts].
    #[arg(long, env = "SHOP_LOG_CA", value_name = "FILE", requires = "log_tls")]
    pub log_ca: Option<PathBuf>,

    /// Log in to the brokers (SASL), with the password in SHOP_LOG_PASSWORD or in a file.
    #[arg(
        long,
        env = "SHOP_LOG_SASL",
        value_name = "MECHANISM",
        value_enum,
        requires = "log_user"
    )]
    pub log_sasl: Option<Mechanism>,

    /// Name to log in with.
    #[arg(
        long,
        env = "SHOP_LOG_USER",
        value_name = "NAME",
        requires = "log_sasl"
    )]
    pub log_user: Option<String>,

    /// File that holds the password, and nothing else; it comes before SHOP_LOG_PASSWORD.
    #[arg(
        long,
        env = "SHOP_LOG_PASSWORD_FILE",
        value_name = "FILE",
        requires = "log_sasl"
    )]
    pub log_password_file: Option<PathBuf>,
}

/// The log cannot be used as the flags say; each message is one line that names the flag.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to check the brokers' certificates against.
    #[error("--log-ca: {0}")]
    Ca(#[from] security::Error),
    /// The password's file cannot be read.
    #[error("--log-password-file {}: {source}", path.display())]
    PasswordFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is a user and no password.
    #[error("--log-sasl needs a password: set {PASSWORD}, or name a --log-password-file")]
    NoPassword,
}

impl AccessArgs {
    /// What the flags say, with the secrets read.
    ///
    /// # Errors
    /// When a file cannot be used or there is no password.
    pub fn security(&self) -> Result<Security, Error> {
        let mut security = Security::default();
        if self.log_tls {
            security = security.with_tls(self.log_ca.as_deref())?;
        }
        let (Some(mechanism), Some(user)) = (self.log_sasl, &self.log_user) else {
            return Ok(security);
        };
        if mechanism == Mechanism::Plain && !self.log_tls {
            tracing::warn!("--log-sasl plain without --log-tls sends the password in the clear");
        }
        let file = self.log_password_file.as_deref();
        let password = password(file, std::env::var(PASSWORD).ok())?;
        Ok(security.with_login(mechanism, user.clone(), password))
    }
}

/// The password in the file, or else the variable's. An editor's last line end is no part of it.
fn password(file: Option<&Path>, variable: Option<String>) -> Result<String, Error> {
    let Some(path) = file else {
        return variable.ok_or(Error::NoPassword);
    };
    let text = std::fs::read_to_string(path).map_err(|source| Error::PasswordFile {
        path: path.to_owned(),
        source,
    })?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        access: AccessArgs,
    }

    fn parse(arguments: &[&str]) -> Result<AccessArgs, clap::Error> {
        let arguments = ["program"].iter().chain(arguments);
        Program::try_parse_from(arguments).map(|program| program.access)
    }

    #[test]
    fn flags_are_read() {
        let access = parse(&[
            "--log-tls",
            "--log-ca",
            "ca.pem",
            "--log-sasl",
            "scram-sha-512",
            "--log-user",
            "shop",
        ]);
        let access = access.unwrap();
        assert!(access.log_tls);
        assert_eq!(access.log_ca, Some("ca.pem".into()));
        assert_eq!(access.log_sasl, Some(Mechanism::ScramSha512));
        assert_eq!(access.log_user.as_deref(), Some("shop"));
        assert!(!parse(&[]).unwrap().log_tls);
    }

    #[test]
    fn halves_are_refused() {
        for arguments in [
            ["--log-ca", "ca.pem"],
            ["--log-sasl", "plain"],
            ["--log-user", "shop"],
            ["--log-password-file", "password"],
        ] {
            assert!(parse(&arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn the_password_is_in_the_file_or_else_in_the_variable() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, " with blanks \n").unwrap();
        let variable = || Some("variable".to_owned());
        assert_eq!(password(Some(&path), variable()).unwrap(), " with blanks ");
        assert_eq!(password(None, variable()).unwrap(), "variable");

        let missing = password(None, None).unwrap_err().to_string();
        assert!(missing.contains(PASSWORD), "{missing}");
        let path = dir.path().join("other");
        let unreadable = password(Some(&path), variable()).unwrap_err();
        assert!(unreadable.to_string().contains("other"), "{unreadable}");
    }
}
