//! A development authority, and the certificates that a store with TLS needs.
//!
//! | file | what it is |
//! |---|---|
//! | [`CA`] | the authority, which everybody believes; its key signs further certificates |
//! | [`SERVER`] | what the gateway and the services show to those who call them |
//! | [`GATEWAY`] | what the gateway shows to the services |
//! | [`CLIENT`] | what a person shows to the services |
//!
//! Each is a pair: `NAME.pem`, the certificate, and `NAME.key`, which only its owner may read.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use messaging::clock::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tempfile::NamedTempFile;

/// The authority.
pub const CA: &str = "ca";
/// The certificate of the servers.
pub const SERVER: &str = "server";
/// The gateway's certificate as a client of the services.
pub const GATEWAY: &str = "gateway";
/// A person's certificate as a client of the services.
pub const CLIENT: &str = "client";

/// How long an authority holds: a development machine is set up anew now and then.
pub const CA_LASTS: Duration = Duration::from_secs(365 * DAY);
/// How long the other certificates hold: long enough not to be in the way, and short, because
/// nothing can take them back.
pub const LEAF_LASTS: Duration = Duration::from_secs(90 * DAY);
/// Clocks that are behind by as much take a new certificate.
const SKEW: Duration = Duration::from_secs(5 * 60);
const DAY: u64 = 24 * 60 * 60;

/// The names that a server's certificate always has.
const HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Certificates cannot be made; one line.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// They would take the place of others.
    #[error(
        "--out {}: {file} is there already: --renew makes new certificates from its authority, \
         --force a new authority too", dir.display()
    )]
    Exists {
        /// The directory.
        dir: PathBuf,
        /// What is there.
        file: String,
    },
    /// A file cannot be read or written.
    #[error("--out {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A host is no name, or the authority's key is none.
    #[error("{what}: {source}")]
    Unusable {
        /// What cannot be used.
        what: String,
        /// Why not.
        source: rcgen::Error,
    },
}

/// What to do about files that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leave them alone, and fail.
    Refuse,
    /// Keep the authority, and make the others anew.
    Renew,
    /// Make everything anew.
    Replace,
}

/// Makes the files in `dir`, for servers on this machine and on `hosts`, valid from `now` on.
///
/// # Errors
/// When files are in the way, cannot be written, or a host is no name.
pub fn make(dir: &Path, hosts: &[String], existing: Existing, now: Timestamp) -> Result<(), Error> {
    if existing == Existing::Refuse {
        refuse_existing(dir)?;
    }
    std::fs::create_dir_all(dir).map_err(|source| Error::File {
        path: dir.to_owned(),
        source,
    })?;
    let authority = match existing {
        Existing::Renew => kept(dir, now)?,
        Existing::Refuse | Existing::Replace => new_authority(dir, now)?,
    };
    let names: Vec<_> = HOSTS
        .into_iter()
        .map(str::to_owned)
        .chain(hosts.to_vec())
        .collect();
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    for (name, names, purpose) in [
        (SERVER, names, server),
        (GATEWAY, vec![], client.clone()),
        (CLIENT, vec![], client),
    ] {
        let mut params = params(name, names, LEAF_LASTS, now)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate().map_err(|source| unusable("a new key", source))?;
        let signed = params.signed_by(&key, &authority);
        let signed = signed.map_err(|source| unusable(name, source))?;
        write_pair(dir, name, &signed.pem(), &key)?;
    }
    Ok(())
}

/// The path of the certificate `name` in `dir`.
#[must_use]
pub fn pem(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.pem"))
}

/// The path of its key.
#[must_use]
pub fn key(dir: &Path, name: &str) -> PathBuf {
    dir.join(format!("{name}.key"))
}

fn refuse_existing(dir: &Path) -> Result<(), Error> {
    let files = [CA, SERVER, GATEWAY, CLIENT].map(|name| [pem(dir, name), key(dir, name)]);
    match files.as_flattened().iter().find(|file| file.exists()) {
        None => Ok(()),
        Some(file) => Err(Error::Exists {
            dir: dir.to_owned(),
            file: file
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        }),
    }
}

fn authority(now: Timestamp) -> Result<CertificateParams, Error> {
    let mut params = params("shop development authority", vec![], CA_LASTS, now)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    Ok(params)
}

fn new_authority(dir: &Path, now: Timestamp) -> Result<Issuer<'static, KeyPair>, Error> {
    let params = authority(now)?;
    let key = KeyPair::generate().map_err(|source| unusable("a new key", source))?;
    let signed = params.self_signed(&key);
    let signed = signed.map_err(|source| unusable(CA, source))?;
    write_pair(dir, CA, &signed.pem(), &key)?;
    Ok(Issuer::new(params, key))
}

/// The authority that [`new_authority`] made in `dir`.
fn kept(dir: &Path, now: Timestamp) -> Result<Issuer<'static, KeyPair>, Error> {
    let path = key(dir, CA);
    let text = std::fs::read_to_string(&path).map_err(|source| Error::File {
        path: path.clone(),
        source,
    })?;
    let key = KeyPair::from_pem(&text);
    let key = key.map_err(|source| unusable(&path.display().to_string(), source))?;
    // Of the certificate only its name goes into those that it signs.
    Ok(Issuer::new(authority(now)?, key))
}

fn params(
    name: &str,
    hosts: Vec<String>,
    lasts: Duration,
    now: Timestamp,
) -> Result<CertificateParams, Error> {
    let shown = hosts.join(", ");
    let params = CertificateParams::new(hosts);
    let mut params = params.map_err(|source| unusable(&format!("--host ({shown})"), source))?;
    params.distinguished_name.push(DnType::CommonName, name);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now.0.unsigned_abs());
    params.not_before = (now - SKEW).into();
    params.not_after = (now + lasts).into();
    Ok(params)
}

/// Key first: a server that looks in between finds that they do not belong together, and goes on
/// with the old ones.
fn write_pair(dir: &Path, name: &str, certificate: &str, own: &KeyPair) -> Result<(), Error> {
    write(&key(dir, name), &own.serialize_pem(), 0o600)?;
    write(&pem(dir, name), certificate, 0o644)
}

/// In one step: a reader sees all of it or none.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Error> {
    let written = || {
        let dir = path.parent().unwrap_or(Path::new("."));
        // Only its owner may read it from the beginning.
        let mut file = NamedTempFile::new_in(dir)?;
        file.write_all(text.as_bytes())?;
        file.as_file()
            .set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.persist(path)?;
        Ok(())
    };
    written().map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

fn unusable(what: &str, source: rcgen::Error) -> Error {
    Error::Unusable {
        what: what.to_owned(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use messaging::clock::{Clock, SystemClock};

    use super::*;

    fn text(path: &Path) -> String {
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn keys_are_their_owners_and_nothing_is_replaced_unasked() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("certs");
        let make = |existing| make(&dir, &["shop.test".to_owned()], existing, SystemClock.now());
        make(Existing::Refuse).unwrap();
        for name in [CA, SERVER, GATEWAY, CLIENT] {
            let mode = std::fs::metadata(key(&dir, name))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{name}");
        }
        let refused = make(Existing::Refuse).unwrap_err().to_string();
        assert!(refused.contains("ca.pem is there already"), "{refused}");

        let (ca, server) = (text(&pem(&dir, CA)), text(&pem(&dir, SERVER)));
        make(Existing::Renew).unwrap();
        assert_eq!(text(&pem(&dir, CA)), ca);
        assert_ne!(text(&pem(&dir, SERVER)), server);
        make(Existing::Replace).unwrap();
        assert_ne!(text(&pem(&dir, CA)), ca);
    }

    #[test]
    fn a_host_that_is_no_name_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let hosts = ["köln".to_owned()];
        let refused = make(dir.path(), &hosts, Existing::Refuse, SystemClock.now());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.starts_with("--host ("), "{refused}");
    }
}
