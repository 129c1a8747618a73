//! TLS towards the store, for every command that calls it.

use std::path::{Path, PathBuf};

use messaging::tls::{ClientFiles, Flags};

/// The flags, for messages.
pub const FLAGS: Flags = Flags {
    ca: "--ca",
    cert: "--cert",
    key: "--cert-key",
};

/// Whom to believe at `https://` URLs, and what to show.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct TlsArgs {
    /// Authorities that the certificates of https:// URLs may come from (PEM) [default: those that
    /// this system trusts].
    #[arg(long, env = "SHOP_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,

    /// The own certificate, for servers that demand one (PEM).
    #[arg(long, env = "SHOP_CERT", value_name = "FILE", requires = "cert_key")]
    pub cert: Option<PathBuf>,

    /// Its private key (PEM).
    #[arg(long, env = "SHOP_CERT_KEY", value_name = "FILE", requires = "cert")]
    pub cert_key: Option<PathBuf>,
}

impl TlsArgs {
    /// Believes the authority in `ca`, and shows nothing.
    #[must_use]
    pub fn believing(ca: &Path) -> Self {
        Self {
            ca: Some(ca.to_owned()),
            ..Self::default()
        }
    }

    pub(crate) fn files(&self) -> ClientFiles {
        ClientFiles {
            flags: FLAGS,
            ca: self.ca.clone(),
            cert: self.cert.clone(),
            key: self.cert_key.clone(),
        }
    }
}
