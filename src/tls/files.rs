//! PEM files as keys and certificates.

use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{Error, File, Identity};

impl Identity {
    /// What `cert` and `key` hold, which must belong together.
    pub(super) fn parse(&self, cert: &[u8], key: &[u8]) -> Result<CertifiedKey, Error> {
        let chain = certificates(&self.cert, cert)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|source| match source {
            pem::Error::NoItemsFound => Error::Empty {
                file: self.key.clone(),
                wanted: "private key",
            },
            source => Error::NotPem {
                file: self.key.clone(),
                source,
            },
        })?;
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|source| Error::Unusable {
            file: self.key.clone(),
            source,
        })
    }
}

/// Every certificate in `text`, as authorities.
pub(super) fn roots(file: &File, text: &[u8]) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(file, text)? {
        roots.add(certificate).map_err(|source| Error::Unusable {
            file: file.clone(),
            source,
        })?;
    }
    Ok(roots)
}

/// The authorities that this system trusts. Those that cannot be used are left out: systems carry
/// old ones along.
pub(super) fn roots_of_system(flag: &'static str) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Error::NoSystemRoots { flag });
    }
    Ok(roots)
}

fn certificates(file: &File, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let certificates = certificates.map_err(|source| Error::NotPem {
        file: file.clone(),
        source,
    })?;
    if certificates.is_empty() {
        return Err(Error::Empty {
            file: file.clone(),
            wanted: "certificate",
        });
    }
    Ok(certificates)
}
