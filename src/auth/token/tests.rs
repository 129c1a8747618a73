use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use ring::{hmac, rsa};
use serde_json::{Value, json};

use super::*;
use crate::auth::Issuer;

/// An RSA key of 2,048 bits that nothing else uses: ring makes none.
const RSA: &[u8] = include_bytes!("for-tests-only.rsa");
/// 2027-01-15.
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const SECONDS: i64 = 1_800_000_000;

fn expected() -> Expected {
    Expected {
        issuer: "https://issuer.test".to_owned(),
        audience: "shop".to_owned(),
    }
}

fn issuer() -> Issuer {
    Issuer::new(&Issuer::generate().unwrap()).unwrap()
}

fn good() -> Value {
    json!({
        "iss": "https://issuer.test", "aud": "shop", "sub": "C1", "scope": "stock operations",
        "exp": SECONDS + 60,
    })
}

/// The good claims with one of them replaced, or taken away by null.
fn with(name: &str, value: Value) -> Value {
    let mut claims = good();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn refusal(claims: &Value) -> Option<Refusal> {
    let issuer = issuer();
    let keys = KeySet::parse(issuer.jwks().as_bytes()).unwrap();
    let token = issuer.sign(&json!({ "alg": "EdDSA" }), claims);
    verify(&token, &keys, &expected(), NOW).err()
}

fn encode(part: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(part)
}

/// `header.claims.signature`, signed by whatever `sign` does.
fn signed(header: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        encode(header.to_string()),
        encode(good().to_string())
    );
    let signature = sign(signed.as_bytes());
    format!("{signed}.{}", encode(signature))
}

fn rsa_key() -> (RsaKeyPair, KeySet, Vec<u8>) {
    let pair = RsaKeyPair::from_pkcs8(RSA).unwrap();
    let public: rsa::PublicKeyComponents<Vec<u8>> = pair.public().into();
    let jwk = json!({ "kty": "RSA", "n": encode(&public.n), "e": encode(&public.e), "kid": "R" });
    let keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    (pair, keys, public.n)
}

fn rs256(pair: &RsaKeyPair, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; pair.public().modulus_len()];
    let random = SystemRandom::new();
    pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
        .unwrap();
    signature
}

#[test]
fn a_good_token_says_who_and_what() {
    let issuer = issuer();
    let keys = KeySet::parse(issuer.jwks().as_bytes()).unwrap();
    let token = issuer.sign(&json!({ "alg": "EdDSA" }), &good());
    let claims = verify(&token, &keys, &expected(), NOW).unwrap();
    assert_eq!(claims.subject, "C1");
    assert!(claims.has("stock") && claims.has("operations") && !claims.has("stock operations"));
}

#[test]
fn every_algorithm_is_verified() {
    let (pair, keys, _) = rsa_key();
    let token = signed(&json!({ "alg": "RS256", "kid": "R" }), |text| {
        rs256(&pair, text)
    });
    verify(&token, &keys, &expected(), NOW).unwrap();

    let random = SystemRandom::new();
    let kind = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(kind, pkcs8.as_ref(), &random).unwrap();
    let point = pair.public_key().as_ref();
    let (x, y) = (encode(&point[1..33]), encode(&point[33..]));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y });
    let keys = KeySet::parse(json!({ "keys": [jwk] }).to_string().as_bytes()).unwrap();
    let sign = |text: &[u8]| pair.sign(&random, text).unwrap().as_ref().to_vec();
    let token = signed(&json!({ "alg": "ES256" }), sign);
    verify(&token, &keys, &expected(), NOW).unwrap();
    let other = signed(&json!({ "alg": "ES256" }), |_| sign(b"something else"));
    let refused = verify(&other, &keys, &expected(), NOW);
    assert_eq!(refused, Err(Refusal::Signature));
}

#[test]
fn the_tokens_own_word_on_its_algorithm_counts_for_nothing() {
    let (pair, keys, modulus) = rsa_key();
    let with_public_key = |text: &[u8]| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &modulus);
        hmac::sign(&key, text).as_ref().to_vec()
    };
    let right = |text: &[u8]| rs256(&pair, text);
    let nothing = |_: &[u8]| Vec::new();
    for (token, reason) in [
        (
            signed(&json!({ "alg": "none" }), nothing),
            Refusal::UnknownKey,
        ),
        (
            signed(&json!({ "alg": "None", "kid": "R" }), nothing),
            Refusal::UnknownKey,
        ),
        (
            signed(&json!({ "alg": "HS256", "kid": "R" }), with_public_key),
            Refusal::UnknownKey,
        ),
        (
            signed(&json!({ "alg": "RS256", "kid": "R" }), with_public_key),
            Refusal::Signature,
        ),
        (
            signed(&json!({ "alg": "RS256", "kid": "R" }), nothing),
            Refusal::Signature,
        ),
        (
            signed(&json!({ "alg": "RS512", "kid": "R" }), right),
            Refusal::UnknownKey,
        ),
        (
            signed(&json!({ "alg": "rs256", "kid": "R" }), right),
            Refusal::UnknownKey,
        ),
        (
            signed(&json!({ "alg": "RS256", "kid": "S" }), right),
            Refusal::UnknownKey,
        ),
        (
            signed(
                &json!({ "alg": "RS256", "crit": ["b64"], "b64": false }),
                right,
            ),
            Refusal::Critical,
        ),
        (signed(&json!({ "kid": "R" }), right), Refusal::Malformed),
        (signed(&json!({ "alg": 7 }), right), Refusal::Malformed),
    ] {
        assert_eq!(
            verify(&token, &keys, &expected(), NOW),
            Err(reason),
            "{token}"
        );
    }
}

#[test]
fn every_claim_is_demanded_in_its_type() {
    let end = |seconds: i64| json!(SECONDS + seconds);
    for (name, value, reason) in [
        ("exp", json!(null), Refusal::Claim("exp")),
        (
            "exp",
            json!((SECONDS + 60).to_string()),
            Refusal::Claim("exp"),
        ),
        ("exp", json!(true), Refusal::Claim("exp")),
        ("exp", json!([SECONDS + 60]), Refusal::Claim("exp")),
        ("exp", json!(-1), Refusal::Claim("exp")),
        ("exp", json!(1e300), Refusal::Claim("exp")),
        ("exp", end(-30), Refusal::Expired),
        ("exp", json!(0), Refusal::Expired),
        ("nbf", end(31), Refusal::NotYet),
        ("nbf", json!(SECONDS.to_string()), Refusal::Claim("nbf")),
        ("aud", json!(null), Refusal::Claim("aud")),
        ("aud", json!(7), Refusal::Claim("aud")),
        ("aud", json!(["shop", 7]), Refusal::Claim("aud")),
        ("aud", json!("another"), Refusal::Audience),
        ("aud", json!([]), Refusal::Audience),
        ("aud", json!("shop another"), Refusal::Audience),
        ("iss", json!(null), Refusal::Claim("iss")),
        ("iss", json!(["https://issuer.test"]), Refusal::Claim("iss")),
        ("iss", json!("https://issuer.test/"), Refusal::Issuer),
        ("sub", json!(null), Refusal::Claim("sub")),
        ("sub", json!(7), Refusal::Claim("sub")),
        ("scope", json!(["stock"]), Refusal::Claim("scope")),
    ] {
        assert_eq!(
            refusal(&with(name, value.clone())),
            Some(reason),
            "{name}: {value}"
        );
    }
    for (name, value) in [
        ("exp", end(-29)),
        ("exp", json!(1_800_000_060.5)),
        ("nbf", end(30)),
        ("aud", json!(["another", "shop"])),
        ("scope", json!(null)),
        ("more", json!({ "of": "it" })),
    ] {
        assert_eq!(refusal(&with(name, value.clone())), None, "{name}: {value}");
    }
    for claims in [json!([]), json!("text"), json!(null)] {
        assert_eq!(refusal(&claims), Some(Refusal::Malformed), "{claims}");
    }
}

#[test]
fn a_token_is_bounded() {
    let claims = with("pad", json!("x".repeat(limits::TOKEN_BYTES_MAX)));
    assert_eq!(refusal(&claims), Some(Refusal::TooLong));
}

proptest! {
    #[test]
    fn whatever_comes_is_refused_without_a_panic(token in "[ -~é.]{0,80}") {
        let keys = KeySet::parse(issuer().jwks().as_bytes()).unwrap();
        prop_assert!(verify(&token, &keys, &expected(), NOW).is_err());
    }

    /// No byte of a token can be another one.
    #[test]
    fn a_changed_token_is_refused(at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_.-]") {
        let issuer = issuer();
        let keys = KeySet::parse(issuer.jwks().as_bytes()).unwrap();
        let token = issuer.sign(&json!({ "alg": "EdDSA" }), &good());
        let at = at.index(token.len());
        let changed = format!("{}{to}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(verify(&changed, &keys, &expected(), NOW).is_err());
    }
}
