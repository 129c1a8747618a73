//! Authorities, and certificates good and bad, as files.

#![allow(dead_code, reason = "each test file uses its part of this")]

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use messaging::clock::{Clock, SystemClock};
use messaging::tls::{Client, ClientFiles, File, Flags, Identity, Server};
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The names of the flags in messages.
pub(crate) const FLAGS: Flags = Flags {
    ca: "--ca",
    cert: "--cert",
    key: "--key",
};

/// What a certificate is good for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Servers.
    Servers,
    /// Clients.
    Clients,
    /// Servers, until yesterday.
    ServersBefore,
    /// Clients, until yesterday.
    ClientsBefore,
}

/// Somebody who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// Its own certificate, in a file.
    pub(crate) fn write(&self, path: &Path) {
        std::fs::write(path, &self.pem).unwrap();
    }

    /// A certificate and its key for `host`, in the files `NAME.pem` and `NAME.key`.
    pub(crate) fn sign(&self, dir: &Path, name: &str, host: &str, purpose: For) {
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        let now = SystemClock.now().0.unsigned_abs();
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
        let end = match purpose {
            For::Servers | For::Clients => now + DAY,
            For::ServersBefore | For::ClientsBefore => now - DAY,
        };
        (params.not_before, params.not_after) = ((now - 2 * DAY).into(), end.into());
        params.extended_key_usages = vec![match purpose {
            For::Servers | For::ServersBefore => ExtendedKeyUsagePurpose::ServerAuth,
            For::Clients | For::ClientsBefore => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(dir.join(format!("{name}.key")), key.serialize_pem()).unwrap();
        std::fs::write(dir.join(format!("{name}.pem")), signed.pem()).unwrap();
    }
}

/// A folder of certificates: `ca.pem`, and from it `server` (for 127.0.0.1) and `client`.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
    /// Who has signed them.
    pub(crate) authority: Authority,
}

impl Folder {
    /// A new one.
    pub(crate) fn new() -> Self {
        let folder = Self {
            dir: tempfile::tempdir().unwrap(),
            authority: Authority::new(),
        };
        folder.authority.write(&folder.path("ca.pem"));
        folder.sign("server", "127.0.0.1", For::Servers);
        folder.sign("client", "client.test", For::Clients);
        folder
    }

    /// Where `file` is.
    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.dir.path().join(file)
    }

    /// A further certificate of the authority.
    pub(crate) fn sign(&self, name: &str, host: &str, purpose: For) {
        self.authority.sign(self.dir.path(), name, host, purpose);
    }

    fn identity(&self, name: &str) -> Identity {
        let file = |flag, kind| File {
            flag,
            path: self.path(&format!("{name}.{kind}")),
        };
        Identity {
            cert: file("--tls-cert", "pem"),
            key: file("--tls-key", "key"),
        }
    }

    /// A server that shows the certificate `name`; with `mutual` its clients need one of `ca.pem`.
    pub(crate) fn server(&self, name: &str, mutual: bool) -> Server {
        let client_ca = mutual.then(|| File {
            flag: "--tls-client-ca",
            path: self.path("ca.pem"),
        });
        Server::new(self.identity(name), client_ca).unwrap()
    }

    /// A client that believes `ca.pem` and shows the certificate `name`, if it has one.
    pub(crate) fn client(&self, name: Option<&str>) -> Client {
        self.client_believing("ca.pem", name)
    }

    /// As [`Folder::client`], with authorities of its own.
    pub(crate) fn client_believing(&self, ca: &str, name: Option<&str>) -> Client {
        let own = name.map(|name| self.identity(name));
        let (cert, key) = own.map(|own| (own.cert.path, own.key.path)).unzip();
        let files = ClientFiles {
            flags: FLAGS,
            ca: Some(self.path(ca)),
            cert,
            key,
        };
        Client::new(&files).unwrap()
    }
}
