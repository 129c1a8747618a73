//! TLS and logins: who the brokers are, and who this client is.

use std::fmt;
use std::sync::Arc;

use rskafka::client::{ClientBuilder, Credentials, SaslConfig};
use rustls::ClientConfig;

use crate::tls::Client;

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

impl Security {
    /// Encrypts, and believes brokers as `tls` says.
    #[must_use]
    pub fn with_tls(self, tls: &Client) -> Self {
        Self {
            tls: Some(tls.config()),
            ..self
        }
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
}
