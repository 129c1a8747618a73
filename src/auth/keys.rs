//! Key sets (JWKS, RFC 7517): which keys sign tokens, and by which algorithm each.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

use crate::limits;

/// The algorithms that a token may be signed with: asymmetric ones only, so that whoever can verify
/// cannot sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 7518, section 3.3).
    Rs256,
    /// ECDSA on P-256 with SHA-256 (RFC 7518, section 3.4).
    Es256,
    /// Ed25519 (RFC 8037, section 3.1).
    EdDsa,
}

impl Algorithm {
    /// Its name in the header of a token.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }
}

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its name in the set (`kid`).
    pub id: Option<String>,
    /// What it is for.
    pub algorithm: Algorithm,
    material: Material,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Material {
    /// Modulus and exponent, big endian, without leading zeros.
    Rsa { n: Vec<u8>, e: Vec<u8> },
    /// A point, as the algorithm's verification takes it.
    Point(Vec<u8>),
}

impl Key {
    /// Whether `signature` is this key's under `message`.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let verified = match (&self.material, self.algorithm) {
            (Material::Rsa { n, e }, _) => RsaPublicKeyComponents { n, e }.verify(
                &signature::RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
            (Material::Point(point), Algorithm::EdDsa) => {
                UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature)
            }
            (Material::Point(point), _) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point)
                    .verify(message, signature)
            }
        };
        verified.is_ok()
    }
}

/// The keys of an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

/// Why a key set cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is larger than any real one.
    #[error("the key set has more than {} bytes", limits::JWKS_BYTES_MAX)]
    TooLarge,
    /// It is no JWKS.
    #[error("this is no JWKS (RFC 7517): {0}")]
    Malformed(#[source] serde_json::Error),
    /// More keys than any real one.
    #[error("the key set has more than {} keys", limits::JWKS_KEYS_MAX)]
    TooMany,
    /// Nothing in it signs tokens by an algorithm that is accepted here.
    #[error(
        "the key set has no usable key: RSA of 2048 to 8192 bits (RS256), P-256 (ES256) or Ed25519 \
         (EdDSA)"
    )]
    NoUsableKey,
}

/// A key as the set holds it (RFC 7517, section 4; RFC 7518, section 6; RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    crv: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// Reads a JWKS. Keys that are not for signatures, or of a kind that is not accepted here, are
    /// left out, as RFC 7517 (section 5) says.
    ///
    /// # Errors
    /// When it is no JWKS within the limits, or no key is left.
    pub fn parse(jwks: &[u8]) -> Result<Self, Error> {
        if jwks.len() > limits::JWKS_BYTES_MAX {
            return Err(Error::TooLarge);
        }
        let set: Jwks = serde_json::from_slice(jwks).map_err(Error::Malformed)?;
        if set.keys.len() > limits::JWKS_KEYS_MAX {
            return Err(Error::TooMany);
        }
        let usable = |value| key(serde_json::from_value(value).ok()?);
        let keys: Vec<_> = set.keys.into_iter().filter_map(usable).collect();
        if keys.is_empty() {
            return Err(Error::NoUsableKey);
        }
        Ok(Self { keys })
    }

    /// The key that a token means which names `id` and the algorithm `name`. A token without an id
    /// means the only key for that algorithm; where there are several it means none.
    #[must_use]
    pub fn find(&self, id: Option<&str>, name: &str) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| {
            key.algorithm.name() == name && id.is_none_or(|id| key.id.as_deref() == Some(id))
        });
        let found = fitting.next()?;
        fitting.next().is_none().then_some(found)
    }
}

fn key(jwk: Jwk) -> Option<Key> {
    let signs = jwk.usage.is_none_or(|usage| usage == "sig")
        && jwk
            .key_ops
            .is_none_or(|operations| operations.iter().any(|operation| operation == "verify"));
    if !signs {
        return None;
    }
    let (algorithm, material) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", None) => {
            let (n, e) = (number(jwk.n?)?, number(jwk.e?)?);
            if !(limits::RSA_BYTES_MIN..=limits::RSA_BYTES_MAX).contains(&n.len()) {
                return None;
            }
            (Algorithm::Rs256, Material::Rsa { n, e })
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (coordinate(jwk.x?)?, coordinate(jwk.y?)?);
            // Uncompressed, as SEC 1 (section 2.3.3) writes a point.
            let point = [&[4][..], &x, &y].concat();
            (Algorithm::Es256, Material::Point(point))
        }
        ("OKP", Some("Ed25519")) => (Algorithm::EdDsa, Material::Point(coordinate(jwk.x?)?)),
        _ => return None,
    };
    // A key that says what it is for is for nothing else.
    jwk.alg
        .is_none_or(|name| name == algorithm.name())
        .then_some(Key {
            id: jwk.kid,
            algorithm,
            material,
        })
}

/// An unsigned number without leading zeros, which would hide how long it is.
fn number(text: String) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    Some(bytes[zeros..].to_vec()).filter(|bytes| !bytes.is_empty())
}

/// 32 bytes: a coordinate on P-256, or an Ed25519 key.
fn coordinate(text: String) -> Option<Vec<u8>> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    (bytes.len() == 32).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    fn set(keys: &str) -> Result<KeySet, Error> {
        KeySet::parse(format!(r#"{{"keys":[{keys}]}}"#).as_bytes())
    }

    fn ed25519(more: &str) -> String {
        format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}"{more}}}"#)
    }

    #[test]
    fn a_key_is_for_one_algorithm() {
        let ec = format!(r#"{{"kty":"EC","crv":"P-256","x":"{X}","y":"{X}","kid":"b"}}"#);
        let rsa = BASE64_URL_SAFE_NO_PAD.encode([1; 256]);
        let rsa = format!(r#"{{"kty":"RSA","n":"{rsa}","e":"AQAB","kid":"c"}}"#);
        let set = set(&[ed25519(r#","kid":"a""#), ec, rsa].join(",")).unwrap();
        for (id, name) in [("a", "EdDSA"), ("b", "ES256"), ("c", "RS256")] {
            for asked in ["EdDSA", "ES256", "RS256", "HS256", "none"] {
                let found = set.find(Some(id), asked);
                assert_eq!(found.is_some(), asked == name, "{id} for {asked}");
            }
        }
    }

    #[test]
    fn what_is_not_for_signatures_here_is_left_out() {
        let short = BASE64_URL_SAFE_NO_PAD.encode([1; 255]);
        let padded = BASE64_URL_SAFE_NO_PAD.encode([vec![0; 4], vec![1; 255]].concat());
        let rsa = |n: &str| format!(r#"{{"kty":"RSA","n":"{n}","e":"AQAB"}}"#);
        for unusable in [
            ed25519(r#","use":"enc""#),
            ed25519(r#","key_ops":["sign"]"#),
            ed25519(r#","alg":"ES256""#),
            ed25519(r#","kid":7"#),
            r#"{"kty":"oct","k":"c2VjcmV0"}"#.to_owned(),
            r#"{"kty":"OKP","crv":"Ed25519","x":"AAAA"}"#.to_owned(),
            format!(r#"{{"kty":"EC","crv":"P-384","x":"{X}","y":"{X}"}}"#),
            rsa(&short),
            rsa(&padded),
            "7".to_owned(),
        ] {
            let error = set(&unusable).unwrap_err();
            assert!(matches!(error, Error::NoUsableKey), "{unusable}: {error}");
        }
    }

    #[test]
    fn a_token_without_a_key_id_means_the_only_key() {
        let one = set(&ed25519("")).unwrap();
        assert!(one.find(None, "EdDSA").is_some());
        let two = set(&[ed25519(r#","kid":"a""#), ed25519(r#","kid":"b""#)].join(",")).unwrap();
        assert!(two.find(None, "EdDSA").is_none());
        assert!(two.find(Some("a"), "EdDSA").is_some());
        assert!(two.find(Some("c"), "EdDSA").is_none());
    }

    #[test]
    fn a_set_beyond_the_limits_is_refused() {
        let many = vec![ed25519(""); limits::JWKS_KEYS_MAX + 1].join(",");
        assert!(matches!(set(&many), Err(Error::TooMany)));
        let large = format!(
            r#"{{"keys":[],"pad":"{}"}}"#,
            "x".repeat(limits::JWKS_BYTES_MAX)
        );
        assert!(matches!(
            KeySet::parse(large.as_bytes()),
            Err(Error::TooLarge)
        ));
        for nonsense in ["", "[]", "{}", r#"{"keys":{}}"#] {
            let error = KeySet::parse(nonsense.as_bytes()).unwrap_err();
            assert!(matches!(error, Error::Malformed(_)), "{nonsense}: {error}");
        }
    }
}
