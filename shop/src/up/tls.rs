//! The store with TLS: what `shop certs` made, as each part uses it.

use std::fs::File;
use std::path::PathBuf;

use gateway::behind::ServicesTlsArgs;
use messaging::config::tls::ServerTlsArgs;

use super::error::Error;
use super::part::Part;
use crate::certs::{CA, GATEWAY, SERVER, key, pem};
use crate::tls::TlsArgs;

/// A directory of certificates. The gateway lets everybody call it; the services only those with a
/// certificate.
#[derive(Clone, Debug)]
pub struct TlsDir(pub PathBuf);

impl TlsDir {
    /// Whether everything is there that `part` reads.
    ///
    /// # Errors
    /// A line that names what is missing.
    pub(super) fn check(&self, part: Part) -> Result<(), Error> {
        let servers = [pem(&self.0, CA), pem(&self.0, SERVER), key(&self.0, SERVER)];
        let gateways = [pem(&self.0, GATEWAY), key(&self.0, GATEWAY)];
        let files = match part {
            Part::Gateway => [&servers[..], &gateways[..]].concat(),
            Part::Order | Part::Inventory => servers.to_vec(),
            Part::Log | Part::Registry => vec![],
        };
        for path in files {
            File::open(&path).map_err(|source| Error::Certificates { path, source })?;
        }
        Ok(())
    }

    /// What `part` shows, and whom it lets in.
    pub(super) fn server(&self, part: Part) -> ServerTlsArgs {
        ServerTlsArgs {
            tls_cert: Some(pem(&self.0, SERVER)),
            tls_key: Some(key(&self.0, SERVER)),
            tls_client_ca: (part != Part::Gateway).then(|| pem(&self.0, CA)),
        }
    }

    /// What the gateway shows to the services.
    pub(super) fn services(&self) -> ServicesTlsArgs {
        ServicesTlsArgs {
            services_ca: Some(pem(&self.0, CA)),
            services_cert: Some(pem(&self.0, GATEWAY)),
            services_key: Some(key(&self.0, GATEWAY)),
        }
    }

    /// What a client of the gateway needs.
    #[must_use]
    pub fn client(&self) -> TlsArgs {
        TlsArgs::believing(&pem(&self.0, CA))
    }
}
