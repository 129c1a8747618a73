//! Where a key set comes from.

use std::convert::Infallible;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ::http::{StatusCode, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore};

use super::keys::{self, KeySet};
use crate::{limits, tls};

/// The place of a key set, as a flag names it: a file, or a URL that begins with http:// or
/// https://.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// A document on the network.
    Url(String),
}

impl FromStr for Location {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let is_url = ["http://", "https://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        Ok(if is_url {
            Self::Url(text.to_owned())
        } else {
            Self::File(text.into())
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => f.write_str(url),
        }
    }
}

/// Why a key set cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[source] std::io::Error),
    /// The URL is none.
    #[error("not a usable URL: {0}")]
    Url(#[source] ::http::uri::InvalidUri),
    /// The server did not answer in time, or not as HTTP says.
    #[error("no answer: {0}")]
    NoAnswer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The server answered something else.
    #[error("the server answered {0}")]
    Answer(StatusCode),
    /// What came is no usable key set.
    #[error(transparent)]
    Keys(#[from] keys::Error),
}

/// Reads a key set from its place, as often as it is asked.
#[derive(Clone, Debug)]
pub struct Source {
    from: From,
}

#[derive(Clone, Debug)]
enum From {
    File(PathBuf),
    Url(Uri, Box<HttpsClient>),
}

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

impl Source {
    /// The key set at `location`; `tls` says whom to believe at an https:// URL. Nothing is read yet.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(location: &Location, tls: Option<&tls::Client>) -> Result<Self, Error> {
        let from = match location {
            Location::File(path) => From::File(path.clone()),
            Location::Url(url) => From::Url(url.parse().map_err(Error::Url)?, client(tls)),
        };
        Ok(Self { from })
    }

    /// Whether the key set can be read at any time, so that it must be there at start.
    #[must_use]
    pub fn is_local(&self) -> bool {
        matches!(self.from, From::File(_))
    }

    /// How often it is worth reading again.
    #[must_use]
    pub fn refresh_every(&self) -> Duration {
        match self.from {
            From::File(_) => limits::JWKS_FILE_EVERY,
            From::Url(..) => limits::JWKS_URL_EVERY,
        }
    }

    /// The key set as it is now. Takes [`limits::JWKS_CALL_TIMEOUT`] at most.
    ///
    /// # Errors
    /// When it cannot be had, or is none.
    pub async fn read(&self) -> Result<KeySet, Error> {
        let read = tokio::time::timeout(limits::JWKS_CALL_TIMEOUT, self.bytes());
        let bytes = read.await.map_err(|late| Error::NoAnswer(late.into()))??;
        Ok(KeySet::parse(&bytes)?)
    }

    async fn bytes(&self) -> Result<Bytes, Error> {
        let (uri, client) = match &self.from {
            From::File(path) => {
                let read = tokio::fs::read(path).await;
                return read.map(Bytes::from).map_err(Error::Unreadable);
            }
            From::Url(uri, client) => (uri.clone(), client),
        };
        let answer = client.get(uri).await;
        let answer = answer.map_err(|error| Error::NoAnswer(error.into()))?;
        if answer.status() != StatusCode::OK {
            return Err(Error::Answer(answer.status()));
        }
        // One byte more than a key set may have is enough to tell that it is too large.
        let body = Limited::new(answer.into_body(), limits::JWKS_BYTES_MAX + 1);
        Ok(body.collect().await.map_err(Error::NoAnswer)?.to_bytes())
    }
}

/// A client that believes the servers that `tls` believes; without it none that has to be believed.
fn client(tls: Option<&tls::Client>) -> Box<HttpsClient> {
    let config = match tls {
        Some(client) => ClientConfig::clone(&client.config()),
        None => ClientConfig::builder()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth(),
    };
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build();
    Box::new(Client::builder(TokioExecutor::new()).build(connector))
}
