//! Whom a client believes, and what it shows.

use std::path::PathBuf;
use std::sync::Arc;

use ::http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower::ServiceExt;

use super::reload::Reloading;
use super::{Error, File, Identity, expiry, files};

/// What a client of HTTP/2 says first: its preface and empty SETTINGS (RFC 9113, section 3.4).
const GREETING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Opens TCP and TLS; for tonic's `connect_with_connector`.
pub type Connector = HttpsConnector<HttpConnector>;

/// The names of a client's flags, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags {
    /// Names the authorities that are believed.
    pub ca: &'static str,
    /// Names the own certificate.
    pub cert: &'static str,
    /// Names its key.
    pub key: &'static str,
}

/// What a client is told about TLS.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The flags.
    pub flags: Flags,
    /// The authorities to believe; without them those that this system trusts.
    pub ca: Option<PathBuf>,
    /// The own certificate, for servers that ask for one.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

impl ClientFiles {
    /// TLS for `url`: some for `https://`, none for anything else.
    ///
    /// # Errors
    /// When a file cannot be used, or there is one and the URL is not `https://`.
    pub fn client_for(&self, url: &str) -> Result<Option<Client>, Error> {
        if url.starts_with("https://") {
            return Client::new(self).map(Some);
        }
        let given = [
            (self.flags.ca, &self.ca),
            (self.flags.cert, &self.cert),
            (self.flags.key, &self.key),
        ];
        match given.into_iter().find(|(_, file)| file.is_some()) {
            Some((flag, _)) => Err(Error::Plain {
                flag,
                url: url.to_owned(),
            }),
            None => Ok(None),
        }
    }

    fn identity(&self) -> Option<Identity> {
        let file = |flag, path: &PathBuf| File {
            flag,
            path: path.clone(),
        };
        Some(Identity {
            cert: file(self.flags.cert, self.cert.as_ref()?),
            key: file(self.flags.key, self.key.as_ref()?),
        })
    }
}

/// The client's end of TLS: believes servers whose certificate names their host and comes from an
/// authority in a file. Clones share one configuration.
#[derive(Clone, Debug)]
pub struct Client(Arc<ClientConfig>);

impl Client {
    /// As `files` say. Authorities of the system are read once; files are looked at again.
    ///
    /// # Errors
    /// One line that names flag and file.
    pub fn new(files: &ClientFiles) -> Result<Self, Error> {
        let flag = files.flags.ca;
        let ca = files.ca.clone().map(|path| File { flag, path });
        let system = match ca {
            Some(_) => None,
            None => Some(files::roots_of_system(flag)?),
        };
        let own = files.identity();
        let identity = own.iter().flat_map(|own| [&own.cert, &own.key]);
        let read = identity.chain(&ca).cloned().collect();
        let build = move |contents: &[Vec<u8>]| {
            let mut contents = contents.iter();
            let mut next = || contents.next().map_or(&[][..], Vec::as_slice);
            let key = match &own {
                Some(own) => {
                    let key = own.parse(next(), next())?;
                    expiry::show(&own.cert.path, &key);
                    Some(Arc::new(key))
                }
                None => None,
            };
            let roots = match (&ca, &system) {
                (Some(file), _) => files::roots(file, next())?,
                (None, system) => system.clone().unwrap_or_else(RootCertStore::empty),
            };
            // Roots that are not empty always make a verifier.
            let verifier = WebPkiServerVerifier::builder(Arc::new(roots)).build();
            let verifier = verifier.map_err(|_| Error::NoSystemRoots { flag })?;
            Ok(Current { verifier, key })
        };
        let current = Arc::new(Following(Reloading::new(read, build)?));
        let mut config = ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&current) as _)
            .with_client_cert_resolver(current);
        config.resumption = Resumption::disabled();
        Ok(Self(Arc::new(config)))
    }

    /// Opens connections for HTTP/2, to `https://` URLs only.
    #[must_use]
    pub fn connector(&self) -> Connector {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        HttpsConnectorBuilder::new()
            .with_tls_config(ClientConfig::clone(&self.0))
            .https_only()
            .enable_http2()
            .wrap_connector(tcp)
    }

    /// Whether the HTTP/2 server at `uri` lets this client in, on a connection of its own. In TLS 1.3
    /// only its first words tell: a client is done with the handshake before its certificate is looked
    /// at, and a channel may tell no more than that its connection has gone. The caller limits how
    /// long it may take.
    ///
    /// # Errors
    /// Why it does not.
    pub async fn probe(&self, uri: Uri) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let stream = self.connector().oneshot(uri).await?;
        let mut stream = TokioIo::new(stream);
        stream.write_all(GREETING).await?;
        stream.flush().await?;
        stream.read_u8().await?;
        Ok(())
    }

    /// For protocols other than HTTP.
    #[must_use]
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.0)
    }
}

/// The beginnings of an HTTP client (1.1), which must not be had by other ways: reqwest's own look
/// for ciphers that this program does not have. Without `tls` it believes no server's certificate.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the place that the ban points to"
)]
pub fn http(tls: Option<&Client>) -> reqwest::ClientBuilder {
    let config = match tls {
        Some(client) => ClientConfig::clone(&client.0),
        None => ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    };
    reqwest::Client::builder()
        .no_proxy()
        // So that no redirect leads out of it.
        .https_only(tls.is_some())
        .tls_backend_preconfigured(config)
}

/// What the files hold now.
#[derive(Debug)]
struct Current {
    verifier: Arc<WebPkiServerVerifier>,
    key: Option<Arc<CertifiedKey>>,
}

/// Checks and shows what the files hold at the time of each handshake; the checks themselves are
/// rustls's own.
#[derive(Debug)]
struct Following(Reloading<Current>);

impl ServerCertVerifier for Following {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verifier = &self.0.current().verifier;
        verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verifier = &self.0.current().verifier;
        verifier.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let verifier = &self.0.current().verifier;
        verifier.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.current().verifier.supported_verify_schemes()
    }
}

impl ResolvesClientCert for Following {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.current().key.clone()
    }

    fn has_certs(&self) -> bool {
        self.0.current().key.is_some()
    }
}
