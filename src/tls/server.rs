//! A server's certificate, and whom it lets in.

use std::fmt;
use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::SingleCertAndKey;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::reload::Reloading;
use super::{Error, File, Identity, expiry, files};

/// A connection whose handshake is done.
pub type Secured = tokio_rustls::server::TlsStream<TcpStream>;

/// The server's end of TLS, for HTTP/2 (ALPN `h2`). Clones share one certificate.
#[derive(Clone)]
pub struct Server(Arc<Reloading<ServerConfig>>);

impl Server {
    /// Shows the certificate of `own`. With `client_ca` only clients with a certificate from an
    /// authority in that file get in (mutual TLS); the certificate must be one for clients.
    ///
    /// # Errors
    /// One line that names flag and file.
    pub fn new(own: Identity, client_ca: Option<File>) -> Result<Self, Error> {
        let mut read = vec![own.cert.clone(), own.key.clone()];
        read.extend(client_ca.clone());
        let build = move |contents: &[Vec<u8>]| config(&own, client_ca.as_ref(), contents);
        Ok(Self(Arc::new(Reloading::new(read, build)?)))
    }

    /// The handshake; the caller limits how long it may take.
    ///
    /// # Errors
    /// When the client speaks something else, or is not let in.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Secured> {
        let accepted = TlsAcceptor::from(self.0.current()).accept(stream);
        match accepted.into_fallible().await {
            Ok(secured) => Ok(secured),
            Err((error, stream)) => {
                linger(stream).await;
                Err(error)
            }
        }
    }
}

/// Reads what the client had sent already, until it has read the alert that says why it is refused:
/// closing at once would reset the connection, and take the alert away.
async fn linger(mut stream: TcpStream) {
    let alert_sent = stream.shutdown().await;
    if alert_sent.is_ok() {
        // However it ends, it ends.
        let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
    }
}

/// Without the key.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.0).finish()
    }
}

/// The configuration that certificate, key and perhaps authorities make.
fn config(
    own: &Identity,
    client_ca: Option<&File>,
    contents: &[Vec<u8>],
) -> Result<ServerConfig, Error> {
    let key = own.parse(&contents[0], &contents[1])?;
    expiry::show(&own.cert.path, &key);
    let builder = ServerConfig::builder();
    let builder = match client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let roots = files::roots(file, &contents[2])?;
            let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build();
            let verifier = verifier.map_err(|source| Error::NoVerifier {
                file: file.clone(),
                source,
            })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
