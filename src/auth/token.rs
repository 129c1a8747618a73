//! A token against a key set: a JWS in compact form (RFC 7515) that holds claims (RFC 7519).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::Value;

use super::claims::{self, Claims};
use super::keys::KeySet;
use crate::clock::Timestamp;
use crate::limits;

/// What a token must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// Who made it (`iss`).
    pub issuer: String,
    /// Whom it is for (`aud`).
    pub audience: String,
}

/// Why a token is refused. The reasons tell a caller what is wrong with its own token, and nothing
/// of the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("a bearer token is required")]
    Missing,
    /// Longer than any real one.
    #[error("the token is too long")]
    TooLong,
    /// No compact JWS of a JSON object.
    #[error("the token is malformed")]
    Malformed,
    /// It has header parameters that must be understood and are not (`crit`).
    #[error("the token uses extensions that are not known here")]
    Critical,
    /// No key of the set is for it: unknown, or of another algorithm.
    #[error("the token's key or algorithm is not accepted")]
    UnknownKey,
    /// Not signed by the key that it names.
    #[error("the token's signature is wrong")]
    Signature,
    /// A claim is missing or has the wrong type.
    #[error("the token has no usable {0}")]
    Claim(&'static str),
    /// Made by somebody else.
    #[error("the token is of another issuer")]
    Issuer,
    /// Made for somebody else.
    #[error("the token is for another audience")]
    Audience,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not begun.
    #[error("the token is not valid yet")]
    NotYet,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

/// What `token` says, if a key of `keys` signed it and it is what is `expected` at the time `now`,
/// give or take [`limits::AUTH_SKEW`].
///
/// # Errors
/// The first reason to refuse it.
pub fn verify(
    token: &str,
    keys: &KeySet,
    expected: &Expected,
    now: Timestamp,
) -> Result<Claims, Refusal> {
    if token.len() > limits::TOKEN_BYTES_MAX {
        return Err(Refusal::TooLong);
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(Refusal::Malformed)?;
    let (header, payload) = signed.split_once('.').ok_or(Refusal::Malformed)?;
    let header: Header =
        serde_json::from_slice(&decode(header)?).map_err(|_| Refusal::Malformed)?;
    if header.crit.is_some() {
        return Err(Refusal::Critical);
    }
    let key = keys
        .find(header.kid.as_deref(), &header.alg)
        .ok_or(Refusal::UnknownKey)?;
    let signature = decode(signature)?;
    if !key.verifies(signed.as_bytes(), &signature) {
        return Err(Refusal::Signature);
    }
    let payload = serde_json::from_slice(&decode(payload)?).map_err(|_| Refusal::Malformed)?;
    read(payload, expected, now)
}

/// Checks the claims of a token whose signature is right.
fn read(payload: Value, expected: &Expected, now: Timestamp) -> Result<Claims, Refusal> {
    let Value::Object(payload) = payload else {
        return Err(Refusal::Malformed);
    };
    let text = |name| {
        let value = payload.get(name).and_then(Value::as_str);
        value.ok_or(Refusal::Claim(name))
    };
    if text("iss")? != expected.issuer {
        return Err(Refusal::Issuer);
    }
    if !is_for(payload.get("aud"), &expected.audience)? {
        return Err(Refusal::Audience);
    }
    let expires = seconds(payload.get("exp"), "exp")?;
    if let Some(begins) = payload.get("nbf") {
        let latest = claims::seconds(now).saturating_add(limits::AUTH_SKEW.as_secs());
        if seconds(Some(begins), "nbf")? > latest {
            return Err(Refusal::NotYet);
        }
    }
    let scopes = match payload.get("scope") {
        None => "",
        Some(scope) => scope.as_str().ok_or(Refusal::Claim("scope"))?,
    };
    let claims = Claims {
        subject: text("sub")?.to_owned(),
        scopes: scopes.split_whitespace().map(str::to_owned).collect(),
        expires,
    };
    match claims.has_expired(now) {
        true => Err(Refusal::Expired),
        false => Ok(claims),
    }
}

/// Whether `aud`, one name or several (RFC 7519, section 4.1.3), holds `audience`.
fn is_for(aud: Option<&Value>, audience: &str) -> Result<bool, Refusal> {
    let malformed = Refusal::Claim("aud");
    match aud.ok_or(malformed)? {
        Value::String(name) => Ok(name == audience),
        Value::Array(names) if names.iter().all(Value::is_string) => {
            Ok(names.iter().any(|name| name == audience))
        }
        _ => Err(malformed),
    }
}

/// A time in seconds since the Unix epoch (`NumericDate`, RFC 7519, section 2): a number, not text.
fn seconds(value: Option<&Value>, name: &'static str) -> Result<u64, Refusal> {
    let malformed = Refusal::Claim(name);
    let value = value.ok_or(malformed)?;
    let fraction = || {
        let seconds = value.as_f64()?;
        // Times beyond what an f64 holds exactly are no times.
        (0.0..9e15).contains(&seconds).then_some(seconds as u64)
    };
    value.as_u64().or_else(fraction).ok_or(malformed)
}

fn decode(part: &str) -> Result<Vec<u8>, Refusal> {
    BASE64_URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Refusal::Malformed)
}

#[cfg(test)]
mod tests;
