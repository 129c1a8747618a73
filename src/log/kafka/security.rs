//! TLS and logins: who the brokers are, and who this client is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// How a client logs in (SASL).
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mechanism {
    /// The password itself is sent: with TLS only.
    Plain,
    /// Proof of the password, which stays here.
    #[value(name = "scram-sha-256")]
    ScramSha256,
    /// The same with the longer hash.
    #[value(name = "scram-sha-512")]
    ScramSha512,
}

/// How to talk to brokers that do not trust the network. By default they are taken to: no TLS, no
/// login.
#[derive(Clone, Default)]
pub struct Security {
    tls: Option<Arc<ClientConfig>>,
    login: Option<SaslConfig>,
}

/// The certificates to trust cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read, or holds something else.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// A certificate that nothing can be checked against.
    #[error("{}: {source}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// There is nothing to trust.
    #[error("{0} holds no certificate")]
    Empty(String),
}

impl Security {
    /// Encrypts, and believes brokers whose certificate names their host and comes from an
    /// authority in the PEM file `ca`; without one, from one that this system trusts.
    ///
    /// # Errors
    /// One line that names the file.
    pub fn with_tls(self, ca: Option<&Path>) -> Result<Self, Error> {
        let roots = match ca {
            Some(path) => roots_in(path)?,
            None => roots_of_system()?,
        };
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: Some(Arc::new(config)),
            ..self
        })
    }

    /// Logs in on every connection.
    #[must_use]
    pub fn with_login(self, mechanism: Mechanism, user: String, password: String) -> Self {
        let credentials = Credentials::new(user, password);
        let login = match mechanism {
            Mechanism::Plain => SaslConfig::Plain(credentials),
            Mechanism::ScramSha256 => SaslConfig::ScramSha256(credentials),
            Mechanism::ScramSha512 => SaslConfig::ScramSha512(credentials),
        };
        Self {
            login: Some(login),
            ..self
        }
    }

    pub(super) fn apply(&self, mut builder: ClientBuilder) -> ClientBuilder {
        if let Some(tls) = &self.tls {
            builder = builder.tls_config(Arc::clone(tls));
        }
        if let Some(login) = &self.login {
            builder = builder.sasl_config(login.clone());
        }
        builder
    }
}

/// Without the password, which rskafka would show.
impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security")
            .field("tls", &self.tls.is_some())
            .field("login", &self.login.is_some())
            .finish()
    }
}

fn roots_in(path: &Path) -> Result<RootCertStore, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        roots
            .add(certificate.map_err(unreadable)?)
            .map_err(|source| Error::Unusable {
                path: path.to_owned(),
                source,
            })?;
    }
    if roots.is_empty() {
        return Err(Error::Empty(path.display().to_string()));
    }
    Ok(roots)
}

/// Those that cannot be used are left out: systems carry old ones along.
fn roots_of_system() -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::Empty("the system's certificate store".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_never_shown() {
        let security = Security::default().with_login(
            Mechanism::Plain,
            "shop".to_owned(),
            "hunter2".to_owned(),
        );
        assert!(!format!("{security:?}").contains("hunter2"));
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let with = || Security::default().with_tls(Some(&path)).unwrap_err();
        assert!(with().to_string().contains("ca.pem"));

        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(with(), Error::Empty(_)));

        std::fs::write(&path, "-----BEGIN CERTIFICATE-----\n!\n").unwrap();
        assert!(matches!(with(), Error::Unreadable { .. }));
    }
}
