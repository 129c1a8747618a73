//! Whom the servers of this process let in.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::auth::source::{self, Location, Source};
use crate::auth::{Expected, Need, Verifier};
use crate::clock::Clock;
use crate::server::Guard;
use crate::spawner::Spawner;
use crate::tls::{self, ClientFiles, Flags};

/// The flag, for messages; this client has no certificate of its own.
const FLAGS: Flags = Flags {
    ca: "--auth-jwks-ca",
    cert: "",
    key: "",
};

/// Bearer tokens. By default there are none, and everybody may do everything.
#[derive(Args, Clone, Debug, Default)]
pub struct AuthArgs {
    /// Demand a JWT with every call, signed by a key of this set (JWKS; RS256, ES256 or EdDSA).
    #[arg(
        long,
        env = "SHOP_AUTH_JWKS",
        value_name = "FILE_OR_URL",
        requires = "auth_issuer",
        requires = "auth_audience"
    )]
    pub auth_jwks: Option<Location>,

    /// Authorities that the certificate of an https:// URL of the set may come from (PEM) [default: those
    /// that this system trusts].
    #[arg(
        long,
        env = "SHOP_AUTH_JWKS_CA",
        value_name = "FILE",
        requires = "auth_jwks"
    )]
    pub auth_jwks_ca: Option<PathBuf>,

    /// Who must have made it (iss).
    #[arg(
        long,
        env = "SHOP_AUTH_ISSUER",
        value_name = "ISSUER",
        requires = "auth_jwks"
    )]
    pub auth_issuer: Option<String>,

    /// Whom it must be for (aud).
    #[arg(
        long,
        env = "SHOP_AUTH_AUDIENCE",
        value_name = "AUDIENCE",
        requires = "auth_jwks"
    )]
    pub auth_audience: Option<String>,
}

/// The key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be had, or is none.
    #[error("--auth-jwks {location}: {source}")]
    Keys {
        /// The set, as given.
        location: Location,
        /// What is wrong with it.
        source: source::Error,
    },
    /// Its server cannot be believed as the flags say.
    #[error(transparent)]
    Tls(#[from] tls::Error),
}

impl AuthArgs {
    /// Who stands before the services: nobody, unless the flags say so. `need` tells what each call
    /// needs.
    ///
    /// # Errors
    /// When the key set is a file that cannot be used, or its authorities are.
    pub async fn guard(
        &self,
        need: fn(&str) -> Need,
        clock: &Arc<dyn Clock>,
        spawner: &dyn Spawner,
    ) -> Result<Option<Guard>, Error> {
        let (Some(location), Some(issuer), Some(audience)) =
            (&self.auth_jwks, &self.auth_issuer, &self.auth_audience)
        else {
            return Ok(None);
        };
        let expected = Expected {
            issuer: issuer.clone(),
            audience: audience.clone(),
        };
        let tls = self.files().client_for(&location.to_string())?;
        let started = async {
            let source = Source::new(location, tls.as_ref())?;
            Verifier::start(source, expected, Arc::clone(clock), spawner).await
        };
        match started.await {
            Ok(verifier) => Ok(Some(Guard::new(verifier, need))),
            Err(source) => Err(Error::Keys {
                location: location.clone(),
                source,
            }),
        }
    }

    fn files(&self) -> ClientFiles {
        ClientFiles {
            flags: FLAGS,
            ca: self.auth_jwks_ca.clone(),
            cert: None,
            key: None,
        }
    }
}
