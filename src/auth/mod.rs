//! Who is calling: bearer tokens (JWT, RFC 7519) against the keys of their issuer (JWKS, RFC 7517).
//!
//! | room | what happens there |
//! |---|---|
//! | [`keys`] | a key set, each key with the one algorithm it is for (pure) |
//! | [`token`] | a token against a key set, a time and what is expected (pure) |
//! | [`source`] | where a key set comes from: a file or a URL, read again and again |
//! | [`verifier`] | both together, for a server |
//! | [`issuer`] | tokens of an own key, for development and tests |
//!
//! A token is believed because of the key that the set names, never because of what it says about
//! itself: the algorithm is the key's (RFC 8725, section 3.1).

mod claims;
pub mod issuer;
pub mod keys;
pub mod source;
pub mod token;
pub mod verifier;

pub use claims::{Caller, Claims, Need};
pub use issuer::Issuer;
pub use keys::KeySet;
pub use token::{Expected, Refusal};
pub use verifier::Verifier;
