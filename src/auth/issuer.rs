//! Tokens of an own Ed25519 key, for development and tests. Production has an identity provider.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::Expected;
use super::keys::Algorithm;
use crate::clock::Timestamp;

/// Signs tokens.
pub struct Issuer {
    pair: Ed25519KeyPair,
    id: String,
}

/// The key cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system has no randomness to give.
    #[error("no key can be made: the system gives no randomness")]
    NoRandomness,
    /// These bytes are no Ed25519 key in PKCS #8 (RFC 8410, RFC 5958).
    #[error("this is no Ed25519 key that was made here: {0}")]
    Rejected(ring::error::KeyRejected),
}

/// What a token is to say.
#[derive(Clone, Copy, Debug)]
pub struct Grant<'a> {
    /// Whom it is about.
    pub subject: &'a str,
    /// Scopes, separated by spaces; may be empty.
    pub scope: &'a str,
    /// How long it holds.
    pub lasts: Duration,
}

impl Issuer {
    /// A new key, as PKCS #8 bytes: whoever has them can sign.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Vec<u8>, Error> {
        let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new());
        let pair = pair.map_err(|_| Error::NoRandomness)?;
        Ok(pair.as_ref().to_vec())
    }

    /// Signs with the key in `pkcs8`.
    ///
    /// # Errors
    /// When it holds none.
    pub fn new(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(Error::Rejected)?;
        let digest = Sha256::digest(pair.public_key().as_ref());
        let id = BASE64_URL_SAFE_NO_PAD.encode(&digest[..9]);
        Ok(Self { pair, id })
    }

    /// The key set (JWKS) that verifies its tokens.
    #[must_use]
    pub fn jwks(&self) -> String {
        let key = json!({
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": Algorithm::EdDsa.name(),
            "use": "sig",
            "kid": self.id,
            "x": BASE64_URL_SAFE_NO_PAD.encode(self.pair.public_key()),
        });
        format!("{:#}\n", json!({ "keys": [key] }))
    }

    /// A token that says what is `granted`, made at `now` as it is `expected`.
    #[must_use]
    pub fn token(&self, granted: Grant<'_>, expected: &Expected, now: Timestamp) -> String {
        let seconds = now.0 / 1_000;
        let lasts = i64::try_from(granted.lasts.as_secs()).unwrap_or(i64::MAX);
        let claims = json!({
            "iss": expected.issuer,
            "aud": expected.audience,
            "sub": granted.subject,
            "scope": granted.scope,
            "iat": seconds,
            "exp": seconds.saturating_add(lasts),
        });
        let header = json!({ "alg": Algorithm::EdDsa.name(), "typ": "JWT", "kid": self.id });
        self.sign(&header, &claims)
    }

    /// A token with this header and these claims, whatever they say.
    #[must_use]
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
    }
}

/// Without the key.
impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("id", &self.id).finish()
    }
}
