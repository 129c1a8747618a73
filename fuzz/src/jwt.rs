//! Tokens, and the keys that verify them.
//!
//! The first byte says what the others are: a token, changes to a good token, the claims of a token that
//! a known key signs, or a key set. Promises: nothing is believed but what a key of the set has signed,
//! to the letter, for the expected issuer and audience and for now; a set holds no key for a symmetric
//! algorithm or for none, and without the right key it verifies nothing.

use std::sync::LazyLock;
use std::time::Duration;

use messaging::auth::issuer::Grant;
use messaging::auth::token::{self, Expected};
use messaging::auth::{Issuer, KeySet};
use messaging::clock::Timestamp;
use messaging::limits::{AUTH_SKEW, JWKS_BYTES_MAX};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

/// Bytes of memory.
pub const MEMORY: usize = 8 << 20;
/// The time of all trials, in milliseconds.
const NOW: Timestamp = Timestamp(1_795_000_000_000);
/// Keys of nobody beside the one of these trials: points and a modulus that were drawn.
const OTHERS: &str = include_str!("others.jwks.json");

struct Known {
    issuer: Issuer,
    keys: KeySet,
    expected: Expected,
    good: String,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let issuer = issuer();
    let expected = Expected {
        issuer: "https://issuer.example".to_owned(),
        audience: "shop".to_owned(),
    };
    let mut keys: Value = serde_json::from_str(OTHERS).expect("a key set");
    let own: Value = serde_json::from_str(&issuer.jwks()).expect("a key set");
    let own = own["keys"][0].clone();
    keys["keys"].as_array_mut().expect("keys").push(own);
    let granted = Grant {
        subject: "CUSTOMER_001",
        scope: "stock:write",
        lasts: Duration::from_secs(600),
    };
    Known {
        good: issuer.token(granted, &expected, NOW),
        keys: KeySet::parse(keys.to_string().as_bytes()).expect("a key set"),
        issuer,
        expected,
    }
});

/// The key of these trials, which is no secret.
fn issuer() -> Issuer {
    let seed = [7; 32];
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("a key");
    // PKCS #8 in its second version (RFC 5958) around the seed and the public key.
    let head = b"\x30\x53\x02\x01\x01\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    let middle = b"\xa1\x23\x03\x21\x00";
    let pkcs8 = [&head[..], &seed, middle, pair.public_key().as_ref()].concat();
    Issuer::new(&pkcs8).expect("a key")
}

/// The good token of these trials, and the key set with its key.
#[must_use]
pub fn known() -> (String, String) {
    (KNOWN.good.clone(), KNOWN.issuer.jwks())
}

/// Trial of one token or key set.
pub fn run(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else {
        return;
    };
    match what % 4 {
        0 => foreign(rest),
        1 => changed(rest),
        2 => claimed(rest),
        _ => key_set(rest),
    }
}

fn foreign(token: &[u8]) {
    let Ok(token) = std::str::from_utf8(token) else {
        return;
    };
    let verified = token::verify(token, &KNOWN.keys, &KNOWN.expected, NOW);
    assert_eq!(verified.is_ok(), token == KNOWN.good, "{token}");
}

/// Each change is an operation, a place and a byte.
fn changed(changes: &[u8]) {
    let mut token = KNOWN.good.clone().into_bytes();
    for change in changes.chunks_exact(4) {
        let at = usize::from(u16::from_be_bytes([change[1], change[2]])) % (token.len() + 1);
        match change[0] % 3 {
            0 => token.insert(at, change[3]),
            1 if at < token.len() => drop(token.remove(at)),
            _ if at < token.len() => token[at] = change[3],
            _ => token.truncate(at / 2),
        }
    }
    foreign(&token);
}

/// A signature says nothing about the claims: they are judged for what they say.
fn claimed(claims: &[u8]) {
    let Ok(claims) = serde_json::from_slice::<Value>(claims) else {
        return;
    };
    let token = KNOWN.issuer.sign(&json!({"alg": "EdDSA"}), &claims);
    let Ok(read) = token::verify(&token, &KNOWN.keys, &KNOWN.expected, NOW) else {
        return;
    };
    let now = NOW.0.unsigned_abs() / 1_000;
    let skew = AUTH_SKEW.as_secs();
    assert_eq!(claims["iss"], KNOWN.expected.issuer.as_str());
    let audience = |name: &Value| name == KNOWN.expected.audience.as_str();
    assert!(
        audience(&claims["aud"])
            || claims["aud"]
                .as_array()
                .is_some_and(|all| all.iter().any(audience))
    );
    assert_eq!(claims["sub"], read.subject.as_str());
    let expires = claims["exp"].as_f64().expect("a number");
    assert!(expires + 1.0 > (now - skew) as f64, "{expires} has passed");
    if let Some(begins) = claims.get("nbf") {
        let begins = begins.as_f64().expect("a number");
        assert!(begins < (now + skew + 1) as f64, "{begins} has not come");
    }
    for scope in &read.scopes {
        assert!(
            claims["scope"]
                .as_str()
                .expect("text")
                .split_whitespace()
                .any(|given| given == scope)
        );
    }
}

fn key_set(jwks: &[u8]) {
    let Ok(keys) = KeySet::parse(jwks) else {
        return;
    };
    assert!(jwks.len() <= JWKS_BYTES_MAX);
    for symmetric in ["none", "HS256", "HS384", "HS512", ""] {
        assert_eq!(keys.find(None, symmetric), None);
    }
    if token::verify(&KNOWN.good, &keys, &KNOWN.expected, NOW).is_ok() {
        let own: Value = serde_json::from_str(&KNOWN.issuer.jwks()).expect("a key set");
        let set: Value = serde_json::from_slice(jwks).expect("a key set");
        let all = set["keys"].as_array().expect("keys");
        assert!(
            all.iter().any(|key| key["x"] == own["keys"][0]["x"]),
            "verified by another key"
        );
    }
}
