//! How to get at a schema registry that does not let everybody in.

use std::path::PathBuf;

use clap::Args;

use super::password::{self, Places};
use crate::registry::access::Access;
use crate::tls::{self, ClientFiles, Flags};

/// Where the password may be.
const PASSWORD: Places = Places {
    for_whom: "--registry-user",
    flag: "--registry-password-file",
    variable: "SHOP_REGISTRY_PASSWORD",
};

/// Authorities and a login. By default there is neither.
#[derive(Args, Clone, Debug, Default)]
pub struct RegistryAccessArgs {
    /// Authorities that the certificate of an https:// registry may come from (PEM) [default: those
    /// that this system trusts].
    #[arg(long, env = "SHOP_REGISTRY_CA", value_name = "FILE")]
    pub registry_ca: Option<PathBuf>,

    /// Name to log in to the registry with (HTTP basic), with the password in SHOP_REGISTRY_PASSWORD
    /// or in a file.
    #[arg(long, env = "SHOP_REGISTRY_USER", value_name = "NAME")]
    pub registry_user: Option<String>,

    /// File that holds the password, and nothing else; it comes before SHOP_REGISTRY_PASSWORD.
    #[arg(
        long,
        env = "SHOP_REGISTRY_PASSWORD_FILE",
        value_name = "FILE",
        requires = "registry_user"
    )]
    pub registry_password_file: Option<PathBuf>,
}

/// The registry cannot be used as the flags say; each message is one line that names the flag.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to check its certificate against, or no reason to.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// There is no password.
    #[error(transparent)]
    Password(#[from] password::Error),
}

impl RegistryAccessArgs {
    /// How to get into the registry at `url`, with the secrets read.
    ///
    /// # Errors
    /// When a file cannot be used, has no use with this URL, or there is no password.
    pub fn access(&self, url: &str) -> Result<Access, Error> {
        let files = ClientFiles {
            flags: Flags {
                ca: "--registry-ca",
                cert: "",
                key: "",
            },
            ca: self.registry_ca.clone(),
            cert: None,
            key: None,
        };
        let access = Access::default().with_tls(files.client_for(url)?);
        let Some(user) = &self.registry_user else {
            return Ok(access);
        };
        if !url.starts_with("https://") {
            tracing::warn!("--registry-user with http:// sends the password in the clear");
        }
        let password = PASSWORD.password(self.registry_password_file.as_deref())?;
        Ok(access.with_login(user.clone(), password))
    }
}
