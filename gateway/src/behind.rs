//! TLS towards the services behind the gateway.

use std::path::PathBuf;

use messaging::tls::{ClientFiles, Flags};

/// The flags, for messages.
pub(crate) const FLAGS: Flags = Flags {
    ca: "--services-ca",
    cert: "--services-cert",
    key: "--services-key",
};

/// Whom the gateway believes, and what it shows. Replaced files are used for new connections.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct ServicesTlsArgs {
    /// Authorities that the certificates of https:// services may come from (PEM) [default: those
    /// that this system trusts].
    #[arg(long, env = "SHOP_SERVICES_CA", value_name = "FILE")]
    pub services_ca: Option<PathBuf>,

    /// The gateway's own certificate, for services that demand one (PEM).
    #[arg(
        long,
        env = "SHOP_SERVICES_CERT",
        value_name = "FILE",
        requires = "services_key"
    )]
    pub services_cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(
        long,
        env = "SHOP_SERVICES_KEY",
        value_name = "FILE",
        requires = "services_cert"
    )]
    pub services_key: Option<PathBuf>,
}

impl ServicesTlsArgs {
    pub(crate) fn files(&self) -> ClientFiles {
        ClientFiles {
            flags: FLAGS,
            ca: self.services_ca.clone(),
            cert: self.services_cert.clone(),
            key: self.services_key.clone(),
        }
    }
}
