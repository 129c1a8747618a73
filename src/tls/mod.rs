//! TLS on both ends: certificates from PEM files, which are looked at again while the program runs.
//!
//! | room | what happens there |
//! |---|---|
//! | [`Server`] | a server's certificate, and whom it lets in |
//! | [`Client`] | whom a client believes, and what it shows |
//! | `files` | PEM files as keys and certificates |
//! | `reload` | a changed file is used for the next connection, a broken one is not |
//! | `expiry` | until when an own certificate holds, as a gauge |
//! | [`advice`] | what a person does about a connection that was refused |
//!
//! TLS 1.2 and 1.3, with rustls's own choice of ciphers (ring). Sessions are not resumed: every
//! connection shows its certificate, so that one that is not believed any more ends with the
//! connections it has. Revocation lists are not looked at; certificates are meant to be short-lived.

use std::io;
use std::path::PathBuf;

mod advice;
mod client;
mod expiry;
mod files;
mod reload;
mod server;

pub use advice::{advice, advice_on_connecting};
pub use client::{Client, ClientFiles, Connector, Flags, http};
pub use server::{Secured, Server};

/// A PEM file, and the flag that named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The flag, for messages.
    pub flag: &'static str,
    /// Where it is.
    pub path: PathBuf,
}

/// A certificate (with those that lead to its authority), and its private key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The certificate; its own first.
    pub cert: File,
    /// The key: PKCS#8, PKCS#1 or SEC1.
    pub key: File,
}

/// TLS cannot be used as the flags say; one line that names the flag.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{} {}: {source}", file.flag, file.path.display())]
    Unreadable {
        /// The file.
        file: File,
        /// What the system says.
        source: io::Error,
    },
    /// The file is not what it should be.
    #[error("{} {}: {source}", file.flag, file.path.display())]
    NotPem {
        /// The file.
        file: File,
        /// What is wrong with it.
        source: rustls::pki_types::pem::Error,
    },
    /// The file holds something else.
    #[error("{} {} holds no {wanted} (PEM)", file.flag, file.path.display())]
    Empty {
        /// The file.
        file: File,
        /// What it should hold.
        wanted: &'static str,
    },
    /// What the file holds cannot be used.
    #[error("{} {}: {source}", file.flag, file.path.display())]
    Unusable {
        /// The file.
        file: File,
        /// What is wrong with it.
        source: rustls::Error,
    },
    /// A set of authorities that nothing can be checked against.
    #[error("{} {}: {source}", file.flag, file.path.display())]
    NoVerifier {
        /// The file.
        file: File,
        /// What is wrong with it.
        source: rustls::server::VerifierBuilderError,
    },
    /// There is nothing to check a server's certificate against.
    #[error("this system trusts no authority; name one by {flag} FILE")]
    NoSystemRoots {
        /// The flag that would name one.
        flag: &'static str,
    },
    /// What should be protected would not be.
    #[error("{flag} is for https:// URLs, and {url} is none: write https://, or leave out {flag}")]
    Plain {
        /// The flag that asks for protection.
        flag: &'static str,
        /// The URL.
        url: String,
    },
}
