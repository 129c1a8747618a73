//! How to get at a log that does not let everybody in.

use std::path::PathBuf;

use clap::Args;

use super::password::{self, Places};
use crate::log::kafka::security::{Mechanism, Security};
use crate::tls::{self, Client, ClientFiles, Flags};

/// Where the password may be.
const PASSWORD: Places = Places {
    for_whom: "--log-sasl",
    flag: "--log-password-file",
    variable: "SHOP_LOG_PASSWORD",
};

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
    #[error(transparent)]
    Ca(#[from] tls::Error),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] password::Error),
}

impl AccessArgs {
    /// What the flags say, with the secrets read.
    ///
    /// # Errors
    /// When a file cannot be used or there is no password.
    pub fn security(&self) -> Result<Security, Error> {
        let mut security = Security::default();
        if self.log_tls {
            security = security.with_tls(&Client::new(&self.files())?);
        }
        let (Some(mechanism), Some(user)) = (self.log_sasl, &self.log_user) else {
            return Ok(security);
        };
        if mechanism == Mechanism::Plain && !self.log_tls {
            tracing::warn!("--log-sasl plain without --log-tls sends the password in the clear");
        }
        let password = PASSWORD.password(self.log_password_file.as_deref())?;
        Ok(security.with_login(mechanism, user.clone(), password))
    }

    fn files(&self) -> ClientFiles {
        ClientFiles {
            flags: Flags {
                ca: "--log-ca",
                cert: "",
                key: "",
            },
            ca: self.log_ca.clone(),
            cert: None,
            key: None,
        }
    }
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
}
